"""Actions, and what people may say about them: approve, reject, cancel, reset. The provider's own."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.context import Caller, Source
from api.orders import Ordering, OrderView
from api.paging import Paging
from api.ports import Assurance
from api.problem import not_found
from api.responses import ORDERS, READS
from api.scopes import Principal
from api.view import ListView, next_cursor
from api.views import ActionView
from trimtab.domain.action import Action, ActionState
from trimtab.domain.command import CommandKind
from trimtab.store.questions import ActionFilter

router = APIRouter(prefix="/api/v1/actions", tags=["actions"])


async def own_action(source: Assurance, principal: Principal, action_id: str) -> Action:
    """Return an action. Raises ApiError 404 when it is not there, or for a tenant."""
    found = await source.action(action_id) if principal.provider else None
    if found is None:
        raise not_found(f"action {action_id}")
    return found


@router.get("", responses=READS)
async def list_actions(
    source: Source,
    principal: Caller,
    paging: Paging,
    incident_id: Annotated[str | None, Query(max_length=128)] = None,
    decision_id: Annotated[str | None, Query(max_length=128)] = None,
    state: ActionState | None = None,
) -> ListView[ActionView]:
    """Return actions, newest first; a tenant has none."""
    if not principal.provider:
        return ListView(items=[], total=0)
    page = await source.actions(ActionFilter(incident_id, decision_id, state), paging)
    items = [ActionView.of(item) for item in page.items]
    return ListView(items=items, total=page.total, next=next_cursor(page))


@router.get("/{action_id}", responses=READS)
async def get_action(action_id: str, source: Source, principal: Caller) -> ActionView:
    """Return one action."""
    return ActionView.of(await own_action(source, principal, action_id))


@router.post("/{action_id}/approve", responses=ORDERS)
async def approve(action_id: str, source: Source, principal: Caller, orders: Ordering) -> OrderView:
    """Approve an action that awaits a person."""
    await own_action(source, principal, action_id)
    return await orders.place(CommandKind.APPROVE_ACTION, action_id)


@router.post("/{action_id}/reject", responses=ORDERS)
async def reject(action_id: str, source: Source, principal: Caller, orders: Ordering) -> OrderView:
    """Reject an action that awaits a person."""
    await own_action(source, principal, action_id)
    return await orders.place(CommandKind.REJECT_ACTION, action_id)


@router.post("/{action_id}/cancel", responses=ORDERS)
async def cancel(action_id: str, source: Source, principal: Caller, orders: Ordering) -> OrderView:
    """Cancel an action of which nothing has left yet."""
    await own_action(source, principal, action_id)
    return await orders.place(CommandKind.CANCEL_ACTION, action_id)


@router.post("/{action_id}/reset", responses=ORDERS)
async def reset(action_id: str, source: Source, principal: Caller, orders: Ordering) -> OrderView:
    """Release the lock that an action of unknown outcome holds on its target."""
    await own_action(source, principal, action_id)
    return await orders.place(CommandKind.RESET, action_id)
