"""Services, their assessments and their history."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.context import Caller, Source
from api.instants import Instant, instant
from api.ports import Assurance
from api.problem import ApiError, FieldProblem, not_found
from api.responses import READS
from api.scopes import Principal
from api.standing import standing_of
from api.view import ListView, Time, View
from api.views import AssessmentView, ServiceView
from trimtab.domain.time import NS_PER_SECOND, rfc3339
from trimtab.store.questions import ServiceState, Span

POINTS_MAX = 5_000
POINTS_DEFAULT = 600
MEASUREMENTS_MAX = 1_000
GRANULARITY_SECONDS = (60, 900, 3_600)

router = APIRouter(prefix="/api/v1/services", tags=["services"], responses=READS)


class KpiPoint(View):
    """A KPI's value for the window that ends at `end`; null where nothing was measured."""

    end: Time
    value: float | None
    suspect: bool


class HistoryView(View):
    """The values of an objective's KPI, oldest first."""

    service_id: str
    objective: str
    kpi: str
    unit: str
    points: list[KpiPoint]


class MeasurementView(View):
    """A granularity period; `value` is null when nothing was measured in it."""

    start: Time
    end: Time
    value: float | None
    windows: int
    known: int
    met: int
    suspect: bool


class MeasurementsView(View):
    """An objective's granularity periods, oldest first."""

    service_id: str
    objective: str
    granularity_seconds: int
    measurements: list[MeasurementView]


def span_of(
    since: Annotated[Instant | None, Query(description="RFC 3339; exclusive")] = None,
    until: Annotated[Instant | None, Query(description="RFC 3339; exclusive")] = None,
) -> Span:
    """Read the bounds of a history."""
    return Span(instant("since", since), instant("until", until))


Within = Annotated[Span, Depends(span_of)]
Points = Annotated[int, Query(ge=1, le=POINTS_MAX)]


async def own_service(source: Assurance, principal: Principal, service_id: str) -> ServiceState:
    """Return a service of the caller's. Raises ApiError 404 when it is not there or not theirs."""
    state = await source.service(service_id) if principal.owns(service_id) else None
    if state is None:
        raise not_found(f"service {service_id}")
    return state


def view_of(state: ServiceState) -> ServiceView:
    """Return a service as a resource."""
    standing = standing_of(state)
    return ServiceView.of(state, standing.status, standing.operating_status)


@router.get("")
async def list_services(source: Source, principal: Caller) -> ListView[ServiceView]:
    """Return the caller's services, ordered by id; their number is bounded by the configuration."""
    own = [view_of(s) for s in await source.services() if principal.owns(s.service.id)]
    return ListView(items=own, total=len(own))


@router.get("/{service_id:path}/assessments")
async def list_assessments(
    service_id: str,
    source: Source,
    principal: Caller,
    within: Within,
    objective: Annotated[str, Query(min_length=1, max_length=128)],
    limit: Points = POINTS_DEFAULT,
) -> ListView[AssessmentView]:
    """Return the newest assessments of one objective, oldest first."""
    await own_service(source, principal, service_id)
    found = await source.assessments(service_id, objective, within, limit)
    return ListView(items=[AssessmentView.of(item) for item in found], total=len(found))


@router.get("/{service_id:path}/history")
async def history(
    service_id: str,
    source: Source,
    principal: Caller,
    within: Within,
    objective: Annotated[str, Query(min_length=1, max_length=128)],
    limit: Points = POINTS_DEFAULT,
) -> HistoryView:
    """Return the newest KPI values behind an objective, oldest first."""
    state = await own_service(source, principal, service_id)
    for item in state.objectives:
        if item.objective.name == objective:
            break
    else:
        raise not_found(f"objective {objective} of service {service_id}")
    found = await source.kpis(service_id, item.objective.kpi, within, limit)
    return HistoryView(
        service_id=service_id,
        objective=objective,
        kpi=item.objective.kpi,
        unit=item.kpi.unit if item.kpi else (found[-1].unit if found else ""),
        points=[KpiPoint(end=rfc3339(k.end_ns), value=k.value, suspect=k.suspect) for k in found],
    )


@router.get("/{service_id:path}/measurements")
async def measurements(
    service_id: str,
    source: Source,
    principal: Caller,
    within: Within,
    objective: Annotated[str, Query(min_length=1, max_length=128)],
    granularity_seconds: Annotated[int, Query(description="60, 900 or 3600")] = 60,
    limit: Annotated[int, Query(ge=1, le=MEASUREMENTS_MAX)] = 96,
) -> MeasurementsView:
    """Return the newest granularity periods of an objective, oldest first."""
    if granularity_seconds not in GRANULARITY_SECONDS:
        finding = FieldProblem(where="/query/granularity_seconds", what="must be 60, 900 or 3600")
        raise ApiError(422, finding.what, errors=[finding])
    await own_service(source, principal, service_id)
    found = await source.measurements(
        service_id, objective, granularity_seconds * NS_PER_SECOND, within, limit
    )
    return MeasurementsView(
        service_id=service_id,
        objective=objective,
        granularity_seconds=granularity_seconds,
        measurements=[
            MeasurementView(
                start=rfc3339(m.start_ns), end=rfc3339(m.end_ns), value=m.value,
                windows=m.windows, known=m.known, met=m.met, suspect=m.suspect,
            )
            for m in found
        ],
    )  # fmt: skip


@router.get("/{service_id:path}")
async def get_service(service_id: str, source: Source, principal: Caller) -> ServiceView:
    """Return one service."""
    return view_of(await own_service(source, principal, service_id))
