"""Errors in the dialect of the resource they come from: RFC 9457, MEF LSO, or TM Forum."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from trimtab.errors import JournalError, StoreError

MEF_PREFIX = "/mefApi/"
TMF_PREFIX = "/tmf-api/"
MEF_MEDIA_TYPE = "application/json;charset=utf-8"
REASON_MAX = 255  # MEF's maxLength of `reason`
FINDINGS_MAX = 20

_MEF_CODES = {
    400: "invalidQuery",
    401: "missingCredentials",
    403: "accessDenied",
    404: "notFound",
    409: "conflict",
    422: "otherIssue",
    500: "internalError",
    501: "notImplemented",
}
_log = logging.getLogger("trimtab.api")


class FieldProblem(BaseModel):
    """One thing wrong with a request: where, and what."""

    where: str
    what: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    errors: list[FieldProblem] = []


class ApiError(Exception):
    """Answer with an error. `code` and `path` only show in MEF's dialect."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        path: str = "",
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.path = path
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def not_found(what: str) -> ApiError:
    """Return the 404 for a thing that is not there, or not the caller's."""
    return ApiError(404, f"there is no {what}")


def error_response(path: str, error: ApiError) -> Response:
    """Return the response for an error on a path, in the path's dialect."""
    if path.startswith(MEF_PREFIX):
        content: Any = _mef_body(error)
        return JSONResponse(content, error.status, error.headers, media_type=MEF_MEDIA_TYPE)
    if path.startswith(TMF_PREFIX):
        return JSONResponse(_tmf_body(error), error.status, error.headers)
    body = Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        instance=path,
        errors=list(error.errors),
    ).model_dump(exclude_defaults=True)
    return JSONResponse(
        {"type": "about:blank", **body},
        error.status,
        error.headers,
        media_type="application/problem+json",
    )


def _mef_body(error: ApiError) -> dict[str, str] | list[dict[str, str]]:
    """MEF W143, W146: an object, but for 422, which is an array of them."""
    code = error.code or _MEF_CODES.get(error.status, "")
    body = {"reason": HTTPStatus(error.status).phrase[:REASON_MAX], "message": error.detail}
    if code:
        body["code"] = code
    if error.status != 422:
        return body
    if not error.errors:
        return [{**body, **({"propertyPath": error.path} if error.path else {})}]
    return [
        {**body, "message": finding.what, "propertyPath": finding.where} for finding in error.errors
    ]


def _tmf_body(error: ApiError) -> dict[str, str]:
    return {
        "@type": "Error",
        "code": str(error.status),
        "status": str(error.status),
        "reason": HTTPStatus(error.status).phrase,
        "message": error.detail,
    }


def install(app: FastAPI) -> None:
    """Make an application answer every error in its dialect."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(JournalError, _on_unavailable)
    app.add_exception_handler(StoreError, _on_unavailable)
    app.add_exception_handler(TimeoutError, _on_unavailable)
    app.add_exception_handler(Exception, _on_crash)


async def _on_api_error(request: Request, error: Exception) -> Response:
    return error_response(request.url.path, cast(ApiError, error))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    found = cast(HTTPException, error)
    detail = str(found.detail)
    if detail == HTTPStatus(found.status_code).phrase:
        detail = f"{request.method} {request.url.path}: {detail.lower()}"
    return error_response(
        request.url.path, ApiError(found.status_code, detail, headers=found.headers)
    )


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    findings = [
        FieldProblem(where="/" + "/".join(str(part) for part in item["loc"]), what=item["msg"])
        for item in cast(RequestValidationError, error).errors()[:FINDINGS_MAX]
    ]
    mef = request.url.path.startswith(MEF_PREFIX)
    status = 400 if request.url.path.startswith(TMF_PREFIX) else 422
    detail = "; ".join(f"{item.where}: {item.what}" for item in findings)
    answer = ApiError(status, detail, errors=findings, code="invalidValue" if mef else "")
    return error_response(request.url.path, answer)


async def _on_unavailable(request: Request, error: Exception) -> Response:
    _log.warning("%s %s: %s", request.method, request.url.path, error)
    status = 500 if request.url.path.startswith(MEF_PREFIX) else 503  # MEF has no 503
    detail = str(error) or "the loop did not answer in time"
    return error_response(request.url.path, ApiError(status, detail, headers={"Retry-After": "5"}))


async def _on_crash(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(
        request.url.path, ApiError(500, "an unexpected condition; the log has the details")
    )
