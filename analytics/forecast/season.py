"""Peaks of a season: what the usual day or week of a KPI says of the windows to come, and how sure that is.

The width is conformal: of the last windows of this very KPI, COVERAGE were at most so far off what its season led to
expect, measured in how far it is usually off at that hour. A season speaks only while the KPI keeps to it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analytics.detectors.deviation import DEVIATIONS
from analytics.detectors.seasonal import Expectation
from analytics.detectors.slots import Bools, Field, Floats, SlotArrays, Slots

COVERAGE = 0.8  # of the interval
SCORES = 20  # windows remembered
# A KPI keeps to its season within so many deviations of the hour.
KEEPS_DEVIATIONS = 3.0
SCORE_MAX = 1e30


@dataclass(frozen=True, slots=True)
class Outlook:
    """One row a value: does the season reach the bound within the horizon, and when (samples; NaN where it does not)?

    `usual`: the KPI keeps to its season, which stays within the bound by more than its width.
    """

    peaks: Bools
    usual: Bools
    samples: Floats
    low: Floats
    high: Floats


class SeasonForecaster:
    """Hold seasons against what comes, one slot a (KPI, bound). Pure: state in arrays. 88 bytes a slot."""

    name: ClassVar[str] = "season"

    def __init__(self) -> None:
        self.state = SlotArrays({"seen": Field("i8"), "scores": Field("f4", 0.0, SCORES)})

    def update(
        self, slots: Slots, values: Floats, bounds: Floats, signs: Floats, expected: Expectation
    ) -> Outlook:
        """Take one value for each slot (slots are distinct), with what was expected of it and of those to come.

        `expected` is [rows, 1 + horizon]: its first column belongs to `values`. A breach is
        `signs * (value - bound) > 0`. What is not finite is neither judged nor learnt.
        """
        self.state.reach(slots)
        value, error = expected.value[:, 0], expected.error[:, 0]
        known = np.isfinite(values) & np.isfinite(value) & (error > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            score = np.minimum(np.abs(values - value) / error, SCORE_MAX)
            keeps = known & (score <= KEEPS_DEVIATIONS * DEVIATIONS)
        self._take(slots[known], score[known])
        width = self._width(slots)[:, None] * expected.error[:, 1:]
        beyond = signs[:, None] * (expected.value[:, 1:] - bounds[:, None])
        samples, early = _first(beyond > 0), _first(beyond + width > 0)
        within = keeps & (signs * (values - bounds) <= 0)
        peaks = within & np.isfinite(samples)
        late = np.minimum(_first(beyond - width > 0), beyond.shape[1])
        told = [np.where(peaks, found, np.nan) for found in (samples, early, late)]
        return Outlook(peaks, within & ~np.isfinite(early), *told)

    def forget(self, slots: Slots) -> None:
        """Make slots as if nothing had been seen through them."""
        self.state.forget(slots)

    def _take(self, slots: Slots, score: Floats) -> None:
        seen = self.state["seen"][slots]
        self.state["scores"][slots, seen % SCORES] = score
        self.state["seen"][slots] = seen + 1

    def _width(self, slots: Slots) -> Floats:
        """Return the conformal half width, in usual errors: what COVERAGE of the last windows did not exceed.

        It is at least one usual error, and a standard deviation until SCORES windows were seen.
        """
        place = int(np.ceil(COVERAGE * (SCORES + 1))) - 1
        found = np.sort(self.state["scores"][slots], axis=1)[:, place].astype(np.float64)
        whole = self.state["seen"][slots] >= SCORES
        width: Floats = np.maximum(np.where(whole, found, DEVIATIONS), 1.0)
        return width


def _first(reached: npt.NDArray[np.bool_]) -> Floats:
    """Return after how many samples a row is reached first; infinite where it never is."""
    found: Floats = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)
    return found
