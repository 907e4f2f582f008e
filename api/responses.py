"""The error answers that each kind of route declares, so that the published OpenAPI tells the truth."""

from typing import Any

from api.problem import Problem

_TEXTS = {
    400: "The body is not JSON text",
    401: "No credential, or one that is not known",
    403: "The credential lacks the scope, or the CSRF token",
    404: "Not there, or not the caller's",
    405: "No such method here",
    409: "The loop refused: the state does not allow it",
    413: "The body is too large",
    422: "The request is malformed; `errors` says where",
    500: "An unexpected condition",
    503: "The loop or its store can't answer now",
}


def _of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": _TEXTS[status], "model": Problem} for status in statuses}


READS = _of(401, 403, 404, 422, 500, 503)
ORDERS = _of(400, 401, 403, 404, 409, 413, 422, 500, 503)
