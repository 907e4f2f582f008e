"""A VIM speaking the Keystone and Nova calls that openstacksdk makes, in front of the lab's real processes.

List hypervisors, services and servers; look at migrations and instance actions; live-migrate. Errors have Nova's
shapes, microversions are negotiated as Nova does it (2.1 to 2.96; the shapes are those from 2.53 on).
"""

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from lab.compute import Compute, ComputeConflictError, ComputeError
from lab.inventory import Server
from lab.keystone import Tokens, create_router
from lab.vim_documents import (
    action_document,
    hypervisor_document,
    migration_document,
    server_document,
    service_document,
)

MINIMUM_VERSION, MAXIMUM_VERSION = (2, 1), (2, 96)
_ERROR_NAMES = {400: "badRequest", 401: "unauthorized", 404: "itemNotFound", 406: "computeFault",
                409: "conflictingRequest", 503: "serviceUnavailable"}  # fmt: skip


class NovaError(Exception):
    """Becomes an answer in Nova's error shape."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class VimFaults:
    """What the fault injector has switched on."""

    def __init__(self) -> None:
        self.refuses = False


def requested_version(request: Request) -> tuple[int, int]:
    """The microversion of a request; NovaError 406 when it is out of range."""
    text = request.headers.get("openstack-api-version", "").removeprefix("compute ").strip()
    text = text or request.headers.get("x-openstack-nova-api-version", "2.1")
    if text == "latest":
        return MAXIMUM_VERSION
    major, _, minor = text.partition(".")
    if not (major.isdigit() and minor.isdigit()):
        raise NovaError(400, f"API Version String {text} is of invalid format.")
    version = (int(major), int(minor))
    if not MINIMUM_VERSION <= version <= MAXIMUM_VERSION:
        raise NovaError(
            406, f"Version {text} is not supported by the API. Minimum is 2.1 and maximum is 2.96."
        )
    return version


def create_app(compute: Compute, tokens: Tokens, faults: VimFaults) -> FastAPI:
    """The VIM's HTTP interface: /identity and /compute/v2.1."""
    app = FastAPI(title="Lab VIM", openapi_url=None)

    @app.exception_handler(NovaError)
    async def nova_error(_: Request, error: NovaError) -> Response:
        name = _ERROR_NAMES.get(error.status, "computeFault")
        return JSONResponse({name: {"code": error.status, "message": str(error)}}, error.status)

    app.include_router(create_router(tokens))
    app.include_router(_discovery(tokens))
    app.include_router(_hosts_router(compute, tokens))
    app.include_router(_servers_router(compute, tokens, faults))
    return app


def _discovery(tokens: Tokens) -> APIRouter:
    router = APIRouter(prefix="/compute")
    version = {
        "id": "v2.1",
        "status": "CURRENT",
        "version": "2.96",
        "min_version": "2.1",
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{tokens.compute_url}/"}],
    }

    @router.get("")
    @router.get("/")
    async def versions() -> Response:
        return JSONResponse({"versions": [version]})

    @router.get("/v2.1")
    @router.get("/v2.1/")
    async def version_two() -> Response:
        return JSONResponse({"version": version})

    return router


def _guarded(tokens: Tokens) -> list[Any]:
    async def check(request: Request) -> None:
        if not tokens.is_valid(request.headers.get("x-auth-token")):
            raise NovaError(401, "This server could not verify that you are authorized.")
        requested_version(request)

    return [Depends(check)]


def _answer(request: Request, body: dict[str, Any], status: int = 200) -> JSONResponse:
    version = ".".join(str(part) for part in requested_version(request))
    return JSONResponse(
        body,
        status,
        {"OpenStack-API-Version": f"compute {version}", "X-OpenStack-Nova-API-Version": version},
    )


def _hosts_router(compute: Compute, tokens: Tokens) -> APIRouter:
    router = APIRouter(prefix="/compute/v2.1", dependencies=_guarded(tokens))

    @router.get("/os-hypervisors")
    @router.get("/os-hypervisors/detail")
    async def hypervisors(request: Request) -> Response:
        documents = [hypervisor_document(host) for host in compute.hosts.values()]
        for document in documents:
            name = document["hypervisor_hostname"]
            guests = [server for server in compute.servers.values() if server.host == name]
            document["servers"] = [{"uuid": guest.id, "name": guest.name} for guest in guests]
        return _answer(request, {"hypervisors": documents})

    @router.get("/os-hypervisors/{identifier}")
    async def hypervisor(request: Request, identifier: str) -> Response:
        for host in compute.hosts.values():
            if host.id == identifier:
                return _answer(request, {"hypervisor": hypervisor_document(host)})
        raise NovaError(404, f"Compute host {identifier} could not be found.")

    @router.get("/os-services")
    async def services(request: Request) -> Response:
        wanted = request.query_params
        hosts = [h for h in compute.hosts.values() if wanted.get("host", h.name) == h.name]
        if wanted.get("binary", "nova-compute") != "nova-compute":
            hosts = []
        return _answer(request, {"services": [service_document(host) for host in hosts]})

    @router.put("/os-services/{identifier}")
    async def update_service(request: Request, identifier: str) -> Response:
        body = await _body(request)
        for host in compute.hosts.values():
            if host.id == identifier:
                host.enabled = (
                    body.get("status", "enabled" if host.enabled else "disabled") == "enabled"
                )
                return _answer(request, {"service": service_document(host)})
        raise NovaError(404, f"Service {identifier} could not be found.")

    @router.get("/os-migrations")
    async def migrations(request: Request) -> Response:
        wanted = request.query_params.get("instance_uuid")
        found = [m for m in reversed(compute.migrations) if wanted in (None, m.server_id)]
        return _answer(request, {"migrations": [migration_document(m, tokens) for m in found]})

    return router


def _servers_router(compute: Compute, tokens: Tokens, faults: VimFaults) -> APIRouter:
    router = APIRouter(prefix="/compute/v2.1/servers", dependencies=_guarded(tokens))

    def find(identifier: str, *, deleted: bool = False) -> Server:
        server = compute.servers.get(identifier) or (
            compute.deleted.get(identifier) if deleted else None
        )
        if server is None:
            raise NovaError(404, f"Instance {identifier} could not be found.")
        return server

    @router.get("")
    @router.get("/detail")
    async def servers(request: Request) -> Response:
        chosen = _select(compute, request)
        return _answer(request, {"servers": [server_document(server, tokens) for server in chosen]})

    @router.get("/{identifier}")
    async def server(request: Request, identifier: str) -> Response:
        return _answer(request, {"server": server_document(find(identifier), tokens)})

    @router.get("/{identifier}/migrations")
    async def running_migrations(request: Request, identifier: str) -> Response:
        find(identifier)
        running = [
            migration_document(m, tokens)
            for m in compute.migrations
            if m.server_id == identifier and m.status in ("queued", "preparing", "running")
        ]
        return _answer(request, {"migrations": running})

    @router.get("/{identifier}/os-instance-actions")
    async def actions(request: Request, identifier: str) -> Response:
        found = find(identifier, deleted=True)
        documents = [action_document(action, found, tokens) for action in reversed(found.actions)]
        return _answer(request, {"instanceActions": documents})

    @router.get("/{identifier}/os-instance-actions/{request_id}")
    async def action(request: Request, identifier: str, request_id: str) -> Response:
        found = find(identifier, deleted=True)
        for entry in found.actions:
            if entry.request_id == request_id:
                return _answer(request, {"instanceAction": action_document(entry, found, tokens)})
        raise NovaError(
            404, f"Action for request_id {request_id} on instance {identifier} not found"
        )

    @router.post("/{identifier}/action")
    async def act(request: Request, identifier: str) -> Response:
        if faults.refuses:
            raise NovaError(503, "injected: the VIM refuses")
        return _migrate_live(compute, find(identifier), await _body(request))

    return router


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise NovaError(400, "Malformed request body") from error
    if not isinstance(body, dict):
        raise NovaError(400, "Malformed request body")
    return body


def _select(compute: Compute, request: Request) -> list[Server]:
    query = request.query_params
    chosen = list(
        compute.deleted.values()
        if query.get("deleted", "").lower() == "true"
        else compute.servers.values()
    )
    chosen = [
        server
        for server in chosen
        if query.get("host", server.host) == server.host
        and query.get("name", server.name) in server.name
        and query.get("status", server.status).upper() == server.status
    ]
    if "marker" in query:
        ids = [server.id for server in chosen]
        if query["marker"] not in ids:
            raise NovaError(400, f"marker [{query['marker']}] not found")
        chosen = chosen[ids.index(query["marker"]) + 1 :]
    limit = query.get("limit", "1000")
    return chosen[: int(limit)] if limit.isdigit() else chosen


def _migrate_live(compute: Compute, server: Server, body: dict[str, Any]) -> Response:
    wanted = body.get("os-migrateLive")
    if not isinstance(wanted, dict) or "host" not in wanted:
        raise NovaError(
            400,
            "There is no such action, or it lacks what it needs: only os-migrateLive is served.",
        )
    host = wanted["host"]
    if host is not None and host not in compute.hosts:
        raise NovaError(400, f"Compute host {host} could not be found.")
    try:
        migration = compute.begin_migration(server, host, compute.new_request_id())
    except ComputeConflictError as error:
        raise NovaError(409, str(error)) from error
    except ComputeError as error:
        raise NovaError(400, str(error)) from error
    return Response(status_code=202, headers={"X-Openstack-Request-Id": migration.request_id})
