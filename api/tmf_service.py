"""TM Forum TMF638 v5 service inventory, read-only: the caller's services with their `operatingStatus`.

The table from assessments to `operatingStatus` is in `api/standing.py`.
"""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from api.context import Caller, Source, base_url
from api.mef import PAGING, Parameter, Query, later
from api.problem import ApiError, not_found
from api.standing import standing_of
from trimtab.store.questions import ServiceState

PREFIX = "/tmf-api/serviceInventoryManagement/v5"
STATES = (
    "feasibilityChecked", "designed", "reserved", "inactive", "active", "terminated", "suspended",
)  # fmt: skip
OPERATING_STATUSES = (
    "pending", "configured", "starting", "running", "degraded", "failed", "limited", "stopping",
    "stopped", "unknown",
)  # fmt: skip
FILTERS = (
    Parameter("id"),
    Parameter("name"),
    Parameter("state", STATES),
    Parameter("operatingStatus", OPERATING_STATUSES),
)
PARAMETERS = (Parameter("fields"), *FILTERS, *PAGING)
ALWAYS = frozenset({"id", "href", "@type"})
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The query can't be read"},
    401: {"description": "No credential, or one that is not known"},
    403: {"description": "The credential lacks the scope"},
    404: {"description": "Not there, or not the caller's"},
    405: {"description": "No such method here"},
    500: {"description": "An unexpected condition"},
    503: {"description": "The store can't answer now"},
}

router = APIRouter(prefix=PREFIX, tags=["TMF638 service inventory"], responses=ERRORS)


def _query(request: Request, allowed: tuple[Parameter, ...]) -> Query:
    """Read the query; TMF638 knows no 422, so what makes no sense is 400."""
    try:
        return Query(request, allowed)
    except ApiError as error:
        raise ApiError(400, error.detail) from error


@router.get(
    "/service",
    response_class=Response,
    openapi_extra={"parameters": [parameter.schema() for parameter in PARAMETERS]},
)
async def list_services(request: Request, source: Source, principal: Caller) -> Response:
    """List or find services, ordered by id."""
    query = _query(request, PARAMETERS)
    wanted, _ = query.page()
    base = base_url(request)
    bodies = [
        service_body(s, base) for s in await source.services() if principal.owns(s.service.id)
    ]
    found = [
        body for body in bodies if all(query.text(f.name) in {None, body[f.name]} for f in FILTERS)
    ]
    part = found[wanted.offset : wanted.offset + wanted.limit]
    headers = {"X-Total-Count": str(len(found)), "X-Result-Count": str(len(part))}
    return JSONResponse([_only(body, query.text("fields")) for body in part], 200, headers)


@router.get(
    "/service/{id:path}",
    response_class=Response,
    openapi_extra={"parameters": [Parameter("fields").schema()]},
)
async def retrieve_service(
    id: str, request: Request, source: Source, principal: Caller
) -> Response:
    """Return one service."""
    query = _query(request, (Parameter("fields"),))
    state = await source.service(id) if principal.owns(id) else None
    if state is None:
        raise not_found(f"service {id}")
    return JSONResponse(_only(service_body(state, base_url(request)), query.text("fields")))


later(
    router,
    [
        ("POST", "/service"),
        ("PATCH", "/service/{id:path}"),
        ("DELETE", "/service/{id:path}"),
        ("POST", "/hub"),
        ("GET", "/hub/{id}"),
        ("DELETE", "/hub/{id}"),
    ],
)


def service_body(state: ServiceState, base: str) -> dict[str, Any]:
    """Return TMF638's Service."""
    service = state.service
    return {
        "@type": "Service",
        "id": service.id,
        "href": f"{base}{PREFIX}/service/{quote(service.id)}",
        "name": service.name,
        "state": "active",
        "isServiceEnabled": True,
        "hasStarted": True,
        "operatingStatus": standing_of(state).operating_status,
    }


def _only(body: dict[str, Any], fields: str | None) -> dict[str, Any]:
    """Keep the chosen members, and those that a reference always needs."""
    if fields is None:
        return body
    wanted = ALWAYS | {name.strip() for name in fields.split(",")}
    return {name: value for name, value in body.items() if name in wanted}
