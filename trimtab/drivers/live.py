"""The live driver: real collectors, real actuators, the wall clock; all three machines in one process."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from trimtab.domain.action import Action, ActionResult
from trimtab.domain.command import Command, CommandResult
from trimtab.domain.identity import content_id
from trimtab.domain.input import ClockJump, Input, Notice, Output, Tick
from trimtab.domain.time import rfc3339, seconds_from_ns
from trimtab.drivers.clock import SteadyClock
from trimtab.drivers.crashpoint import AFTER_SNAPSHOT, CrashPoint
from trimtab.drivers.derivation import Derivation
from trimtab.drivers.execution import ActionLedger, Executor
from trimtab.drivers.intake import Intake, Offer, settle
from trimtab.drivers.loop import Loop
from trimtab.drivers.pace import Depth, Pace
from trimtab.drivers.roll import Roll
from trimtab.drivers.training import Trainer
from trimtab.drivers.turn import Turn, journal_outputs, report_failure, take_turn
from trimtab.errors import JournalUnwritable
from trimtab.ports import Actuator, Collector, Reading
from trimtab.series import SeriesTable
from trimtab.store.journal import Journal
from trimtab.telemetry import Telemetry

T = TypeVar("T")
log = logging.getLogger("trimtab.live")

COMMAND_TIMEOUT_SECONDS = 15.0
STOP_TIMEOUT_SECONDS = 10.0
RESTART_SECONDS_MAX = 60.0  # between two starts of a collector that keeps failing
JUMPS_OWED_MAX = 64
NOTICES_WAITING_MAX = 1_000


@dataclass(slots=True)
class LiveDriver:
    """Turn the loop: queue what comes in, and at each tick journal, step, journal, act.

    The turn runs in a thread of its own so that a sync never holds up a probe or a request; `derive` (read model,
    history, sinks) runs in another, in order, so that it never holds up an action.
    """

    loop: Loop
    journal: Journal
    index: SeriesTable
    clock: SteadyClock
    collectors: Sequence[Collector]
    actuators: Mapping[str, Actuator]
    telemetry: Telemetry
    derivation: Derivation
    snapshot: "Callable[[LiveDriver], None]"
    crash: CrashPoint
    cadence_seconds: float = 1.0
    snapshot_every_turns: int = 600  # of those that the cadence asks for
    ledger: ActionLedger = field(default_factory=ActionLedger)
    trainer: Trainer | None = None
    writable: bool = True
    started: bool = False
    defect: str = ""  # why what the machines know is in doubt; for as long as this process runs
    turns: int = 0
    last_turn_seq: int = -1
    last_now: int = 0
    executor: Executor = field(init=False)
    _intake: Intake = field(default_factory=Intake)
    _first: list[Input] = field(default_factory=list)
    _roll: Roll = field(init=False)
    _owed_jumps: list[ClockJump] = field(default_factory=list)
    _notices: list[Notice] = field(default_factory=list)
    _owed_turn: Turn | None = None
    _undispatched: list[Action] = field(default_factory=list)
    _commands: dict[str, asyncio.Future[CommandResult]] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _soon: asyncio.Task[None] | None = None
    _pace: Pace = field(default_factory=Pace)
    _cadences: int = 0
    _snapshot_due: int = 0
    _deriving: asyncio.Task[None] = field(init=False)
    _stopping: bool = False
    _stopped: bool = False
    _scheduler: AsyncIOScheduler | None = None
    _turning: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="turn")
    )

    def __post_init__(self) -> None:
        self._roll = Roll(self.index)
        self.executor = Executor(self.actuators, self._commit, self.clock, crash_point=self.crash)

    async def start(self, first: Sequence[Input], owed: Sequence[Output]) -> None:
        """Take the configuration in, finish what the last run left open, then start to collect and to tick."""
        self._deriving = asyncio.create_task(self.derivation.run(), name="derive")
        if owed:
            await self._pay(Turn(self.journal.last_seq, self.clock.now_ns(), (), tuple(owed)))
        self._first = list(first)
        await self.tick()
        if self._first:
            log.warning("the journal can't be written: the loop starts blind and waits for space")
        await self.executor.recover(self.ledger)
        for collector in self.collectors:
            task = asyncio.create_task(self._collect(collector), name=f"collect {collector.name}")
            self._tasks.append(task)
        self._scheduler = AsyncIOScheduler()
        self._scheduler.add_listener(self._overrun, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self._scheduler.add_job(
            self._on_cadence, "interval", seconds=self.cadence_seconds, coalesce=True, max_instances=1,
            misfire_grace_time=max(1, round(self.cadence_seconds)),
        )  # fmt: skip
        if self.trainer is not None:
            self.trainer.schedule(self._scheduler, self.clock.now_ns, self._intake.offer)
        self._scheduler.start()
        self.started = True

    async def stop(self) -> None:
        """Stop collecting, take a last turn and a snapshot, and let go of everything."""
        self._stopping = True
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, stuck = await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_SECONDS)
            if stuck:
                log.warning("left behind: %s", ", ".join(task.get_name() for task in stuck))
        await self.executor.close()
        async with self._lock:
            offers = self._intake.drain()
            if offers:
                await self._turn(offers)
            self._stopped = True
            settle(self._intake.drain(), False)
            derived = await self.derivation.drain(STOP_TIMEOUT_SECONDS)
            if derived and self.writable and self.turns:
                await self._in_turn_thread(self._save)
        self._deriving.cancel()
        await asyncio.gather(self._deriving, return_exceptions=True)
        self.derivation.close()
        self._turning.shutdown(wait=True)

    async def put(self, reading: Reading) -> bool:
        """Take a collector's reading; True once it is durable (ports.ReadingSink)."""
        inputs: list[Input] = []
        if reading.inventory is not None:
            inputs.append(reading.inventory)
        if reading.batch is not None and len(reading.batch):
            inputs.append(reading.batch)
        self.telemetry.reading(reading, self.clock.now_ns())
        for news in reading.news:
            self.executor.news(news)
        if self._stopped:
            return False
        if not inputs:
            return self.writable
        durable = self._intake.offer(inputs)
        self._turn_soon()
        return await durable

    async def command(self, command: Command) -> CommandResult:
        """Have a person's command journaled and carried out. Raises TimeoutError when it can't be in time."""
        answer = self._commands.setdefault(command.id, asyncio.get_running_loop().create_future())
        durable = self._intake.offer([command])
        self._pace.pressing = True
        self._turn_soon()
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_SECONDS):
                if not await durable:
                    return CommandResult(
                        command.id, False, "the journal can't be written now", command.at_ns
                    )
                return await asyncio.shield(answer)
        finally:
            self._commands.pop(command.id, None)

    async def tick(self) -> None:
        """Take one turn; called on cadence. Whoever is cancelled while waiting does not cut the turn short."""
        turn = asyncio.create_task(self._locked_turn(Depth.CLOSE), name="turn")
        await asyncio.shield(turn)

    async def _on_cadence(self) -> None:
        self._cadences += 1
        try:
            await self.tick()
        except asyncio.CancelledError:
            if not self._stopping:
                raise

    async def _locked_turn(self, depth: Depth) -> None:
        async with self._lock:
            if self._stopped:
                return
            offers = self._intake.drain()
            try:
                await self._turn(offers, depth)
            finally:
                # Whom no turn has answered by now: a defect must not keep them waiting.
                settle(offers, False)

    def _turn_soon(self) -> None:
        """Take a turn now instead of at the next tick; what comes while one is under way shares the next.

        Rows wait for nothing but a sync. What they tell is looked at at once, too, as long as that stays cheap; else
        they only accumulate until it is, or until the cadence's tick.
        """
        self._pace.arrive()
        if self._stopping or (self._soon is not None and not self._soon.done()):
            return
        self._soon = asyncio.create_task(self._turn_while_waited_for(), name="turn soon")
        self._soon.add_done_callback(report_failure)

    async def _turn_while_waited_for(self) -> None:
        while (self._intake.offers or self._pace.owing) and not self._stopping:
            now_ns = self.clock.monotonic_ns()
            if self._intake.offers or self._pace.due(now_ns):
                turn = self._locked_turn(self._pace.depth(now_ns))
                await asyncio.shield(asyncio.create_task(turn, name="turn"))
            else:
                await self._pace.rest(now_ns)

    async def _commit(self, result: ActionResult) -> bool:
        durable = self._intake.offer([result])
        self._pace.pressing = True
        self._turn_soon()
        return await durable

    async def _turn(self, offers: list[Offer], depth: Depth = Depth.CLOSE) -> None:
        if self._owed_turn is not None and not await self._pay(self._owed_turn):
            self._pace.turned(Depth.CLOSE)  # the cadence tries again
            settle(offers, False)
            return
        now = self.clock.now_ns()
        owed = self._roll.call(offers, now)
        self._note_jump(now)
        inputs: list[Input] = [*self._first, *owed, *self._owed_jumps]
        for offer in offers:
            inputs.extend(offer.inputs)
        if depth > Depth.RECORD:
            inputs.append(Tick(now, depth is Depth.CLOSE))
        if not inputs:
            return  # a tick that was before this turn took along what it was for
        self._pace.turned(depth)
        turn = await self._durably(inputs, now, depth)
        if turn is not None:
            self._first, self._owed_jumps = [], []
            self._roll.journaled(inputs)
            turn = replace(turn, outputs=(*turn.outputs, *self._notices))
            self._notices = []
            settle(offers, True)
        else:
            turn = await self._results_only(offers, now)
        if turn is not None:
            await self._pay(turn)

    def _note_jump(self, now: int) -> None:
        """Remember a jump of the clock until it is journaled: without it, the windows that it touches look sound."""
        jump = self.clock.take_jump_ns()
        if not jump:
            return
        self.telemetry.clock_jumped()
        log.warning("the clock jumped by %.1f s", seconds_from_ns(jump))
        # Time has followed a jump forwards already.
        jumped = ClockJump(now - max(jump, 0), jump)
        self._owed_jumps = [*self._owed_jumps[1 - JUMPS_OWED_MAX :], jumped]

    async def _results_only(self, offers: list[Offer], now: int) -> Turn | None:
        """Save what actions under way report into the reserve; turn everything else away."""
        urgent = [offer for offer in offers if offer.urgent]
        settle([offer for offer in offers if not offer.urgent], False)
        if not urgent:
            return None
        results: list[Input] = [value for offer in urgent for value in offer.inputs]
        turn = await self._durably(results, now, Depth.RECORD, reserve=True)
        settle(urgent, turn is not None)
        return turn

    async def _durably(
        self, inputs: list[Input], now: int, depth: Depth, *, reserve: bool = False
    ) -> Turn | None:
        def work() -> tuple[Turn, int]:
            begin = time.thread_time_ns()
            turn = take_turn(
                self.journal, self.loop, inputs, now, reserve=reserve, crash=self.crash
            )
            return turn, time.thread_time_ns() - begin

        began_ns = self.clock.monotonic_ns()
        try:
            turn, spent_ns = await self._in_turn_thread(work)
        except JournalUnwritable as error:
            self._unwritable(error)
            return None
        except Exception as error:
            # What was journaled may be stepped in half, and what followed from it is lost: say so until a restart.
            self.defect = self.defect or f"a turn failed at {rfc3339(now)}: {error!r}"
            raise
        self._pace.spent(depth, began_ns, spent_ns)
        if not reserve and not self.writable:
            log.warning("the journal can be written again; the loop resumes")
            self.writable = True
            self.telemetry.journal_unwritable(False)
        self.turns += 1
        self.last_turn_seq, self.last_now = turn.seq, turn.now
        return turn

    async def _pay(self, turn: Turn) -> bool:
        """Make a turn's outputs durable; only then let them out."""
        self._owed_turn = turn
        try:
            if turn.authoritative():
                await self._in_turn_thread(
                    lambda: journal_outputs(self.journal, turn, crash=self.crash)
                )
        except JournalUnwritable as error:
            self._unwritable(error)
            return False
        self._owed_turn = None
        for value in turn.inputs:
            self.ledger.apply(value)
        for output in turn.outputs:
            self.ledger.apply(output)
            if isinstance(output, CommandResult) and output.command_id in self._commands:
                answer = self._commands[output.command_id]
                if not answer.done():
                    answer.set_result(output)
        waiting = [*self._undispatched, *turn.intended()]
        self._undispatched = [item for item in waiting if not self.executor.dispatch(item)]
        self.telemetry.observe(turn.outputs)
        if self.trainer is not None:
            self.trainer.observe(turn.outputs)
        if not self.derivation.feed(turn):
            self.telemetry.queue_dropped("derivation")
        # What the last run owed is no turn of this one: there is no state of its own to name by it.
        if self.turns and self._cadences >= self._snapshot_due + self.snapshot_every_turns:
            self._snapshot_due = self._cadences
            await self._in_turn_thread(self._save)
        return True

    def _save(self) -> None:
        """Take a snapshot; one that fails costs a longer replay at the next start, and nothing now."""
        try:
            self.journal.sync()
            self.snapshot(self)
        except Exception:
            log.exception("no snapshot was taken")
        self.crash(AFTER_SNAPSHOT)

    def _unwritable(self, error: JournalUnwritable) -> None:
        if self.writable:
            log.error("the journal can't be written: %s; no action is taken until it can", error)
        self.writable = False
        self.telemetry.journal_unwritable(True)

    async def _collect(self, collector: Collector) -> None:
        """Run a collector; one that fails is started again, and the NOC is told."""
        wait = self.cadence_seconds
        while True:
            started = self.clock.monotonic_ns()
            try:
                await collector.run(self)
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.exception("collector %s failed", collector.name)
                now = self.clock.now_ns()
                text = f"collector {collector.name} failed and starts again: {error!r}"
                self._notify(Notice(content_id("notice", collector.name, now), now,
                                    collector.name, text))  # fmt: skip
                lived = seconds_from_ns(self.clock.monotonic_ns() - started)
                wait = self.cadence_seconds if lived > RESTART_SECONDS_MAX else wait
                await asyncio.sleep(wait)
                wait = min(wait * 2, RESTART_SECONDS_MAX)

    def _notify(self, notice: Notice) -> None:
        """Tell the NOC with the next turn's outputs."""
        if len(self._notices) < NOTICES_WAITING_MAX:
            self._notices.append(notice)

    def _overrun(self, event: JobExecutionEvent) -> None:
        self.telemetry.tick_missed("misfire" if event.code == EVENT_JOB_MISSED else "overlap")

    async def _in_turn_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._turning, work)
