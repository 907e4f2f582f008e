"""The resources of `/api/v1`, as pydantic models: times are RFC 3339 in UTC, durations seconds, absent is null."""

from api.breach_view import BreachView
from api.view import Time, View, time_or_none
from trimtab.domain.action import Action
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Cause, Incident
from trimtab.domain.input import Notice
from trimtab.domain.service import ServiceLevelObjective
from trimtab.domain.time import rfc3339, seconds_from_ns
from trimtab.domain.verification import Verification
from trimtab.store.questions import ServiceState


class AssessmentView(View):
    """Whether an objective is met (TS 28.536): `observed` now, `compliance` over the SLS interval so far."""

    id: str
    object_id: str
    objective: str
    kpi: str
    end: Time
    observed: str
    since: Time
    value: float | None
    bound: float
    unit: str
    compliance: str
    budget_left_ratio: float | None
    predicted: str | None
    predicted_reason: str | None
    predicted_breach: BreachView | None
    suspect: bool

    @classmethod
    def of(cls, item: Assessment) -> "AssessmentView":
        """Build from the domain's value."""
        return cls(
            id=item.context.id,
            object_id=item.object_id,
            objective=item.objective,
            kpi=item.kpi,
            end=rfc3339(item.end_ns),
            observed=item.observed,
            since=rfc3339(item.since_ns),
            value=item.value,
            bound=item.bound,
            unit=item.unit,
            compliance=item.compliance,
            budget_left_ratio=item.budget_left_ratio,
            predicted=item.predicted,
            predicted_reason=item.foreseen.reason if item.foreseen else None,
            predicted_breach=BreachView.of(item),
            suspect=item.suspect,
        )


class ObjectiveView(View):
    """One promise: a KPI and its bound."""

    name: str
    kpi: str
    comparator: str
    bound: float
    hysteresis: float
    target_ratio: float
    severity: str
    assessment: AssessmentView | None

    @classmethod
    def of(cls, item: ServiceLevelObjective, latest: Assessment | None) -> "ObjectiveView":
        """Build from the domain's value and its latest assessment."""
        return cls(
            name=item.name,
            kpi=item.kpi,
            comparator=item.comparator,
            bound=item.bound,
            hysteresis=item.hysteresis,
            target_ratio=item.target_ratio,
            severity=item.severity,
            assessment=AssessmentView.of(latest) if latest else None,
        )


class ServiceView(View):
    """A service and how it stands; `status` is the worst `observed` of its objectives."""

    id: str
    tenant: str
    name: str
    status: str
    operating_status: str
    interval_seconds: float
    labels: dict[str, str]
    objectives: list[ObjectiveView]

    @classmethod
    def of(cls, state: ServiceState, status: str, operating_status: str) -> "ServiceView":
        """Build from the domain's value and what follows from its assessments."""
        return cls(
            id=state.service.id,
            tenant=state.service.tenant,
            name=state.service.name,
            status=status,
            operating_status=operating_status,
            interval_seconds=seconds_from_ns(state.service.interval_ns),
            labels=dict(state.service.labels),
            objectives=[ObjectiveView.of(o.objective, o.assessment) for o in state.objectives],
        )


class AlarmView(View):
    """An alarm (TS 28.111, X.733): open until cleared, acknowledged or not."""

    id: str
    object_id: str
    objective: str
    symptom: str
    alarm_type: str
    probable_cause: str
    severity: str
    state: str
    raised_at: Time
    reported_at: Time
    changed_at: Time
    cleared_at: Time | None
    acknowledged_by: str | None
    value: float | None
    bound: float
    unit: str
    text: str
    service_affecting: bool

    @classmethod
    def of(cls, item: Alarm) -> "AlarmView":
        """Build from the domain's value."""
        return cls(
            id=item.id,
            object_id=item.object_id,
            objective=item.objective,
            symptom=item.symptom,
            alarm_type=item.alarm_type,
            probable_cause=item.probable_cause,
            severity=item.severity,
            state=item.state,
            raised_at=rfc3339(item.raised_at_ns),
            reported_at=rfc3339(item.reported_at_ns),
            changed_at=rfc3339(item.changed_at_ns),
            cleared_at=time_or_none(item.cleared_at_ns),
            acknowledged_by=item.acknowledged_by,
            value=item.value,
            bound=item.bound,
            unit=item.unit,
            text=item.text,
            service_affecting=item.service_affecting,
        )


class CauseView(View):
    """A managed object that explains trouble, with what speaks for it."""

    object_id: str
    symptom: str
    score: float
    confidence: float
    since: Time
    explains: list[str]
    evidence: list[str]
    value: float | None
    bound: float | None

    @classmethod
    def of(cls, item: Cause) -> "CauseView":
        """Build from the domain's value."""
        return cls(
            object_id=item.object_id,
            symptom=item.symptom,
            score=item.score,
            confidence=item.confidence,
            since=rfc3339(item.since_ns),
            explains=list(item.explains),
            evidence=list(item.evidence),
            value=item.value,
            bound=item.bound,
        )


class IncidentView(View):
    """Alarms and troubles that belong together, and their ranked causes."""

    id: str
    state: str
    opened_at: Time
    changed_at: Time
    resolved_at: Time | None
    services: list[str]
    alarm_ids: list[str]
    troubled: list[str]
    causes: list[CauseView]
    unknown: list[str]

    @classmethod
    def of(cls, item: Incident) -> "IncidentView":
        """Build from the domain's value."""
        return cls(
            id=item.id,
            state=item.state,
            opened_at=rfc3339(item.opened_at_ns),
            changed_at=rfc3339(item.changed_at_ns),
            resolved_at=time_or_none(item.resolved_at_ns),
            services=list(item.services),
            alarm_ids=list(item.alarm_ids),
            troubled=list(item.troubled),
            causes=[CauseView.of(cause) for cause in item.causes],
            unknown=list(item.unknown),
        )


class GuardView(View):
    """A guard's verdict, with the numbers that it compared."""

    guard: str
    passed: bool
    detail: str


class DecisionView(View):
    """What a policy chose, refusals included; `evidence` is what the policy's expressions read."""

    id: str
    policy: str
    policy_location: str
    incident_id: str
    at: Time
    outcome: str
    rung: int
    reason: str
    guards: list[GuardView]
    evidence: dict[str, str]
    action_ids: list[str]

    @classmethod
    def of(cls, item: Decision) -> "DecisionView":
        """Build from the domain's value."""
        return cls(
            id=item.id,
            policy=item.policy,
            policy_location=item.policy_location,
            incident_id=item.incident_id,
            at=rfc3339(item.at_ns),
            outcome=item.outcome,
            rung=item.rung,
            reason=item.reason,
            guards=[
                GuardView(guard=g.guard, passed=g.passed, detail=g.detail) for g in item.guards
            ],
            evidence=dict(item.evidence),
            action_ids=list(item.action_ids),
        )


class OperationView(View):
    """The remote operation that an action started."""

    actuator: str
    reference: str
    state: str
    done: bool
    succeeded: bool
    detail: str


class ActionView(View):
    """An intended change to one object, and how far it got."""

    id: str
    decision_id: str
    incident_id: str
    kind: str
    target_id: str
    actuator: str
    state: str
    created_at: Time
    changed_at: Time
    parameters: dict[str, str]
    native_ids: dict[str, str]
    attempt: int
    operation: OperationView | None
    detail: str

    @classmethod
    def of(cls, item: Action) -> "ActionView":
        """Build from the domain's value."""
        done = item.operation
        return cls(
            id=item.id,
            decision_id=item.decision_id,
            incident_id=item.incident_id,
            kind=item.kind,
            target_id=item.target_id,
            actuator=item.actuator,
            state=item.state,
            created_at=rfc3339(item.created_at_ns),
            changed_at=rfc3339(item.changed_at_ns),
            parameters=dict(item.parameters),
            native_ids=dict(item.native_ids),
            attempt=item.attempt,
            operation=None if done is None else OperationView(
                actuator=done.actuator, reference=done.reference, state=done.state,
                done=done.done, succeeded=done.succeeded, detail=done.detail,
            ),
            detail=item.detail,
        )  # fmt: skip


class VerificationView(View):
    """Whether an action helped; `verdict` is null while that is being watched."""

    id: str
    action_id: str
    incident_id: str
    policy: str
    expect: str
    started_at: Time
    due_at: Time
    ended_at: Time | None
    verdict: str | None
    before: dict[str, str]
    after: dict[str, str]
    reason: str

    @classmethod
    def of(cls, item: Verification) -> "VerificationView":
        """Build from the domain's value."""
        return cls(
            id=item.id,
            action_id=item.action_id,
            incident_id=item.incident_id,
            policy=item.policy,
            expect=item.expect,
            started_at=rfc3339(item.started_at_ns),
            due_at=rfc3339(item.due_at_ns),
            ended_at=time_or_none(item.ended_at_ns),
            verdict=item.verdict,
            before=dict(item.before),
            after=dict(item.after),
            reason=item.reason,
        )


class NoticeView(View):
    """What the loop tells the NOC about itself."""

    id: str
    at: Time
    subject: str
    text: str

    @classmethod
    def of(cls, item: Notice) -> "NoticeView":
        """Build from the domain's value."""
        return cls(id=item.id, at=rfc3339(item.at_ns), subject=item.subject, text=item.text)


class LoopView(View):
    """The control loop (TS 28.567): whether it may act, and what holds it back."""

    run_state: str
    phase: str
    changed_at: Time
    changed_by: str
    reason: str

    @classmethod
    def of(cls, item: ControlLoop) -> "LoopView":
        """Build from the domain's value."""
        return cls(
            run_state=item.run_state,
            phase=item.phase,
            changed_at=rfc3339(item.changed_at_ns),
            changed_by=item.changed_by,
            reason=item.reason,
        )
