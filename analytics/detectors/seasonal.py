"""Seasonality, where there is some: profiles by the hour of the day and of the week, believed once they help.

A profile foretells a value as the average of those at that time of day or week. It is believed when, after PERIODS_MIN
periods, its errors are at most HELPFUL of those of the plain average. What the best of the three leads to expect is
what is normal.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analytics.detectors.deviation import (
    ABSOLUTE_FLOOR,
    DEVIATIONS,
    DEVIATIONS_MAX,
    RELATIVE_FLOOR,
    SEEN_MAX,
    WARM_UP,
    bounded,
)
from analytics.detectors.slots import Field, Floats, SlotArrays, Slots, Times, rounds
from trimtab.ports import Training, Verdicts

NS_PER_HOUR = 3_600_000_000_000
NS_PER_DAY = 24 * NS_PER_HOUR
# 1970-01-01 was a Thursday; weeks begin on Monday, UTC.
EPOCH_NS = 3 * NS_PER_DAY
# How long a period is, and into how many parts it is cut: half hours of a day, hours of a week.
PERIODS = {"day": (NS_PER_DAY, 48), "week": (7 * NS_PER_DAY, 168)}
PERIODS_MIN = 3
HELPFUL = 0.7
# The newest value of an hour weighs so much in its profile; of the plain average, and of all errors, so much.
PROFILE_WEIGHT = 0.1
PLAIN_WEIGHT = 0.02
ERROR_WEIGHT = 0.002
# Profiles are single floats.
PROFILE_MAX = 1e30
# A value moves the plain average by at most so many deviations; an error counts as at most so many of the usual ones.
CLIP = 3.0
ERROR_CLIP = 20.0
DEVIATION_BAR = 10.0
EXPECTED_DEVIATIONS = 3.0

FIELDS = {
    "seen": Field("u1"),
    "first_ns": Field("i8"),
    "last_ns": Field("i8"),
    "plain": Field("f8"),
    "plain_error": Field("f8"),
    "day": Field("f4", float("nan"), PERIODS["day"][1]),
    "day_error": Field("f8"),
    "week": Field("f4", float("nan"), PERIODS["week"][1]),
    "week_error": Field("f8"),
}


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a model foretells, and how far it is usually off; NaN where it can't tell."""

    value: Floats
    error: Floats


class SeasonalDetector:
    """Implement `ports.Detector` with 913 bytes a slot: for the KPIs of services and VNFs, not for every series."""

    name: ClassVar[str] = "seasonal"
    bytes_per_slot: ClassVar[int] = 913

    def __init__(self) -> None:
        self._state = SlotArrays(FIELDS)

    def update(self, slots: Slots, times: Times, values: Floats) -> Verdicts:
        """Judge and learn values in order, as `ports.Detector.update` says."""
        self._state.reach(slots)
        values = np.minimum(np.maximum(bounded(values), -PROFILE_MAX), PROFILE_MAX)
        verdicts = Verdicts(
            np.zeros(len(slots)),
            np.zeros(len(slots), dtype=np.bool_),
            np.full(len(slots), np.nan),
            np.full(len(slots), np.nan),
        )
        for chosen in rounds(slots):
            self._round(slots[chosen], times[chosen], values[chosen], chosen, verdicts)
        return verdicts

    def _round(
        self, slots: Slots, times: Times, values: Floats, out: Slots, verdicts: Verdicts
    ) -> None:
        state = self._state
        seen = state["seen"][slots]
        state["first_ns"][slots] = np.where(seen == 0, times, state["first_ns"][slots])
        best = self._plain(slots, values, seen)
        plain_error = best.error
        for name, (period_ns, _) in PERIODS.items():
            told = self._profile(name, slots, times, values)
            lived = (times - state["first_ns"][slots]) >= PERIODS_MIN * period_ns
            better = lived & (told.error <= HELPFUL * plain_error) & (told.error < best.error)
            best = _Expected(
                np.where(better, told.value, best.value), np.where(better, told.error, best.error)
            )
        floor = np.maximum(RELATIVE_FLOOR * np.abs(best.value), ABSOLUTE_FLOOR)
        scale = np.maximum(best.error * DEVIATIONS, floor)
        warm = seen >= WARM_UP
        distance = np.minimum(np.abs(values - best.value) / scale, DEVIATIONS_MAX)
        verdicts.score[out] = np.where(warm, distance, 0.0)
        verdicts.alarmed[out] = warm & (distance >= DEVIATION_BAR)
        verdicts.low[out] = np.where(warm, best.value - EXPECTED_DEVIATIONS * scale, np.nan)
        verdicts.high[out] = np.where(warm, best.value + EXPECTED_DEVIATIONS * scale, np.nan)
        state["seen"][slots] = np.minimum(seen, SEEN_MAX - 1) + 1
        state["last_ns"][slots] = np.maximum(times, state["last_ns"][slots])

    def _plain(self, slots: Slots, values: Floats, seen: Slots) -> _Expected:
        """Return what the plain average foretells; learn the values."""
        state = self._state
        mean, error = state["plain"][slots], state["plain_error"][slots]
        weight = np.maximum(PLAIN_WEIGHT, 1.0 / (seen + 1.0))
        off = np.where(seen == 0, 0.0, values - mean)
        bound = CLIP * np.maximum(error * DEVIATIONS, RELATIVE_FLOOR * np.abs(mean))
        held = np.where(seen < WARM_UP, values - mean, np.minimum(np.maximum(off, -bound), bound))
        state["plain"][slots] = mean + weight * held
        size = np.minimum(np.abs(off), np.where(error > 0, ERROR_CLIP * error, np.inf))
        slow = np.maximum(ERROR_WEIGHT, 1.0 / (seen + 1.0))
        state["plain_error"][slots] = error + slow * (size - error)
        return _Expected(mean, error)

    def _profile(self, name: str, slots: Slots, times: Times, values: Floats) -> _Expected:
        """Return what a profile foretells for these times, its error infinite while it can't tell; learn the values."""
        period_ns, parts = PERIODS[name]
        profile, errors = self._state[name], self._state[f"{name}_error"]
        place = (times + EPOCH_NS) % period_ns // (period_ns // parts)
        value = profile[slots, place].astype(np.float64)
        known = np.isfinite(value)
        value = np.where(known, value, values)
        error = errors[slots]
        size = np.minimum(np.abs(values - value), np.where(error > 0, ERROR_CLIP * error, np.inf))
        learnt = np.where(error > 0, error + ERROR_WEIGHT * (size - error), size)
        errors[slots] = np.where(known, learnt, error)
        profile[slots, place] = value + PROFILE_WEIGHT * (values - value)
        return _Expected(value, np.where(known, error, np.inf))

    def forget(self, slots: Slots) -> None:
        """Empty slots for other KPIs to use."""
        self._state.forget(slots)

    def training(self, slot: int) -> Training:
        """Tell since when a slot learns; of more than 250 values, 250 are said."""
        if not 0 <= slot < self._state.size or not self._state["seen"][slot]:
            raise ValueError(f"slot {slot} was never used")
        return Training(
            self.name,
            int(self._state["first_ns"][slot]),
            int(self._state["last_ns"][slot]),
            int(self._state["seen"][slot]),
        )

    def snapshot(self) -> bytes:
        """Return the whole state; slots never used leave no trace."""
        return self._state.snapshot(self.name)

    def restore(self, blob: bytes) -> None:
        """Take a state over. Raises JournalCorrupt when its format is unknown."""
        self._state.restore(blob, self.name)
