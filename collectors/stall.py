"""Whether our own event loop was late: only a punctual observer may say that a target was not."""

import asyncio
from collections import deque

BEAT_SECONDS = 0.05
STALL_LIMIT_SECONDS = 0.25
STALLS_KEPT = 256


class LoopWatch:
    """Beat on the event loop, and remember every beat that came later than `STALL_LIMIT_SECONDS`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stalls: deque[tuple[float, float]] = deque(maxlen=STALLS_KEPT)
        self._due = self._loop.time() + BEAT_SECONDS
        self._handle = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        now = self._loop.time()
        if now - self._due > STALL_LIMIT_SECONDS:
            self._stalls.append((now, now - self._due))
        self._due = now + BEAT_SECONDS
        self._handle = self._loop.call_at(self._due, self._beat)

    def worst_since(self, start: float) -> float:
        """Return the longest stall, in seconds, that touched the time from `start` (loop time) to now; 0 if none."""
        late = self._loop.time() - self._due
        worst = late if late > STALL_LIMIT_SECONDS else 0.0
        return max([worst, *(length for end, length in self._stalls if end >= start)])

    def close(self) -> None:
        """Stop beating."""
        self._handle.cancel()
