"""What can be asked of the read model, and how it answers: filters, pages, and views that no domain value holds."""

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from trimtab.domain.action import Action, ActionState
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.assessment import Assessment
from trimtab.domain.command import Command, CommandResult
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision, DecisionOutcome
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.input import Notice
from trimtab.domain.kpi import KpiDefinition
from trimtab.domain.managed_object import Alias, ManagedObject, Relation
from trimtab.domain.service import Service, ServiceLevelObjective
from trimtab.domain.sls import SlsReport
from trimtab.domain.verification import Verdict, Verification

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Position:
    """Where an item stands in its list: by (at_ns, id), which never changes for an item."""

    at_ns: int
    id: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Ask for part of a list: newest first after `position`, or (`oldest_first`) from `offset` on."""

    limit: int
    position: Position | None = None
    offset: int = 0
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list; `total` counts all that match, `next` is set when more follow."""

    items: tuple[T, ...]
    total: int
    next: Position | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Bounds of a time, both exclusive, ns UTC."""

    after_ns: int | None = None
    before_ns: int | None = None


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
    """Choose actions; `open_only` those that are not over."""

    incident_id: str | None = None
    decision_id: str | None = None
    state: ActionState | None = None
    open_only: bool = False


@dataclass(frozen=True, slots=True)
class VerificationFilter:
    """Choose verifications."""

    incident_id: str | None = None
    action_id: str | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class SlsReportFilter:
    """Choose service level reports; `length_ns` is that of the period, `starts` and `ends` bound its borders."""

    tenant: str | None = None
    service_id: str | None = None
    length_ns: int | None = None
    starts: Span = ANY_TIME
    ends: Span = ANY_TIME
    reckoned: Span = ANY_TIME


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
class AssessmentPoint:
    """Assessments of one stretch of a chart, ending at `end_ns`: the worst state, and the values' range and mean."""

    end_ns: int
    observed: str
    value_mean: float | None
    value_min: float | None
    value_max: float | None
    bound: float
    windows: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One granularity period of one objective of one service.

    `value` is the worst window value of the period (for ratios the mean), None when no window had one. `windows`
    counts the windows assessed, `known` those with a value, `met` those FULFILLED.
    """

    start_ns: int
    end_ns: int
    value: float | None
    windows: int
    known: int
    met: int
    suspect: bool
    value_min: float | None = None
    value_max: float | None = None
    value_mean: float | None = None
    missed: int = 0


@dataclass(frozen=True, slots=True)
class CommandState:
    """A command and its answer, None while there is none."""

    command: Command
    result: CommandResult | None


@dataclass(frozen=True, slots=True)
class TopologyView:
    """The present inventory."""

    objects: tuple[ManagedObject, ...]
    relations: tuple[Relation, ...]
    aliases: tuple[Alias, ...]


Streamed: TypeAlias = (
    Assessment
    | Alarm
    | Incident
    | Decision
    | Action
    | Verification
    | ControlLoop
    | Notice
    | SlsReport
)


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One output of the loop; `id` is the number it was taken in under, which only grows."""

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
