"""Times as they come in from outside."""

from typing import Annotated

from pydantic import Field

from api.problem import ApiError, FieldProblem
from trimtab.domain.time import ns_from_rfc3339

Instant = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
NS_MAX = 2**63 - 1


def instant(name: str, text: str | None, where: str = "/query/") -> int | None:
    """Return ns UTC of an RFC 3339 text. Raises ApiError 422 when it is not one."""
    if text is None:
        return None
    try:
        at_ns = ns_from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        finding = FieldProblem(where=f"{where}{name}", what=f"not an RFC 3339 time: {error}")
        raise ApiError(422, finding.what, code="invalidFormat", errors=[finding]) from error
    return max(-NS_MAX, min(at_ns, NS_MAX))
