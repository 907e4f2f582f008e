"""What every resource of `/api/v1` is made of: a strict model, times, and pages of a list."""

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from api.paging import encode_cursor
from trimtab.domain.time import rfc3339
from trimtab.store.questions import Page

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
T = TypeVar("T")
S = TypeVar("S")


class View(BaseModel):
    """Base of every resource."""

    model_config = ConfigDict(extra="forbid")


def time_or_none(at_ns: int | None) -> Time | None:
    """Return RFC 3339, None for an absent time."""
    return None if at_ns is None else rfc3339(at_ns)


class ListView(View, Generic[T]):
    """A page of a list, newest first. Hand `next` back as `cursor` for the following page."""

    items: list[T]
    total: int
    next: str | None = None


def next_cursor(page: Page[S]) -> str | None:
    """Return the cursor of the following page, None on the last."""
    return encode_cursor(page.next) if page.next else None
