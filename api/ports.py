"""What the API needs of the rest: questions it may ask, and one way to give orders. Protocols and their values only."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from trimtab.domain.action import Action, ActionState
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.assessment import Assessment
from trimtab.domain.command import Command, CommandResult
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision, DecisionOutcome
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.input import Notice
from trimtab.domain.kpi import Kpi, KpiDefinition
from trimtab.domain.managed_object import Alias, ManagedObject, Relation
from trimtab.domain.service import Service, ServiceLevelObjective
from trimtab.domain.verification import Verdict, Verification

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Position:
    """Where an item stands in its list: lists are ordered by (at_ns, id), which never changes for an item."""

    at_ns: int
    id: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Ask for part of a list: newest first after `position`, or (`oldest_first`) by `offset` for MEF and TMF."""

    limit: int
    position: Position | None = None
    offset: int = 0
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list; `total` counts all that match, `next` is set when there is more."""

    items: tuple[T, ...]
    total: int
    next: Position | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Bounds of a time, both exclusive (MEF's `.gt` and `.lt`), ns UTC."""

    after_ns: int | None = None
    before_ns: int | None = None

    def holds(self, at_ns: int | None) -> bool:
        """Return whether a time lies within; an absent time only lies within no bounds at all."""
        if at_ns is None:
            return self.after_ns is None and self.before_ns is None
        return (self.after_ns is None or at_ns > self.after_ns) and (
            self.before_ns is None or at_ns < self.before_ns
        )


ANY_TIME = Span()


@dataclass(frozen=True, slots=True)
class AlarmFilter:
    """Choose alarms; None chooses all. `tenant` limits to alarms of that tenant's own services."""

    tenant: str | None = None
    id: str | None = None
    object_id: str | None = None
    objective: str | None = None
    state: AlarmState | None = None
    open_only: bool = False
    severity: PerceivedSeverity | None = None
    alarm_type: AlarmType | None = None
    service_affecting: bool | None = None
    changed: Span = ANY_TIME
    cleared: Span = ANY_TIME
    reported: Span = ANY_TIME


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """Choose incidents; `tenant` limits to those that touch a service of that tenant."""

    tenant: str | None = None
    state: IncidentState | None = None
    service_id: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Choose decisions."""

    incident_id: str | None = None
    policy: str | None = None
    outcome: DecisionOutcome | None = None


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """Choose actions."""

    incident_id: str | None = None
    decision_id: str | None = None
    state: ActionState | None = None


@dataclass(frozen=True, slots=True)
class VerificationFilter:
    """Choose verifications."""

    incident_id: str | None = None
    action_id: str | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class ObjectiveState:
    """One objective of a service, how its KPI is made, and its latest assessment (None before the first)."""

    objective: ServiceLevelObjective
    kpi: KpiDefinition | None
    assessment: Assessment | None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service with its objectives as they stand."""

    service: Service
    objectives: tuple[ObjectiveState, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One granularity period of one objective of one service.

    `value` is the worst window value of the period (the mean for loss and availability), None when no window
    had one. `windows` counts the windows assessed, `known` those with a value, `met` those FULFILLED.
    """

    start_ns: int
    end_ns: int
    value: float | None
    windows: int
    known: int
    met: int
    suspect: bool


@dataclass(frozen=True, slots=True)
class TopologyView:
    """The present inventory."""

    objects: tuple[ManagedObject, ...]
    relations: tuple[Relation, ...]
    aliases: tuple[Alias, ...]


Streamed: TypeAlias = (
    Assessment | Alarm | Incident | Decision | Action | Verification | ControlLoop | Notice
)


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One output of the loop; `id` is its sequence number in the journal, which only grows."""

    id: int
    value: Streamed


@dataclass(frozen=True, slots=True)
class EventPage:
    """What came after a position; `reset` says that the position is older than what is kept."""

    events: tuple[StreamEvent, ...]
    latest_id: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class ExplainStep:
    """One link of the walk from a value to what caused it, or to what was done about it."""

    id: str
    parent_id: str | None
    kind: str
    at_ns: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The walk both ways: `causes` from the value up to its first cause, `effects` what followed, in time order."""

    subject: ExplainStep
    causes: tuple[ExplainStep, ...]
    effects: tuple[ExplainStep, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One reason why the process is ready, or is not."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the loop can do its work now: it is ready when every check is ok."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Return whether every check is ok."""
        return all(check.ok for check in self.checks)


class Assurance(Protocol):
    """Answers what the loop knows. Every call may raise StoreError; none blocks the event loop."""

    async def services(self) -> Sequence[ServiceState]:
        """Return every service, ordered by id."""
        ...

    async def service(self, service_id: str) -> ServiceState | None:
        """Return one service."""
        ...

    async def assessments(
        self, object_id: str, objective: str, span: Span, limit: int
    ) -> Sequence[Assessment]:
        """Return the newest `limit` assessments whose window ends within the span, oldest first."""
        ...

    async def kpis(self, object_id: str, name: str, span: Span, limit: int) -> Sequence[Kpi]:
        """Return the newest `limit` values of a KPI within the span, oldest first."""
        ...

    async def measurements(
        self, service_id: str, objective: str, granularity_ns: int, span: Span, limit: int
    ) -> Sequence[Measurement]:
        """Return the newest `limit` granularity periods (aligned to UTC) within the span, oldest first."""
        ...

    async def alarms(self, where: AlarmFilter, page: PageRequest) -> Page[Alarm]:
        """Return alarms by when they were raised."""
        ...

    async def alarm(self, alarm_id: str) -> Alarm | None:
        """Return one alarm."""
        ...

    async def incidents(self, where: IncidentFilter, page: PageRequest) -> Page[Incident]:
        """Return incidents by when they were opened."""
        ...

    async def incident(self, incident_id: str) -> Incident | None:
        """Return one incident."""
        ...

    async def decisions(self, where: DecisionFilter, page: PageRequest) -> Page[Decision]:
        """Return decisions by when they were taken."""
        ...

    async def decision(self, decision_id: str) -> Decision | None:
        """Return one decision."""
        ...

    async def actions(self, where: ActionFilter, page: PageRequest) -> Page[Action]:
        """Return actions by when they were created."""
        ...

    async def action(self, action_id: str) -> Action | None:
        """Return one action."""
        ...

    async def verifications(
        self, where: VerificationFilter, page: PageRequest
    ) -> Page[Verification]:
        """Return verifications by when they started."""
        ...

    async def verification(self, verification_id: str) -> Verification | None:
        """Return one verification."""
        ...

    async def notices(self, page: PageRequest) -> Page[Notice]:
        """Return notices by time."""
        ...

    async def loop(self) -> ControlLoop | None:
        """Return the control loop's state, None before its first step."""
        ...

    async def topology(self) -> TopologyView:
        """Return the present inventory."""
        ...

    async def explain(self, value_id: str) -> Explanation | None:
        """Return the walk from a value to its causes and effects."""
        ...

    async def events_after(self, event_id: int, limit: int) -> EventPage:
        """Return what came after an event, in order; `event_id` -1 asks from the oldest kept."""
        ...

    async def wait_for_news(self, event_id: int, timeout_seconds: float) -> None:
        """Return once there is an event after `event_id`, or after the timeout."""
        ...

    async def readiness(self) -> Readiness:
        """Return whether the loop can do its work now, with reasons."""
        ...


Submit: TypeAlias = Callable[[Command], Awaitable[CommandResult]]
