"""How often the loop concludes between two ticks of its cadence: as often as that stays cheap."""

import asyncio
from dataclasses import dataclass, field

from trimtab.domain.time import seconds_from_ns

# Rows are journaled as they come; concluding from them before the cadence does may take this share of one core.
CONCLUDING_SHARE_MAX = 0.05


@dataclass(slots=True)
class Pace:
    """Remember what waits for a conclusion, and since when another is affordable.

    `pressing`: a person or an action under way waits. `unconcluded`: rows are durable that no tick has followed.
    """

    pressing: bool = False
    unconcluded: bool = False
    rested_ns: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def arrive(self) -> None:
        """Note that something came."""
        self._arrived.set()

    def turned(self, *, concluding: bool) -> None:
        """Note what kind of turn is taken."""
        self.unconcluded = not concluding
        if concluding:
            self.pressing = False

    def concluded(self, began_ns: int, spent_ns: int) -> None:
        """Note by the monotonic clock when a conclusion began, and what it cost."""
        self.rested_ns = began_ns + round(spent_ns / CONCLUDING_SHARE_MAX)

    def affordable(self, now_ns: int) -> bool:
        """Return whether to conclude now."""
        return self.pressing or now_ns >= self.rested_ns

    async def rest(self, now_ns: int) -> None:
        """Wait until a conclusion is affordable, or something comes."""
        self._arrived.clear()
        try:
            async with asyncio.timeout(seconds_from_ns(self.rested_ns - now_ns)):
                await self._arrived.wait()
        except TimeoutError:
            pass  # rested enough
