"""What Trimtab says about itself: `Telemetry` records, `METRICS` declares."""

from trimtab.telemetry.recorder import Telemetry
from trimtab.telemetry.table import BY_NAME, METRICS, Metric, MetricKind

__all__ = ["BY_NAME", "METRICS", "Metric", "MetricKind", "Telemetry"]
