"""A fake of what the API asks (`FakeAssurance`: lists in memory) with a small world in it, and clients for it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter

from api.app import create_app
from api.mounts import Mount
from api.ports import Check, Readiness
from api.scopes import Scope
from api.settings import ApiSettings, TokenSettings
from trimtab.domain.action import Action, ActionState, Operation
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.assessment import Assessment, FulfilmentStatus
from trimtab.domain.command import Command, CommandKind, CommandResult
from trimtab.domain.context import Context
from trimtab.domain.control_loop import ControlLoop, LifecyclePhase, LoopRunState
from trimtab.domain.decision import Decision, DecisionOutcome, GuardResult
from trimtab.domain.incident import Cause, Incident, IncidentState
from trimtab.domain.input import Notice
from trimtab.domain.kpi import Kpi, KpiDefinition, LabelMatcher, Statistic
from trimtab.domain.managed_object import (
    Alias,
    ManagedObject,
    ObjectKind,
    Relation,
    RelationKind,
    managed_object,
)
from trimtab.domain.policy import ActionKind
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective
from trimtab.domain.sls import (
    GroupAvailability,
    PairPerformance,
    Performance,
    SlsReport,
    SlsTerms,
    worst,
)
from trimtab.domain.time import NS_PER_SECOND
from trimtab.domain.verification import Verdict, Verification
from trimtab.errors import StoreError
from trimtab.store.questions import (
    ActionFilter,
    AlarmFilter,
    DecisionFilter,
    EventPage,
    ExplainStep,
    Explanation,
    IncidentFilter,
    Measurement,
    ObjectiveState,
    Page,
    PageRequest,
    Position,
    ServiceState,
    SlsReportFilter,
    Span,
    StreamEvent,
    TopologyView,
    VerificationFilter,
)

T = TypeVar("T")
SECOND = NS_PER_SECOND
NOW_NS = 1_790_000_000 * SECOND  # a whole second in 2026
ACME = "acme/service/acme-vpn"
GLOBEX = "globex/service/globex-internet"
FIREWALL = "provider/vnfc/fw-0"
HOST = "provider/host/host-1"

KPIS = (
    KpiDefinition(
        "frame_delay_p95", ObjectKind.SERVICE, "probe_delay_seconds", Statistic.PERCENTILE,
        "seconds", percentile=95.0, where=(LabelMatcher("direction", "forward"),),
    ),
    KpiDefinition(
        "frame_loss_ratio", ObjectKind.SERVICE, "probe_lost", Statistic.MEAN, "ratio"
    ),
    KpiDefinition(
        "availability_ratio", ObjectKind.SERVICE, "probe_lost", Statistic.AVAILABILITY, "ratio"
    ),
)  # fmt: skip
BOUNDS = {
    "frame_delay_p95": (Comparator.AT_MOST, 0.040),
    "frame_loss_ratio": (Comparator.AT_MOST, 0.05),
    "availability_ratio": (Comparator.AT_LEAST, 0.99),
}


def _page(items: Sequence[T], key: Callable[[T], tuple[int, str]], wanted: PageRequest) -> Page[T]:
    ordered = sorted(items, key=key, reverse=not wanted.oldest_first)
    if wanted.position is not None:
        last = (wanted.position.at_ns, wanted.position.id)
        ordered = [item for item in ordered if key(item) < last]
    part = ordered[wanted.offset : wanted.offset + wanted.limit]
    more = wanted.offset + len(part) < len(ordered)
    following = Position(*key(part[-1])) if part and more else None
    return Page(tuple(part), len(items), following)


def _holds(span: Span, at_ns: int | None) -> bool:
    if at_ns is None:
        return span == Span()
    after = span.after_ns is None or at_ns > span.after_ns
    return after and (span.before_ns is None or at_ns < span.before_ns)


def _same(wanted: object, value: object) -> bool:
    return wanted is None or wanted == value


@dataclass
class FakeAssurance:
    """A fake read model: plain lists, and the loop's answer to commands."""

    now_ns: int = NOW_NS
    states: dict[str, ServiceState] = field(default_factory=dict)
    kpi_rows: dict[tuple[str, str], list[Kpi]] = field(default_factory=dict)
    assessment_rows: dict[tuple[str, str], list[Assessment]] = field(default_factory=dict)
    measurement_rows: dict[tuple[str, str], list[Measurement]] = field(default_factory=dict)
    alarm_rows: dict[str, Alarm] = field(default_factory=dict)
    incident_rows: dict[str, Incident] = field(default_factory=dict)
    decision_rows: dict[str, Decision] = field(default_factory=dict)
    action_rows: dict[str, Action] = field(default_factory=dict)
    verification_rows: dict[str, Verification] = field(default_factory=dict)
    sls_rows: dict[str, SlsReport] = field(default_factory=dict)
    notice_rows: list[Notice] = field(default_factory=list)
    loop_state: ControlLoop | None = None
    inventory: TopologyView = field(default_factory=lambda: TopologyView((), (), ()))
    stream: list[StreamEvent] = field(default_factory=list)
    kept_from: int = 0
    checks: tuple[Check, ...] = (Check("journal", True, "writable"),)
    commands: list[Command] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)
    broken: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, value: Any) -> None:
        """Take an output of the loop into the tables and the stream."""
        tables: dict[type, dict[str, Any]] = {
            Alarm: self.alarm_rows, Incident: self.incident_rows, Decision: self.decision_rows,
            Action: self.action_rows, Verification: self.verification_rows,
        }  # fmt: skip
        if type(value) in tables:
            tables[type(value)][value.id] = value
        elif isinstance(value, ControlLoop):
            self.loop_state = value
        elif isinstance(value, SlsReport):
            self.sls_rows[value.context.id] = value
        elif isinstance(value, Notice):
            self.notice_rows.append(value)
        elif isinstance(value, Assessment):
            self._assess(value)
        self.stream.append(StreamEvent(len(self.stream), value))
        self.news.set()

    def _assess(self, value: Assessment) -> None:
        key = (value.object_id, value.objective)
        self.assessment_rows.setdefault(key, []).append(value)
        kpi = Kpi(
            Context(f"kpi-{value.context.id}"), value.object_id, value.kpi, value.end_ns,
            5 * SECOND, value.value, 100, value.unit, value.suspect,
        )  # fmt: skip
        self.kpi_rows.setdefault((value.object_id, value.kpi), []).append(kpi)
        state = self.states[value.object_id]
        objectives = tuple(
            replace(o, assessment=value) if o.objective.name == value.objective else o
            for o in state.objectives
        )
        self.states[value.object_id] = replace(state, objectives=objectives)

    async def services(self) -> Sequence[ServiceState]:
        if self.broken:
            raise StoreError(self.broken)
        return [self.states[name] for name in sorted(self.states)]

    async def service(self, service_id: str) -> ServiceState | None:
        return self.states.get(service_id)

    async def assessments(
        self, object_id: str, objective: str, span: Span, limit: int
    ) -> Sequence[Assessment]:
        rows = self.assessment_rows.get((object_id, objective), [])
        return [row for row in rows if _holds(span, row.end_ns)][-limit:]

    async def kpis(self, object_id: str, name: str, span: Span, limit: int) -> Sequence[Kpi]:
        rows = self.kpi_rows.get((object_id, name), [])
        return [row for row in rows if _holds(span, row.end_ns)][-limit:]

    async def measurements(
        self, service_id: str, objective: str, granularity_ns: int, span: Span, limit: int
    ) -> Sequence[Measurement]:
        rows = self.measurement_rows.get((service_id, objective), [])
        return [
            row for row in rows
            if row.end_ns - row.start_ns == granularity_ns
            and _holds(Span(None, span.before_ns and span.before_ns + 1), row.end_ns)
        ][-limit:]  # fmt: skip

    async def alarms(self, where: AlarmFilter, page: PageRequest) -> Page[Alarm]:
        found = [
            alarm for alarm in self.alarm_rows.values()
            if (where.tenant is None or alarm.object_id.startswith(f"{where.tenant}/"))
            and _same(where.id, alarm.id) and _same(where.object_id, alarm.object_id)
            and _same(where.objective, alarm.objective) and _same(where.state, alarm.state)
            and _same(where.severity, alarm.severity)
            and _same(where.alarm_type, alarm.alarm_type)
            and _same(where.service_affecting, alarm.service_affecting)
            and not (where.open_only and alarm.state is AlarmState.CLEARED)
            and _holds(where.changed, alarm.changed_at_ns)
            and _holds(where.cleared, alarm.cleared_at_ns)
            and _holds(where.reported, alarm.reported_at_ns)
        ]  # fmt: skip
        return _page(found, lambda alarm: (alarm.raised_at_ns, alarm.id), page)

    async def alarm(self, alarm_id: str) -> Alarm | None:
        return self.alarm_rows.get(alarm_id)

    async def incidents(self, where: IncidentFilter, page: PageRequest) -> Page[Incident]:
        found = [
            incident for incident in self.incident_rows.values()
            if _same(where.state, incident.state)
            and (where.service_id is None or where.service_id in incident.services)
            and (where.tenant is None
                 or any(s.startswith(f"{where.tenant}/") for s in incident.services))
        ]  # fmt: skip
        return _page(found, lambda incident: (incident.opened_at_ns, incident.id), page)

    async def incident(self, incident_id: str) -> Incident | None:
        return self.incident_rows.get(incident_id)

    async def decisions(self, where: DecisionFilter, page: PageRequest) -> Page[Decision]:
        found = [
            decision for decision in self.decision_rows.values()
            if _same(where.incident_id, decision.incident_id)
            and _same(where.policy, decision.policy) and _same(where.outcome, decision.outcome)
        ]  # fmt: skip
        return _page(found, lambda decision: (decision.at_ns, decision.id), page)

    async def decision(self, decision_id: str) -> Decision | None:
        return self.decision_rows.get(decision_id)

    async def actions(self, where: ActionFilter, page: PageRequest) -> Page[Action]:
        found = [
            action for action in self.action_rows.values()
            if _same(where.incident_id, action.incident_id)
            and _same(where.decision_id, action.decision_id) and _same(where.state, action.state)
        ]  # fmt: skip
        return _page(found, lambda action: (action.created_at_ns, action.id), page)

    async def action(self, action_id: str) -> Action | None:
        return self.action_rows.get(action_id)

    async def verifications(
        self, where: VerificationFilter, page: PageRequest
    ) -> Page[Verification]:
        found = [
            item for item in self.verification_rows.values()
            if _same(where.incident_id, item.incident_id)
            and _same(where.action_id, item.action_id) and _same(where.verdict, item.verdict)
        ]  # fmt: skip
        return _page(found, lambda item: (item.started_at_ns, item.id), page)

    async def verification(self, verification_id: str) -> Verification | None:
        return self.verification_rows.get(verification_id)

    async def sls_reports(self, where: SlsReportFilter, page: PageRequest) -> Page[SlsReport]:
        found = [
            item for item in self.sls_rows.values()
            if (where.tenant is None or item.object_id.startswith(f"{where.tenant}/"))
            and _same(where.service_id, item.object_id)
            and _same(where.length_ns, item.end_ns - item.start_ns)
            and _holds(where.starts, item.start_ns) and _holds(where.ends, item.end_ns)
            and _holds(where.reckoned, item.reckoned_at_ns)
        ]  # fmt: skip
        return _page(found, lambda item: (item.end_ns, item.context.id), page)

    async def sls_report(self, report_id: str) -> SlsReport | None:
        return self.sls_rows.get(report_id)

    async def notices(self, page: PageRequest) -> Page[Notice]:
        return _page(self.notice_rows, lambda notice: (notice.at_ns, notice.id), page)

    async def loop(self) -> ControlLoop | None:
        return self.loop_state

    async def topology(self) -> TopologyView:
        return self.inventory

    async def explain(self, value_id: str) -> Explanation | None:
        decision = self.decision_rows.get(value_id)
        if decision is None:
            return None
        step = ExplainStep(decision.id, decision.incident_id, "decision", decision.at_ns, "acted")
        cause = ExplainStep(decision.incident_id, None, "incident", NOW_NS, "a cause")
        return Explanation(step, (cause,), ())

    async def events_after(self, event_id: int, limit: int) -> EventPage:
        latest = self.stream[-1].id if self.stream else -1
        if -1 < event_id < self.kept_from - 1:
            return EventPage((), latest, reset=True)
        part = [event for event in self.stream if event.id > event_id][:limit]
        return EventPage(tuple(part), latest)

    async def wait_for_news(self, event_id: int, timeout_seconds: float) -> None:
        if self.stream and self.stream[-1].id > event_id:
            return
        self.news.clear()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.news.wait()
        except TimeoutError:
            pass

    async def readiness(self) -> Readiness:
        if self.broken:
            raise StoreError(self.broken)
        return Readiness(self.checks)

    async def submit(self, command: Command) -> CommandResult:
        """Be the loop: apply what its state allows."""
        self.commands.append(command)
        now = self.now_ns
        states = {
            CommandKind.PAUSE: LoopRunState.PAUSED, CommandKind.RESUME: LoopRunState.RUNNING,
            CommandKind.KILL: LoopRunState.KILLED, CommandKind.RESET: LoopRunState.RUNNING,
        }  # fmt: skip
        if command.kind is CommandKind.RESET and command.subject_id:
            return CommandResult(command.id, command.subject_id in self.stuck, "", now)
        if command.kind in states:
            killed = self.loop_state and self.loop_state.run_state is LoopRunState.KILLED
            if killed and command.kind is not CommandKind.RESET:
                return CommandResult(command.id, False, "the kill switch is thrown", now)
            self.put(ControlLoop(
                states[command.kind], LifecyclePhase.OPERATION, now, command.actor, command.reason
            ))  # fmt: skip
        elif command.kind in {CommandKind.ACKNOWLEDGE_ALARM, CommandKind.UNACKNOWLEDGE_ALARM}:
            alarm = self.alarm_rows[command.subject_id]
            acknowledges = command.kind is CommandKind.ACKNOWLEDGE_ALARM
            to = AlarmState.ACKNOWLEDGED if acknowledges else AlarmState.UNACKNOWLEDGED
            if alarm.state in {to, AlarmState.CLEARED}:
                return CommandResult(command.id, False, f"the alarm is {alarm.state}", now)
            self.put(alarm.transition(to, now, command.actor))
        else:
            action = self.action_rows[command.subject_id]
            if action.state is not ActionState.PROPOSED:
                return CommandResult(command.id, False, f"the action is {action.state}", now)
            approves = command.kind is CommandKind.APPROVE_ACTION
            to_state = ActionState.INTENDED if approves else ActionState.CANCELLED
            self.put(action.transition(to_state, now, f"{command.kind} by {command.actor}"))
        return CommandResult(command.id, True, "", now)


def objectives(service_id: str) -> tuple[ObjectiveState, ...]:
    """Return the objectives of a service, not assessed yet."""
    return tuple(
        ObjectiveState(
            ServiceLevelObjective(
                kpi.name.removesuffix("_ratio"), ObjectKind.SERVICE, kpi.name, BOUNDS[kpi.name][0],
                BOUNDS[kpi.name][1], object_id=service_id, hysteresis=0.001,
                raise_after_ns=2 * SECOND,
            ),
            kpi,
            None,
        )
        for kpi in KPIS
    )  # fmt: skip


def assessed(
    service_id: str, item: ObjectiveState, end_ns: int, value: float | None, since_ns: int
) -> Assessment:
    """Return an assessment of a value against its objective."""
    objective = item.objective
    assert item.kpi is not None
    if value is None:
        observed = FulfilmentStatus.INDETERMINATE
    elif (value <= objective.bound) is (objective.comparator is Comparator.AT_MOST):
        observed = FulfilmentStatus.FULFILLED
    else:
        observed = FulfilmentStatus.NOT_FULFILLED
    return Assessment(
        Context(f"assessment-{service_id}-{objective.name}-{end_ns}"), service_id, objective.name,
        objective.kpi, end_ns, observed, since_ns, value, objective.bound, item.kpi.unit,
        FulfilmentStatus.FULFILLED, 0.82, None, value is None,
    )  # fmt: skip


def _curve(service_id: str, kpi: str, second: int) -> float:
    """Return a plausible value: acme suffers a hang of the firewall in seconds 60 to 84."""
    hurt = 60 <= second < 84
    wave = ((second * 7919) % 13) / 13
    if kpi == "frame_delay_p95":
        return (0.061 if hurt and service_id == ACME else 0.012) + 0.004 * wave
    if kpi == "frame_loss_ratio":
        return 0.31 + 0.05 * wave if hurt and service_id == ACME else 0.004 * wave
    return 0.985 if hurt and service_id == ACME else 1.0


def _resources(world: FakeAssurance) -> None:
    ids = [
        ACME, GLOBEX, "provider/vnf/cpe-acme", "provider/vnf/fw", "provider/vnf/rtr",
        "provider/vnfc/cpe-acme-0", FIREWALL, "provider/vnfc/fw-1", "provider/vnfc/rtr-0", HOST,
        "provider/host/host-2",
    ]  # fmt: skip
    objects: list[ManagedObject] = [managed_object(name) for name in ids]
    uses, part, runs = RelationKind.USES, RelationKind.PART_OF, RelationKind.RUNS_ON
    relations = [
        (ACME, uses, "provider/vnf/cpe-acme"), (ACME, uses, "provider/vnf/fw"),
        (ACME, uses, "provider/vnf/rtr"), (GLOBEX, uses, "provider/vnf/fw"),
        (GLOBEX, uses, "provider/vnf/rtr"),
        ("provider/vnfc/cpe-acme-0", part, "provider/vnf/cpe-acme"),
        (FIREWALL, part, "provider/vnf/fw"), ("provider/vnfc/fw-1", part, "provider/vnf/fw"),
        ("provider/vnfc/rtr-0", part, "provider/vnf/rtr"),
        ("provider/vnfc/cpe-acme-0", runs, HOST), (FIREWALL, runs, HOST),
        ("provider/vnfc/fw-1", runs, "provider/host/host-2"),
        ("provider/vnfc/rtr-0", runs, "provider/host/host-2"),
    ]  # fmt: skip
    world.inventory = TopologyView(
        tuple(objects),
        tuple(Relation(*row) for row in relations),
        (Alias(FIREWALL, "vim", "2f6d1d6a-server", 1),
         Alias(FIREWALL, "vnfm.vnfc", "old", 1, 2)),
    )  # fmt: skip


def _history(world: FakeAssurance, seconds: int) -> None:
    start = NOW_NS - seconds * SECOND
    offset = max(0, seconds - 150)
    for second in range(seconds):
        for service_id in (ACME, GLOBEX):
            for item in objectives(service_id):
                assert item.kpi is not None
                value = _curve(service_id, item.kpi.name, second - offset)
                end = start + (second + 1) * SECOND
                world.put(assessed(service_id, item, end, value, start))
    for service_id in (ACME, GLOBEX):
        for item in objectives(service_id):
            rows = world.measurement_rows.setdefault((service_id, item.objective.name), [])
            for minutes in (1, 15, 60):
                length = minutes * 60 * SECOND
                end = NOW_NS // length * length
                rows.append(Measurement(end - 3 * length, end - 2 * length, None, 60, 0, 0, True))
                value = _curve(service_id, item.objective.kpi, 70)
                rows.append(Measurement(end - 2 * length, end - length, value, 60, 60, 36, False))
                value = _curve(service_id, item.objective.kpi, 10)
                rows.append(Measurement(end - length, end, value, 60, 58, 58, False))


QUARTER = 900 * SECOND


def sls_report(service_id: str, end_ns: int) -> SlsReport:
    """Return the report of a quarter of an hour with 40 s of outage; nothing came back from the way back."""
    forward = Performance(
        900, 900, 860, 8_600.0, 43.0, 8_557, ((95.0, 0.0131),), 0.0102, 0.0061, 0.0008, 0.005,
        860 / 900, 4, 1,
    )  # fmt: skip
    backward = Performance(
        900, 0, 0, 0.0, 0.0, 0, ((95.0, None),), None, None, None, None, None, None, None
    )
    pairs = tuple(
        PairPerformance(f"direction={name}", (("direction", name),), found)
        for name, found in (("backward", backward), ("forward", forward))
    )
    return SlsReport(
        Context(f"sls-{service_id.partition('/')[0]}-{end_ns}"), service_id, end_ns - QUARTER, end_ns,
        end_ns + 16 * SECOND, SlsTerms(), True, worst([forward, backward]), pairs,
        (GroupAvailability("dual", 900, 0.9), GroupAvailability("unheard", 0, None)),
    )  # fmt: skip


def _reports(world: FakeAssurance) -> None:
    end = NOW_NS // QUARTER * QUARTER
    for service_id in (ACME, GLOBEX):
        for number in range(3):
            report = sls_report(service_id, end - number * QUARTER)
            world.sls_rows[report.context.id] = report


def _story(world: FakeAssurance) -> None:
    """Tell of the hang: alarm, incident, decision, action, verification; and of one that awaits a person."""
    at = NOW_NS - 90 * SECOND
    alarm = Alarm(
        Context("alarm-1"), "alarm-1", ACME, "frame_loss", "frame_loss",
        AlarmType.QUALITY_OF_SERVICE, "thresholdCrossed", PerceivedSeverity.MAJOR,
        AlarmState.UNACKNOWLEDGED, at, at + SECOND, at + SECOND, 0.31, 0.05, "ratio",
        "frame loss of acme-vpn is 31 %, the bound is 5 %", True,
    )  # fmt: skip
    world.put(alarm)
    world.put(replace(
        alarm, context=Context("alarm-2"), id="alarm-2", object_id=FIREWALL, objective="reachable",
        symptom="unreachable", service_affecting=False, text="fw-0 does not answer",
        alarm_type=AlarmType.PROCESSING_ERROR, probable_cause="softwareError",
        severity=PerceivedSeverity.CRITICAL, value=0.0, bound=1.0,
    ))  # fmt: skip
    cause = Cause(
        FIREWALL, "unreachable", 2.0, 0.86, at - 2 * SECOND, (ACME, GLOBEX),
        ("fw-0 has not answered 3 scrapes in a row, its host says that the process lives",
         "both services that cross fw lose 31 % of probes, no service without fw loses any"), 0.0, 1.0,
    )  # fmt: skip
    incident = Incident(
        Context("incident-1", "alarm-1"), "incident-1", IncidentState.OPEN, at, at + SECOND,
        (ACME, GLOBEX), ("alarm-1", "alarm-2"), (FIREWALL, ACME, GLOBEX), (cause,),
    )  # fmt: skip
    world.put(incident)
    decision = Decision(
        Context("decision-1", "incident-1"), "decision-1", "heal-unreachable-vnfc",
        "policies/rules/heal.yaml:14", "incident-1", at + 4 * SECOND, DecisionOutcome.ACT, 0,
        "the cause has not answered for 6 s and confidence is 0.86",
        (GuardResult("cooldown", True, "last heal of fw-0: never; cooldown 120 s"),
         GuardResult("budget", True, "0 of 6 actions in the last hour"),
         GuardResult("blast_radius", True, "1 of 2 vnfc would be out of service")),
        (("cause.symptom", "unreachable"), ("cause.confidence", "0.86"),
         ("services", "acme/service/acme-vpn, globex/service/globex-internet")), ("action-1",),
    )  # fmt: skip
    world.put(decision)
    action = Action(
        Context("action-1", "decision-1"), "action-1", "decision-1", "incident-1", ActionKind.HEAL,
        FIREWALL, "vnfm", ActionState.SUCCEEDED, at + 4 * SECOND, at + 7 * SECOND, 60 * SECOND,
        (("cause", "unreachable"),), (("vnfm", "vnf-7"),), 1,
        Operation("vnfm", "op-11", "COMPLETED", True, True), "healed in 2.6 s",
    )  # fmt: skip
    world.put(action)
    world.put(Verification(
        Context("verification-1", "action-1"), "verification-1", "action-1", "incident-1",
        "heal-unreachable-vnfc", "services.all(s, s.observed == 'FULFILLED')", at + 7 * SECOND,
        at + 37 * SECOND, Verdict.EFFECTIVE, at + 24 * SECOND,
        (("acme-vpn frame_loss", "0.31"), ("acme-vpn frame_delay", "0.063 s")),
        (("acme-vpn frame_loss", "0.00"), ("acme-vpn frame_delay", "0.014 s")),
        "held for 5 s within 17 s of the operation's end",
    ))  # fmt: skip
    world.put(replace(
        incident, state=IncidentState.RESOLVED, changed_at_ns=at + 24 * SECOND,
        resolved_at_ns=at + 24 * SECOND,
    ))  # fmt: skip
    second = replace(
        incident, context=Context("incident-2"), id="incident-2", opened_at_ns=NOW_NS - 20 * SECOND,
        changed_at_ns=NOW_NS - 19 * SECOND, services=(GLOBEX,), alarm_ids=(),
        troubled=(HOST, GLOBEX),
        causes=(replace(cause, object_id=HOST, symptom="pressure", explains=(GLOBEX,),
                        evidence=("pressure stall of host-1 is 0.71, the bound is 0.30",),
                        value=0.71, bound=0.3, confidence=0.64),),
    )  # fmt: skip
    world.put(second)
    world.put(replace(
        decision, context=Context("decision-2"), id="decision-2", policy="migrate-from-noisy-host",
        policy_location="policies/rules/migrate.yaml:9", incident_id="incident-2",
        at_ns=NOW_NS - 15 * SECOND, outcome=DecisionOutcome.AWAIT_APPROVAL, rung=1,
        reason="the rule asks for a person's approval",
        guards=(GuardResult("approval", False, "nobody has approved yet"),
                GuardResult("cooldown", True, "last migrate: 900 s ago; cooldown 300 s")),
        evidence=(("cause.value", "0.71"), ("cause.bound", "0.30")), action_ids=("action-2",),
    ))  # fmt: skip
    world.put(replace(
        action, context=Context("action-2"), id="action-2", decision_id="decision-2",
        incident_id="incident-2", kind=ActionKind.MIGRATE, state=ActionState.PROPOSED,
        created_at_ns=NOW_NS - 15 * SECOND, changed_at_ns=NOW_NS - 15 * SECOND, operation=None,
        actuator="vim", detail="",
    ))  # fmt: skip
    world.put(Notice("notice-1", NOW_NS - 40 * SECOND, "prometheus/host", "2 samples were refused"))


@pytest.fixture
def empty_world() -> FakeAssurance:
    """A fake loop that has not seen anything yet."""
    return FakeAssurance()


@pytest.fixture
def build_world() -> Callable[[int], FakeAssurance]:
    """Build a fake loop with two services, so many seconds of history, and two incidents."""

    def build(seconds: int) -> FakeAssurance:
        world = FakeAssurance()
        for service_id, tenant in ((ACME, "acme"), (GLOBEX, "globex")):
            service = Service(
                service_id, tenant, service_id.rpartition("/")[2], ("provider/vnf/fw",)
            )
            world.states[service_id] = ServiceState(service, objectives(service_id))
        world.put(
            ControlLoop(LoopRunState.RUNNING, LifecyclePhase.OPERATION, NOW_NS, "trimtab", "")
        )
        _resources(world)
        _history(world, seconds)
        _story(world)
        _reports(world)
        return world

    return build


@pytest.fixture
def world(build_world: Callable[[int], FakeAssurance]) -> FakeAssurance:
    """A fake loop with a minute's history."""
    return build_world(30)


@pytest.fixture
def assess() -> Callable[[FakeAssurance, str, str, float | None], None]:
    """Have the fake loop assess a value, a second after the last one."""

    def put(world: FakeAssurance, service_id: str, objective: str, value: float | None) -> None:
        last = world.assessment_rows[service_id, objective][-1].end_ns
        item = next(o for o in objectives(service_id) if o.objective.name == objective)
        world.put(assessed(service_id, item, last + SECOND, value, last))

    return put


@pytest.fixture(scope="session")
def tokens() -> dict[str, str]:
    """Return every kind of credential by name."""
    names = ("noc", "viewer", "acme", "globex", "scraper", "pusher", "callback")
    return {name: f"{name}-token-of-the-tests" for name in names}


@pytest.fixture(scope="session")
def settings(tokens: dict[str, str]) -> ApiSettings:
    """Return settings that know those credentials."""
    rights: dict[str, tuple[set[Scope], str | None]] = {
        "noc": ({Scope.READ, Scope.OPERATE, Scope.METRICS}, None),
        "viewer": ({Scope.READ}, None),
        "acme": ({Scope.READ, Scope.OPERATE}, "acme"),
        "globex": ({Scope.READ}, "globex"),
        "scraper": ({Scope.METRICS}, None),
        "pusher": ({Scope.INGEST}, None),
        "callback": ({Scope.CALLBACK}, None),
    }
    return ApiSettings(
        tokens=tuple(
            TokenSettings(
                name=name, sha256=hashlib.sha256(tokens[name].encode()).hexdigest(),
                scopes=frozenset(scopes), tenant=tenant,
            )
            for name, (scopes, tenant) in rights.items()
        ),
        heartbeat_seconds=0.2,
        subscribers_max=20,
    )  # fmt: skip


async def _mounted(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _build(world: Any, settings: ApiSettings) -> FastAPI:
    registry = CollectorRegistry()
    Counter("trimtab_steps", "Steps of the loop", registry=registry).inc(3)
    mounts = {
        "/api/v1/write": Mount(_mounted, Scope.INGEST),
        "/callbacks/sol003": Mount(_mounted, Scope.CALLBACK),
    }

    async def submit(command: Command) -> CommandResult:
        result: CommandResult = await world.submit(command)
        return result

    return create_app(
        world, submit, settings, registry, mounts, now_ns=lambda: cast(int, world.now_ns)
    )


@pytest.fixture
def make_app(settings: ApiSettings) -> Callable[..., FastAPI]:
    """Build the application around a fake loop, with changes to its settings."""
    return lambda world, **changes: _build(world, settings.model_copy(update=changes))


class _Stage:
    """Stands for whichever fake loop is on now: building an application for each test would take longer."""

    def __init__(self) -> None:
        self.world = FakeAssurance()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)


@pytest.fixture(scope="session")
def staged(settings: ApiSettings) -> tuple[_Stage, FastAPI]:
    """Build one application for many tests."""
    stage = _Stage()
    return stage, _build(stage, settings)


Client = Callable[[str], httpx2.AsyncClient]


@pytest.fixture
async def client_of(
    staged: tuple[_Stage, FastAPI], world: FakeAssurance, tokens: dict[str, str]
) -> AsyncIterator[Client]:
    """Return a client of the application for a credential's name; an empty name has none."""
    stage, app = staged
    stage.world = world
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    opened: list[httpx2.AsyncClient] = []

    def make(name: str) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {tokens[name]}"} if name else {}
        client = httpx2.AsyncClient(
            transport=transport, base_url="http://trimtab.test", headers=headers
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.aclose()
