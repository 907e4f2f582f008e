"""A VNF manager speaking ETSI SOL003 over HTTP: `{apiRoot}/vnflcm/v2`.

It does what it says on the lab's real processes. Faults that were switched on (`ManagerFaults`) make it refuse, fail,
hang, claim success without doing anything, answer garbage, or lose its answer after it has accepted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from lab.inventory import ASPECT, Vnf
from lab.sol013 import (
    API_VERSION,
    ProblemError,
    check_version,
    page,
    problem_response,
    select,
)
from lab.vnfm_documents import ROOT, operation_occurrence, vnf_instance
from lab.vnfm_operations import (
    ManagerFaults,
    Operation,
    OperationConflictError,
    OperationInvalidError,
    Operations,
    check_scale,
    named_vnfcs,
)
from lab.vnfm_subscriptions import Subscriptions

GARBAGE = b'{"id": "4711", "operationState": [ <html>Internal'
# A lost answer: the operation runs, and the client learns nothing before its own timeout.
LOST_ANSWER_SECONDS = 30.0


class _Tolerant(BaseModel):
    model_config = ConfigDict(extra="allow")


class ScaleRequest(_Tolerant):
    """ScaleVnfRequest (5.5.2.5)."""

    type: Literal["SCALE_OUT", "SCALE_IN"]
    aspectId: str
    numberOfSteps: int = Field(default=1, ge=1)


class HealRequest(_Tolerant):
    """HealVnfRequest (5.5.2.9), with SOL002's vnfcInstanceId."""

    cause: str | None = None
    vnfcInstanceId: list[str] | None = None


class OperateRequest(_Tolerant):
    """OperateVnfRequest (5.5.2.10)."""

    changeStateTo: Literal["STARTED", "STOPPED"]
    stopType: Literal["FORCEFUL", "GRACEFUL"] | None = None
    gracefulStopTimeout: int | None = None


class CancelRequest(_Tolerant):
    """CancelMode (5.5.2.14)."""

    cancelMode: Literal["GRACEFUL", "FORCEFUL"]


class SubscriptionRequest(_Tolerant):
    """LccnSubscriptionRequest (5.5.2.15)."""

    callbackUri: str
    filter: dict[str, Any] | None = None
    authentication: dict[str, Any] | None = None
    verbosity: Literal["FULL", "SHORT"] | None = None


class Manager:
    """What the resources below work on."""

    def __init__(
        self, vnfs: dict[str, Vnf], operations: Operations, subscriptions: Subscriptions, root: str
    ) -> None:
        self.vnfs = {vnf.id: vnf for vnf in vnfs.values()}
        self.operations = operations
        self.subscriptions = subscriptions
        self.root = root
        operations.changed = subscriptions.publish

    def vnf(self, identifier: str) -> Vnf:
        """The VNF instance, or ProblemError 404."""
        if identifier not in self.vnfs:
            raise ProblemError(404, f"no VNF instance {identifier}")
        return self.vnfs[identifier]

    def operation(self, identifier: str) -> Operation:
        """The occurrence, or ProblemError 404."""
        if identifier not in self.operations.all:
            raise ProblemError(404, f"no operation occurrence {identifier}")
        return self.operations.all[identifier]

    async def begin(self, vnf: Vnf, kind: str, request: BaseModel) -> Response:
        """Accept an operation: 202, no body, Location. A refusal that was switched on comes first."""
        faults = self.operations.faults
        if faults.refusal_status is not None:
            headers = (
                {"Retry-After": str(faults.retry_after_seconds)}
                if faults.refusal_status == 503
                else None
            )
            raise ProblemError(faults.refusal_status, "injected: the VNFM refuses", headers)
        params = request.model_dump(exclude_unset=True)
        operation = self.operations.begin(vnf, kind, params)
        if faults.loses_answers:
            await asyncio.sleep(LOST_ANSWER_SECONDS)
        return self.accepted(operation)

    def accepted(self, operation: Operation) -> Response:
        """202 with the occurrence's address."""
        location = f"{self.root}{ROOT}/vnf_lcm_op_occs/{operation.id}"
        return Response(status_code=202, headers={"Location": location, "Version": API_VERSION})


def create_app(manager: Manager) -> FastAPI:
    """The VNFM's HTTP interface."""
    app = FastAPI(title="Lab VNFM", openapi_url=None)
    _add_errors(app)
    _add_garbage(app, manager.operations.faults)
    _add_versions(app)
    _add_instances(app, manager)
    _add_occurrences(app, manager)
    _add_subscriptions(app, manager)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ProblemError)
    async def problem(_: Request, error: ProblemError) -> Response:
        return problem_response(error.status, error.detail, error.headers)

    @app.exception_handler(OperationConflictError)
    async def conflict(_: Request, error: OperationConflictError) -> Response:
        return problem_response(409, str(error))

    @app.exception_handler(OperationInvalidError)
    async def invalid(_: Request, error: OperationInvalidError) -> Response:
        return problem_response(400, str(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        status = 404 if first["loc"][0] == "path" else 400
        return problem_response(
            status, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        )

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        return problem_response(error.status_code, str(error.detail), dict(error.headers or {}))


def _add_garbage(app: FastAPI, faults: ManagerFaults) -> None:
    @app.middleware("http")
    async def garbage(
        request: Request, following: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        if faults.garbage:
            return Response(GARBAGE, 200, media_type="application/json")
        return await following(request)


def _add_versions(app: FastAPI) -> None:
    @app.get("/vnflcm/api_versions")
    @app.get(f"{ROOT}/api_versions")
    async def versions() -> Response:
        return JSONResponse(
            {"uriPrefix": ROOT, "apiVersions": [{"version": API_VERSION, "isDeprecated": False}]},
            headers={"Version": API_VERSION},
        )


_versioned = [Depends(check_version)]


def _add_instances(app: FastAPI, manager: Manager) -> None:
    instances = f"{ROOT}/vnf_instances"

    @app.get(instances, dependencies=_versioned)
    async def list_instances(request: Request) -> Response:
        documents = [vnf_instance(vnf, manager.root) for vnf in manager.vnfs.values()]
        return page(select(documents, request.query_params.get("filter")), request)

    @app.get(instances + "/{identifier}", dependencies=_versioned)
    async def get_instance(identifier: str) -> Response:
        vnf = manager.vnf(identifier)
        headers = {"Version": API_VERSION, "ETag": f'"{vnf.etag}"'}
        return JSONResponse(vnf_instance(vnf, manager.root), headers=headers)

    @app.post(instances + "/{identifier}/scale", dependencies=_versioned)
    async def scale(identifier: str, request: ScaleRequest) -> Response:
        vnf = manager.vnf(identifier)
        if request.aspectId != ASPECT:
            raise ProblemError(400, f"aspectId: this VNF scales by {ASPECT!r}")
        check_scale(vnf, request.type, request.numberOfSteps)
        return await manager.begin(vnf, "SCALE", request)

    @app.post(instances + "/{identifier}/heal", dependencies=_versioned)
    async def heal(identifier: str, request: HealRequest) -> Response:
        vnf = manager.vnf(identifier)
        known = {
            name for vnfc in vnf.vnfcs.values() for name in (vnfc.id, vnfc.resource_id, vnfc.name)
        }
        unknown = set(named_vnfcs(request.model_dump())) - known
        if unknown:
            raise ProblemError(
                400, f"vnfcInstanceId: not of this VNF: {', '.join(sorted(unknown))}"
            )
        return await manager.begin(vnf, "HEAL", request)

    @app.post(instances + "/{identifier}/operate", dependencies=_versioned)
    async def operate(identifier: str, request: OperateRequest) -> Response:
        return await manager.begin(manager.vnf(identifier), "OPERATE", request)


def _add_occurrences(app: FastAPI, manager: Manager) -> None:
    occurrences = f"{ROOT}/vnf_lcm_op_occs"

    @app.get(occurrences, dependencies=_versioned)
    async def list_occurrences(request: Request) -> Response:
        documents = [operation_occurrence(o, manager.root) for o in manager.operations.all.values()]
        return page(select(documents, request.query_params.get("filter")), request)

    @app.get(occurrences + "/{identifier}", dependencies=_versioned)
    async def get_occurrence(identifier: str) -> Response:
        document = operation_occurrence(manager.operation(identifier), manager.root)
        return JSONResponse(document, headers={"Version": API_VERSION})

    @app.post(occurrences + "/{identifier}/{task}", dependencies=_versioned)
    async def do_task(
        identifier: str,
        task: Literal["retry", "rollback", "fail", "cancel"],
        body: CancelRequest | None = None,
    ) -> Response:
        operation = manager.operation(identifier)
        if task == "fail":
            manager.operations.fail(operation)
            document = operation_occurrence(operation, manager.root)
            return JSONResponse(document, headers={"Version": API_VERSION})
        if task == "cancel":
            if body is None:
                raise ProblemError(400, "cancelMode is missing")
            manager.operations.cancel(operation, body.cancelMode)
        elif task == "retry":
            manager.operations.retry(operation)
        else:
            manager.operations.rollback(operation)
        return Response(status_code=202, headers={"Version": API_VERSION})


def _add_subscriptions(app: FastAPI, manager: Manager) -> None:
    collection = f"{ROOT}/subscriptions"

    def find(identifier: str) -> Any:
        if identifier not in manager.subscriptions.all:
            raise ProblemError(404, f"no subscription {identifier}")
        return manager.subscriptions.all[identifier]

    @app.post(collection, dependencies=_versioned)
    async def subscribe(request: SubscriptionRequest) -> Response:
        subscription, new = await manager.subscriptions.add(request.model_dump(exclude_none=True))
        location = f"{manager.root}{collection}/{subscription.id}"
        headers = {"Location": location, "Version": API_VERSION}
        if not new:
            return Response(status_code=303, headers=headers)
        return JSONResponse(subscription.document(manager.root), 201, headers)

    @app.get(collection, dependencies=_versioned)
    async def list_subscriptions(request: Request) -> Response:
        documents = [s.document(manager.root) for s in manager.subscriptions.all.values()]
        return page(select(documents, request.query_params.get("filter")), request)

    @app.get(collection + "/{identifier}", dependencies=_versioned)
    async def get_subscription(identifier: str) -> Response:
        return JSONResponse(
            find(identifier).document(manager.root), headers={"Version": API_VERSION}
        )

    @app.delete(collection + "/{identifier}", dependencies=_versioned)
    async def unsubscribe(identifier: str) -> Response:
        manager.subscriptions.remove(find(identifier))
        return Response(status_code=204, headers={"Version": API_VERSION})
