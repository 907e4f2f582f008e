"""The edge's sense of time: wall clock in, a time that never runs backwards out."""

import time
from dataclasses import dataclass, field

from trimtab.domain.time import NS_PER_SECOND

JUMP_NOTICED_NS = NS_PER_SECOND


class SystemClock:
    """Read this machine's clocks."""

    def now_ns(self) -> int:
        """Return wall-clock time, ns UTC; may jump."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return a time that never jumps."""
        return time.monotonic_ns()


@dataclass(slots=True)
class SteadyClock:
    """Follow the wall clock as long as it behaves, and never run backwards.

    Collectors stamp with it and the loop ticks by it, so that a jump of the wall clock can't put the two at
    odds. A jump forwards is followed, a jump backwards is not: time then goes on at its own pace, ahead of the
    wall, until the process starts again. Either is reported once by `take_jump_ns` and marks the windows that
    it touches as suspect. `floor_ns` is the newest time the journal knows.
    """

    source: SystemClock = field(default_factory=SystemClock)
    floor_ns: int = 0
    _base_wall_ns: int = field(init=False)
    _base_monotonic_ns: int = field(init=False)
    _seen_offset_ns: int = field(init=False, default=0)
    _jump_ns: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._base_wall_ns = max(self.source.now_ns(), self.floor_ns)
        self._base_monotonic_ns = self.source.monotonic_ns()
        self._seen_offset_ns = self.source.now_ns() - self._base_wall_ns

    def now_ns(self) -> int:
        """Return the loop's time, ns UTC; never decreases."""
        monotonic = self.source.monotonic_ns()
        steady = self._base_wall_ns + monotonic - self._base_monotonic_ns
        offset = self.source.now_ns() - steady
        jump = offset - self._seen_offset_ns
        if abs(jump) >= JUMP_NOTICED_NS:
            self._jump_ns += jump
            if offset > 0:
                self._base_wall_ns += offset
                steady += offset
                offset = 0
            self._seen_offset_ns = offset
        return steady

    def monotonic_ns(self) -> int:
        """Return a time that never jumps."""
        return self.source.monotonic_ns()

    def take_jump_ns(self) -> int:
        """Return by how much the wall clock has jumped since the last call, 0 when it has not."""
        jump, self._jump_ns = self._jump_ns, 0
        return jump
