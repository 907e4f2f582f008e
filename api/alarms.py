"""Alarms, and their acknowledgement (the one thing that a person changes about them)."""

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
from api.views import AlarmView
from trimtab.domain.alarm import Alarm, AlarmState, PerceivedSeverity
from trimtab.domain.command import CommandKind
from trimtab.store.questions import AlarmFilter

router = APIRouter(prefix="/api/v1/alarms", tags=["alarms"])


async def own_alarm(source: Assurance, principal: Principal, alarm_id: str) -> Alarm:
    """Return an alarm of the caller's. Raises ApiError 404 when it is not there or not theirs."""
    alarm = await source.alarm(alarm_id)
    if alarm is None or not principal.owns(alarm.object_id):
        raise not_found(f"alarm {alarm_id}")
    return alarm


@router.get("", responses=READS)
async def list_alarms(
    source: Source,
    principal: Caller,
    paging: Paging,
    object_id: Annotated[str | None, Query(max_length=512)] = None,
    state: AlarmState | None = None,
    severity: PerceivedSeverity | None = None,
    open_only: bool = False,
) -> ListView[AlarmView]:
    """Return alarms, newest first."""
    where = AlarmFilter(
        tenant=principal.tenant,
        object_id=object_id,
        state=state,
        severity=severity,
        open_only=open_only,
    )
    page = await source.alarms(where, paging)
    items = [AlarmView.of(item) for item in page.items]
    return ListView(items=items, total=page.total, next=next_cursor(page))


@router.get("/{alarm_id}", responses=READS)
async def get_alarm(alarm_id: str, source: Source, principal: Caller) -> AlarmView:
    """Return one alarm."""
    return AlarmView.of(await own_alarm(source, principal, alarm_id))


@router.post("/{alarm_id}/ack", responses=ORDERS)
async def acknowledge(
    alarm_id: str, source: Source, principal: Caller, orders: Ordering
) -> OrderView:
    """Acknowledge an alarm."""
    await own_alarm(source, principal, alarm_id)
    return await orders.place(CommandKind.ACKNOWLEDGE_ALARM, alarm_id)


@router.post("/{alarm_id}/unack", responses=ORDERS)
async def unacknowledge(
    alarm_id: str, source: Source, principal: Caller, orders: Ordering
) -> OrderView:
    """Take an acknowledgement back."""
    await own_alarm(source, principal, alarm_id)
    return await orders.place(CommandKind.UNACKNOWLEDGE_ALARM, alarm_id)
