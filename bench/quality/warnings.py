"""Warnings: breaches foreseen by the shipped forecaster, and how many of those that could be foreseen were.

A bound without labels: the 99th percentile of a KPI's first half. A breach: the mean of three samples goes beyond it
in the second half, after at least HORIZON samples within. It could be foreseen (is rampable) when at least half of the
ten samples before it lay beyond the middle between where the KPI had been (the median of the 30 samples before those
ten) and the bound: what goes up there in one step could not. A warning is right when the breach comes within HORIZON
samples.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analytics.detectors.seasonal import SeasonalDetector
from analytics.forecast.breach import FORESEEN, HORIZON, BreachForecaster
from bench.quality.part import BreachWarning, Said, Scores
from bench.quality.recording import Floats, Recording

BOUND_PERCENTILE = 99.0
SMOOTHED = 3
LEAD_MIN = 5
APPROACH, ORIGIN = 10, 30
VALUES_MIN = 200
NS_PER_DAY = 86_400 * 10**9


def smoothed(values: Floats) -> Floats:
    """Return the mean of each value and those right before it; shorter at the beginning, NaN where one is missing."""
    sums = np.cumsum(np.concatenate(([0.0], np.nan_to_num(values))))
    count = np.minimum(np.arange(1, len(values) + 1), SMOOTHED)
    at = np.arange(1, len(values) + 1)
    found: Floats = (sums[at] - sums[at - count]) / count
    found[~np.isfinite(values)] = np.nan
    return found


def judged(recording: Recording) -> list[tuple[int, float]]:
    """Return (column, bound) of the KPIs that are judged: enough values, and some room to move in."""
    half = len(recording.times) // 2
    found = []
    for column in range(len(recording.series)):
        first = recording.values[:half, column]
        first = first[np.isfinite(first)]
        if len(first) < VALUES_MIN:
            continue
        bound = float(np.percentile(first, BOUND_PERCENTILE))
        if bound > float(np.median(first)):
            found.append((column, bound))
    return found


def say(recording: Recording, said: Said) -> Said:
    """Warn of breaches in the second half; the first half only sets the bounds, and what the forecaster has seen."""
    chosen = judged(recording)
    if not chosen:
        return said
    columns = np.array([column for column, _ in chosen])
    bounds = np.array([bound for _, bound in chosen])
    values = np.column_stack([smoothed(recording.values[:, column]) for column in columns])
    forecaster, slots, signs = BreachForecaster(), np.arange(len(columns)), np.ones(len(columns))
    half, interval = len(recording.times) // 2, recording.interval_ns
    seasons, ahead_ns = SeasonalDetector(), np.arange(1 + HORIZON) * interval
    warnings: list[BreachWarning] = []
    open_ = np.zeros(len(columns), dtype=np.bool_)
    for row in range(len(recording.times)):
        times = np.full(len(slots), recording.times[row] - 1)
        there = np.isfinite(values[row])
        seasons.update(slots[there], times[there], values[row][there])
        known = bool(seasons.believed(slots).any())
        expected = seasons.foretell(slots, times[:, None] + ahead_ns) if known else None
        found = forecaster.update(slots, values[row], bounds, signs, expected)
        ahead = np.isin(found.state, FORESEEN)
        if row >= half:
            now = int(recording.times[row])
            for at in (ahead & ~open_).nonzero()[0].tolist():
                spans = (found.samples[at], found.low[at], found.high[at])
                breach, low, high = (now + int(max(span, 1.0) * interval) for span in spans)
                warnings.append(
                    BreachWarning(now, recording.series[columns[at]], breach, low, high)
                )
        open_ = ahead
    return replace(said, warnings=tuple(warnings))


def breaches(values: Floats, bound: float, half: int) -> list[tuple[int, bool]]:
    """Return (row, rampable) of the breaches in the second half of a smoothed KPI."""
    beyond = values > bound
    found = []
    for row in (beyond[1:] & ~beyond[:-1]).nonzero()[0] + 1:
        if row < half or beyond[max(0, row - HORIZON) : row].any():
            continue
        before = values[row - APPROACH : row]
        origin = np.nanmedian(values[row - APPROACH - ORIGIN : row - APPROACH])
        gradual = np.count_nonzero(before > (origin + bound) / 2) * 2 >= APPROACH
        found.append((int(row), bool(gradual)))
    return found


def score(pairs: Sequence[tuple[Recording, Said]]) -> Scores:
    """Return by data set: recall of rampable breaches at LEAD_MIN samples or more, false warnings a KPI and day, and
    the share of right warnings whose interval held."""
    tallies: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for recording, said in pairs:
        _tally(recording, said, tallies[recording.dataset])
        _tally(recording, said, tallies["all"])
    found: Scores = defaultdict(dict)
    for dataset, tally in tallies.items():
        if tally["rampable"]:
            found["warned_rampable_ratio"][dataset] = tally["warned"] / tally["rampable"]
        if tally["days"]:
            found["false_warnings_per_kpi_day"][dataset] = tally["false"] / tally["days"]
        if tally["right"]:
            found["warning_interval_coverage"][dataset] = tally["covered"] / tally["right"]
        found["rampable_breaches"][dataset] = tally["rampable"]
    return dict(found)


def _tally(recording: Recording, said: Said, tally: dict[str, float]) -> None:
    half = len(recording.times) // 2
    by_series: dict[str, list[BreachWarning]] = defaultdict(list)
    for warning in said.warnings:
        by_series[str(warning.series)].append(warning)
    for column, bound in judged(recording):
        values = smoothed(recording.values[:, column])
        rows = breaches(values, bound, half)
        told = by_series[str(recording.series[column])]
        told_rows = [int(np.searchsorted(recording.times, item.time_ns)) for item in told]
        tally["days"] += float(recording.times[-1] - recording.times[half]) / NS_PER_DAY
        tally["rampable"] += sum(rampable for _, rampable in rows)
        tally["warned"] += sum(
            rampable and any(LEAD_MIN <= row - at <= HORIZON for at in told_rows)
            for row, rampable in rows
        )
        beyond = (values > bound).nonzero()[0]
        for at, warning in zip(told_rows, told, strict=True):
            next_ = beyond[np.searchsorted(beyond, at) :][:1]
            if not len(next_) or next_[0] - at > HORIZON:
                tally["false"] += 1
                continue
            tally["right"] += 1
            when = int(recording.times[next_[0]])
            tally["covered"] += warning.low_ns <= when <= warning.high_ns
