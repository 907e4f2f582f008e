"""The console's pages: login and logout, and (server-rendered) what the loop sees and does."""

import math
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.auth import TOKEN_BYTES_MAX, cookie_value
from api.console.rendering import render
from api.context import Context
from api.scopes import Scope
from api.sessions import COOKIE

NEXT_CHARACTERS_MAX = 2_048

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
async def overview(request: Request) -> Response:
    """Show the first page."""
    return render(request, "overview.html", {})
