r"""InfluxDB line protocol v2, decoded into rows: `measurement,tag=value field=1,other=2i 1700000000000000000`.

A field is a series: its name is `measurement_field`, and `measurement` alone for a field called `value`, as Telegraf
names them; tags are its labels. Most lines name what came before in the same bytes, so the text before the fields is
the key of a dictionary; only what is not found there is taken apart by the grammar. A backslash takes away the meaning
of the character behind it, and vanishes before a comma, a space and an equals sign, as in InfluxDB itself.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from collectors.push import MalformedRequest, RequestTooLarge
from trimtab.domain.time import NS_PER_SECOND

PRECISIONS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": NS_PER_SECOND}
TIME_NS_MAX = 2**63 - 1
VALUE_CHARACTERS_MAX = 400
TEXTS_KEPT_MAX = 500_000
_PLAIN_FIELD = "value"
_FRESH = -1_000  # codes from here down stand for series that are not known yet

_KEY = r"(?:[^\\ ,=\r\n]|\\.|\\$)++"
_NAME = r"(?:[^\\ ,\r\n]|\\.|\\$)++"
_TAGS = rf"(?:,{_KEY}={_KEY})*+"
_VALUE = r'(?:"(?:[^"\\]|\\[\s\S])*+"|[^ ,"\r\n]++)'
_HEAD = re.compile(rf"({_NAME})({_TAGS})", re.MULTILINE)
_INDENTED_HEAD = re.compile(rf"[ \t]*+{_NAME}{_TAGS}", re.MULTILINE)
_TAG = re.compile(rf",({_KEY})=({_KEY})", re.MULTILINE)
_FIELD = re.compile(rf"({_KEY}={_VALUE}),?", re.MULTILINE)
_SPLIT_FIELD = re.compile(rf"({_KEY})=({_VALUE})", re.MULTILINE)
_LINE = re.compile(
    rf"[ \t]*+({_NAME}{_TAGS}) ++({_KEY}={_VALUE}(?:,{_KEY}={_VALUE})*+)(?: ++(-?\d{{1,19}}))? *+\r?(?:\n|\Z)",
    re.MULTILINE | re.ASCII,
)
_BLANK = re.compile(r"[ \t]*+(?:#[^\n]*+)?\r?(?:\n|\Z)")
_TIME = re.compile(r"-?\d{1,19}", re.ASCII)
_NUMBER = re.compile(
    r"([+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d{1,9})?)|([+-]?\d{1,20})i|(\d{1,20})u", re.ASCII
)
_BOOLEANS = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), 1.0),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), 0.0),
}
_ESCAPED_IN_NAME = re.compile(r"\\([, ])")
_ESCAPED = re.compile(r"\\([, =])")

Resolve = Callable[[str, dict[str, str]], int]


class MalformedLine(MalformedRequest):
    """Report what is wrong with a line, and which one it is, counted from 1."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"line {line}: {detail}")
        self.line = line


@dataclass(slots=True)
class Points:
    """The rows of a body in their order.

    `code` is a series' id, or the code below 0 why it has none, or, from `_FRESH` down, counts through `fresh`: series
    whose text was not known, with head and field key, name and labels. `not_numeric` counts fields that are texts.
    """

    code: list[int] = field(default_factory=list)
    time_ns: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    fresh: dict[tuple[str, str], tuple[int, str, dict[str, str]]] = field(default_factory=dict)
    not_numeric: int = 0


class LineReader:
    """Decode the bodies of one bucket, remembering what text stands for which series.

    `read` may run in a thread of its own, and only looks at what is remembered; `ids`, on the thread of the loop,
    learns. So of a body with a malformed line no series is made.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._known: dict[str, dict[str, int]] = {}
        self.texts = 0

    def read(self, text: str, unit_ns: int, now_ns: int, rows_max: int) -> Points:
        """Decode a body; `unit_ns` is its precision, `now_ns` the time of lines without one.

        Raises MalformedLine, or RequestTooLarge over `rows_max` rows.
        """
        points, known = Points(), self._known
        position, number = 0, 1
        while position < len(text):
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            parts = text[position:end].split(" ")
            if parts[0] in known and _is_plain(parts):
                head, pairs, stamp = parts[0], parts[1].split(","), parts[2:]
                after = end + 1
            elif blank := _BLANK.match(text, position):
                position, number = blank.end(), number + 1
                continue
            else:
                head, pairs, stamp, after = _take_apart(text, position, end, number)
            time_ns = _time_ns(stamp[0], unit_ns, number) if stamp else now_ns
            _add(points, head, known.get(head, {}), pairs, time_ns, number)
            if len(points.code) > rows_max:
                raise RequestTooLarge(f"more than {rows_max} samples in a request")
            number += max(1, text.count("\n", position, after))
            position = after
        return points

    def ids(self, points: Points) -> npt.NDArray[np.int64]:
        """Return the series id of every row, or the code below 0 why it has none; new series are resolved."""
        codes: list[int] = []
        for (head, key), (_, name, labels) in points.fresh.items():
            code = self._resolve(name, labels)
            self._known.setdefault(head, {})[key] = code
            codes.append(code)
        self.texts += len(codes)
        found = np.array(points.code, dtype=np.int64)
        fresh = found <= _FRESH
        found[fresh] = np.array(codes, dtype=np.int64)[_FRESH - found[fresh]]
        return found


def _is_plain(parts: list[str]) -> bool:
    """Return whether a split line is `head fields` or `head fields time`, with nothing in it that hides a separator."""
    if len(parts) not in (2, 3) or '"' in parts[1] or "\\" in parts[1] or "\r" in parts[1]:
        return False
    return len(parts) == 2 or _TIME.fullmatch(parts[2]) is not None


def _take_apart(
    text: str, position: int, end: int, number: int
) -> tuple[str, list[str], list[str], int]:
    """Return a line's head, its fields, its time if it has one, and where the next line begins."""
    found = _LINE.match(text, position)
    if found is None:
        shown = text[position : min(end, position + 80)]
        raise MalformedLine(number, f"{_complaint(text, position)} in {shown!r}")
    pairs = [pair[1] for pair in _FIELD.finditer(found[2])]
    return found[1], pairs, [found[3]] if found[3] else [], found.end()


def _complaint(text: str, position: int) -> str:
    """Say which part of a malformed line is not right."""
    head = _INDENTED_HEAD.match(text, position)
    if head is None:
        return "no measurement"
    behind = text[head.end() : head.end() + 1]
    if behind == ",":
        return "a tag that is not key=value"
    if behind != " ":
        return "no fields"
    return "fields that are not key=value, or a time that is no integer,"


def _add(
    points: Points, head: str, known: dict[str, int], pairs: list[str], time_ns: int, number: int
) -> None:
    """Add a line's rows."""
    for pair in pairs:
        key, _, text = pair.partition("=")
        code = known.get(key)
        if code is None:
            key, text = _split(pair, number)
            code = known.get(key)
        value = _value(text, number)
        if value is None:
            points.not_numeric += 1
            continue
        if code is None:
            entry = points.fresh.get((head, key))
            if entry is None:
                entry = (_FRESH - len(points.fresh), *_series(head, key, number))
                points.fresh[head, key] = entry
            code = entry[0]
        points.code.append(code)
        points.time_ns.append(time_ns)
        points.value.append(value)


def _split(pair: str, number: int) -> tuple[str, str]:
    found = _SPLIT_FIELD.fullmatch(pair)
    if found is None:
        raise MalformedLine(number, f"the field {pair[:80]!r} is not key=value")
    return found[1], found[2]


def _value(text: str, number: int) -> float | None:
    """Return a field's value, None for a text. True is 1, false 0."""
    found = _NUMBER.fullmatch(text) if len(text) <= VALUE_CHARACTERS_MAX else None
    if found is None:
        if text[:1] == '"' and text[-1:] == '"' and len(text) > 1:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        raise MalformedLine(number, f"{text[:80]!r} is no value")
    plain, signed, unsigned = found.groups()
    if plain is not None:
        return float(plain)
    whole = int(signed if signed is not None else unsigned)
    if not (-(2**63) <= whole < 2**63 if signed is not None else whole < 2**64):
        raise MalformedLine(number, f"{text} is out of range")
    return float(whole)


def _time_ns(text: str, unit_ns: int, number: int) -> int:
    time_ns = int(text) * unit_ns
    if not 0 < time_ns <= TIME_NS_MAX:
        raise MalformedLine(number, f"an impossible time: {text}")
    return time_ns


def _series(head: str, key: str, number: int) -> tuple[str, dict[str, str]]:
    """Return name and labels of a field's series."""
    found = _HEAD.fullmatch(head)
    if found is None:
        raise MalformedLine(number, f"{head[:80]!r} is no measurement with tags")
    labels: dict[str, str] = {}
    for name, value in _TAG.findall(found[2]):
        name = _ESCAPED.sub(r"\1", name)
        if name in labels:
            raise MalformedLine(number, f"the tag {name[:80]!r} comes twice")
        labels[name] = _ESCAPED.sub(r"\1", value)
    measurement, key = _ESCAPED_IN_NAME.sub(r"\1", found[1]), _ESCAPED.sub(r"\1", key)
    return measurement if key == _PLAIN_FIELD else f"{measurement}_{key}", labels
