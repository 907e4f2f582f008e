"""How well scores rank rows, and how well alarms find stretches of anomalous rows."""

from dataclasses import dataclass

import numpy as np

from bench.quality.recording import Floats, Mask, spans


def average_precision(scores: Floats, anomalous: Mask) -> float:
    """Return the mean of precision over recall, equal scores taken together; NaN without an anomalous row."""
    if not anomalous.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(anomalous[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    precision = hits[ends] / (ends + 1)
    recall = hits[ends] / hits[-1]
    return float(np.sum(np.diff(np.concatenate(([0.0], recall))) * precision))


@dataclass(frozen=True, slots=True)
class Tally:
    """Stretches found, stretches missed, and runs of alarms outside every stretch."""

    found: int = 0
    missed: int = 0
    false: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.found + other.found, self.missed + other.missed, self.false + other.false)

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall, 0 when there is nothing."""
        total = 2 * self.found + self.missed + self.false
        return 2 * self.found / total if total else 0.0


def tally(alarmed: Mask, anomalous: Mask) -> Tally:
    """Count: a stretch with an alarm in it is found, once; alarmed rows in a row outside are one false alarm."""
    stretches = list(spans(anomalous))
    found = sum(bool(alarmed[each.first : each.last + 1].any()) for each in stretches)
    false = sum(1 for _ in spans(alarmed & ~anomalous))
    return Tally(found, len(stretches) - found, false)
