"""What the API needs of the rest: questions it may ask, and one way to give orders."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from trimtab.domain.action import Action
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment
from trimtab.domain.command import Command, CommandResult
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident
from trimtab.domain.input import Notice
from trimtab.domain.kpi import Kpi
from trimtab.domain.sls import SlsReport
from trimtab.domain.verification import Verification
from trimtab.store.questions import (
    ActionFilter,
    AlarmFilter,
    DecisionFilter,
    EventPage,
    Explanation,
    IncidentFilter,
    Measurement,
    Page,
    PageRequest,
    ServiceState,
    SlsReportFilter,
    Span,
    TopologyView,
    VerificationFilter,
)


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

    async def sls_reports(self, where: SlsReportFilter, page: PageRequest) -> Page[SlsReport]:
        """Return service level reports by the end of their period."""

    async def sls_report(self, report_id: str) -> SlsReport | None:
        """Return one service level report."""

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
