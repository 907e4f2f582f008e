"""Trimtab's own metrics: declared once, bounded, absent when nothing is known."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from trimtab.domain.action import Action, ActionState
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.context import Context
from trimtab.domain.control_loop import ControlLoop, LifecyclePhase, LoopRunState
from trimtab.domain.decision import Decision, DecisionOutcome
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.kpi import Kpi, KpiDefinition, Statistic
from trimtab.domain.kpi_batch import KPIS_SHOWN_MAX, KpiBatch
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.policy import ActionKind
from trimtab.domain.samples import SampleBatch
from trimtab.domain.verification import Verdict, Verification
from trimtab.ports import Gap, GapReason, Reading, SubmissionOutcome
from trimtab.telemetry import METRICS, MetricKind, Telemetry
from trimtab.telemetry.instruments import LABEL_SETS_PER_METRIC_MAX

CONTEXT = Context("context-1", None)
SERVICE = "acme/service/vpn"


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(CollectorRegistry(), "1.2.3", process=False)


@pytest.fixture
def value(telemetry: Telemetry) -> Callable[..., float | None]:
    def read(name: str, **labels: str) -> float | None:
        return telemetry.registry.get_sample_value(name, labels)

    return read


def assessment(
    status: FulfilmentStatus, objective: str = "delay", value: float | None = 0.02
) -> Assessment:
    return Assessment(
        CONTEXT, SERVICE, objective, "p95", 5, status, 1, value, 0.04, "seconds",
        budget_left_ratio=0.5,
    )  # fmt: skip


ALARM = Alarm(
    CONTEXT, "alarm-1", SERVICE, "delay", "delay", AlarmType.QUALITY_OF_SERVICE, "thresholdCrossed",
    PerceivedSeverity.MAJOR, AlarmState.UNACKNOWLEDGED, 1, 2, 2, 0.1, 0.04, "seconds", "late", True,
)  # fmt: skip
INCIDENT = Incident(
    CONTEXT, "incident-1", IncidentState.OPEN, 1, 1, (SERVICE,), ("alarm-1",), (SERVICE,), ()
)
ACTION = Action(
    CONTEXT, "action-1", "decision-1", "incident-1", ActionKind.HEAL, "provider/vnfc/fw-1", "vnfm",
    ActionState.INTENDED, 1_000_000_000, 1_000_000_000, 9,
)  # fmt: skip
DECISION = Decision(
    CONTEXT, "decision-1", "heal-crash", "heal.yaml:1", "incident-1", 1, DecisionOutcome.ACT, 0, "", (),
    (),
)  # fmt: skip


def test_names_follow_the_conventions() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"trimtab(_[a-z]+)+", metric.name), metric
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER), metric
        assert metric.help.endswith("."), metric
        if metric.kind is MetricKind.HISTOGRAM:
            assert metric.name.endswith("_seconds"), metric
            assert list(metric.buckets) == sorted(set(metric.buckets)), metric
        if metric.unit in {"seconds", "bytes", "ratio"}:
            assert f"_{metric.unit}" in metric.name, metric
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_promtool_finds_nothing_to_complain_about(telemetry: Telemetry) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: apt-get install prometheus")
    record = {
        MetricKind.COUNTER: telemetry.count,
        MetricKind.GAUGE: telemetry.gauge,
        MetricKind.HISTOGRAM: telemetry.time,
    }
    for metric in METRICS:
        record[metric.kind](metric.name, 1.0, *("x" for _ in metric.labels))
    text, content_type = telemetry.exposition()
    assert content_type.startswith("text/plain")
    assert b"_created" not in text
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_openmetrics_is_given_to_who_asks_for_it(telemetry: Telemetry) -> None:
    text, content_type = telemetry.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_the_process_shows_its_memory_and_time() -> None:
    text, _ = Telemetry(CollectorRegistry()).exposition()
    assert b"process_resident_memory_bytes" in text
    assert b"process_cpu_seconds_total" in text


def test_two_of_them_share_nothing(telemetry: Telemetry) -> None:
    other = Telemetry(CollectorRegistry(), process=False)
    telemetry.clock_jumped()
    assert telemetry.registry.get_sample_value("trimtab_loop_clock_jumps_total") == 1
    assert other.registry.get_sample_value("trimtab_loop_clock_jumps_total") == 0


def test_what_is_closed_starts_at_zero(value: Callable[..., float | None]) -> None:
    assert value("trimtab_actions_total", kind="heal", state="accepted") == 0
    assert value("trimtab_verifications_total", verdict="EFFECTIVE") == 0
    assert value("trimtab_loop_state", state="running") == 1
    assert value("trimtab_build_info", version="1.2.3") == 1


def test_a_kpi_without_a_value_is_absent(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    labels = {"tenant": "acme", "object": SERVICE, "kpi": "delay", "unit": "seconds"}
    kpi = Kpi(CONTEXT, SERVICE, "delay", 5, 5, 0.5, 10, "seconds")
    telemetry.observe([kpi])
    assert value("trimtab_kpi_value", **labels) == 0.5
    telemetry.observe([replace(kpi, value=None)])
    assert value("trimtab_kpi_value", **labels) is None
    telemetry.observe([replace(kpi, value=None)])
    telemetry.observe([kpi])
    assert value("trimtab_kpi_value", **labels) == 0.5


def test_a_service_is_as_well_as_its_worst_objective(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    service = {"tenant": "acme", "service": "vpn"}
    telemetry.observe([assessment(FulfilmentStatus.FULFILLED)])
    assert value("trimtab_service_status", **service) == 1
    telemetry.observe([assessment(FulfilmentStatus.INDETERMINATE, "loss", None)])
    assert value("trimtab_service_status", **service) == -1
    telemetry.observe([assessment(FulfilmentStatus.NOT_FULFILLED)])
    assert value("trimtab_service_status", **service) == 0
    delay = {**service, "objective": "delay"}
    assert value("trimtab_objective_status", **delay) == 0
    assert value("trimtab_objective_bound", **delay, unit="seconds") == 0.04
    assert value("trimtab_objective_budget_left_ratio", **delay) == 0.5
    assert value("trimtab_objective_value", **service, objective="loss", unit="seconds") is None
    assert value("trimtab_objective_predicted_status", **delay) is None


def test_a_resource_is_shown_by_its_trouble_and_not_as_a_service(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    host = "provider/host/h1"
    telemetry.observe(
        [
            replace(assessment(FulfilmentStatus.NOT_FULFILLED), object_id=host),
            Trouble(CONTEXT, host, "noisy", FulfilmentStatus.NOT_FULFILLED, 1, 2, 1.0, 0.9, 0.5),
        ]
    )
    assert value("trimtab_service_status", tenant="provider", service="h1") is None
    assert value("trimtab_resource_status", object=host, symptom="noisy") == 0


def test_an_alarm_counts_once_and_goes_when_cleared(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    telemetry.observe([ALARM, ALARM.transition(AlarmState.ACKNOWLEDGED, 3, "noc")])
    assert value("trimtab_alarms_raised_total", severity="major") == 1
    assert value("trimtab_alarms_active", severity="major") == 1
    telemetry.observe([replace(ALARM, severity=PerceivedSeverity.CRITICAL)])
    assert value("trimtab_alarms_active", severity="major") == 0
    assert value("trimtab_alarms_active", severity="critical") == 1
    telemetry.observe([ALARM.transition(AlarmState.CLEARED, 4)])
    assert value("trimtab_alarms_active", severity="critical") == 0
    assert value("trimtab_alarms_cleared_total") == 1
    assert value("trimtab_alarms_raised_total", severity="major") == 1


def test_actions_count_once_a_state(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    sending = ACTION.transition(ActionState.SENDING, 2_000_000_000)
    accepted = sending.transition(ActionState.ACCEPTED, 3_500_000_000)
    telemetry.observe([ACTION, sending, accepted, replace(accepted, detail="half way")])
    assert value("trimtab_actions_total", kind="heal", state="accepted") == 1
    assert value("trimtab_actions_under_way", kind="heal") == 1
    started = value(
        "trimtab_action_started_timestamp_seconds", kind="heal", target="provider/vnfc/fw-1"
    )
    assert started == 3.5
    telemetry.observe([accepted.transition(ActionState.SUCCEEDED, 4_000_000_000)])
    assert value("trimtab_actions_under_way", kind="heal") == 0
    assert value("trimtab_actions_total", kind="heal", state="succeeded") == 1


def test_a_frozen_policy_shows_until_its_incident_is_resolved(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    telemetry.policies(["heal-crash"])
    assert value("trimtab_decisions_total", policy="heal-crash", outcome="frozen") == 0
    telemetry.observe([INCIDENT, replace(DECISION, outcome=DecisionOutcome.FROZEN)])
    assert value("trimtab_decisions_total", policy="heal-crash", outcome="frozen") == 1
    assert value("trimtab_loop_state", state="frozen") == 1
    assert value("trimtab_incidents_open") == 1
    telemetry.observe([replace(INCIDENT, state=IncidentState.RESOLVED)])
    assert value("trimtab_loop_state", state="frozen") == 0
    assert value("trimtab_incidents_open") == 0
    assert value("trimtab_incidents_opened_total") == 1


def test_verdicts_and_the_state_of_the_loop(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    waiting = Verification(CONTEXT, "v-1", "action-1", "incident-1", "p", "x < 1", 1, 9)
    killed = ControlLoop(LoopRunState.KILLED, LifecyclePhase.OPERATION, 1, "noc", "enough")
    telemetry.observe([waiting, replace(waiting, verdict=Verdict.INEFFECTIVE), killed])
    assert value("trimtab_verifications_total", verdict="INEFFECTIVE") == 1
    assert value("trimtab_verifications_total", verdict="EFFECTIVE") == 0
    assert value("trimtab_loop_state", state="killed") == 1
    assert value("trimtab_loop_state", state="running") == 0


def test_after_a_restart_what_stands_is_shown_and_not_counted_again(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    telemetry.restore([ALARM, INCIDENT, ACTION, DECISION])
    assert value("trimtab_alarms_active", severity="major") == 1
    assert value("trimtab_alarms_raised_total", severity="major") == 0
    assert value("trimtab_incidents_open") == 1
    assert value("trimtab_incidents_opened_total") == 0
    assert value("trimtab_actions_under_way", kind="heal") == 1
    assert value("trimtab_actions_total", kind="heal", state="intended") == 0


def test_a_reading_with_gaps_and_refusals(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    batch = SampleBatch(
        "prometheus/vnf",
        np.zeros(3, np.int32), np.arange(3, dtype=np.int64), np.ones(3), np.zeros(3, np.uint8),
    )  # fmt: skip
    gap = Gap("prometheus/vnf", 1, GapReason.TIMEOUT, "2 s")
    telemetry.reading(
        Reading("prometheus/vnf", batch, (gap,), refused=(("nan", 2),)), 7_000_000_000
    )
    assert value("trimtab_ingest_samples_total", source="prometheus/vnf") == 3
    gaps = value("trimtab_ingest_gaps_total", source="prometheus/vnf", reason="timeout")
    assert gaps == 1
    refused = value("trimtab_ingest_samples_refused_total", source="prometheus/vnf", reason="nan")
    assert refused == 2
    arrived = value("trimtab_ingest_last_reading_timestamp_seconds", source="prometheus/vnf")
    assert arrived == 7


def test_the_edges_report_by_typed_methods(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    telemetry.unused("late", 4)
    telemetry.step("assessor", 0.001, 5_000_000_000)
    telemetry.tick_missed("overlap")
    telemetry.series(12)
    telemetry.queue("inputs", 3)
    telemetry.queue_dropped("inputs")
    telemetry.journal_appended(100)
    telemetry.store_lag(7)
    telemetry.journal_synced(0.002)
    telemetry.journal_size(4096)
    telemetry.journal_unwritable(True)
    telemetry.actuator_request("vnfm", SubmissionOutcome.REFUSED, 0.1)
    telemetry.sink_written("influx", 10)
    telemetry.sink_dropped("influx", 5, "full")
    telemetry.sink_failed("influx")
    telemetry.api_request("GET", "/services/{id}", 200, 0.01)
    telemetry.api_streams(2)
    assert value("trimtab_ingest_samples_unused_total", reason="late") == 4
    assert value("trimtab_store_lag_frames") == 7
    assert value("trimtab_loop_step_duration_seconds_count", machine="assessor") == 1
    assert value("trimtab_loop_last_step_timestamp_seconds") == 5
    assert value("trimtab_loop_ticks_missed_total", reason="overlap") == 1
    assert value("trimtab_loop_series") == 12
    assert value("trimtab_queue_depth", queue="inputs") == 3
    assert value("trimtab_queue_dropped_total", queue="inputs") == 1
    assert value("trimtab_journal_written_bytes_total") == 100
    assert value("trimtab_journal_sync_duration_seconds_count") == 1
    assert value("trimtab_journal_size_bytes") == 4096
    assert value("trimtab_journal_unwritable") == 1
    assert value("trimtab_actuator_requests_total", actuator="vnfm", outcome="refused") == 1
    assert value("trimtab_sink_points_total", sink="influx") == 10
    assert value("trimtab_sink_points_dropped_total", sink="influx", reason="full") == 5
    assert value("trimtab_sink_errors_total", sink="influx") == 1
    route = {"method": "GET", "route": "/services/{id}", "status": "200"}
    assert value("trimtab_api_requests_total", **route) == 1
    assert value("trimtab_api_streams") == 2


def test_series_are_bounded_and_the_overflow_is_counted(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    for number in range(LABEL_SETS_PER_METRIC_MAX + 3):
        telemetry.queue(f"q{number}", 1)
    telemetry.queue("q0", 2)
    refused = value("trimtab_telemetry_label_sets_refused_total", metric="trimtab_queue_depth")
    assert refused == 3
    assert value("trimtab_queue_depth", queue=f"q{LABEL_SETS_PER_METRIC_MAX}") is None
    assert value("trimtab_queue_depth", queue="q0") == 2


def test_an_undeclared_name_is_a_bug(telemetry: Telemetry) -> None:
    with pytest.raises(KeyError):
        telemetry.count("trimtab_nonsense_total", 1)
    with pytest.raises(ValueError, match="label"):
        telemetry.gauge("trimtab_queue_depth", 1, "a", "b")


def test_a_total_kept_elsewhere_only_rises(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    for total in (5, 5, 8, 2, 3):  # at 2 it began anew
        telemetry.unused("late", total)
    assert value("trimtab_ingest_samples_unused_total", reason="late") == 11


def test_a_watch_is_asked_before_each_exposition(telemetry: Telemetry) -> None:
    asked = []

    def read() -> None:
        asked.append(1)
        telemetry.series(len(asked))

    telemetry.watch(read)
    assert b"trimtab_loop_series 1.0" in telemetry.exposition()[0]
    assert b"trimtab_loop_series 2.0" in telemetry.exposition()[0]


def test_kpis_that_are_too_many_to_be_shown_are_counted(
    telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    load = KpiDefinition("load", ObjectKind.VNFC, "load", Statistic.MEAN, "ratio")
    rows = KPIS_SHOWN_MAX + 5
    telemetry.observe(
        [
            KpiBatch(
                (load,), np.full(rows, "t/vnfc/v", dtype=np.object_), np.zeros(rows, np.int16),
                np.zeros(rows, np.int64), np.zeros(rows), np.ones(rows, np.int64),
                np.zeros(rows, np.bool_),
            )
        ]
    )  # fmt: skip
    assert value("trimtab_kpis_not_shown_total") == rows
    labels = {"tenant": "t", "object": "t/vnfc/v", "kpi": "load", "unit": "ratio"}
    assert value("trimtab_kpi_value", **labels) is None
