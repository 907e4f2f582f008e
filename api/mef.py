"""What MEF LSO Legato resources share: query parameters, paging, and 501 for what comes later."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from api.instants import instant
from api.problem import MEF_MEDIA_TYPE, ApiError, FieldProblem
from trimtab.store.questions import Page, PageRequest, Span

PAGE_SIZE_MAX = 500
OFFSET_MAX = 1_000_000
VALUE_CHARACTERS_MAX = 512


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter as the standard's OpenAPI file has it."""

    name: str
    values: tuple[str, ...] = ()
    form: str = "string"  # string, date-time, boolean, integer

    def schema(self) -> dict[str, Any]:
        """Return its OpenAPI description."""
        inner: dict[str, Any] = {"type": "string"}
        if self.values:
            inner["enum"] = list(self.values)
        elif self.form == "date-time":
            inner["format"] = "date-time"
        elif self.form == "boolean":
            inner = {"type": "boolean"}
        elif self.form == "integer":
            inner = {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX}
        return {"name": self.name, "in": "query", "required": False, "schema": inner}


PAGING = (Parameter("offset", form="integer"), Parameter("limit", form="integer"))


def times(*names: str) -> tuple[Parameter, ...]:
    """Return the `.gt` and `.lt` parameters of times."""
    return tuple(
        Parameter(f"{name}.{bound}", form="date-time") for name in names for bound in ("gt", "lt")
    )


class Query:
    """The query of a request, checked against what the standard allows.

    Raises ApiError 400 for unknown, repeated or empty parameters, 422 for values that make no sense.
    """

    def __init__(self, request: Request, allowed: Sequence[Parameter]) -> None:
        known = {parameter.name: parameter for parameter in allowed}
        self._values: dict[str, str] = {}
        findings: list[FieldProblem] = []
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise ApiError(400, f"there is no query parameter {name[:64]!r}")
            if name in self._values:
                raise ApiError(400, f"the query parameter {name!r} is given twice")
            if not value:
                detail = f"the query parameter {name!r} has no value"
                raise ApiError(400, detail, code="missingQueryValue")
            wrong = _wrong(known[name], value)
            if wrong:
                findings.append(FieldProblem(where=f"/query/{name}", what=wrong))
            self._values[name] = value
        if findings:
            raise ApiError(422, findings[0].what, code="invalidValue", errors=findings)

    def text(self, name: str) -> str | None:
        """Return a parameter's value, None when absent."""
        return self._values.get(name)

    def boolean(self, name: str) -> bool | None:
        """Return a boolean parameter's value, None when absent."""
        value = self._values.get(name)
        return None if value is None else value.lower() == "true"

    def span(self, name: str) -> Span:
        """Return the bounds `name.gt` and `name.lt`."""
        bounds = [instant(f"{name}.{b}", self._values.get(f"{name}.{b}")) for b in ("gt", "lt")]
        return Span(*bounds)

    def page(self) -> tuple[PageRequest, bool]:
        """Return the wanted part, oldest first, and whether it is less than was asked for."""
        asked = int(self._values.get("limit", str(PAGE_SIZE_MAX)))
        offset = int(self._values.get("offset", "0"))
        request = PageRequest(min(asked, PAGE_SIZE_MAX), offset=offset, oldest_first=True)
        return request, asked > PAGE_SIZE_MAX


def _wrong(parameter: Parameter, value: str) -> str:
    """Return what is wrong with a value, an empty text when nothing is."""
    if len(value) > VALUE_CHARACTERS_MAX:
        return f"longer than {VALUE_CHARACTERS_MAX} characters"
    if parameter.values and value not in parameter.values:
        return f"must be one of {', '.join(parameter.values)}"
    if parameter.form == "boolean" and value.lower() not in {"true", "false"}:
        return "must be true or false"
    if parameter.form == "integer":
        digits = value.isascii() and value.isdigit() and len(value) <= len(str(OFFSET_MAX))
        return "" if digits and int(value) <= OFFSET_MAX else f"must be 0 to {OFFSET_MAX}"
    if parameter.form == "date-time":
        try:
            instant(parameter.name, value)
        except ApiError as error:
            return error.detail
    return ""


def answer(content: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a body in MEF's media type."""
    return JSONResponse(content, 200, dict(headers or {}), media_type=MEF_MEDIA_TYPE)


def answer_page(
    page: Page[Any], throttled: bool, body: Callable[[Any], dict[str, Any]]
) -> Response:
    """Return a list with the standard's paging headers."""
    headers = {"X-Total-Count": str(page.total), "X-Result-Count": str(len(page.items))}
    if throttled:
        headers["X-Pagination-Throttled"] = "true"
    return answer([body(item) for item in page.items], headers)


def later(router: APIRouter, operations: Sequence[tuple[str, str]]) -> None:
    """Answer operations that a standard has and Trimtab does not have yet: 501, in its dialect."""

    async def not_implemented(request: Request) -> Response:
        detail = f"{request.method} {request.url.path} is not supported by this server yet"
        raise ApiError(501, detail)

    for method, path in operations:
        router.add_api_route(
            path,
            not_implemented,
            methods=[method],
            response_class=Response,
            status_code=501,
            responses={501: {"description": "Not supported by this server yet"}},
            summary="Not supported yet: 501",
            openapi_extra={"parameters": [_path_parameter(p) for p in _names(path)]},
        )


def _names(path: str) -> list[str]:
    parts = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [part.partition(":")[0] for part in parts]


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The query can't be read"},
    401: {"description": "No credential, or one that is not known"},
    403: {"description": "The credential lacks the scope"},
    404: {"description": "Not there, or not the caller's"},
    422: {"description": "A value makes no sense; an array"},
    500: {"description": "An unexpected condition"},
}
