"""Say what pydantic found in words of the file's author, with a mend: did-you-mean, the known keys, an example."""

import difflib
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

NAMES_SHOWN_MAX = 12
TEXT_SHOWN_MAX = 60


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong at a path, and what would be right. `of_key` points at the key, not at its value."""

    path: tuple[str | int, ...]
    problem: str
    mend: str
    of_key: bool = False


def did_you_mean(word: str, known: Iterable[str], noun: str = "known names") -> str:
    """Return a mend that names the nearest known word, or else the known ones."""
    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    if not names:
        return f"there are no {noun} here"
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    return f"{noun}: {shown}" + (", ..." if len(names) > NAMES_SHOWN_MAX else "")


def shown(value: Any) -> str:
    """Return a value as its author would recognise it, cut to a sane length."""
    text = str(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= TEXT_SHOWN_MAX else text[: TEXT_SHOWN_MAX - 3] + "..."


def complaints(model: type[BaseModel], part: Any, error: ValidationError) -> list[Complaint]:
    """Turn a validation error over plain data into complaints, one a place."""
    found: dict[tuple[str | int, ...], Complaint] = {}
    for detail in error.errors(include_url=False):
        said = _complaint(model, part, detail)
        found.setdefault(said.path, said)
    return list(found.values())


def _complaint(model: type[BaseModel], part: Any, detail: ErrorDetails) -> Complaint:
    path = _real_path(part, detail["loc"])
    last = str(detail["loc"][-1]) if detail["loc"] else ""
    kind = detail["type"]
    value = detail.get("input")
    context = detail.get("ctx") or {}
    if kind == "missing":
        return Complaint(path, f"`{last}` is missing", f"add `{last}:`")
    if kind == "extra_forbidden":
        known = _keys(_hint_at(model, detail["loc"][:-1]))
        mend = did_you_mean(last, known, "known keys")
        return Complaint(path, f"unknown key `{last}`", mend, of_key=True)
    if kind in ("enum", "literal_error"):
        choices = _choices(_hint_at(model, detail["loc"]))
        mend = did_you_mean(str(value), choices, "choices") if choices else "see the documentation"
        return Complaint(path, f"`{shown(value)}` is not a choice for `{last}`", mend)
    if kind in _WANTED and not path:
        return Complaint(path, f"the file is {_a(value)}, not {_WANTED[kind][0]}", "fill it in")
    if kind == "less_than_equal" and last == "format":
        problem = f"`format` is {shown(value)}, newer than this version reads"
        return Complaint(path, problem, f"write {context['le']}, or update Trimtab")
    if kind in _WANTED:
        wanted, example = _WANTED[kind]
        return Complaint(path, f"`{last}` is {_a(value)}, not {wanted}", example)
    if kind in ("value_error", "assertion_error"):
        problem, _, mend = str(context.get("error", detail["msg"])).partition("; ")
        return Complaint(path, problem, mend or "see the documentation")
    if kind in _LIMITS:
        word, key = _LIMITS[kind]
        return Complaint(
            path, f"`{last}` is {shown(value)}", f"it must be {word} {context.get(key)}"
        )
    if kind == "string_pattern_mismatch":
        return Complaint(
            path, f"`{shown(value)}` is not a valid `{last}`", f"it must match {context['pattern']}"
        )
    return Complaint(path, f"`{last}`: {detail['msg']}", "see the documentation")


_WANTED = {
    "string_type": ("a text", "write e.g. `name` or put it in quotes"),
    "int_type": ("a whole number", "write e.g. 5"),
    "int_from_float": ("a whole number", "write e.g. 5"),
    "float_type": ("a number", "write e.g. 0.5"),
    "bool_type": ("true or false", "write true or false"),
    "model_type": ("a mapping", "write `key: value` lines under it"),
    "model_attributes_type": ("a mapping", "write `key: value` lines under it"),
    "dict_type": ("a mapping", "write `key: value` lines under it"),
    "list_type": ("a list", "write `- ` lines under it"),
    "tuple_type": ("a list", "write `- ` lines under it"),
}
_LIMITS = {
    "greater_than": ("over", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("under", "lt"),
    "less_than_equal": ("at most", "le"),
    "too_short": ("of a length of at least", "min_length"),
    "too_long": ("of a length of at most", "max_length"),
    "string_too_short": ("of a length of at least", "min_length"),
    "string_too_long": ("of a length of at most", "max_length"),
}


def _a(value: Any) -> str:
    """Return what a value is, for a sentence."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"`{shown(value)}`"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the text `{shown(value)}`"
    return f"`{shown(value)}`"


def _real_path(part: Any, loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Return the steps of a pydantic location that exist in the data: it also names union members."""
    path: list[str | int] = []
    for step in loc:
        inside = _inside(part, step)
        if inside is not None:
            part = inside[0]
            path.append(step)
    return tuple(path)


def _inside(part: Any, step: str | int) -> tuple[Any] | None:
    """Return, in a tuple, what stands at one step into plain data; None when there is no such step."""
    if isinstance(part, dict):
        return (part[step],) if step in part else None
    if isinstance(part, list) and isinstance(step, int) and step < len(part):
        return (part[step],)
    return None


def _hint_at(hint: Any, loc: Sequence[str | int]) -> Any:
    """Return the annotation that governs a location, None when it can't be told."""
    for step in loc:
        hint = _bare(hint)
        if isinstance(hint, type) and issubclass(hint, BaseModel):
            by_name = {field.alias or name: field for name, field in hint.model_fields.items()}
            if step not in by_name:
                return None
            hint = by_name[str(step)].annotation
        elif get_origin(hint) is dict:
            hint = get_args(hint)[1]
        elif get_origin(hint) in (list, tuple) and isinstance(step, int):
            hint = get_args(hint)[0]
        elif get_origin(hint) in (Union, types.UnionType):
            hint = next((item for item in get_args(hint) if _named(item) == step), hint)
        else:
            return None
    return _bare(hint)


def _bare(hint: Any) -> Any:
    """Return a hint without Annotated and without an `| None`."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        members = [item for item in get_args(hint) if item is not type(None)]
        if len(members) == 1:
            return _bare(members[0])
    return hint


def _named(hint: Any) -> str:
    return getattr(_bare(hint), "__name__", "")


def _keys(hint: Any) -> list[str]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return [field.alias or name for name, field in hint.model_fields.items()]
    return []


def _choices(hint: Any) -> list[str]:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [str(member.value) for member in hint]
    if get_origin(hint) is Literal:
        return [str(item) for item in get_args(hint)]
    return []
