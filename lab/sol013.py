"""ETSI SOL013, what every SOL003 resource shares: the Version header, problem details, attribute filters, paging."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

API_VERSION = "2.3.0"
# 2.0.0 is what SOL003 V3.3.1 and OpenStack Tacker speak: same shapes for all that is served here.
SUPPORTED_VERSIONS = ("2.3.0", "2.0.0")
PAGE_SIZE = 100

_TITLES = {400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 409: "Conflict",
           412: "Precondition Failed", 422: "Unprocessable Content", 500: "Internal Server Error",
           503: "Service Unavailable"}  # fmt: skip


class ProblemError(Exception):
    """Becomes an answer with ProblemDetails (SOL013 clause 6.3)."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def problem_details(status: int, detail: str) -> dict[str, object]:
    """A ProblemDetails value."""
    return {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }


def problem_response(
    status: int, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """A ProblemDetails answer."""
    return JSONResponse(
        problem_details(status, detail),
        status,
        {"Version": API_VERSION, **(headers or {})},
        "application/problem+json",
    )


async def check_version(request: Request) -> None:
    """SOL013 clause 9.3: a request names the version of the API; ProblemError 400 without, 406 with an unknown one."""
    wanted = request.headers.get("version")
    if wanted is None:
        raise ProblemError(400, "the Version header is missing")
    if wanted.partition("-impl:")[0] not in SUPPORTED_VERSIONS:
        raise ProblemError(
            406, f"version {wanted} is not supported; supported: {', '.join(SUPPORTED_VERSIONS)}"
        )


_OPERATORS: dict[str, Callable[[str, Sequence[str]], bool]] = {
    "eq": lambda value, wanted: value == wanted[0],
    "neq": lambda value, wanted: value != wanted[0],
    "in": lambda value, wanted: value in wanted,
    "nin": lambda value, wanted: value not in wanted,
    "gt": lambda value, wanted: value > wanted[0],
    "gte": lambda value, wanted: value >= wanted[0],
    "lt": lambda value, wanted: value < wanted[0],
    "lte": lambda value, wanted: value <= wanted[0],
    "cont": lambda value, wanted: any(text in value for text in wanted),
    "ncont": lambda value, wanted: not any(text in value for text in wanted),
}
_TERM = re.compile(r"\(([a-z]+),([^,()']+),((?:'(?:[^']|'')*'|[^'()])+)\)")
_VALUE = re.compile(r"'((?:[^']|'')*)'|([^,]+)")


def _parse_filter(text: str) -> list[tuple[str, list[str], list[str]]]:
    terms, at = [], 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None or match[1] not in _OPERATORS:
            raise ProblemError(400, f"filter: not an attribute filter from {text[at:]!r} on")
        values = [quoted.replace("''", "'") or plain for quoted, plain in _VALUE.findall(match[3])]
        terms.append((match[1], match[2].split("/"), values))
        at = match.end()
        if at < len(text):
            if text[at] != ";":
                raise ProblemError(400, "filter: terms are joined by ';'")
            at += 1
    return terms


def _values_at(document: Any, path: Sequence[str]) -> list[str]:
    if isinstance(document, list):
        return [value for item in document for value in _values_at(item, path)]
    if path:
        return (
            _values_at(document[path[0]], path[1:])
            if isinstance(document, dict) and path[0] in document
            else []
        )
    if isinstance(document, bool):
        return ["true" if document else "false"]
    return [str(document)]


def select(documents: Sequence[dict[str, Any]], text: str | None) -> list[dict[str, Any]]:
    """The documents that a filter (SOL013 clause 5.2) leaves. Times compare as the strings they are (all are UTC)."""
    if not text:
        return list(documents)
    terms = _parse_filter(text)
    return [
        document
        for document in documents
        if all(
            any(_OPERATORS[op](v, wanted) for v in _values_at(document, path))
            for op, path, wanted in terms
        )
    ]


def page(documents: Sequence[dict[str, Any]], request: Request) -> Response:
    """One page of a collection, with the link to the next (SOL013 clause 5.4.2)."""
    marker = request.query_params.get("nextpage_opaque_marker", "0")
    if not marker.isdigit():
        raise ProblemError(400, "nextpage_opaque_marker: not one of ours")
    start = int(marker)
    headers = {"Version": API_VERSION}
    if start + PAGE_SIZE < len(documents):
        following = request.url.include_query_params(nextpage_opaque_marker=start + PAGE_SIZE)
        headers["Link"] = f'<{following}>; rel="next"'
    return JSONResponse(list(documents[start : start + PAGE_SIZE]), 200, headers)
