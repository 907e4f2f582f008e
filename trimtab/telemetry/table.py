"""Every metric of Trimtab's own, declared once: the dashboards, the documentation and the tests read METRICS.

Names are `trimtab_<subsystem>_<thing>_<unit>[_total]`, in base units. A panel that names a metric which is not here
fails the tests.
"""

from dataclasses import dataclass
from enum import StrEnum

FAST_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
SLOW_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class MetricKind(StrEnum):
    """The Prometheus types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """Declare a metric: `name` as it is exposed, `unit` in SI or the thing that is counted."""

    name: str
    kind: MetricKind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _counter(name: str, unit: str, text: str, labels: str = "") -> Metric:
    return Metric(name, MetricKind.COUNTER, unit, text, tuple(labels.split()))


def _gauge(name: str, unit: str, text: str, labels: str = "") -> Metric:
    return Metric(name, MetricKind.GAUGE, unit, text, tuple(labels.split()))


def _timing(name: str, text: str, labels: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, "seconds", text, tuple(labels.split()), buckets)


_STATUS = "1 fulfilled, 0 not fulfilled, -1 indeterminate"

# fmt: off
METRICS: tuple[Metric, ...] = (
    _gauge("trimtab_build_info", "info", "Always 1; the version is a label.", "version"),
    # Monitoring
    _counter("trimtab_ingest_samples_total", "samples", "Samples journaled.", "source"),
    _counter("trimtab_ingest_samples_refused_total", "samples", "Samples turned away.", "source reason"),
    _counter("trimtab_ingest_samples_unused_total", "samples",
             "Samples that led to nothing: late, from the future, of no object, over a limit.", "reason"),
    _counter("trimtab_ingest_series_refused_total", "requests",
             "Times a series was turned away, by the cap (all, source, tenant) and whose it is.", "cap of"),
    _counter("trimtab_ingest_gaps_total", "gaps", "Times a source gave nothing when due.", "source reason"),
    _gauge("trimtab_ingest_last_reading_timestamp_seconds", "seconds", "Last reading's arrival.", "source"),
    # The loop
    _counter("trimtab_loop_steps_total", "steps", "Steps of a machine.", "machine"),
    _timing("trimtab_loop_step_duration_seconds", "Duration of a step.", "machine", FAST_BUCKETS),
    _counter("trimtab_loop_changes_held_back_total", "changes",
             "Changes of resources that nobody could hear, told a round of windows later as too many came at once."),
    _gauge("trimtab_loop_last_step_timestamp_seconds", "seconds", "When the loop last turned."),
    _gauge("trimtab_loop_state", "state", "1 for each state that the loop is in.", "state"),
    _counter("trimtab_loop_ticks_missed_total", "ticks", "Ticks that came late or overlapped.", "reason"),
    _counter("trimtab_loop_clock_jumps_total", "jumps", "Jumps of the wall clock."),
    _gauge("trimtab_loop_series", "series", "Series that have an id."),
    _gauge("trimtab_queue_depth", "items", "Items waiting in a queue.", "queue"),
    _counter("trimtab_queue_dropped_total", "items", "Items that a full queue lost.", "queue"),
    _counter("trimtab_notices_total", "notices", "Notices to the NOC about the loop itself.", "subject"),
    _counter("trimtab_commands_total", "commands", "Commands of people, by whether they took effect.",
             "applied"),
    # The journal
    _counter("trimtab_journal_written_bytes_total", "bytes", "Bytes appended to the journal."),
    _timing("trimtab_journal_sync_duration_seconds", "Duration of a group commit.", "", FAST_BUCKETS),
    _gauge("trimtab_journal_size_bytes", "bytes", "Size of the journal on disk."),
    _gauge("trimtab_journal_unwritable", "state", "1 while the journal can't be written: nothing is done."),
    _gauge("trimtab_store_lag_frames", "frames", "Journal frames that the read model has yet to take in."),
    # Analysis
    _gauge("trimtab_kpi_value", "of the KPI", "Last value of a KPI, in the unit of its label.",
           "tenant object kpi unit"),
    _counter("trimtab_kpis_not_shown_total", "KPIs",
             "KPIs not shown one by one, as more than 2,000 are kept; they were judged all the same."),
    _gauge("trimtab_objective_value", "of the KPI", "What an objective measured last.",
           "tenant service objective unit"),
    _gauge("trimtab_objective_bound", "of the KPI", "What an objective promises.",
           "tenant service objective unit"),
    _gauge("trimtab_objective_status", "state", f"Observed: {_STATUS}.", "tenant service objective"),
    _gauge("trimtab_objective_predicted_status", "state", f"Predicted: {_STATUS}.",
           "tenant service objective"),
    _gauge("trimtab_objective_compliance_status", "state", f"Over the SLS interval: {_STATUS}.",
           "tenant service objective"),
    _gauge("trimtab_objective_budget_left_ratio", "ratio", "Error budget left; negative when overspent.",
           "tenant service objective"),
    _gauge("trimtab_service_status", "state", f"The worst of its objectives: {_STATUS}.", "tenant service"),
    _gauge("trimtab_resource_status", "state", f"An object's health: {_STATUS}.", "object symptom"),
    _gauge("trimtab_alarms_active", "alarms", "Alarms that are not cleared.", "severity"),
    _counter("trimtab_alarms_raised_total", "alarms", "Alarms raised.", "severity"),
    _counter("trimtab_alarms_cleared_total", "alarms", "Alarms cleared."),
    _gauge("trimtab_incidents_open", "incidents", "Incidents that are not resolved."),
    _counter("trimtab_incidents_opened_total", "incidents", "Incidents opened."),
    # Decision and execution
    _counter("trimtab_decisions_total", "decisions", "Decisions, refusals included.", "policy outcome"),
    _counter("trimtab_actions_total", "actions", "Actions that entered a state.", "kind state"),
    _gauge("trimtab_actions_under_way", "actions", "Actions that are not over.", "kind"),
    _gauge("trimtab_action_started_timestamp_seconds", "seconds",
           "When an action of that kind on that object was last accepted.", "kind target"),
    _counter("trimtab_verifications_total", "verifications", "Verdicts on actions.", "verdict"),
    _counter("trimtab_actuator_requests_total", "requests", "Requests to a target.", "actuator outcome"),
    _timing("trimtab_actuator_request_duration_seconds", "Duration of such a request.", "actuator",
            SLOW_BUCKETS),
    # Northbound
    _counter("trimtab_sink_points_total", "points", "Points written to a sink.", "sink"),
    _counter("trimtab_sink_points_dropped_total", "points", "Points a sink lost.", "sink reason"),
    _counter("trimtab_sink_errors_total", "writes", "Writes to a sink that failed.", "sink"),
    _counter("trimtab_api_requests_total", "requests", "API requests.", "method route status"),
    _timing("trimtab_api_request_duration_seconds", "Duration of an API request.", "route", SLOW_BUCKETS),
    _gauge("trimtab_api_streams", "streams", "Event streams that are open."),
    _counter("trimtab_telemetry_label_sets_refused_total", "label sets",
             "Series of Trimtab's own that a limit kept out.", "metric"),
)
# fmt: on

BY_NAME = {metric.name: metric for metric in METRICS}
