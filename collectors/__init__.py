"""Sources of telemetry: one file a source, one line here. The libraries they need are imported when they run."""

from collectors.prometheus import PrometheusCollector
from collectors.stamp import StampCollector

COLLECTORS: dict[str, type] = {
    PrometheusCollector.kind: PrometheusCollector,
    StampCollector.kind: StampCollector,
}
