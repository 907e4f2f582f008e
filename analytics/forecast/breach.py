"""Time to breach: when a KPI will go beyond its bound, if it goes on as it does, and how sure that is.

Three views must agree by two: the median of the slopes between samples (Theil-Sen), a damped trend (Holt), and the rise
from the first third of the stretch to the last. The interval is conformal: as wide as past forecasts of this very KPI
were wrong. A step is no ramp: where one jump fits better than a line, nothing is said of the time to come. Where the
season of a KPI is known (`analytics/forecast/season.py`), it foretells the peaks that no ramp announces yet, and a rise
that is usual at that hour and ends within the bound is no warning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.detectors.seasonal import Expectation
from analytics.detectors.slots import Field, SlotArrays, Slots
from analytics.forecast.season import Outlook, SeasonForecaster
from analytics.forecast.trend import (
    Bools,
    Floats,
    is_step,
    pair_slopes,
    residual_sigma,
    thirds_slope,
)

STRETCH = 24  # samples looked back upon
HORIZON = 24  # samples looked ahead at most
LEAD = 6  # samples ahead at which forecasts are held against what came
ERRORS = 20  # past forecasts remembered
COVERAGE = 0.8  # of the interval
LEVEL_GAIN, TREND_GAIN, DAMPING = 0.3, 0.1, 0.97
RISE_SIGMAS_MIN = 4.0  # a rise over the stretch that noise does not make
AGREEING_MIN = 2
RAISE_AFTER = 2  # forecasts in a row
CLEAR_AFTER = 3
NO_BREACH, AHEAD, UNKNOWABLE, TOO_EARLY, BEYOND, PEAK, USUAL = 0, 1, 2, 3, 4, 5, 6
FORESEEN = (AHEAD, PEAK)
REASONS = {
    NO_BREACH: "no breach within the horizon",
    AHEAD: "heading for the bound",
    UNKNOWABLE: "a step, not a ramp: what comes next can't be known",
    TOO_EARLY: "too few samples yet",
    BEYOND: "beyond the bound already",
    PEAK: "beyond the bound at this time of day or week, as it usually is",
    USUAL: "rises as it usually does at this time, and stays within the bound",
}
TREND, SEASON = "trend", SeasonForecaster.name
MODELS = {state: SEASON if state in (PEAK, USUAL) else TREND for state in REASONS}

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Forecasts:
    """One row a value that was taken: state int8 (a key of REASONS), and for those FORESEEN the samples to the breach
    with the ends of the interval (float64; NaN for others, and while a warning lasts that the newest values don't bear
    out)."""

    state: Codes
    samples: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class _Ramp:
    """Where stretches of values lead, one row each: within the horizon, by one jump, after how many samples."""

    likely: Bools
    step: Bools
    samples: Floats
    low: Floats
    high: Floats


class BreachForecaster:
    """Foresee breaches of many goals, one slot a (KPI, bound). Pure: state in arrays, time counted in samples.

    A missing value (NaN) changes nothing; a stretch is of values that were there. 696 bytes a slot with its season.
    """

    def __init__(self) -> None:
        self.state = SlotArrays(
            {
                "seen": Field("i8"),
                "ring": Field("f8", 0.0, STRETCH),
                "level": Field("f8"),
                "trend": Field("f8"),
                "expected": Field("f8", np.nan, LEAD),
                "errors": Field("f8", np.nan, ERRORS),
                "wrong": Field("i8"),  # errors so far
                "ahead": Field(
                    "i1"
                ),  # forecasts of a breach in a row; below 0: of none, since it was told
                "told": Field("i1"),  # what of FORESEEN is told; 0: nothing
            }
        )
        self.season = SeasonForecaster()

    def update(
        self,
        slots: Slots,
        values: Floats,
        bounds: Floats,
        signs: Floats,
        expected: Expectation | None = None,
    ) -> Forecasts:
        """Take one value for each slot (slots are distinct); a breach is `signs * (value - bound) > 0`.

        `expected` is what the season leads to expect of these values and of the HORIZON after each, where there is one.
        """
        self.state.reach(slots)
        there = np.isfinite(values)
        result = Forecasts(
            np.full(len(slots), TOO_EARLY, dtype=np.int8),
            *(np.full(len(slots), np.nan) for _ in range(3)),
        )
        chosen = slots[there]
        if len(chosen):
            self._take(chosen, values[there])
        ready = there & (self.state["seen"][slots] >= STRETCH)
        outlook = None
        if expected is not None:
            outlook = self.season.update(slots, values, bounds, signs, expected)
        if ready.any():
            self._foresee(ready.nonzero()[0], slots, values, bounds, signs, outlook, result)
        return result

    def forget(self, slots: Slots) -> None:
        """Make slots as if nothing had been seen through them."""
        self.state.forget(slots)
        self.season.forget(slots)

    def export(self, order: Sequence[int]) -> dict[str, Any]:
        """Return the state of some slots, in that order."""
        return {"trend": self.state.export(order), "season": self.season.state.export(order)}

    def load(self, state: Mapping[str, Any], numbers: Sequence[int | None]) -> None:
        """Put exported state back under new numbers; None drops a slot."""
        self.state.load(state["trend"], numbers)
        self.season.state.load(state["season"], numbers)

    def _take(self, slots: Slots, values: Floats) -> None:
        state = self.state
        seen = state["seen"][slots]
        state["ring"][slots, seen % STRETCH] = values
        expected = state["expected"][slots, seen % LEAD]
        known = np.isfinite(expected)
        if known.any():
            wrong = state["wrong"][slots[known]]
            state["errors"][slots[known], wrong % ERRORS] = np.abs(values[known] - expected[known])
            state["wrong"][slots[known]] = wrong + 1
        first = seen == 0
        before = np.where(first, values, state["level"][slots])
        trend = np.where(first, 0.0, state["trend"][slots])
        level = LEVEL_GAIN * values + (1 - LEVEL_GAIN) * (before + DAMPING * trend)
        state["trend"][slots] = TREND_GAIN * (level - before) + (1 - TREND_GAIN) * DAMPING * trend
        state["level"][slots] = level
        state["seen"][slots] = seen + 1

    def _foresee(
        self, rows: Slots, slots: Slots, values: Floats, bounds: Floats, signs: Floats,
        outlook: Outlook | None, result: Forecasts,
    ) -> None:  # fmt: skip
        chosen, sign, bound = slots[rows], signs[rows], bounds[rows]
        within = sign * (values[rows] - bound) <= 0
        ramp = self._ramp(chosen, bound, sign)
        likely, step = within & ramp.likely & ~ramp.step, within & ramp.likely & ramp.step
        none = np.zeros(len(rows), dtype=np.bool_)
        usual, peaks = (outlook.usual[rows], outlook.peaks[rows]) if outlook else (none, none)
        told = self._tell(chosen, likely & ~usual, peaks, within)
        quiet = np.where(step & ~usual, UNKNOWABLE, np.where(within, NO_BREACH, BEYOND))
        quiet = np.where(likely & usual, USUAL, quiet)
        result.state[rows] = np.where(told > 0, told, quiet)
        heading = (told == AHEAD) & np.isfinite(ramp.samples)
        for name in ("samples", "low", "high"):
            found = np.where(heading, getattr(ramp, name), np.nan)
            if outlook is not None:
                found = np.where(told == PEAK, getattr(outlook, name)[rows], found)
            getattr(result, name)[rows] = found

    def _ramp(self, slots: Slots, bound: Floats, sign: Floats) -> _Ramp:
        """Return where the newest stretches lead; learn what they lead to expect."""
        state = self.state
        stretch = self._stretch(slots)
        pairs = pair_slopes(stretch)
        slope = np.median(pairs, axis=1)
        level, sigma = residual_sigma(stretch, slope)
        seen = state["seen"][slots]
        state["expected"][slots, (seen - 1) % LEAD] = level + slope * LEAD
        damped = state["trend"][slots] * (1 - DAMPING**HORIZON) / (1 - DAMPING) / HORIZON
        slopes = sign[:, None] * np.column_stack((slope, damped, thirds_slope(stretch)))
        gap = sign * (bound - level)
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(slopes > 0, gap[:, None] / slopes, np.inf)
        times.sort(axis=1)
        samples = np.maximum(times[:, AGREEING_MIN - 1], 0.0)
        rising = sign * slope * (STRETCH - 1) > RISE_SIGMAS_MIN * np.maximum(sigma, 1e-12)
        error = self._error(slots, sigma)
        # What is told of rises; what does not is left out by who asks.
        steep = np.maximum(sign * slope, 1e-12 / STRETCH)
        low = np.maximum(np.minimum(samples, (gap - error) / steep), 0.0)
        high = np.maximum(samples, (gap + error) / steep)
        return _Ramp(rising & (samples <= HORIZON), is_step(stretch), samples, low, high)

    def _stretch(self, slots: Slots) -> Floats:
        """Return the last STRETCH values of slots, oldest first."""
        order = (self.state["seen"][slots][:, None] + np.arange(STRETCH)) % STRETCH
        found: Floats = np.take_along_axis(self.state["ring"][slots], order, axis=1)
        return found

    def _tell(self, slots: Slots, heading: Bools, peaks: Bools, within: Bools) -> Codes:
        """Return which breaches are foreseen: after RAISE_AFTER forecasts in a row, until CLEAR_AFTER without."""
        state, likely = self.state, heading | peaks
        run = state["ahead"][slots]
        run = np.where(likely, np.maximum(run, 0) + 1, np.minimum(run, 0) - 1)
        run = np.clip(run, -CLEAR_AFTER, RAISE_AFTER).astype(np.int8)
        told = state["told"][slots]
        may = (run >= RAISE_AFTER) | (told > 0)
        # A season that is kept to knows where a rise will end; a line does not.
        told = np.where(may & likely, np.where(peaks, PEAK, AHEAD), told)
        told = np.where((run > -CLEAR_AFTER) & within, told, 0).astype(np.int8)
        state["ahead"][slots] = np.where(within, run, 0)
        state["told"][slots] = told
        return told

    def _error(self, slots: Slots, sigma: Floats) -> Floats:
        """Return the conformal half width: the error that COVERAGE of the past forecasts did not exceed."""
        errors = np.sort(self.state["errors"][slots], axis=1)
        count = np.minimum(self.state["wrong"][slots], ERRORS)
        place = np.ceil(COVERAGE * (count + 1)).astype(np.int64) - 1
        found = errors[np.arange(len(slots)), np.minimum(place, ERRORS - 1)]
        width: Floats = np.where((count >= 5) & (place < count), found, 2.0 * sigma)
        return width
