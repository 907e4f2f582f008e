"""Prometheus text exposition 0.0.4 and OpenMetrics 1.0, decoded straight into columns.

Most lines of a scrape name a series that the scrape before named too, in the same bytes. So the text before the value
is the key of a dictionary, and only what is not found there is taken apart, exactly, by the format's grammar.
"""

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.errors import CollectorError

SKIPPED = -1  # stands in for a series id: the series is not wanted, or could not be taken
NS_PER_MILLISECOND = 1_000_000
NS_PER_SECOND = 1_000_000_000
OPENMETRICS = "application/openmetrics-text"
ACCEPT = f"{OPENMETRICS};version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
TIME_NS_MAX = 2**63 - 1
EXEMPLAR_RUNES_MAX = 128
LINES_PER_STEP = 1_000

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*+"
_BRACES = r'\{(?:[^"{}\n]++|"(?:[^"\\\n]++|\\.)*+")*+\}'
_TEXT_LINE = re.compile(
    rf"[ \t]*+({_NAME})[ \t]*+({_BRACES})?[ \t]*+([^ \t{{}}\"#]++)(?:[ \t]++(-?\d{{1,18}}))?[ \t]*+",
    re.ASCII,
)
_OPENMETRICS_LINE = re.compile(
    rf"({_NAME})({_BRACES})? ([^ {{}}\"#]++)(?: (-?[\d.eE+-]{{1,40}}))?(?: # ({_BRACES}) ([^ ]++)(?: ([\d.eE+-]++))?)?",
    re.ASCII,
)
_LABEL = re.compile(
    r'[ \t]*+([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\\n]++|\\.)*+)"[ \t]*+(,|$)', re.ASCII
)
_ESCAPE = re.compile(r'\\([\\"n])')
_ESCAPED = {"\\": "\\", '"': '"', "n": "\n"}
# What float() takes and the formats do not have: digit grouping, other scripts' digits, control characters.
_ODD_IN_NUMBERS = re.compile(r"[^0-9a-zA-Z+.\- ]")
_PLAIN_SECONDS = re.compile(r"(-?)(\d{1,10})(?:\.(\d{1,20}))?", re.ASCII)
_MILLISECONDS = re.compile(r"-?\d{1,18}", re.ASCII)
_COMMENTS = re.compile(r"# (?:TYPE|UNIT|HELP) ")

Resolve = Callable[[str, dict[str, str]], int]


class MalformedExposition(CollectorError):
    """Report that a page is not of its format, or not whole; nothing of it may be used."""


@dataclass(frozen=True, slots=True)
class Page:
    """The samples of one page, in order. `series_id` is SKIPPED where a series is not wanted.

    series_id int64, value float64 (not yet checked to be finite), time_ns int64 with 0 where the page gives no time.
    """

    series_id: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    time_ns: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.series_id)


class PageReader:
    """Decode the pages of one target, remembering what text stands for which series.

    `resolve` is asked for the id of a series that was not seen before. Ids are remembered, SKIPPED among them;
    `texts_max` bounds the memory: beyond it all is forgotten, and learnt anew from the next page.
    """

    def __init__(self, resolve: Resolve, texts_max: int) -> None:
        self._resolve = resolve
        self._texts_max = texts_max
        self._known: dict[str, int] = {}

    def read(self, text: str, *, openmetrics: bool) -> Page:
        """Decode a page. Raises MalformedExposition with the line's number."""
        steps = self.steps(text, openmetrics=openmetrics)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                page: Page = done.value
                return page

    def steps(self, text: str, *, openmetrics: bool) -> Generator[None, None, Page]:
        """Decode a page, pausing every LINES_PER_STEP lines, so that a long one does not hold up an event loop."""
        lines = _whole_lines(text, openmetrics=openmetrics)
        if len(self._known) > self._texts_max:
            self._known.clear()
        page = yield from self._decode(lines, self._known, openmetrics=openmetrics)
        if page is None:
            # A tab, say, between value and time: rare enough to take every line apart.
            page = yield from self._decode(lines, {}, openmetrics=openmetrics)
        return page or _no_numbers(lines)

    def _decode(
        self, lines: list[str], known: dict[str, int], *, openmetrics: bool
    ) -> Generator[None, None, Page | None]:
        """Decode, trusting that what follows a known text is a number; None when that was not so."""
        ids: list[int] = []
        tails: list[str] = []
        times: list[tuple[int, int]] = []
        for number, line in enumerate(lines, 1):
            if not number % LINES_PER_STEP:
                yield
            head, _, tail = line.rpartition(" ")
            found = known.get(head)
            if found is None:
                if line[:1] in ("#", "") or (not openmetrics and _is_comment(line)):
                    _check_unsampled(line, number, openmetrics=openmetrics)
                    continue
                key, _, value = head.rpartition(" ")
                found, stamp = known.get(key) if value else None, tail
                if found is None:
                    found, value, stamp = self._take_apart(line, number, openmetrics=openmetrics)
                if stamp:
                    times.append((len(ids), _time_ns(stamp, number, openmetrics=openmetrics)))
                tail = value
            ids.append(found)
            tails.append(tail)
        values = _numbers(tails)
        return None if values is None else _page(ids, values, times)

    def _take_apart(self, line: str, number: int, *, openmetrics: bool) -> tuple[int, str, str]:
        """Return a sample's series id, its value, and its time as written (empty where there is none)."""
        match = (_OPENMETRICS_LINE if openmetrics else _TEXT_LINE).fullmatch(line)
        if match is None:
            raise MalformedExposition(f"line {number} is not a sample: {line[:80]!r}")
        name, braces, value, stamp = match.group(1, 2, 3, 4)
        if openmetrics and match.group(5) is not None:
            _check_exemplar(match.group(5), match.group(6), number)
        key = name + (braces or "")
        found = self._known.get(key)
        if found is None:
            labels = _labels(braces[1:-1], number, openmetrics=openmetrics) if braces else {}
            found = self._known[key] = self._resolve(name, labels)
        return found, value, stamp or ""


def _time_ns(stamp: str, number: int, *, openmetrics: bool) -> int:
    time_ns = _seconds_to_ns(stamp) if openmetrics else _milliseconds_to_ns(stamp)
    if time_ns is None or not 0 < time_ns <= TIME_NS_MAX:
        raise MalformedExposition(f"line {number} has an impossible time: {stamp[:40]!r}")
    return time_ns


def _whole_lines(text: str, *, openmetrics: bool) -> list[str]:
    """Split a page. A page that does not end as its format says was cut off."""
    lines = text.split("\n")
    if openmetrics:
        if lines[-1] == "":
            lines.pop()
        if not lines or lines.pop() != "# EOF":
            raise MalformedExposition("cut off: the page does not end with # EOF")
        return lines
    if lines.pop() != "":
        raise MalformedExposition("cut off: the last line has no line feed")
    if not lines:
        raise MalformedExposition("the page is empty")
    return lines


def _check_unsampled(line: str, number: int, *, openmetrics: bool) -> None:
    if openmetrics and _COMMENTS.match(line) is None:
        raise MalformedExposition(f"line {number} may not stand in OpenMetrics: {line[:80]!r}")


def _labels(inside: str, number: int, *, openmetrics: bool) -> dict[str, str]:
    labels: dict[str, str] = {}
    position = 0
    while position < len(inside):
        match = _LABEL.match(inside, position)
        if match is None:
            if not inside[position:].strip(" \t"):
                break
            raise MalformedExposition(f"line {number} has a malformed label: {inside[:80]!r}")
        name, value, comma = match.groups()
        position = match.end()
        if name in labels or name == "__name__":
            raise MalformedExposition(f"line {number} has the label {name} twice")
        if openmetrics and comma and position == len(inside):
            raise MalformedExposition(f"line {number} has a comma after its last label")
        labels[name] = unescape(value) if "\\" in value else value
    return labels


def unescape(value: str) -> str:
    r"""Undo `\\`, `\"` and `\n`; any other backslash stands for itself."""
    return _ESCAPE.sub(lambda match: _ESCAPED[match.group(1)], value)


def _check_exemplar(braces: str, value: str, number: int) -> None:
    """Check an exemplar, which is not taken, so that a damaged line does not pass for a good one."""
    labels = _labels(braces[1:-1], number, openmetrics=True)
    if sum(len(key) + len(text) for key, text in labels.items()) > EXEMPLAR_RUNES_MAX:
        raise MalformedExposition(f"line {number} has an exemplar longer than the format allows")
    if _numbers([value]) is None:
        raise MalformedExposition(f"line {number} has an exemplar without a number")


def _milliseconds_to_ns(text: str) -> int | None:
    whole = _MILLISECONDS.fullmatch(text)
    return None if whole is None else int(text) * NS_PER_MILLISECOND


def _seconds_to_ns(text: str) -> int | None:
    """Return exact nanoseconds for plain decimals, rounded ones for an exponent, None for what is no time."""
    plain = _PLAIN_SECONDS.fullmatch(text)
    if plain is not None:
        sign, whole, fraction = plain.groups(default="")
        nanoseconds = int(whole) * NS_PER_SECOND + int((fraction or "0").ljust(9, "0")[:9])
        return -nanoseconds if sign else nanoseconds
    try:
        seconds = float(text)
    except ValueError:
        return None
    return round(seconds * NS_PER_SECOND) if abs(seconds) < TIME_NS_MAX / NS_PER_SECOND else None


def _is_comment(line: str) -> bool:
    return line.lstrip(" \t")[:1] in ("#", "")


def _numbers(tails: list[str]) -> npt.NDArray[np.float64] | None:
    """Return the values, None when one of them is no number of the formats."""
    if _ODD_IN_NUMBERS.search(" ".join(tails)) is not None:
        return None
    try:
        return np.fromiter(map(float, tails), dtype=np.float64, count=len(tails))
    except ValueError:
        return None


def _page(ids: list[int], value: npt.NDArray[np.float64], times: list[tuple[int, int]]) -> Page:
    time_ns = np.zeros(len(ids), dtype=np.int64)
    for row, stamp in times:
        time_ns[row] = stamp
    return Page(np.array(ids, dtype=np.int64), value, time_ns)


def _no_numbers(lines: list[str]) -> Page:
    for number, line in enumerate(lines, 1):
        match = _OPENMETRICS_LINE.fullmatch(line) or _TEXT_LINE.fullmatch(line)
        if match is not None and _numbers([match.group(3)]) is None:
            raise MalformedExposition(f"line {number} has no number for a value: {line[:80]!r}")
    raise MalformedExposition("a value is no number")


def is_openmetrics(content_type: str) -> bool:
    """Return whether a Content-Type announces OpenMetrics."""
    return content_type.partition(";")[0].strip().lower() == OPENMETRICS
