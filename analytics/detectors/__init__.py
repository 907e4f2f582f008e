"""Detectors: each scores the values of KPIs, one slot a KPI of an object.

The registry is what the contract suite runs.
"""

from collections.abc import Callable

from analytics.detectors.kpi_anomaly import KpiAnomalyDetector
from analytics.detectors.seasonal import SeasonalDetector
from trimtab.ports import Detector

DETECTORS: dict[str, Callable[[], Detector]] = {
    KpiAnomalyDetector.name: KpiAnomalyDetector,
    SeasonalDetector.name: SeasonalDetector,
}
