"""The first page: how services stand, what needs a person, what is going on."""

from dataclasses import dataclass
from typing import Any

from api.console.sparkline import Sparkline, sparkline
from api.console.timeline import timeline
from api.console.words import ACTION_KIND, STATUS, Label, amount, share, short
from api.loop import frozen_by
from api.ports import Assurance
from api.scopes import Principal
from api.standing import standing_of
from api.visibility import incident_for
from trimtab.domain.action import TERMINAL, Action, ActionState
from trimtab.domain.assessment import Assessment, FulfilmentStatus
from trimtab.domain.control_loop import LoopRunState
from trimtab.domain.decision import Decision, DecisionOutcome
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.service import Comparator, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND, rfc3339
from trimtab.store.questions import (
    ActionFilter,
    DecisionFilter,
    IncidentFilter,
    ObjectiveState,
    PageRequest,
    ServiceState,
    Span,
)

CHART_NS = 600 * NS_PER_SECOND
CHART_POINTS = 600
INCIDENTS_SHOWN = 20
MARKS_MAX = 50
SERVICES_CHARTED = 20
LOOP_LABELS = {
    LoopRunState.RUNNING: Label("The loop is running", "good"),
    LoopRunState.PAUSED: Label("The loop is paused", "warn"),
    LoopRunState.KILLED: Label("The kill switch is thrown", "bad"),
}
_WORST_FIRST = (
    FulfilmentStatus.NOT_FULFILLED,
    FulfilmentStatus.INDETERMINATE,
    FulfilmentStatus.FULFILLED,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One objective with its chart."""

    key: str
    service_id: str
    objective: str
    label: Label
    value: str
    bound: str
    bound_value: float
    at_most: bool
    unit: str
    remark: str
    since_ns: int | None
    compliance: Label
    budget: str
    first_paint: Sparkline | None


@dataclass(frozen=True, slots=True)
class Panel:
    """One service."""

    state: ServiceState
    label: Label
    operating_status: str
    tiles: tuple[Tile, ...]


async def overview(
    source: Assurance, principal: Principal, now_ns: int, *, draw: bool
) -> dict[str, Any]:
    """Return what the first page shows. Services keep their places, so that people find them again.

    Without `draw` the first paint of the charts is left out: a page that is there already has better ones.
    """
    states = [s for s in await source.services() if principal.owns(s.service.id)]
    charted = states[:SERVICES_CHARTED]
    panels = [await _panel(source, state, now_ns if draw else None) for state in charted]
    where = IncidentFilter(tenant=principal.tenant, state=IncidentState.OPEN)
    page = await source.incidents(where, PageRequest(INCIDENTS_SHOWN))
    seen = [incident_for(principal, item) for item in page.items]
    return {
        "page": "overview",
        "panels": panels,
        "services_hidden": len(states) - len(panels),
        "counts": _counts(states),
        "incidents": [item for item in seen if item],
        "entries": await timeline(source, principal),
        "marks": await _marks(source, principal, now_ns),
        "needs": await needs_of(source, principal),
        **await banner(source, principal),
    }


async def banner(source: Assurance, principal: Principal) -> dict[str, Any]:
    """Return how the loop stands; a tenant is not shown it."""
    if not principal.provider:
        return {"loop": None, "loop_label": None, "frozen": []}
    loop = await source.loop()
    label = LOOP_LABELS[loop.run_state] if loop else Label("The loop has not started", "unknown")
    return {"loop": loop, "loop_label": label, "frozen": await frozen_by(source)}


async def needs_of(source: Assurance, principal: Principal) -> dict[str, Any]:
    """Return what waits for a person: proposals, unknown outcomes, and what was handed over."""
    if not principal.provider:
        return {"proposed": (), "unknown": (), "handed": ()}
    page = PageRequest(INCIDENTS_SHOWN)
    proposed = await source.actions(ActionFilter(state=ActionState.PROPOSED), page)
    unknown = await source.actions(ActionFilter(state=ActionState.UNKNOWN), page)
    handed = await source.decisions(DecisionFilter(outcome=DecisionOutcome.HAND_OVER), page)
    return {
        "proposed": proposed.items,
        "unknown": [a for a in unknown.items if await _is_open(source, a)],
        "handed": [d for d in handed.items if await _is_peoples(source, d)],
    }


async def _is_open(source: Assurance, item: Action | Decision) -> bool:
    """Whether the incident that something belongs to still is; what is over needs nobody."""
    incident = await source.incident(item.incident_id)
    return incident is None or incident.state is IncidentState.OPEN


async def _is_peoples(source: Assurance, decision: Decision) -> bool:
    """Whether an incident that was handed over still is: a later decision means that it was given back."""
    if not await _is_open(source, decision):
        return False
    where = DecisionFilter(incident_id=decision.incident_id)
    newest = await source.decisions(where, PageRequest(1))
    return all(item.outcome is DecisionOutcome.HAND_OVER for item in newest.items)


def _counts(states: list[ServiceState]) -> list[tuple[Label, int]]:
    found = dict.fromkeys(_WORST_FIRST, 0)
    for state in states:
        found[standing_of(state).status] += 1
    return [(STATUS[status], number) for status, number in found.items()]


async def _panel(source: Assurance, state: ServiceState, now_ns: int | None) -> Panel:
    standing = standing_of(state)
    tiles = [await _tile(source, state.service.id, item, now_ns) for item in state.objectives]
    return Panel(state, STATUS[standing.status], standing.operating_status, tuple(tiles))


async def _tile(
    source: Assurance, service_id: str, item: ObjectiveState, now_ns: int | None
) -> Tile:
    objective, latest = item.objective, item.assessment
    unit = item.kpi.unit if item.kpi else (latest.unit if latest else "")
    first_paint = None
    if now_ns is not None:
        first_paint = await _first_paint(source, service_id, item, now_ns)
    observed = latest.observed if latest else FulfilmentStatus.INDETERMINATE
    compliance = latest.compliance if latest else FulfilmentStatus.INDETERMINATE
    budget = latest.budget_left_ratio if latest else None
    return Tile(
        key=f"{service_id}|{objective.name}",
        service_id=service_id,
        objective=objective.name,
        label=STATUS[observed],
        value=amount(latest.value if latest else None, unit),
        bound=f"{'≤' if objective.comparator is Comparator.AT_MOST else '≥'} "
        f"{amount(objective.bound, unit)}",
        bound_value=objective.bound,
        at_most=objective.comparator is Comparator.AT_MOST,
        unit=unit,
        remark=_remark(objective, latest),
        since_ns=latest.since_ns if latest else None,
        compliance=STATUS[compliance],
        budget=share(budget) if budget is not None else "",
        first_paint=first_paint,
    )


def _remark(objective: ServiceLevelObjective, latest: Assessment | None) -> str:
    """Say what keeps value and state apart: a change must hold for a while before it counts."""
    if latest is None or latest.value is None:
        return ""
    at_most = objective.comparator is Comparator.AT_MOST
    within = latest.value <= latest.bound if at_most else latest.value >= latest.bound
    if not within and latest.observed is FulfilmentStatus.FULFILLED:
        return "beyond, not yet for long enough"
    if within and latest.observed is FulfilmentStatus.NOT_FULFILLED:
        return "within, not yet for long enough"
    seen = latest.foreseen
    if seen is not None and seen.in_seconds is not None:
        span = f"{seen.low_seconds:.0f} to {seen.high_seconds:.0f} s"
        return f"heading for its bound: in about {seen.in_seconds:.0f} s ({span})"
    return "suspect" if latest.suspect else ""


async def _first_paint(
    source: Assurance, service_id: str, item: ObjectiveState, now_ns: int
) -> Sparkline:
    within = Span(after_ns=now_ns - CHART_NS)
    points = await source.kpis(service_id, item.objective.kpi, within, CHART_POINTS)
    drawn = [(point.end_ns, point.value) for point in points]
    return sparkline(drawn, item.objective.bound, now_ns - CHART_NS, now_ns)


async def _marks(source: Assurance, principal: Principal, now_ns: int) -> list[dict[str, str]]:
    """Return the actions to be drawn into the charts of the services that they were to help."""
    if not principal.provider:
        return []
    page = await source.actions(ActionFilter(), PageRequest(MARKS_MAX))
    incidents: dict[str, Incident | None] = {}
    marks = []
    for action in page.items:
        if action.created_at_ns < now_ns - CHART_NS or action.state is ActionState.PROPOSED:
            continue
        if action.incident_id not in incidents:
            incidents[action.incident_id] = await source.incident(action.incident_id)
        incident = incidents[action.incident_id]
        text = f"{ACTION_KIND[action.kind]} {short(action.target_id)}"
        over = action.state in TERMINAL
        marks += [
            {
                "service": service,
                "at": rfc3339(action.changed_at_ns if over else action.created_at_ns),
                "text": text,
            }
            for service in (incident.services if incident else ())
        ]
    return marks
