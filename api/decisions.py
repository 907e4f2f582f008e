"""Decisions with their evidence and guards: the provider's own."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.context import Caller, Source
from api.paging import Paging
from api.problem import not_found
from api.responses import READS
from api.view import ListView, next_cursor
from api.views import DecisionView
from trimtab.domain.decision import DecisionOutcome
from trimtab.store.questions import DecisionFilter

router = APIRouter(prefix="/api/v1/decisions", tags=["decisions"], responses=READS)


@router.get("")
async def list_decisions(
    source: Source,
    principal: Caller,
    paging: Paging,
    incident_id: Annotated[str | None, Query(max_length=128)] = None,
    policy: Annotated[str | None, Query(max_length=128)] = None,
    outcome: DecisionOutcome | None = None,
) -> ListView[DecisionView]:
    """Return decisions, newest first; a tenant has none."""
    if not principal.provider:
        return ListView(items=[], total=0)
    page = await source.decisions(DecisionFilter(incident_id, policy, outcome), paging)
    items = [DecisionView.of(item) for item in page.items]
    return ListView(items=items, total=page.total, next=next_cursor(page))


@router.get("/{decision_id}")
async def get_decision(decision_id: str, source: Source, principal: Caller) -> DecisionView:
    """Return one decision."""
    found = await source.decision(decision_id) if principal.provider else None
    if found is None:
        raise not_found(f"decision {decision_id}")
    return DecisionView.of(found)
