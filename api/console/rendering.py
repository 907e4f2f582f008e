"""Templates, and what they may use."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_TEMPLATES = _environment()


def render(
    request: Request, template: str, values: dict[str, Any], status: int = 200
) -> HTMLResponse:
    """Render a page for whoever asks."""
    session = request.state.session
    page = _TEMPLATES.get_template(template).render(
        nonce=request.state.nonce, csrf=session.csrf if session else "", **values
    )
    return HTMLResponse(page, status)
