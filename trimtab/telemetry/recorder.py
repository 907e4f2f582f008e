"""The values of Trimtab's own metrics, in the registry that is handed in.

What is absent is taken out of the exposition: never NaN, never a zero that nobody measured.
"""

from collections.abc import Iterable
from typing import TypeVar

from prometheus_client import CollectorRegistry

from trimtab.domain.action import TERMINAL, Action, ActionState
from trimtab.domain.alarm import Alarm, AlarmState, PerceivedSeverity
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.command import CommandResult
from trimtab.domain.control_loop import ControlLoop, LoopRunState
from trimtab.domain.decision import Decision, DecisionOutcome
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.input import Notice, Output
from trimtab.domain.kpi import Kpi
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.managed_object import ObjectKind, parse_object_id
from trimtab.domain.policy import ActionKind
from trimtab.domain.time import NS_PER_SECOND
from trimtab.domain.verification import Verdict, Verification
from trimtab.ports import GapReason, Reading, SubmissionOutcome
from trimtab.telemetry.instruments import Instruments

TRACKED_MAX = 20_000  # alarms, incidents, actions and decisions whose last state is remembered

_K = TypeVar("_K")
_V = TypeVar("_V")

# An enumeration as a number, so that one series tells the state and a panel maps it to a word.
STATUS_VALUE = {
    FulfilmentStatus.FULFILLED: 1.0,
    FulfilmentStatus.NOT_FULFILLED: 0.0,
    FulfilmentStatus.INDETERMINATE: -1.0,
}
LOOP_STATES = (*(state.value for state in LoopRunState), "frozen")


class Telemetry(Instruments):
    """What Trimtab counts and shows of itself, as the drivers and the app report it."""

    def __init__(
        self, registry: CollectorRegistry, version: str = "", process: bool = True
    ) -> None:
        super().__init__(registry, process)
        self._alarms: dict[str, PerceivedSeverity] = {}
        self._incidents: set[str] = set()
        self._actions: dict[str, tuple[ActionKind, ActionState]] = {}
        self._outcomes: dict[tuple[str, str], DecisionOutcome] = {}
        self._objectives: dict[tuple[str, str], dict[str, FulfilmentStatus]] = {}
        self._start_at_zero()
        self.gauge("trimtab_build_info", 1.0, version)

    def _start_at_zero(self) -> None:
        """Expose the closed label sets from the start: a rate does not see the step from absent to 1."""
        for kind in ActionKind:
            self.gauge("trimtab_actions_under_way", 0.0, kind)
            for state in ActionState:
                self.count("trimtab_actions_total", 0, kind, state)
        for verdict in Verdict:
            self.count("trimtab_verifications_total", 0, verdict)
        for severity in PerceivedSeverity:
            if severity is not PerceivedSeverity.CLEARED:
                self.gauge("trimtab_alarms_active", 0.0, severity)
                self.count("trimtab_alarms_raised_total", 0, severity)
        for applied in ("true", "false"):
            self.count("trimtab_commands_total", 0, applied)
        for name in LOOP_STATES:
            self.gauge("trimtab_loop_state", float(name == LoopRunState.RUNNING.value), name)

    def policies(self, names: Iterable[str]) -> None:
        """Expose the decisions of these policies from zero."""
        for name in names:
            for outcome in DecisionOutcome:
                self.count("trimtab_decisions_total", 0, name, outcome)

    # Monitoring

    def reading(self, reading: Reading, at_ns: int) -> None:
        """Account for a reading that is in the journal."""
        source = reading.source
        for possible in GapReason:
            self.count("trimtab_ingest_gaps_total", 0, source, possible)
        if reading.batch is not None:
            self.count("trimtab_ingest_samples_total", len(reading.batch), source)
        for gap in reading.gaps:
            self.count("trimtab_ingest_gaps_total", 1, gap.source, gap.reason)
        for reason, samples in reading.refused:
            self.refused(source, reason, samples)
        self.gauge("trimtab_ingest_last_reading_timestamp_seconds", at_ns / NS_PER_SECOND, source)

    def refused(self, source: str, reason: str, samples: int) -> None:
        """Count samples that were turned away."""
        self.count("trimtab_ingest_samples_refused_total", samples, source, reason)

    def unused(self, reason: str, samples: int) -> None:
        """Show how many samples led to nothing so far, by the reason."""
        self.total("trimtab_ingest_samples_unused_total", samples, reason)

    def changes_held_back(self, changes: int) -> None:
        """Show how many changes had to wait for another round so far, as too many came at once."""
        self.total("trimtab_loop_changes_held_back_total", changes)

    def series_refused(self, cap: str, name: str, requests: int) -> None:
        """Show how many times a series was refused so far, as a source, a tenant or all had as many as they may."""
        self.total("trimtab_ingest_series_refused_total", requests, cap, name)

    # The loop

    def step(self, machine: str, seconds: float, at_ns: int) -> None:
        """Account for one step of a machine that ended at `at_ns`."""
        self.count("trimtab_loop_steps_total", 1, machine)
        self.time("trimtab_loop_step_duration_seconds", seconds, machine)
        self.gauge("trimtab_loop_last_step_timestamp_seconds", at_ns / NS_PER_SECOND)

    def tick_missed(self, reason: str) -> None:
        """Count a tick that the scheduler let go: `misfire` or `overlap`."""
        self.count("trimtab_loop_ticks_missed_total", 1, reason)

    def clock_jumped(self) -> None:
        """Count a jump of the wall clock."""
        self.count("trimtab_loop_clock_jumps_total", 1)

    def series(self, known: int) -> None:
        """Show how many series have an id."""
        self.gauge("trimtab_loop_series", known)

    def queue(self, name: str, depth: int) -> None:
        """Show how many items wait in a queue."""
        self.count("trimtab_queue_dropped_total", 0, name)
        self.gauge("trimtab_queue_depth", depth, name)

    def queue_dropped(self, name: str, items: int = 1) -> None:
        """Count items that a full queue lost."""
        self.count("trimtab_queue_dropped_total", items, name)

    # The journal

    def journal_appended(self, size_bytes: int) -> None:
        """Account for bytes appended."""
        self.count("trimtab_journal_written_bytes_total", size_bytes)

    def journal_synced(self, seconds: float) -> None:
        """Account for a group commit."""
        self.time("trimtab_journal_sync_duration_seconds", seconds)

    def journal_size(self, size_bytes: int) -> None:
        """Show the journal's size on disk."""
        self.gauge("trimtab_journal_size_bytes", size_bytes)

    def store_lag(self, frames: int) -> None:
        """Show how far the read model is behind the journal."""
        self.gauge("trimtab_store_lag_frames", frames)

    def journal_unwritable(self, unwritable: bool) -> None:
        """Show whether the journal can't be written now."""
        self.gauge("trimtab_journal_unwritable", float(unwritable))

    # Execution and northbound

    def actuator_request(self, actuator: str, outcome: SubmissionOutcome, seconds: float) -> None:
        """Account for a request to a target."""
        self.count("trimtab_actuator_requests_total", 1, actuator, outcome)
        self.time("trimtab_actuator_request_duration_seconds", seconds, actuator)

    def sink_written(self, sink: str, points: int) -> None:
        """Count points that a sink took."""
        self.count("trimtab_sink_points_total", points, sink)

    def sink_dropped(self, sink: str, points: int, reason: str) -> None:
        """Count points that never reached a sink."""
        self.count("trimtab_sink_points_dropped_total", points, sink, reason)

    def sink_failed(self, sink: str) -> None:
        """Count a write that failed; it may have been tried again."""
        self.count("trimtab_sink_errors_total", 1, sink)

    def api_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Account for an API request; `route` is the template, never the path with its ids."""
        self.count("trimtab_api_requests_total", 1, method, route, str(status))
        self.time("trimtab_api_request_duration_seconds", seconds, route)

    def api_streams(self, open_streams: int) -> None:
        """Show how many event streams are open."""
        self.gauge("trimtab_api_streams", open_streams)

    # What the loop gave out

    def restore(self, outputs: Iterable[Output | Kpi]) -> None:
        """Take over standing facts after a restart (open alarms, incidents, actions): shown, not counted again."""
        self._take(outputs, counted=False)

    def observe(self, outputs: Iterable[Output | Kpi]) -> None:
        """Account for what a step gave out."""
        self._take(outputs, counted=True)

    def _take(self, outputs: Iterable[Output | Kpi], counted: bool) -> None:
        add = 1 if counted else 0
        for output in outputs:
            match output:
                case Kpi():
                    self._kpi(output)
                case KpiBatch():
                    self._kpis(output)
                case Assessment():
                    self._assessment(output)
                case Trouble():
                    value = STATUS_VALUE[output.status]
                    self.gauge("trimtab_resource_status", value, output.object_id, output.symptom)
                case Alarm():
                    self._alarm(output, add)
                case Incident():
                    self._incident(output, add)
                case Decision():
                    self.count("trimtab_decisions_total", add, output.policy, output.outcome)
                    self._outcome(output)
                case Action():
                    self._action(output, add)
                case Verification(verdict=Verdict() as verdict):
                    self.count("trimtab_verifications_total", add, verdict)
                case ControlLoop():
                    for state in LoopRunState:
                        self.gauge("trimtab_loop_state", float(state is output.run_state), state)
                case CommandResult():
                    self.count("trimtab_commands_total", add, str(output.applied).lower())
                case Notice():
                    self.count("trimtab_notices_total", add, output.subject)
                case _:
                    pass

    def _kpis(self, batch: KpiBatch) -> None:
        shown = batch.shown()
        for kpi in batch.kpis(shown):
            self._kpi(kpi)
        if len(shown) < len(batch):
            self.count("trimtab_kpis_not_shown_total", len(batch) - len(shown))

    def _kpi(self, kpi: Kpi) -> None:
        tenant = kpi.object_id.partition("/")[0]
        self.gauge("trimtab_kpi_value", kpi.value, tenant, kpi.object_id, kpi.name, kpi.unit)

    def _assessment(self, assessment: Assessment) -> None:
        tenant, kind, name = parse_object_id(assessment.object_id)
        if kind is not ObjectKind.SERVICE:
            return  # a resource's health shows as trouble
        labels = (tenant, name, assessment.objective)
        unit = assessment.unit
        self.gauge("trimtab_objective_value", assessment.value, *labels, unit)
        self.gauge("trimtab_objective_bound", assessment.bound, *labels, unit)
        self.gauge("trimtab_objective_status", STATUS_VALUE[assessment.observed], *labels)
        predicted = assessment.predicted
        value = None if predicted is None else STATUS_VALUE[predicted]
        self.gauge("trimtab_objective_predicted_status", value, *labels)
        value = STATUS_VALUE[assessment.compliance]
        self.gauge("trimtab_objective_compliance_status", value, *labels)
        budget = assessment.budget_left_ratio
        self.gauge("trimtab_objective_budget_left_ratio", budget, *labels)
        statuses = self._objectives.setdefault((tenant, name), {})
        statuses[assessment.objective] = assessment.observed
        self.gauge("trimtab_service_status", STATUS_VALUE[worst(statuses.values())], tenant, name)

    def _alarm(self, alarm: Alarm, add: int) -> None:
        before = self._alarms.pop(alarm.id, None)
        if alarm.state is AlarmState.CLEARED:
            self.count("trimtab_alarms_cleared_total", add)
        else:
            _remember(self._alarms, alarm.id, alarm.severity)
            if before is None:
                self.count("trimtab_alarms_raised_total", add, alarm.severity)
        active = list(self._alarms.values())
        for severity in PerceivedSeverity:
            if severity in (alarm.severity, before) and severity is not PerceivedSeverity.CLEARED:
                self.gauge("trimtab_alarms_active", float(active.count(severity)), severity)

    def _incident(self, incident: Incident, add: int) -> None:
        if incident.state is IncidentState.RESOLVED:
            self._incidents.discard(incident.id)
            for key in [key for key in self._outcomes if key[1] == incident.id]:
                del self._outcomes[key]
            self._show_frozen()
        elif incident.id not in self._incidents and len(self._incidents) < TRACKED_MAX:
            self._incidents.add(incident.id)
            self.count("trimtab_incidents_opened_total", add)
        self.gauge("trimtab_incidents_open", float(len(self._incidents)))

    def _outcome(self, decision: Decision) -> None:
        _remember(self._outcomes, (decision.policy, decision.incident_id), decision.outcome)
        self._show_frozen()

    def _show_frozen(self) -> None:
        frozen = DecisionOutcome.FROZEN in self._outcomes.values()
        self.gauge("trimtab_loop_state", float(frozen), "frozen")

    def _action(self, action: Action, add: int) -> None:
        before = self._actions.pop(action.id, None)
        if before is None or before[1] is not action.state:
            self.count("trimtab_actions_total", add, action.kind, action.state)
            if action.state is ActionState.ACCEPTED:
                started = action.changed_at_ns / NS_PER_SECOND
                name = "trimtab_action_started_timestamp_seconds"
                self.gauge(name, started, action.kind, action.target_id)
        if action.state not in TERMINAL:
            _remember(self._actions, action.id, (action.kind, action.state))
        under_way = sum(kind is action.kind for kind, _ in self._actions.values())
        self.gauge("trimtab_actions_under_way", float(under_way), action.kind)


def worst(statuses: Iterable[FulfilmentStatus]) -> FulfilmentStatus:
    """Return NOT_FULFILLED if any is, else INDETERMINATE if any is or there are none, else FULFILLED."""
    found = set(statuses)
    if FulfilmentStatus.NOT_FULFILLED in found:
        return FulfilmentStatus.NOT_FULFILLED
    if FulfilmentStatus.INDETERMINATE in found or not found:
        return FulfilmentStatus.INDETERMINATE
    return FulfilmentStatus.FULFILLED


def _remember(known: dict[_K, _V], key: _K, value: _V) -> None:
    """Keep the newest TRACKED_MAX entries."""
    known[key] = value
    if len(known) > TRACKED_MAX:
        del known[next(iter(known))]
