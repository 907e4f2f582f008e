"""The published OpenAPI: each error with the media type that it really has, and how to authenticate."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problem import MEF_MEDIA_TYPE, MEF_PREFIX, TMF_PREFIX

OPEN_OPERATIONS = frozenset({"/healthz"})
PROBLEM_MEDIA_TYPE = "application/problem+json"
_MEF_ERROR = {
    "type": "object",
    "required": ["reason", "code"],
    "properties": {name: {"type": "string"} for name in ("reason", "message", "code")},
}
_TMF_ERROR = {
    "type": "object",
    "required": ["@type", "code", "reason"],
    "properties": {
        name: {"type": "string"} for name in ("@type", "code", "reason", "message", "status")
    },
}
_DESCRIPTION = (
    "Closed-loop service assurance. Every operation but `/healthz` needs a bearer token. "
    "A tenant's token sees that tenant's services; what is not the caller's is 404."
)


def install(app: FastAPI) -> None:
    """Make an application publish the corrected document; it is built once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=_DESCRIPTION,
                routes=app.routes,
            )
            app.openapi_schema = _corrected(document)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _corrected(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path in OPEN_OPERATIONS else [{"bearer": []}]
            for status, response in operation["responses"].items():
                _correct_response(path, int(status), response)
    return document


def _correct_response(path: str, status: int, response: dict[str, Any]) -> None:
    any_value: dict[str, Any] = {}
    if path.startswith(MEF_PREFIX):
        error: dict[str, Any] = _MEF_ERROR
        schema = {"type": "array", "items": error} if status == 422 else error
        response["content"] = {MEF_MEDIA_TYPE: {"schema": any_value if status < 400 else schema}}
    elif path.startswith(TMF_PREFIX):
        response["content"] = {
            "application/json": {"schema": any_value if status < 400 else _TMF_ERROR}
        }
    elif status < 400 and "text/event-stream" in response.get("content", {}):
        # `itemSchema` is of OpenAPI 3.2, and the document says 3.1.
        response["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    elif path.startswith("/schemas/") and status < 400:
        response["content"] = {"application/schema+json": {"schema": any_value}}
    elif status >= 400 and not (path == "/readyz" and status == 503):
        for content in list(response.get("content", {}).values()):
            response["content"] = {PROBLEM_MEDIA_TYPE: content}
