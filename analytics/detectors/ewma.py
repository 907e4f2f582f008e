"""EWMA: how far a value lies from its own exponentially weighted mean, in robustly estimated deviations."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analytics.packing import pack, unpack
from trimtab.errors import JournalCorrupt

SNAPSHOT_FORMAT = 1
SLOTS_MAX = 1_000_000
# About the last forty values weigh in; half as many must have been seen before anything is called odd.
WEIGHT = 0.05
WARM_UP = 20
# A value so many deviations off changes mean and deviation no more than one that far off would.
CLIP = 3.0
# A flat series must not explode on the first step: deviations are at least this share of the mean.
RELATIVE_FLOOR = 0.01
ABSOLUTE_FLOOR = 1e-9
# The mean absolute deviation of a normal distribution is 0.8 of its standard deviation.
DEVIATIONS = 1.2533141373155003
SCORE_MAX = 1e6
# Beyond this, squares and differences of doubles could overflow.
VALUE_MAX = 1e150


class EwmaDetector:
    """Implement `ports.Detector` with three numbers a slot: values seen, mean, mean absolute deviation."""

    name: ClassVar[str] = "ewma"

    def __init__(self) -> None:
        self._seen = np.zeros(0, dtype=np.int64)
        self._mean = np.zeros(0)
        self._deviation = np.zeros(0)

    def update(
        self, slots: npt.NDArray[np.intp], values: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Take one finite value for each (distinct) slot; return |value - mean| in standard deviations.

        0 while a slot warms up. Raises ValueError when a slot is out of range.
        """
        if not len(slots):
            return np.zeros(0)
        self._reach(int(slots.min()), int(slots.max()))
        values = np.clip(values, -VALUE_MAX, VALUE_MAX)
        seen, mean, deviation = self._seen[slots], self._mean[slots], self._deviation[slots]
        off = values - mean
        floor = np.maximum(RELATIVE_FLOOR * np.abs(mean), ABSOLUTE_FLOOR)
        scale = np.maximum(deviation * DEVIATIONS, floor)
        distance = np.minimum(np.abs(off) / scale, SCORE_MAX)
        warm = seen >= WARM_UP
        held = np.where(warm, np.clip(off, -CLIP * scale, CLIP * scale), off)
        # While warming up a plain average learns faster than an exponential one.
        weight = np.maximum(WEIGHT, 1.0 / (seen + 1.0))
        self._mean[slots] = mean + weight * held
        spread = np.where(seen == 0, 0.0, np.abs(held))
        self._deviation[slots] = deviation + weight * (spread - deviation)
        self._seen[slots] = np.minimum(seen + 1, WARM_UP)
        return np.where(warm, distance, 0.0)

    def _reach(self, lowest: int, highest: int) -> None:
        if lowest < 0 or highest >= SLOTS_MAX:
            raise ValueError(f"slots lie in 0..{SLOTS_MAX - 1}, got {lowest}..{highest}")
        size = len(self._seen)
        if highest >= size:
            more = np.zeros(max(highest + 1, 2 * size) - size)
            self._seen = np.concatenate((self._seen, more.astype(np.int64)))
            self._mean = np.concatenate((self._mean, more))
            self._deviation = np.concatenate((self._deviation, more))

    def snapshot(self) -> bytes:
        """Return the whole state; slots never used leave no trace."""
        used = int(np.flatnonzero(self._seen)[-1]) + 1 if self._seen.any() else 0
        return pack(
            {
                "format": SNAPSHOT_FORMAT,
                "seen": self._seen[:used],
                "mean": self._mean[:used],
                "deviation": self._deviation[:used],
            }
        )

    def restore(self, blob: bytes) -> None:
        """Take a state over. Raises JournalCorrupt when its format is unknown."""
        state = unpack(blob)
        if state.get("format") != SNAPSHOT_FORMAT:
            raise JournalCorrupt(f"ewma snapshot format {state.get('format')} is unknown")
        self._seen, self._mean = state["seen"], state["mean"]
        self._deviation = state["deviation"]
