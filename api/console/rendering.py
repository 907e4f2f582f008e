"""Templates, and what they may use."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.console import words
from api.console.assets import asset_url
from api.context import context_of
from api.problem import ApiError
from api.scopes import Principal, Scope


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words.FILTERS)
    environment.globals.update(asset=asset_url, amount=words.amount, words=words)
    return environment


_TEMPLATES = _environment()


def render(
    request: Request, template: str, values: dict[str, Any], status: int = 200
) -> HTMLResponse:
    """Render a page for whoever asks."""
    session = request.state.session
    principal: Principal | None = getattr(request.state, "principal", None)
    page = _TEMPLATES.get_template(template).render(
        nonce=request.state.nonce,
        csrf=session.csrf if session else "",
        principal=principal,
        may_operate=principal is not None and principal.may(Scope.OPERATE),
        now_ns=context_of(request).now_ns(),
        **values,
    )
    return HTMLResponse(page, status)


def error_page(request: Request, error: ApiError) -> HTMLResponse:
    """Render an error for a person."""
    values = {"status": error.status, "detail": error.detail, "page": ""}
    answer = render(request, "error.html", values, error.status)
    answer.headers.update(error.headers)
    return answer
