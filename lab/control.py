"""The lab's control API and its HTTP service discovery for Prometheus."""

import asyncio
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from lab.faults import FaultError, Faults, World
from lab.httpcall import CallError
from lab.scenario import ScenarioError, make_fault

# A silent service discovery keeps its callers waiting until they give up, or until it is to talk again.
SILENCE_STEP_SECONDS = 0.25


class FaultRequest(BaseModel):
    """A fault to inject. All further keys are its parameters."""

    model_config = ConfigDict(extra="allow")
    kind: str
    target: str | None = None


class TrafficRequest(BaseModel):
    """A service (id or name) and its customer rate in packets/s."""

    service: str
    rate: float


class Controlled(World, Protocol):
    """What the control API needs beyond what faults need."""

    async def truth(self, since: int) -> dict[str, Any]:
        """The traffic receiver's account, seconds from `since` (Unix time) on."""

    def status(self) -> dict[str, Any]:
        """What runs where, now."""


def discovery(world: World) -> list[dict[str, Any]]:
    """Every VNFC and every host agent as a target of Prometheus' HTTP service discovery."""
    groups: list[dict[str, Any]] = [
        {"targets": [f"127.0.0.1:{host.http_port}"], "labels": {"job": "host", "host": host.name}}
        for host in world.compute.hosts.values()
    ]
    for vnf in world.vnfs.values():
        for vnfc in vnf.vnfcs.values():
            labels = {
                "job": "vnf",
                "vnf": vnf.name,
                "vnfc": vnfc.name,
                "host": vnfc.server.host,
                "vnf_instance_id": vnf.id,
                "vnfc_instance_id": vnfc.id,
                "server_id": vnfc.server.id,
            }
            groups.append({"targets": [f"127.0.0.1:{vnfc.server.http_port}"], "labels": labels})
    return groups


def create_app(world: Controlled, faults: Faults) -> FastAPI:
    """The control API."""
    app = FastAPI(title="Lab control", openapi_url=None)

    @app.exception_handler(FaultError)
    @app.exception_handler(ScenarioError)
    @app.exception_handler(CallError)
    async def refused(_: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, 400)

    @app.get("/sd")
    async def service_discovery(request: Request) -> Response:
        while world.silent_discovery:
            if await request.is_disconnected():
                break
            await asyncio.sleep(SILENCE_STEP_SECONDS)
        return JSONResponse(discovery(world))

    @app.get("/faults")
    async def list_faults() -> Response:
        return JSONResponse({"faults": [fault.document() for fault in faults.all.values()]})

    @app.post("/faults")
    async def inject(request: FaultRequest) -> Response:
        fault = make_fault(request.kind, request.target, parameters=dict(request.model_extra or {}))
        return JSONResponse((await faults.inject(fault)).document(), 201)

    @app.delete("/faults/{identifier}")
    async def clear(identifier: str) -> Response:
        return JSONResponse((await faults.clear(identifier)).document())

    @app.get("/truth")
    async def truth(since: int = 0) -> Response:
        return JSONResponse(await world.truth(since))

    @app.get("/status")
    async def status() -> Response:
        return JSONResponse(world.status())

    @app.post("/traffic")
    async def traffic(request: TrafficRequest) -> Response:
        names = {service.name: service.id for service in world.services}
        service = names.get(request.service, request.service)
        before = await world.set_rate(service, request.rate)
        return JSONResponse({"service": service, "rate": request.rate, "rate_before": before})

    return app
