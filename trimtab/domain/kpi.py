"""KPIs: named measures of a managed object over a granularity period (TS 28.554)."""

from dataclasses import dataclass
from enum import StrEnum

from trimtab.domain.context import Context
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.time import NS_PER_SECOND


class Statistic(StrEnum):
    """Say how the samples of a window become one value.

    PERCENTILE, MEAN, RANGE, MIN, MAX, LAST, SUM and COUNT take the samples of all matching series of
    the object together. PERCENTILE is the inverse empirical CDF, without interpolation, and RANGE is
    percentile minus minimum (standards: MEF 10.4 section 8.8 as digested). VARIATION is the percentile of
    |d_k - d_{k+m}| within each series (inter-frame delay variation). RATE and INCREASE read counters,
    with resets, summed over series. RATIO is the increase of `series` over the increase of
    `divisor_series`; MEAN_RATIO the sum of `series` over the sum of `divisor_series` (gauges).
    AVAILABILITY is the share of available slots by (slot, C, n) over a loss series, decided n-1 slots later.
    """

    PERCENTILE = "percentile"
    MEAN = "mean"
    RANGE = "range"
    VARIATION = "variation"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    SUM = "sum"
    COUNT = "count"
    RATE = "rate"
    INCREASE = "increase"
    RATIO = "ratio"
    MEAN_RATIO = "mean_ratio"
    AVAILABILITY = "availability"


@dataclass(frozen=True, slots=True)
class LabelMatcher:
    """Select series by a label: equal to `value`, or (regex) fully matched by it; `__name__` is the name."""

    label: str
    value: str
    regex: bool = False


@dataclass(frozen=True, slots=True)
class KpiDefinition:
    """Define a KPI: whose, of which series, which statistic, how often, over which window.

    `window_ns` is a multiple of `granularity_ns`; a value is computed each granularity over the rolling
    window that ends with it. `percentile` is in (0, 100]. Units are SI: `seconds`, `ratio`, `packets_per_second`.
    """

    name: str
    object_kind: ObjectKind
    series: str
    statistic: Statistic
    unit: str
    granularity_ns: int = NS_PER_SECOND
    window_ns: int = 5 * NS_PER_SECOND
    percentile: float | None = None
    divisor_series: str | None = None
    where: tuple[LabelMatcher, ...] = ()
    separation: int = 1  # VARIATION: m, in samples of one series
    slot_ns: int = NS_PER_SECOND  # AVAILABILITY: delta t
    loss_threshold_ratio: float = 0.1  # AVAILABILITY: C
    consecutive_slots: int = 10  # AVAILABILITY: n
    samples_min: int = 1  # fewer in the window: no value
    over: ObjectKind | None = None  # whose series are read: those of the parts of this kind


@dataclass(frozen=True, slots=True)
class Kpi:
    """Give one KPI of one object for the window that ends at `end_ns`.

    `value` None says that nothing was measured: absent, which is neither zero nor fine. `suspect` marks
    a window touched by a clock jump or by samples measured under doubt.
    """

    context: Context
    object_id: str
    name: str
    end_ns: int
    window_ns: int
    value: float | None
    samples: int
    unit: str
    suspect: bool = False
