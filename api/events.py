"""What the loop puts out, live: server-sent events that resume from `Last-Event-ID`.

Event types: assessment, alarm, incident, decision, action, verification, loop, notice (data: the resource of
`/api/v1`); `reset` (the asked position is older than what is kept: data is a snapshot to start over from);
`heartbeat` (data: the server's time; carries no id).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.context import ApiContext, Caller, Context
from api.problem import ApiError
from api.responses import READS
from api.scopes import Principal
from api.services import view_of
from api.sessions import Session
from api.sls_reports import SlsReportView
from api.view import View
from api.views import (
    ActionView,
    AlarmView,
    AssessmentView,
    DecisionView,
    IncidentView,
    LoopView,
    NoticeView,
    VerificationView,
)
from api.visibility import events_for, incident_for
from trimtab.domain.action import Action
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.sls import SlsReport
from trimtab.domain.time import rfc3339
from trimtab.domain.verification import Verification
from trimtab.store.questions import AlarmFilter, IncidentFilter, PageRequest, Streamed

EVENTS_PER_READ_MAX = 500
SNAPSHOT_ITEMS_MAX = 1_000
RETRY_MILLISECONDS = 2_000
EVENT_ID_DIGITS_MAX = 18

router = APIRouter(prefix="/api/v1", tags=["events"])


def resource_of(value: Streamed) -> tuple[str, View]:
    """Return an event's type and its resource."""
    match value:
        case Assessment():
            return "assessment", AssessmentView.of(value)
        case Alarm():
            return "alarm", AlarmView.of(value)
        case Incident():
            return "incident", IncidentView.of(value)
        case Decision():
            return "decision", DecisionView.of(value)
        case Action():
            return "action", ActionView.of(value)
        case Verification():
            return "verification", VerificationView.of(value)
        case SlsReport():
            return "sls_report", SlsReportView.of(value)
        case ControlLoop():
            return "loop", LoopView.of(value)
        case _:
            return "notice", NoticeView.of(value)


async def seat(context: Context) -> AsyncIterator[None]:
    """Hold one of the streams that may be open at once. Raises ApiError 503 when all are taken."""
    subscribers = context.subscribers
    if subscribers.open >= subscribers.limit:
        subscribers.refused += 1
        detail = f"{subscribers.limit} event streams are open already"
        raise ApiError(503, detail, headers={"Retry-After": "10"})
    subscribers.open += 1
    context.recorder.api_streams(subscribers.open)
    try:
        yield
    finally:
        subscribers.open -= 1
        context.recorder.api_streams(subscribers.open)


async def snapshot(context: ApiContext, principal: Principal) -> dict[str, Any]:
    """Return what a subscriber needs to start over: services, open alarms and open incidents."""
    source = context.assurance
    page = PageRequest(SNAPSHOT_ITEMS_MAX)
    alarms = await source.alarms(AlarmFilter(tenant=principal.tenant, open_only=True), page)
    where = IncidentFilter(tenant=principal.tenant, state=IncidentState.OPEN)
    seen = [incident_for(principal, item) for item in (await source.incidents(where, page)).items]
    services = [s for s in await source.services() if principal.owns(s.service.id)]
    return {
        "services": [view_of(item).model_dump() for item in services],
        "open_alarms": [AlarmView.of(item).model_dump() for item in alarms.items],
        "open_incidents": [IncidentView.of(item).model_dump() for item in seen if item],
    }


async def start_position(context: ApiContext, asked: str | None) -> tuple[int, bool]:
    """Return where to start, and whether that needs a reset: an unreadable position does."""
    if asked is None or asked == "":
        return (await context.assurance.events_after(-1, 1)).latest_id, False
    if asked.isascii() and asked.isdigit() and len(asked) <= EVENT_ID_DIGITS_MAX:
        return int(asked), False
    return -1, True


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses=READS,
    dependencies=[Depends(seat)],
    summary="Follow the loop live",
)
async def events(
    request: Request,
    context: Context,
    principal: Caller,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
    after: Annotated[
        str | None, Query(max_length=64, description="as Last-Event-ID, for the first connect")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send what came after the given position, in order, and then what comes.

    Without a position the stream starts with what is new. A position that is no longer kept gives one
    `reset` event with a snapshot; the stream goes on from there.
    """
    session: Session | None = request.state.session
    asked = last_event_id if last_event_id is not None else after
    position, reset = await start_position(context, asked)
    yield ServerSentEvent(event="heartbeat", data=_beat(context), retry=RETRY_MILLISECONDS)
    beat = asyncio.get_running_loop().time()
    while not context.subscribers.closing.is_set():
        page = await context.assurance.events_after(position, EVENTS_PER_READ_MAX)
        if reset or page.reset or position > page.latest_id:
            position, reset = page.latest_id, False
            data = await snapshot(context, principal)
            yield ServerSentEvent(event="reset", id=str(position), data=data)
            continue
        for event in events_for(principal, page.events):
            name, view = resource_of(event.value)
            yield ServerSentEvent(event=name, id=str(event.id), data=view)
        if page.events:
            position = page.events[-1].id
            continue
        await _news_or_closing(context, position)
        now = asyncio.get_running_loop().time()
        if now - beat >= context.settings.heartbeat_seconds:
            beat = now
            if session is not None and not context.sessions.lives(session):
                return  # signed out, or expired
            yield ServerSentEvent(event="heartbeat", data=_beat(context))


async def _news_or_closing(context: ApiContext, position: int) -> None:
    seconds = context.settings.heartbeat_seconds
    waits = [
        asyncio.ensure_future(context.assurance.wait_for_news(position, seconds)),
        asyncio.ensure_future(context.subscribers.closing.wait()),
    ]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _beat(context: ApiContext) -> dict[str, str]:
    return {"at": rfc3339(context.now_ns())}
