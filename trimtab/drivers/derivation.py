"""What follows from a turn: the read model, the history, the sinks. In order, behind the loop, never in its way."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from trimtab.domain.kpi_batch import KpiBatch
from trimtab.drivers.turn import Turn

log = logging.getLogger("trimtab.derivation")

TURNS_WAITING_MAX = 2_000
RETRY_SECONDS = 1.0
GATHER_SECONDS = 0.25  # turns in which nothing changed may wait so long for each other
LET_PASS_SECONDS = (
    0.01  # what follows from a turn in the world goes first: both need the interpreter
)


@dataclass(slots=True)
class Derivation:
    """Apply turns to the derived stores, one after the other, retrying one that fails.

    Should more than TURNS_WAITING_MAX wait, it stops for good and says so (`trouble`): a gap in the middle would be
    a lie, and the next start catches up from the journal.
    """

    apply: Callable[[Turn], None]
    trouble: str = ""
    stopped: bool = False
    _said: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: asyncio.Queue[Turn] = field(default_factory=lambda: asyncio.Queue(TURNS_WAITING_MAX))
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="derive")
    )

    def feed(self, turn: Turn) -> bool:
        """Queue a turn; False when deriving has stopped."""
        if self.stopped:
            return False
        try:
            self._waiting.put_nowait(turn)
        except asyncio.QueueFull:
            self.stopped = True
            self.trouble = f"{TURNS_WAITING_MAX} turns wait; restart to catch up from the journal"
            log.error("the read model stopped: %s", self.trouble)
        if not all(isinstance(output, KpiBatch) for output in turn.outputs):
            self._said.set()
        return not self.stopped

    async def run(self) -> None:
        """Apply until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            turns = [await self._waiting.get()]
            await self._gather(turns)
            taken = len(turns)
            try:
                await self._until_applied(loop, turns)
            finally:
                for _ in range(taken):
                    self._waiting.task_done()

    async def _gather(self, turns: list[Turn]) -> None:
        """Take along what else waits; where nobody waits for news, one call for many turns costs less."""
        try:
            async with asyncio.timeout(GATHER_SECONDS):
                await self._said.wait()
        except TimeoutError:
            pass  # nothing was said meanwhile
        else:
            await asyncio.sleep(LET_PASS_SECONDS)
        self._said.clear()
        while not self._waiting.empty():
            turns.append(self._waiting.get_nowait())

    async def _until_applied(self, loop: asyncio.AbstractEventLoop, turns: list[Turn]) -> None:
        applied = await self._applied(loop, turns)
        while not applied:
            await asyncio.sleep(RETRY_SECONDS)
            applied = await self._applied(loop, turns)

    async def _applied(self, loop: asyncio.AbstractEventLoop, turns: list[Turn]) -> bool:
        try:
            await loop.run_in_executor(self._thread, self._apply_all, turns)
        except Exception as error:
            if not self.trouble:
                log.exception("turn %d could not be derived; it is tried again", turns[0].seq)
            self.trouble = str(error) or repr(error)
            return False
        if not self.stopped:
            self.trouble = ""
        return True

    def _apply_all(self, turns: list[Turn]) -> None:
        """Apply turns in order; those that were applied leave the list, so that none is applied twice."""
        while turns:
            self.apply(turns[0])
            del turns[0]

    async def drain(self, timeout_seconds: float) -> bool:
        """Wait until nothing is left to apply; False when that takes too long."""
        self._said.set()
        try:
            await asyncio.wait_for(self._waiting.join(), timeout_seconds)
        except TimeoutError:
            return False
        return not self.stopped

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=True)
