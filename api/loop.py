"""The control loop as a resource: how it stands, and pause, resume, kill switch and reset."""

from fastapi import APIRouter

from api.context import Caller, Source
from api.orders import Ordering, Orders, OrderView
from api.ports import Assurance
from api.responses import ORDERS, READS
from api.scopes import Principal
from api.view import View
from api.views import LoopView
from api.visibility import provider_only
from trimtab.domain.assessment import FulfilmentStatus
from trimtab.domain.command import CommandKind
from trimtab.domain.incident import IncidentState
from trimtab.store.questions import IncidentFilter, PageRequest

INCIDENTS_LOOKED_AT = 50

router = APIRouter(prefix="/api/v1/loop", tags=["loop"])


class LoopStatusView(View):
    """The loop's state; `frozen` lists what is unknown, and so keeps policies from acting on it."""

    loop: LoopView | None
    frozen: list[str]


async def frozen_by(source: Assurance) -> list[str]:
    """Return what the loop can't see: objectives that are INDETERMINATE, and silent objects in incidents."""
    found = [
        f"{state.service.id}: {item.objective.name} is INDETERMINATE"
        for state in await source.services()
        for item in state.objectives
        if item.assessment and item.assessment.observed is FulfilmentStatus.INDETERMINATE
    ]
    where = IncidentFilter(state=IncidentState.OPEN)
    incidents = await source.incidents(where, PageRequest(INCIDENTS_LOOKED_AT))
    silent = {name for incident in incidents.items for name in incident.unknown}
    return found + [f"{name}: its sources are silent" for name in sorted(silent)]


@router.get("", responses=READS)
async def get_loop(source: Source, principal: Caller) -> LoopStatusView:
    """Return whether the loop may act, and what freezes it."""
    provider_only(principal, "control loop")
    loop = await source.loop()
    view = LoopView.of(loop) if loop else None
    return LoopStatusView(loop=view, frozen=await frozen_by(source))


async def _order(kind: CommandKind, principal: Principal, orders: Orders) -> OrderView:
    provider_only(principal, "control loop")
    return await orders.place(kind)


@router.post("/pause", responses=ORDERS)
async def pause(principal: Caller, orders: Ordering) -> OrderView:
    """Go on deciding, but start nothing, until resumed."""
    return await _order(CommandKind.PAUSE, principal, orders)


@router.post("/resume", responses=ORDERS)
async def resume(principal: Caller, orders: Ordering) -> OrderView:
    """End a pause."""
    return await _order(CommandKind.RESUME, principal, orders)


@router.post("/kill", responses=ORDERS)
async def kill(principal: Caller, orders: Ordering) -> OrderView:
    """Throw the kill switch: start nothing, over restarts too, until it is reset."""
    return await _order(CommandKind.KILL, principal, orders)


@router.post("/reset", responses=ORDERS)
async def reset(principal: Caller, orders: Ordering) -> OrderView:
    """Release the kill switch."""
    return await _order(CommandKind.RESET, principal, orders)
