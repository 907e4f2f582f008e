"""Causality as data: whose child a value is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Context:
    """Name a value and the value that caused it; `trimtab explain` walks these links both ways."""

    id: str
    parent_id: str | None = None
