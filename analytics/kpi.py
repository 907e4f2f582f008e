"""Statistics of a window, as pure functions over columns.

Rows of many windows are judged in one go: values lie grouped, group `i` being
`values[starts[i] : starts[i] + counts[i]]`. Definitions follow MEF 10.4 section 8.8 as digested for this project;
they are checked against vectors, not against the standard's own text.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# ceil() of a product such as 0.95 * 20 must not be lifted by the last bit of a float.
CEIL_GUARD = 1e-12


def grouped_percentile(values: Floats, starts: Ints, counts: Ints, percentile: Floats) -> Floats:
    """Return each group's percentile (0 < P <= 100): the least value with at least P % of the group at or below it.

    The inverse empirical CDF, never interpolated. Groups must be sorted ascending and not be empty.
    """
    rank = np.ceil(percentile / 100.0 * counts - CEIL_GUARD).astype(np.int64)
    found: Floats = values[starts + np.clip(rank, 1, counts) - 1]
    return found


def grouped_range(values: Floats, starts: Ints, counts: Ints, percentile: Floats) -> Floats:
    """Return each sorted group's percentile less its minimum (frame delay range)."""
    spread: Floats = grouped_percentile(values, starts, counts, percentile) - values[starts]
    return spread


def percentile(values: Floats, percent: float) -> float | None:
    """Return the percentile of samples in any order, None when there are none."""
    if len(values) == 0:
        return None
    one = np.zeros(1, dtype=np.int64)
    size = np.array([len(values)], dtype=np.int64)
    return float(grouped_percentile(np.sort(values), one, size, np.array([percent]))[0])


def delay_range(values: Floats, percent: float) -> float | None:
    """Return percentile less minimum of samples in any order, None when there are none."""
    high = percentile(values, percent)
    return None if high is None else high - float(values.min())


def variation_pairs(values: Floats, series: Ints, separation: Ints) -> tuple[Floats, Bools]:
    """Return |d_k - d_{k+m}| for each row k, and whether that pair exists.

    Rows are sorted by (series, time); `separation` is m for each row; a pair never spans two series.
    """
    partner = np.arange(len(values)) + separation
    exists = partner < len(values)
    partner = np.where(exists, partner, 0)
    exists &= series[partner] == series
    differences: Floats = np.abs(values - values[partner])
    return differences, exists


def loss_ratio(sent: float, lost: float) -> float | None:
    """Return lost / sent from summed counts, None when nothing was sent."""
    return lost / sent if sent > 0 else None


def increases(
    feed: Ints, time_ns: Ints, value: Floats, before_ns: Ints, before: Floats, gap_max_ns: int
) -> tuple[Floats, Ints]:
    """Return by how much counters grew up to each row, and over how many ns.

    Rows are sorted by (feed, time); `before_ns` and `before` give each feed's last earlier row, with
    `before_ns` negative when it had none. A fall is a reset: the counter began anew at zero. A row whose predecessor
    is missing, or further away than `gap_max_ns`, tells nothing: both are 0.
    """
    rows = len(feed)
    first = np.ones(rows, dtype=np.bool_)
    first[1:] = feed[1:] != feed[:-1]
    earlier_ns = np.empty(rows, dtype=np.int64)
    earlier = np.empty(rows, dtype=np.float64)
    earlier_ns[1:], earlier[1:] = time_ns[:-1], value[:-1]
    earlier_ns[first], earlier[first] = before_ns[feed[first]], before[feed[first]]
    span = time_ns - earlier_ns
    known = (earlier_ns >= 0) & (span > 0) & (span <= gap_max_ns)
    grown = np.where(value >= earlier, value - earlier, value)
    return np.where(known, grown, 0.0), np.where(known, span, 0)
