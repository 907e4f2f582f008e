"""The detector that every KPI has: robust z and gap novelty, fused, without repeats, within an alarm budget.

Novelty finds what never was; z finds what is far from what has been lately. A value is worth an alarm when one of them
is above its bar and is the highest for a while. Each alarm raises the bar for z, and time lowers it again, so that on a
restless KPI the bar settles where ALARMS_PER_DAY pass: it is a streaming quantile of that KPI's own z. Novelty is
spared that, up to ALARMS_AT_ONCE, for what was seen once is never novel again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from analytics.detectors import deviation, gap
from analytics.detectors.deviation import deviate
from analytics.detectors.slots import Bools, Field, Floats, SlotArrays, Slots, Times, rounds
from trimtab.compiled import compiled_allowed
from trimtab.ports import Training, Verdicts

# The share of the range seen that a gap must have, and the deviations that a value must be off.
NOVELTY_BAR = 0.01
DEVIATION_BAR = 10.0
# Only the highest of the last so many values is worth an alarm.
NOVELTY_ROWS = 80
DEVIATION_ROWS = 20
ALARMS_PER_DAY = 1.0
ALARMS_AT_ONCE = 10.0
NS_PER_DAY = 86_400_000_000_000
# The weight of the newest value in the average that novelty looks at, too.
AVERAGE_WEIGHT = 1.0 / 3.0
# A value so small a share of the first one is where the logarithmic view turns linear.
LINEAR_SHARE = 0.1
# z orders what novelty leaves equal; at its largest it weighs as much as the bar.
DEVIATION_WEIGHT = 1e-5
# The expected range is so many deviations wide on both sides.
EXPECTED_DEVIATIONS = 3.0
AGE_MAX = 254
VIEWS = ("plain", "scaled", "averaged")
# Below so many values, compiled code costs more to call than it saves.
COMPILED_FROM = 512

FIELDS = {
    **deviation.FIELDS,
    "average": Field("f8"),
    "scale": Field("f8"),
    **{name: field for view in VIEWS for name, field in gap.fields(view).items()},
    "novelty_peak": Field("f8"),
    "novelty_age": Field("u1"),
    "deviation_peak": Field("f8"),
    "deviation_age": Field("u1"),
    "novelty_alarms": Field("f4"),
    "deviation_alarms": Field("f4"),
    "first_ns": Field("i8"),
    "last_ns": Field("i8"),
}


@dataclass(frozen=True, slots=True)
class KpiAnomalySettings:
    """What may be set: alarms a day and KPI let through on average; from how many values on code is compiled."""

    alarms_per_day: float = ALARMS_PER_DAY
    compiled_from: int = COMPILED_FROM


class KpiAnomalyDetector:
    """Implement `ports.Detector` with 249 bytes a slot. The score is novelty, and by a trifle z."""

    name: ClassVar[str] = "kpi_anomaly"
    bytes_per_slot: ClassVar[int] = 249

    def __init__(self, settings: KpiAnomalySettings | None = None) -> None:
        self.settings = settings or KpiAnomalySettings()
        self._state = SlotArrays(FIELDS)
        self._suppressed = 0

    @property
    def suppressed(self) -> int:
        """Return how many values were above a bar, yet not told of because of the budget."""
        return self._suppressed

    def update(self, slots: Slots, times: Times, values: Floats) -> Verdicts:
        """Judge and learn values in order, as `ports.Detector.update` says."""
        self._state.reach(slots)
        values = deviation.bounded(values)
        if len(slots) >= self.settings.compiled_from and compiled_allowed():
            return self._compiled(slots, times, values)
        verdicts = Verdicts(
            np.zeros(len(slots)),
            np.zeros(len(slots), dtype=np.bool_),
            np.full(len(slots), np.nan),
            np.full(len(slots), np.nan),
        )
        for chosen in rounds(slots):
            self._round(slots[chosen], times[chosen], values[chosen], chosen, verdicts)
        return verdicts

    def _compiled(self, slots: Slots, times: Times, values: Floats) -> Verdicts:
        """Do the same by compiled code, value by value; bit for bit equal."""
        from analytics.detectors import kpi_anomaly_compiled as compiled

        arrays = self._state.arrays
        # The logarithm is numpy's in both ways: compiled code would round some differently.
        scaled = self._scaled_in_order(slots, values)
        own = {name: arrays[name] for name in compiled.OWN}
        views = [tuple(arrays[f"{view}_{name}"] for name in compiled.OF_A_VIEW) for view in VIEWS]
        verdicts = Verdicts(
            np.empty(len(slots)),
            np.empty(len(slots), dtype=np.bool_),
            np.empty(len(slots)),
            np.empty(len(slots)),
        )
        self._suppressed += compiled.judge(
            slots, times, values, scaled, self.settings.alarms_per_day,
            tuple(own.values()), views[0], views[1], views[2],
            verdicts.score, verdicts.alarmed, verdicts.low, verdicts.high,
        )  # fmt: skip
        return verdicts

    def _scaled_in_order(self, slots: Slots, values: Floats) -> Floats:
        """Return the scaled view of values in order; a slot's scale comes from its first value that is not 0."""
        scale = self._state["scale"]
        unset = np.flatnonzero((scale[slots] == 0) & (values != 0))
        # Assigned backwards, the first value of a slot wins.
        scale[slots[unset][::-1]] = LINEAR_SHARE * np.abs(values[unset][::-1])
        known = scale[slots]
        usable = known > 0
        # A value before the first that is not 0 is 0: its logarithm is 0 by any scale.
        return np.arcsinh(np.where(usable, values, 0.0) / np.where(usable, known, 1.0))

    def _round(
        self, slots: Slots, times: Times, values: Floats, out: Slots, verdicts: Verdicts
    ) -> None:
        """Judge one value of each of distinct slots; write to the places `out` of the verdicts."""
        state = self._state
        seen = state["seen"][slots]
        state["first_ns"][slots] = np.where(seen == 0, times, state["first_ns"][slots])
        distance, mean, scale = deviate(state, slots, values)
        weight = np.maximum(AVERAGE_WEIGHT, 1.0 / (seen + 1.0))
        average = state["average"][slots]
        average = average + weight * (values - average)
        state["average"][slots] = average
        share = (
            gap.novelty(state, "plain", slots, values)
            + gap.novelty(state, "scaled", slots, self._scaled(slots, values))
            + gap.novelty(state, "averaged", slots, average)
        ) / len(VIEWS)
        size = np.abs(distance)
        warm = seen >= deviation.WARM_UP
        newest = _highest(state, "novelty", slots, share, NOVELTY_ROWS)
        farthest = _highest(state, "deviation", slots, size, DEVIATION_ROWS)
        # All is new to a slot that has seen little.
        alarmed = self._within_budget(slots, times, np.where(warm, newest, 0.0), farthest)
        verdicts.score[out] = share + DEVIATION_WEIGHT * size
        verdicts.alarmed[out] = alarmed
        verdicts.low[out] = np.where(warm, mean - EXPECTED_DEVIATIONS * scale, np.nan)
        verdicts.high[out] = np.where(warm, mean + EXPECTED_DEVIATIONS * scale, np.nan)

    def _scaled(self, slots: Slots, values: Floats) -> Floats:
        """Return the values' logarithm with their sign, linear near zero; 0 before the first value that is not."""
        scale = self._state["scale"][slots]
        scale = np.where(scale == 0, LINEAR_SHARE * np.abs(values), scale)
        self._state["scale"][slots] = scale
        known = scale > 0
        return np.arcsinh(np.where(known, values, 0.0) / np.where(known, scale, 1.0))

    def _within_budget(
        self, slots: Slots, times: Times, newest: Floats, farthest: Floats
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        state = self._state
        last = state["last_ns"][slots]
        passed = np.where(last == 0, 0.0, np.maximum(times - last, 0) / NS_PER_DAY)
        state["last_ns"][slots] = np.maximum(times, last)
        earned = self.settings.alarms_per_day * passed
        novel_spent = np.maximum(state["novelty_alarms"][slots] - earned, 0.0)
        far_spent = np.maximum(state["deviation_alarms"][slots] - earned, 0.0)
        novel, far = newest >= NOVELTY_BAR, farthest >= DEVIATION_BAR
        told_novel = novel & (novel_spent < ALARMS_AT_ONCE)
        # So steep that four alarms in a row put the bar beyond the largest deviation there is.
        raised = 1.0 + far_spent
        told_far = farthest >= DEVIATION_BAR * (raised * raised * raised)
        alarmed = told_novel | told_far
        state["novelty_alarms"][slots] = novel_spent + told_novel
        state["deviation_alarms"][slots] = far_spent + told_far
        self._suppressed += int(np.count_nonzero((novel | far) & ~alarmed))
        return alarmed

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

    def used(self, slots: Slots) -> Bools:
        """Return which slots have taken a value."""
        return self._state.used(slots)

    def export(self, order: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        """Return the state of some slots, in that order."""
        return self._state.export(order)

    def load(
        self,
        rows: Mapping[str, npt.NDArray[Any]],
        numbers: Sequence[int | None],
        suppressed: int,
    ) -> None:
        """Put exported state back under new numbers; None drops a slot."""
        self._state.load(rows, numbers)
        self._suppressed = suppressed

    def snapshot(self) -> bytes:
        """Return the whole state; slots never used leave no trace."""
        return self._state.snapshot(self.name)

    def restore(self, blob: bytes) -> None:
        """Take a state over. Raises JournalCorrupt when its format is unknown."""
        self._state.restore(blob, self.name)


def _highest(state: SlotArrays, kind: str, slots: Slots, values: Floats, rows: int) -> Floats:
    """Return a value that is above all of the last `rows`, 0 for any other; a peak is forgotten `rows` after it."""
    age = np.minimum(state[f"{kind}_age"][slots], AGE_MAX - 1) + 1
    peak = np.where(age > rows, 0.0, state[f"{kind}_peak"][slots])
    higher = values > peak
    state[f"{kind}_peak"][slots] = np.where(higher, values, peak)
    state[f"{kind}_age"][slots] = np.where(higher, 0, age)
    return np.where(higher, values, 0.0)


def deviations(values: Floats, verdicts: Verdicts) -> Floats:
    """Return by how many deviations each value was off the middle of what was expected, 0 where nothing was."""
    middle = 0.5 * (verdicts.low + verdicts.high)
    scale = (verdicts.high - verdicts.low) / (2 * EXPECTED_DEVIATIONS)
    size = np.minimum(np.abs(values - middle) / scale, deviation.DEVIATIONS_MAX)
    return np.where(np.isnan(size), 0.0, size)
