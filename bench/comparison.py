"""One figure, always beside a peer or limit that was measured in the same run on the same machine."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against a peer, both in `unit` where more is better; `spread` is (worst, best) of our rounds."""

    name: str
    unit: str
    ours: float
    peer_name: str
    peer: float
    spread: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Return how many times the peer's rate ours is."""
        return self.ours / self.peer


def compare(
    name: str,
    unit: str,
    amount: float,
    ours: Callable[[], object],
    peer_name: str,
    peer: Callable[[], object],
) -> Comparison:
    """Time both in turns, ROUNDS times after one round to warm up; medians of `amount` a second.

    Taking turns spreads what else the machine does over both.
    """
    mine: list[float] = []
    theirs: list[float] = []
    for round_number in range(ROUNDS + 1):
        seconds_ours, seconds_peer = _seconds(ours), _seconds(peer)
        if round_number:
            mine.append(amount / seconds_ours)
            theirs.append(amount / seconds_peer)
    return Comparison(
        name,
        unit,
        statistics.median(mine),
        peer_name,
        statistics.median(theirs),
        (min(mine), max(mine)),
    )


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
