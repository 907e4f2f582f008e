"""KPIs in MEF's words: the property names of CarrierEthernetSls (MEF 10.4) and of W147's measured values.

A figure is only called one-way when its KPI picks one direction (a `direction` matcher `forward` or `backward`);
a probe that must come back to count, as STAMP's loss does, measures two ways, and says so.
"""

from dataclasses import dataclass

from trimtab.domain.kpi import KpiDefinition, Statistic

ONE_WAY_DIRECTIONS = frozenset({"forward", "backward"})


@dataclass(frozen=True, slots=True)
class Metric:
    """A performance metric's names: `oneWay` + `long`, `measuredOneWay` + `short`."""

    long: str
    short: str
    percentile: bool = False
    ratio: bool = False  # in percent, as CarrierEthernetSls has its Percentage


_DELAYS = {
    Statistic.PERCENTILE: Metric("FrameDelay", "Fd", percentile=True),
    Statistic.MEAN: Metric("MeanFrameDelay", "Mfd"),
    Statistic.RANGE: Metric("FrameDelayRange", "Fdr", percentile=True),
    Statistic.VARIATION: Metric("InterFrameDelayVariation", "Ifdv", percentile=True),
}
_LOSS = Metric("FrameLossRatio", "Flr", ratio=True)
_LOSS_STATISTICS = frozenset({Statistic.MEAN, Statistic.RATIO, Statistic.MEAN_RATIO})
_AVAILABILITY = Metric("Availability", "Availability", ratio=True)


def metric_of(kpi: KpiDefinition) -> Metric | None:
    """Return the MEF metric that a KPI is, None when it is none of them."""
    if kpi.statistic is Statistic.AVAILABILITY:
        return _AVAILABILITY
    if kpi.unit == "seconds":
        return _DELAYS.get(kpi.statistic)
    if kpi.unit == "ratio" and kpi.statistic in _LOSS_STATISTICS and "loss" in kpi.name:
        return _LOSS
    return None


def direction_of(kpi: KpiDefinition) -> str:
    """Return `oneWay` when the KPI picks one direction, else `twoWay`."""
    picked = {m.value for m in kpi.where if m.label == "direction" and not m.regex}
    return "oneWay" if picked & ONE_WAY_DIRECTIONS else "twoWay"


def metric_name(kpi: KpiDefinition) -> str:
    """Return e.g. `oneWayFrameDelay`, or the KPI's own name when MEF has none for it."""
    metric = metric_of(kpi)
    return f"{direction_of(kpi)}{metric.long}" if metric else kpi.name
