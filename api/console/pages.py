"""The console's pages: login and logout, and (server-rendered) what the loop sees and does."""

import math
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.auth import TOKEN_BYTES_MAX, cookie_value
from api.console.network import network
from api.console.overview import banner, overview
from api.console.rendering import render
from api.console.why import decision_list, why
from api.context import Caller, Context, Source
from api.paging import Paging
from api.scopes import Scope
from api.sessions import COOKIE
from api.view import next_cursor
from api.visibility import provider_only
from trimtab.store.questions import AlarmFilter

NEXT_CHARACTERS_MAX = 2_048
REFRESH_HEADER = "x-trimtab-refresh"  # the page is there already, and asks for what has changed

router = APIRouter(include_in_schema=False)


def own_path(target: str) -> str:
    """Return a path of this site, `/` for anything that might lead elsewhere."""
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if safe else "/"


@router.get("/login", response_class=HTMLResponse)
async def login_page(
    request: Request, next: Annotated[str, Query(max_length=NEXT_CHARACTERS_MAX)] = "/"
) -> Response:
    """Ask for a token."""
    return render(request, "login.html", {"next": own_path(next), "message": ""})


@router.post("/login", response_class=HTMLResponse)
async def login(
    request: Request,
    context: Context,
    token: Annotated[str, Form(max_length=TOKEN_BYTES_MAX)],
    next: Annotated[str, Form(max_length=NEXT_CHARACTERS_MAX)] = "/",
) -> Response:
    """Exchange a token for a session cookie."""
    address = request.client.host if request.client else ""
    wait = context.brake.wait_seconds(address)
    values = {"next": own_path(next)}
    if wait > 0:
        seconds = math.ceil(wait)
        values["message"] = f"Too many attempts. Try again in {seconds} s."
        answer = render(request, "login.html", values, 429)
        answer.headers["Retry-After"] = str(seconds)
        return answer
    principal = context.keyring.principal(token.strip())
    if principal is None:
        context.brake.count(address)
        values["message"] = "This token is not known."
        return render(request, "login.html", values, 401)
    if not principal.may(Scope.READ):
        values["message"] = "This token may not read, so there is nothing to show."
        return render(request, "login.html", values, 403)
    home = RedirectResponse(values["next"], 303)
    home.set_cookie(
        COOKIE,
        context.sessions.open(principal),
        max_age=round(context.settings.session_seconds),
        httponly=True,
        secure=context.settings.cookie_secure,
        samesite="strict",
    )
    return home


@router.post("/logout")
async def logout(request: Request, context: Context) -> Response:
    """End the session."""
    context.sessions.close(cookie_value(request.headers))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


@router.get("/", response_class=HTMLResponse)
async def overview_page(request: Request, context: Context, principal: Caller) -> Response:
    """Show how services stand and what is going on."""
    draw = REFRESH_HEADER not in request.headers
    values = await overview(context.assurance, principal, context.now_ns(), draw=draw)
    return render(request, "overview.html", values)


@router.get("/alarms", response_class=HTMLResponse)
async def alarms_page(
    request: Request, source: Source, principal: Caller, paging: Paging
) -> Response:
    """Show alarms, newest first, open ones to be acknowledged."""
    found = await source.alarms(AlarmFilter(tenant=principal.tenant), paging)
    values = {"page": "alarms", "found": found, "next": next_cursor(found)}
    return render(request, "alarms.html", {**values, **await banner(source, principal)})


@router.get("/decisions", response_class=HTMLResponse)
async def decisions_page(
    request: Request, source: Source, principal: Caller, paging: Paging
) -> Response:
    """Show decisions, newest first, refusals included."""
    provider_only(principal, "page of decisions")
    values = await decision_list(source, paging)
    values["next"] = next_cursor(values["found"])
    return render(request, "decisions.html", {**values, **await banner(source, principal)})


@router.get("/decisions/{decision_id}", response_class=HTMLResponse)
async def why_page(
    decision_id: str, request: Request, source: Source, principal: Caller
) -> Response:
    """Show why a decision was taken."""
    provider_only(principal, f"decision {decision_id}")
    values = await why(source, decision_id)
    return render(request, "why.html", {**values, **await banner(source, principal)})


@router.get("/network", response_class=HTMLResponse)
async def network_page(request: Request, source: Source, principal: Caller) -> Response:
    """Show the present inventory."""
    provider_only(principal, "page of the network")
    values = await network(source)
    return render(request, "network.html", {**values, **await banner(source, principal)})
