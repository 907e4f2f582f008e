"""`Assurance` over the read model: its blocking calls in a few threads of their own, bounded in time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from api.ports import Readiness
from trimtab.domain.action import Action
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident
from trimtab.domain.input import Notice
from trimtab.domain.kpi import Kpi
from trimtab.domain.sls import SlsReport
from trimtab.domain.verification import Verification
from trimtab.errors import StoreError
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
from trimtab.store.read_model import ReadModel

THREADS = 2
QUESTION_SECONDS_MAX = 10.0
LOOK_SECONDS = 0.1

P = ParamSpec("P")
T = TypeVar("T")


class ReadModelAssurance:
    """Answers the API's questions. `readiness` is asked on the event loop and must not block."""

    def __init__(self, model: ReadModel, readiness: Callable[[], Readiness]) -> None:
        self._model = model
        self._readiness = readiness
        self._threads = ThreadPoolExecutor(THREADS, "trimtab-api")

    def close(self) -> None:
        """Let go of the threads; questions under way end."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raise StoreError when the answer takes too long."""
        work = partial(question, *args, **kwargs)
        try:
            async with asyncio.timeout(QUESTION_SECONDS_MAX):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError as error:
            raise StoreError("the read model did not answer in time") from error

    async def services(self) -> Sequence[ServiceState]:
        """Return every service, ordered by id."""
        return await self._ask(self._model.services)

    async def service(self, service_id: str) -> ServiceState | None:
        """Return one service."""
        return await self._ask(self._model.service, service_id)

    async def assessments(
        self, object_id: str, objective: str, span: Span, limit: int
    ) -> Sequence[Assessment]:
        """Return the newest assessments, oldest first."""
        return await self._ask(self._model.assessments, object_id, objective, span, limit)

    async def kpis(self, object_id: str, name: str, span: Span, limit: int) -> Sequence[Kpi]:
        """Return the newest values of a KPI, oldest first."""
        return await self._ask(self._model.kpis, object_id, name, span, limit)

    async def measurements(
        self, service_id: str, objective: str, granularity_ns: int, span: Span, limit: int
    ) -> Sequence[Measurement]:
        """Return the newest granularity periods, oldest first."""
        return await self._ask(
            self._model.measurements, service_id, objective, granularity_ns, span, limit
        )

    async def alarms(self, where: AlarmFilter, page: PageRequest) -> Page[Alarm]:
        """Return alarms by when they were raised."""
        return await self._ask(self._model.alarms, where, page)

    async def alarm(self, alarm_id: str) -> Alarm | None:
        """Return one alarm."""
        return await self._ask(self._model.alarm, alarm_id)

    async def incidents(self, where: IncidentFilter, page: PageRequest) -> Page[Incident]:
        """Return incidents by when they were opened."""
        return await self._ask(self._model.incidents, where, page)

    async def incident(self, incident_id: str) -> Incident | None:
        """Return one incident."""
        return await self._ask(self._model.incident, incident_id)

    async def decisions(self, where: DecisionFilter, page: PageRequest) -> Page[Decision]:
        """Return decisions by when they were taken."""
        return await self._ask(self._model.decisions, where, page)

    async def decision(self, decision_id: str) -> Decision | None:
        """Return one decision."""
        return await self._ask(self._model.decision, decision_id)

    async def actions(self, where: ActionFilter, page: PageRequest) -> Page[Action]:
        """Return actions by when they were created."""
        return await self._ask(self._model.actions, where, page)

    async def action(self, action_id: str) -> Action | None:
        """Return one action."""
        return await self._ask(self._model.action, action_id)

    async def verifications(
        self, where: VerificationFilter, page: PageRequest
    ) -> Page[Verification]:
        """Return verifications by when they started."""
        return await self._ask(self._model.verifications, where, page)

    async def verification(self, verification_id: str) -> Verification | None:
        """Return one verification."""
        return await self._ask(self._model.verification, verification_id)

    async def sls_reports(self, where: SlsReportFilter, page: PageRequest) -> Page[SlsReport]:
        """Return service level reports by the end of their period."""
        return await self._ask(self._model.sls_reports, where, page)

    async def sls_report(self, report_id: str) -> SlsReport | None:
        """Return one service level report."""
        return await self._ask(self._model.sls_report, report_id)

    async def notices(self, page: PageRequest) -> Page[Notice]:
        """Return notices by time."""
        return await self._ask(self._model.notices, page)

    async def loop(self) -> ControlLoop | None:
        """Return the control loop's state."""
        return await self._ask(self._model.loop)

    async def topology(self) -> TopologyView:
        """Return the present inventory."""
        return await self._ask(self._model.topology)

    async def explain(self, value_id: str) -> Explanation | None:
        """Return the walk from a value to its causes and effects."""
        return await self._ask(self._model.explain, value_id)

    async def events_after(self, event_id: int, limit: int) -> EventPage:
        """Return what came after an event, in order."""
        return await self._ask(self._model.events_after, event_id, limit)

    async def wait_for_news(self, event_id: int, timeout_seconds: float) -> None:
        """Return once there is an event after `event_id`, or after the timeout.

        The model's position moves with every frame, most of which are no events: so each move is looked at.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        looked_at = None
        while asyncio.get_running_loop().time() < deadline:
            position = self._model.position()
            if position != looked_at:
                looked_at = position
                page = await self.events_after(event_id, 1)
                if page.events or page.reset:
                    return
            await asyncio.sleep(LOOK_SECONDS)

    async def readiness(self) -> Readiness:
        """Return whether the loop can do its work now."""
        return self._readiness()
