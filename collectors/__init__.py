"""Sources of telemetry: one file a source, one line here. The libraries they need are imported when they run."""

from collectors.influx import InfluxCollector
from collectors.otlp import OtlpCollector
from collectors.prometheus import PrometheusCollector
from collectors.remote_write import RemoteWriteCollector
from collectors.sol003 import Sol003Collector
from collectors.stamp import StampCollector

COLLECTORS: dict[str, type] = {
    InfluxCollector.kind: InfluxCollector,
    OtlpCollector.kind: OtlpCollector,
    PrometheusCollector.kind: PrometheusCollector,
    RemoteWriteCollector.kind: RemoteWriteCollector,
    Sol003Collector.kind: Sol003Collector,
    StampCollector.kind: StampCollector,
}
