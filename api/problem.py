"""Errors in the dialect of the resource they come from: RFC 9457, MEF LSO, or TM Forum."""

import logging
from collections.abc import Callable, Mapping, Sequence
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


def install(app: FastAPI, error_page: Callable[[Request, ApiError], Response]) -> None:
    """Make an application answer every error in its dialect, and with `error_page` to a browser."""
    translations: dict[type[Exception], Callable[[Request, Exception], ApiError]] = {
        ApiError: _from_api_error,
        HTTPException: _from_http_exception,
        RequestValidationError: _from_invalid_request,
        JournalError: _from_unavailable,
        StoreError: _from_unavailable,
        TimeoutError: _from_unavailable,
        Exception: _from_crash,
    }

    def handler(translate: Callable[[Request, Exception], ApiError]) -> Any:
        async def handle(request: Request, error: Exception) -> Response:
            found = translate(request, error)
            if _for_a_person(request):
                return error_page(request, found)
            return error_response(request.url.path, found)

        return handle

    for kind, translate in translations.items():
        app.add_exception_handler(kind, handler(translate))


def _for_a_person(request: Request) -> bool:
    path = request.url.path
    machine = path.startswith((MEF_PREFIX, TMF_PREFIX, "/api/"))
    return not machine and "text/html" in request.headers.get("accept", "")


def _from_api_error(request: Request, error: Exception) -> ApiError:
    return cast(ApiError, error)


def _from_http_exception(request: Request, error: Exception) -> ApiError:
    found = cast(HTTPException, error)
    detail = str(found.detail)
    if detail == HTTPStatus(found.status_code).phrase:
        detail = f"{request.method} {request.url.path}: {detail.lower()}"
    return ApiError(found.status_code, detail, headers=found.headers)


def _from_invalid_request(request: Request, error: Exception) -> ApiError:
    findings = [
        FieldProblem(where="/" + "/".join(str(part) for part in item["loc"]), what=item["msg"])
        for item in cast(RequestValidationError, error).errors()[:FINDINGS_MAX]
    ]
    status = 400 if request.url.path.startswith(TMF_PREFIX) else 422
    detail = "; ".join(f"{item.where}: {item.what}" for item in findings)
    return ApiError(status, detail, errors=findings, code="invalidValue" if status == 422 else "")


def _from_unavailable(request: Request, error: Exception) -> ApiError:
    _log.warning("%s %s: %s", request.method, request.url.path, error)
    status = 500 if request.url.path.startswith(MEF_PREFIX) else 503  # MEF has no 503
    detail = str(error) or "the loop did not answer in time"
    return ApiError(status, detail, headers={"Retry-After": "5"})


def _from_crash(request: Request, error: Exception) -> ApiError:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return ApiError(500, "an unexpected condition; the log has the details")
