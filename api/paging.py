"""Parts of lists: cursors for our own API, offsets with counts for MEF and TM Forum."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

from fastapi import Depends, Query, Request

from api.context import context_of
from api.problem import ApiError, FieldProblem
from api.settings import PAGE_SIZE_MAX
from trimtab.store.questions import PageRequest, Position

CURSOR_CHARACTERS_MAX = 512


def encode_cursor(position: Position) -> str:
    """Return an opaque text for a position."""
    return urlsafe_b64encode(f"{position.at_ns}:{position.id}".encode()).decode().rstrip("=")


def decode_cursor(text: str) -> Position:
    """Return the position that `encode_cursor` made this of. Raises ApiError 422 on anything else."""
    try:
        plain = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        at_ns, separator, name = plain.partition(":")
        position = Position(int(at_ns), name)
    except (ValueError, binascii.Error):
        position, separator = Position(0, ""), ""
    if not separator or not 0 <= position.at_ns < 2**63:
        finding = FieldProblem(where="/query/cursor", what="not a cursor of this API")
        raise ApiError(422, "the cursor is not one that this API gave out", errors=[finding])
    return position


def page_request(
    request: Request,
    limit: Annotated[int | None, Query(ge=1, le=PAGE_SIZE_MAX)] = None,
    cursor: Annotated[str | None, Query(max_length=CURSOR_CHARACTERS_MAX)] = None,
) -> PageRequest:
    """Read `limit` and `cursor`; lists are newest first and stay stable while new items arrive."""
    position = decode_cursor(cursor) if cursor else None
    return PageRequest(limit or context_of(request).settings.page_size, position)


Paging = Annotated[PageRequest, Depends(page_request)]
