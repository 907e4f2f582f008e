"""Incidents and their causes; to a tenant, a cause outside its services is provider infrastructure."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.context import Caller, Source
from api.orders import Ordering, OrderView
from api.paging import Paging
from api.problem import not_found
from api.responses import ORDERS, READS
from api.view import ListView, next_cursor
from api.views import IncidentView
from api.visibility import incident_for, provider_only
from trimtab.domain.command import CommandKind
from trimtab.domain.incident import IncidentState
from trimtab.store.questions import IncidentFilter

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"])


@router.get("", responses=READS)
async def list_incidents(
    source: Source,
    principal: Caller,
    paging: Paging,
    state: IncidentState | None = None,
    service_id: Annotated[str | None, Query(max_length=512)] = None,
) -> ListView[IncidentView]:
    """Return incidents, newest first."""
    where = IncidentFilter(tenant=principal.tenant, state=state, service_id=service_id)
    if service_id is not None and not principal.owns(service_id):
        return ListView(items=[], total=0)
    page = await source.incidents(where, paging)
    seen = [incident_for(principal, item) for item in page.items]
    items = [IncidentView.of(item) for item in seen if item is not None]
    return ListView(items=items, total=page.total, next=next_cursor(page))


@router.get("/{incident_id}", responses=READS)
async def get_incident(incident_id: str, source: Source, principal: Caller) -> IncidentView:
    """Return one incident."""
    seen = incident_for(principal, await source.incident(incident_id))
    if seen is None:
        raise not_found(f"incident {incident_id}")
    return IncidentView.of(seen)


@router.post("/{incident_id}/reset", responses=ORDERS)
async def reset(incident_id: str, source: Source, principal: Caller, orders: Ordering) -> OrderView:
    """Give an incident that was handed to people back to the loop."""
    provider_only(principal, f"incident {incident_id}")
    if await source.incident(incident_id) is None:
        raise not_found(f"incident {incident_id}")
    return await orders.place(CommandKind.RESET, incident_id)
