"""KPIs that every configuration has without defining them: the service level metrics that STAMP probes give.

Formulae: MEF 10.4 section 8.8 and MEF 61.1 section 10.9 as digested in domain/kpi.py. A KPI of the same name in
trimtab.yaml takes the place of one here.
"""

from trimtab.config.model import KpiPart
from trimtab.domain.kpi import Statistic
from trimtab.domain.managed_object import ObjectKind

DELAY, LOST = "probe_delay_seconds", "probe_lost"


def _of_service(
    name: str, series: str, statistic: Statistic, unit: str, percentile: float | None
) -> KpiPart:
    return KpiPart(
        name=name, of=ObjectKind.SERVICE, series=series, statistic=statistic, unit=unit,
        percentile=percentile,
    )  # fmt: skip


LIBRARY: tuple[KpiPart, ...] = (
    _of_service("frame_delay_p95", DELAY, Statistic.PERCENTILE, "seconds", 95.0),
    _of_service("frame_delay_p99", DELAY, Statistic.PERCENTILE, "seconds", 99.0),
    _of_service("frame_delay_mean", DELAY, Statistic.MEAN, "seconds", None),
    _of_service("frame_delay_range", DELAY, Statistic.RANGE, "seconds", 95.0),
    _of_service("frame_delay_variation", DELAY, Statistic.VARIATION, "seconds", 95.0),
    _of_service("frame_loss_ratio", LOST, Statistic.MEAN, "ratio", None),
    _of_service("availability_ratio", LOST, Statistic.AVAILABILITY, "ratio", None),
)
