"""Liveness (open), readiness with reasons, and Trimtab's own figures."""

from typing import Any

from fastapi import APIRouter, Request
from prometheus_client.exposition import choose_encoder
from starlette.responses import JSONResponse, Response

from api.context import Context, Source
from api.responses import READS
from api.view import View
from trimtab.errors import TrimtabError

router = APIRouter(tags=["health"])
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}},
                      "application/openmetrics-text": {"schema": {"type": "string"}}}}
}  # fmt: skip


class AliveView(View):
    """The process answers."""

    status: str


class CheckView(View):
    """One reason for being ready, or not."""

    name: str
    ok: bool
    detail: str


class ReadinessView(View):
    """Whether the loop can do its work."""

    ready: bool
    checks: list[CheckView]


@router.get("/healthz", summary="Is the process alive? The only path without a credential")
async def healthz() -> AliveView:
    """Answer as long as the event loop turns."""
    return AliveView(status="alive")


@router.get(
    "/readyz",
    summary="Can the loop do its work? 503 with the reasons when not",
    responses={**READS, 503: {"model": ReadinessView, "description": "Not ready"}},
)
async def readyz(source: Source) -> Response:
    """Answer 200 when every check is ok, else 503; the body is the same."""
    try:
        readiness = await source.readiness()
        checks = [CheckView(name=c.name, ok=c.ok, detail=c.detail) for c in readiness.checks]
    except (TrimtabError, TimeoutError) as error:
        checks = [CheckView(name="store", ok=False, detail=str(error) or "no answer in time")]
    ready = all(check.ok for check in checks)
    body = ReadinessView(ready=ready, checks=checks).model_dump()
    return JSONResponse(body, 200 if ready else 503, {"Cache-Control": "no-store"})


@router.get(
    "/metrics",
    summary="Trimtab's own figures, as Prometheus text or OpenMetrics",
    response_class=Response,
    responses={**READS, **_TEXT},
)
async def metrics(request: Request, context: Context) -> Response:
    """Encode the registry as the Accept header prefers."""
    encoder, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encoder(context.registry), headers={"Content-Type": media_type})
