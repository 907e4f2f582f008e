"""How far a turn between two ticks of the cadence goes: as far as that stays cheap."""

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum

from trimtab.domain.time import seconds_from_ns

# Rows are journaled as they come. Looking at what each tells by itself, and closing windows before the cadence does,
# may take these shares of one core.
GLANCING_SHARE_MAX = 0.2
CLOSING_SHARE_MAX = 0.01


class Depth(IntEnum):
    """What a turn does with what it journals: nothing yet, a glance at single samples, or windows close as well."""

    RECORD = 0
    GLANCE = 1
    CLOSE = 2


@dataclass(slots=True)
class Pace:
    """Remember what waits for a tick, and since when another is affordable.

    `pressing`: a person or an action under way waits. `unseen`: rows are durable that no tick has followed. Windows
    that are due wait for whatever turn may close them, at last the cadence's.
    """

    pressing: bool = False
    unseen: bool = False
    glance_ns: int = 0
    close_ns: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def owing(self) -> bool:
        """Return whether anything waits for a tick."""
        return self.pressing or self.unseen

    def arrive(self) -> None:
        """Note that something came."""
        self._arrived.set()

    def turned(self, depth: Depth) -> None:
        """Note what kind of turn is taken."""
        self.unseen = depth < Depth.GLANCE
        self.pressing &= self.unseen

    def spent(self, depth: Depth, began_ns: int, spent_ns: int) -> None:
        """Note by the monotonic clock when a turn began, and what it cost."""
        if depth is Depth.CLOSE:
            self.close_ns = began_ns + round(spent_ns / CLOSING_SHARE_MAX)
        elif depth is Depth.GLANCE:
            self.glance_ns = began_ns + round(spent_ns / GLANCING_SHARE_MAX)

    def depth(self, now_ns: int) -> Depth:
        """Return how deep a turn may go now."""
        if now_ns >= self.close_ns:
            return Depth.CLOSE
        return Depth.GLANCE if self.pressing or now_ns >= self.glance_ns else Depth.RECORD

    def due(self, now_ns: int) -> bool:
        """Return whether what waits can be served now."""
        return self.owing and self.depth(now_ns) > Depth.RECORD

    async def rest(self, now_ns: int) -> None:
        """Wait until what waits can be served, or something comes."""
        self._arrived.clear()
        until_ns = min(self.glance_ns, self.close_ns)
        try:
            async with asyncio.timeout(seconds_from_ns(until_ns - now_ns)):
                await self._arrived.wait()
        except TimeoutError:
            pass  # rested enough
