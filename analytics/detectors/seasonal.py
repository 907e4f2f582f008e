"""Seasonality, where there is some: profiles by the hour of the day and of the week, believed once they help.

A profile foretells a value as the average of those at that time of the days or weeks before: what is seen of an hour is
learnt once the hour is over, so that a profile never follows what it judges. It is believed when, after PERIODS_MIN
periods, its errors are at most HELPFUL of those of the plain average. What the best of the three leads to expect is
what is normal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

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
# The newest visit of an hour weighs so much in its profile; the newest value in the plain average, and in errors, so.
VISIT_WEIGHT = 0.4
PLAIN_WEIGHT = 0.02
ERROR_WEIGHT = 0.002
# So many values of a visit are averaged; what comes after them weighs as the last of them did.
VISIT_VALUES_MAX = 1_000_000
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
    **{
        name: field
        for period in PERIODS
        for name, field in (
            (f"{period}_spread", Field("f4", float("nan"), PERIODS[period][1])),
            (f"{period}_place", Field("i2", -1)),
            (f"{period}_mean", Field("f8")),
            (f"{period}_off", Field("f8")),
            (f"{period}_count", Field("u4")),
        )
    },
    "believed": Field("u1"),
}
# What was believed of the newest value: the plain average, or one of the profiles.
PLAIN = 0
BELIEVED = ("", *PERIODS)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What believed profiles foretell, [rows, N], and how far they are usually off at that time; NaN for nothing."""

    value: Floats
    error: Floats


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a model foretells, how far it is usually off, and how far at that hour; an infinite error says nothing."""

    value: Floats
    error: Floats
    spread: Floats


class SeasonalDetector:
    """Implement `ports.Detector` with 1822 bytes a slot: for the KPIs of services and VNFs, not for every series."""

    name: ClassVar[str] = "seasonal"
    bytes_per_slot: ClassVar[int] = 1822

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
        plain_error, believed = best.error, np.zeros(len(slots), dtype=np.uint8)
        for number, (name, (period_ns, _)) in enumerate(PERIODS.items(), start=1):
            told = self._profile(name, slots, times, values)
            lived = (times - state["first_ns"][slots]) >= PERIODS_MIN * period_ns
            better = lived & (told.error <= HELPFUL * plain_error) & (told.error < best.error)
            believed[better] = number
            best = _Expected(
                np.where(better, told.value, best.value),
                np.where(better, told.error, best.error),
                np.where(better, told.spread, best.spread),
            )
        scale = np.maximum(np.maximum(best.error, best.spread) * DEVIATIONS, _floor(best.value))
        warm = seen >= WARM_UP
        distance = np.minimum(np.abs(values - best.value) / scale, DEVIATIONS_MAX)
        verdicts.score[out] = np.where(warm, distance, 0.0)
        verdicts.alarmed[out] = warm & (distance >= DEVIATION_BAR)
        verdicts.low[out] = np.where(warm, best.value - EXPECTED_DEVIATIONS * scale, np.nan)
        verdicts.high[out] = np.where(warm, best.value + EXPECTED_DEVIATIONS * scale, np.nan)
        state["seen"][slots] = np.minimum(seen, SEEN_MAX - 1) + 1
        state["last_ns"][slots] = np.maximum(times, state["last_ns"][slots])
        state["believed"][slots] = believed

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
        return _Expected(mean, error, np.zeros(len(slots)))

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
        spread = self._state[f"{name}_spread"][slots, place].astype(np.float64)
        self._visit(name, slots, place, values, np.where(known, np.abs(values - value), np.nan))
        return _Expected(value, np.where(known, error, np.inf), np.nan_to_num(spread, nan=0.0))

    def _visit(self, name: str, slots: Slots, place: Slots, values: Floats, off: Floats) -> None:
        """Average the values of this visit, and how far they were off the profile; fold in an hour that is over."""
        state = self._state
        before = state[f"{name}_place"][slots].astype(np.int64)
        count = state[f"{name}_count"][slots].astype(np.int64)
        over = (before >= 0) & (before != place)
        count = np.where(before == place, np.minimum(count, VISIT_VALUES_MAX - 1), 0) + 1
        for part, profile, seen in (("mean", name, values), ("off", f"{name}_spread", off)):
            average = state[f"{name}_{part}"][slots]
            self._fold(state[profile], slots[over], before[over], average[over])
            average = np.where(count == 1, 0.0, average)
            state[f"{name}_{part}"][slots] = average + (seen - average) / count
        state[f"{name}_place"][slots] = place
        state[f"{name}_count"][slots] = count

    @staticmethod
    def _fold(profile: Floats, slots: Slots, hour: Slots, average: Floats) -> None:
        known = profile[slots, hour].astype(np.float64)
        known = np.where(np.isfinite(known), known, average)
        profile[slots, hour] = known + VISIT_WEIGHT * (average - known)

    def believed(self, slots: Slots) -> Slots:
        """Return by which profile the newest value of each slot was judged: a place in BELIEVED."""
        self._state.reach(slots)
        found: Slots = self._state["believed"][slots].astype(np.intp)
        return found

    def foretell(self, slots: Slots, times: Times) -> Expectation:
        """Return what the profiles that judged the newest values expect at `times`, [rows, N].

        Between the middles of two hours it goes in a straight line from one to the other.
        """
        found = Expectation(np.full(times.shape, np.nan), np.full(times.shape, np.nan))
        believed = self.believed(slots)
        for number, (name, (period_ns, parts)) in enumerate(PERIODS.items(), start=1):
            rows = (believed == number).nonzero()[0]
            if not rows.size:
                continue
            part_ns, passed = period_ns // parts, (times[rows] + EPOCH_NS) % period_ns
            place = passed // part_ns
            before, share = np.divmod((passed - part_ns // 2) / part_ns, 1.0)
            at = slots[rows][:, None]
            profile, spread = self._state[name], self._state[f"{name}_spread"]
            first = before.astype(np.int64) % parts
            value = (1 - share) * profile[at, first] + share * profile[at, (first + 1) % parts]
            found.value[rows] = np.where(np.isfinite(value), value, profile[at, place])
            usual = self._state[f"{name}_error"][slots[rows]][:, None]
            error = np.maximum(usual, np.nan_to_num(spread[at, place], nan=0.0))
            found.error[rows] = np.maximum(error, _floor(found.value[rows]) / DEVIATIONS)
        return found

    def export(self, order: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        """Return the state of some slots, in that order."""
        return self._state.export(order)

    def load(self, rows: Mapping[str, npt.NDArray[Any]], numbers: Sequence[int | None]) -> None:
        """Put exported state back under new numbers; None drops a slot."""
        self._state.load(rows, numbers)

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


def _floor(value: Floats) -> Floats:
    """Return the least deviation there is about a value, however steady it is."""
    floor: Floats = np.maximum(RELATIVE_FLOOR * np.abs(value), ABSOLUTE_FLOOR)
    return floor
