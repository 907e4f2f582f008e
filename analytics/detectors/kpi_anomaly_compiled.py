"""The KPI detector in compiled code: value by value what kpi_anomaly.py, deviation.py and gap.py do in whole arrays.

Imported when a batch is large enough; numba takes a second to load. A test holds both bit for bit equal.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from analytics.detectors.deviation import (
    ABSOLUTE_FLOOR,
    CLIP,
    DEVIATIONS,
    DEVIATIONS_MAX,
    RELATIVE_FLOOR,
    SEEN_MAX,
    WARM_UP,
    WEIGHT,
)
from analytics.detectors.gap import BINS, EXPONENT_MIN, MANTISSA_BITS, UNSET
from analytics.detectors.kpi_anomaly import (
    AGE_MAX,
    ALARMS_AT_ONCE,
    AVERAGE_WEIGHT,
    DEVIATION_BAR,
    DEVIATION_ROWS,
    DEVIATION_WEIGHT,
    EXPECTED_DEVIATIONS,
    NOVELTY_BAR,
    NOVELTY_ROWS,
    NS_PER_DAY,
    KpiAnomalyDetector,
    KpiAnomalySettings,
)

# The columns that the kernel takes, in its order.
OWN = (
    "seen", "mean", "deviation", "average", "novelty_peak", "novelty_age", "deviation_peak",
    "deviation_age", "novelty_alarms", "deviation_alarms", "first_ns", "last_ns",
)  # fmt: skip
OF_A_VIEW = ("low", "high", "base", "exponent", "bins")
_HALF = BINS // 2


def warm() -> None:
    """Compile, or load from the cache, so that no batch has to wait for it."""
    detector = KpiAnomalyDetector(KpiAnomalySettings(compiled_from=1))
    detector.update(np.zeros(1, dtype=np.intp), np.ones(1, dtype=np.int64), np.ones(1))


@njit(cache=True, nogil=True)
def _power(exponent: Any) -> Any:
    """Return two to the power of an exponent."""
    power: Any = np.int64(exponent)
    return math.ldexp(1.0, power)


@njit(cache=True, nogil=True)
def _widen(slot: Any, low: Any, high: Any, base: Any, exponent: Any, bins: Any, first: Any) -> None:
    lowest, highest, old = low[slot], high[slot], np.int64(exponent[slot])
    _, span = math.frexp((highest - lowest) * (2.0 / BINS))
    _, magnitude = math.frexp(max(abs(lowest), abs(highest)))
    new = max(np.int64(span), np.int64(magnitude) - MANTISSA_BITS, EXPONENT_MIN)
    new = max(new, EXPONENT_MIN if old == UNSET else old + 1)
    width = _power(new)
    middle = math.floor((0.5 * lowest + 0.5 * highest) / width)
    new_base = (middle - _HALF) * width
    fresh = np.zeros(BINS // 8, dtype=np.uint8)
    if old == UNSET:
        moved = np.int64(min(max(math.floor((first - new_base) / width), 0.0), BINS - 1.0))
        fresh[moved >> 3] |= np.uint8(1 << (moved & 7))
    else:
        old_width = _power(old)
        for place in range(BINS):
            if bins[slot, place >> 3] & np.uint8(1 << (place & 7)):
                centre = base[slot] + (place + 0.5) * old_width
                moved = np.int64(min(max(math.floor((centre - new_base) / width), 0.0), BINS - 1.0))
                fresh[moved >> 3] |= np.uint8(1 << (moved & 7))
    for byte in range(BINS // 8):
        bins[slot, byte] = fresh[byte]
    exponent[slot] = new
    base[slot] = new_base


@njit(cache=True, nogil=True)
def _nearest(slot: Any, place: Any, bins: Any) -> Any:
    for apart in range(1, BINS):
        left, right = place - apart, place + apart
        if left >= 0 and bins[slot, left >> 3] & np.uint8(1 << (left & 7)):
            return apart
        if right < BINS and bins[slot, right >> 3] & np.uint8(1 << (right & 7)):
            return apart
    return BINS


@njit(cache=True, nogil=True)
def _novelty(slot: Any, value: Any, view: Any) -> Any:
    low, high, base, exponent, bins = view
    before_low, before_high = low[slot], high[slot]
    if np.isnan(before_low):
        low[slot], high[slot] = value, value
        return 0.0
    new_low, new_high = min(before_low, value), max(before_high, value)
    low[slot], high[slot] = new_low, new_high
    if not new_high > new_low:
        return 0.0
    place = -1.0
    if exponent[slot] != UNSET:
        place = (value - base[slot]) / _power(exponent[slot])
    if place < 0 or place >= BINS:
        _widen(slot, low, high, base, exponent, bins, before_low)
    width = _power(exponent[slot])
    where = np.int64(min(math.floor((value - base[slot]) / width), BINS - 1.0))
    byte, bit = where >> 3, np.uint8(1 << (where & 7))
    taken = (bins[slot, byte] & bit) != 0
    reach = new_high - new_low
    beyond = max(before_low - value, value - before_high)
    if beyond > 0:
        gap = beyond / reach
    elif taken:
        gap = 0.0
    else:
        gap = (max(_nearest(slot, where, bins), 1) - 1) * width / reach
    if not taken:
        bins[slot, byte] |= bit
    return gap


@njit(cache=True, nogil=True)
def _highest(slot: Any, value: Any, peaks: Any, ages: Any, rows: Any) -> Any:
    known: Any = np.int64(ages[slot])
    age = min(known, AGE_MAX - 1) + 1
    peak = 0.0 if age > rows else peaks[slot]
    if value > peak:
        peaks[slot], ages[slot] = value, 0
        return value
    peaks[slot], ages[slot] = peak, age
    return 0.0


@njit(cache=True, nogil=True)
def _within_budget(
    slot: Any, time: Any, newest: Any, farthest: Any, alarms_per_day: Any,
    lasts: Any, novelty_alarms: Any, deviation_alarms: Any,
) -> Any:  # fmt: skip
    """Return whether to tell of a value, and 1 when only the budget kept it back."""
    last = lasts[slot]
    passed = 0.0 if last == 0 else max(time - last, 0) / NS_PER_DAY
    lasts[slot] = max(time, last)
    earned = alarms_per_day * passed
    novel_spent = max(np.float64(novelty_alarms[slot]) - earned, 0.0)
    far_spent = max(np.float64(deviation_alarms[slot]) - earned, 0.0)
    novel, far = newest >= NOVELTY_BAR, farthest >= DEVIATION_BAR
    told_novel = novel and novel_spent < ALARMS_AT_ONCE
    raised = 1.0 + far_spent
    told_far = farthest >= DEVIATION_BAR * (raised * raised * raised)
    novelty_alarms[slot] = novel_spent + (1.0 if told_novel else 0.0)
    deviation_alarms[slot] = far_spent + (1.0 if told_far else 0.0)
    told = told_novel or told_far
    return told, 1 if (novel or far) and not told else 0


@njit(cache=True, nogil=True)
def judge(
    slots: Any, times: Any, values: Any, scaled: Any, alarms_per_day: Any,
    own: Any, plain: Any, by_logarithm: Any, averaged: Any,
    score: Any, alarmed: Any, low: Any, high: Any,
) -> int:  # fmt: skip
    """Judge and learn values in order; fill the verdicts, return how many the budget kept back."""
    (seens, means, deviations, averages, novelty_peaks, novelty_ages, deviation_peaks,
     deviation_ages, novelty_alarms, deviation_alarms, firsts, lasts) = own  # fmt: skip
    suppressed = 0
    for row in range(len(slots)):
        slot, time, value = slots[row], times[row], values[row]
        seen: Any = np.int64(seens[slot])
        if seen == 0:
            firsts[slot] = time
        mean, deviation = means[slot], deviations[slot]
        off = value - mean
        scale = max(deviation * DEVIATIONS, RELATIVE_FLOOR * abs(mean), ABSOLUTE_FLOOR)
        warm = seen >= WARM_UP
        distance, held = 0.0, off
        if warm:
            distance = min(max(off / scale, -DEVIATIONS_MAX), DEVIATIONS_MAX)
            bound = CLIP * scale
            held = min(max(off, -bound), bound)
        learning = 1.0 / (seen + 1.0)
        weight = max(WEIGHT, learning)
        spread = 0.0 if seen == 0 else abs(held)
        means[slot] = mean + weight * held
        deviations[slot] = deviation + weight * (spread - deviation)
        seens[slot] = min(seen, SEEN_MAX - 1) + 1
        quick = max(AVERAGE_WEIGHT, learning)
        average = averages[slot]
        average = average + quick * (value - average)
        averages[slot] = average
        share = (
            _novelty(slot, value, plain)
            + _novelty(slot, scaled[row], by_logarithm)
            + _novelty(slot, average, averaged)
        ) / 3
        size = abs(distance)
        newest = _highest(slot, share, novelty_peaks, novelty_ages, NOVELTY_ROWS)
        farthest = _highest(slot, size, deviation_peaks, deviation_ages, DEVIATION_ROWS)
        newest = newest if warm else 0.0
        told, kept_back = _within_budget(
            slot, time, newest, farthest, alarms_per_day, lasts, novelty_alarms, deviation_alarms
        )
        suppressed += kept_back
        score[row] = share + DEVIATION_WEIGHT * size
        alarmed[row] = told
        low[row] = mean - EXPECTED_DEVIATIONS * scale if warm else np.nan
        high[row] = mean + EXPECTED_DEVIATIONS * scale if warm else np.nan
    return suppressed
