"""Which faults a recording is known to hold: read from a table of labelled instants, or from a log of events."""

import csv
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from trimtab.domain.time import NS_PER_SECOND, ns_from_seconds
from trimtab.errors import ConfigurationError, Finding

FAULTS_MAX = 1_000_000
EVENTS_BYTES_MAX = 512 * 1024 * 1024
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Strict(BaseModel):
    """Base of every part of a mapping: unknown keys are errors, types are not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _time_format(text: str) -> str:
    moment = datetime(2020, 2, 29, 13, 14, 15, tzinfo=UTC)  # a time that no two formats write alike
    try:
        read = datetime.strptime(moment.strftime(text), text).replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"not a strptime format: {error}; e.g. %Y-%m-%dT%H:%M:%S") from error
    if (read.month, read.day, read.hour) != (moment.month, moment.day, moment.hour):
        raise ValueError("does not tell a day and its hour; e.g. %Y-%m-%dT%H:%M:%S")
    return text


class WrittenTime(Strict):
    """How times are written (strptime), with the offset of their zone from UTC."""

    format: Annotated[str, AfterValidator(_time_format)] = "%Y-%m-%d %H:%M:%S"
    utc_offset_hours: float = Field(default=0.0, ge=-14, le=14)

    def read(self, text: str) -> int:
        """Return the time in ns UTC. Raises ValueError when it is written otherwise."""
        moment = datetime.strptime(text, self.format).replace(tzinfo=UTC)
        offset_ns = ns_from_seconds(self.utc_offset_hours * 3_600)
        return int(moment.timestamp()) * NS_PER_SECOND - offset_ns


class FaultLabels(Strict):
    """Labelled instants: rows whose `kind_column` maps to a name, joined to runs."""

    path: str
    kind_column: str
    kinds: dict[str, str]
    object_column: str = ""
    detail_column: str = ""
    delimiter: str = Field(default="\t", min_length=1, max_length=1)
    join_within_seconds: float = Field(default=90.0, gt=0)


class FaultKind(Strict):
    """A kind of fault in a log: the events that open and close it, and which objects are the right ones to name.

    `objects` are templates over the event's fields and the mapping's `lookups`; those that need a field which the
    event lacks are left out.
    """

    opens: str
    closes: str
    objects: list[str] = Field(default_factory=list, max_length=20)


class Lookup(Strict):
    """A name that the log does not use itself: `key` is a template over fields, `names` says what it stands for."""

    key: str
    names: dict[str, str]


class FaultEvents(Strict):
    """A log of events in JSON: an entry opens a fault, a later one of equal `identity` fields closes it.

    The fault lasts from the opening entry's `opened_at` to the closing one's `closed_at`. `rows` names the list
    inside the document (empty: the document is the list). A fault whose opening or closing entry lacks one of the
    values in `carried_out` is unclear: neither expected to be noticed nor held against an alarm.
    """

    path: str
    rows: str = ""
    kind: str
    opened_at: str
    closed_at: str
    time: WrittenTime = WrittenTime()
    identity: list[str] = Field(min_length=1)
    carried_out: dict[str, str] = Field(default_factory=dict)
    kinds: dict[str, FaultKind] = Field(min_length=1)
    lookups: dict[str, Lookup] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _told_apart(self) -> "FaultEvents":
        words = [word for kind in self.kinds.values() for word in (kind.opens, kind.closes)]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} stands twice: an event opens or closes one kind only")
        return self


@dataclass(frozen=True, slots=True)
class KnownFault:
    """A labelled fault: what, where (as the recording names it), from when to when.

    `objects` are our ids of what may rightly be named as its cause; without them `place` must be in the id.
    """

    kind: str
    place: str
    detail: str
    start_ns: int
    end_ns: int
    objects: tuple[str, ...] = ()

    @property
    def placed(self) -> bool:
        """Return whether the label says where the fault was."""
        return bool(self.objects or self.place)

    def is_at(self, object_id: str) -> bool:
        """Return whether that object is where the fault was."""
        if self.objects:
            return object_id in self.objects
        return bool(self.place) and self.place in object_id


@dataclass(frozen=True, slots=True)
class KnownFaults:
    """What was done to the recorded network; `unclear` may or may not have been."""

    faults: tuple[KnownFault, ...] = ()
    unclear: tuple[KnownFault, ...] = ()


def misfit(path: Path, line: int, problem: str, mend: str) -> ConfigurationError:
    """Return the error that a file does not fit its mapping."""
    return ConfigurationError((Finding(str(path), line, 1, problem, mend),))


def open_text(path: Path) -> IO[str]:
    """Open a text file, gzipped or not. Raises ConfigurationError."""
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8", newline="")
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        problem = f"can't be read: {error.strerror}"
        raise misfit(path, 1, problem, "give the recording's folder") from error


def read_labels(
    labels: FaultLabels, time: WrittenTime, time_column: str, granularity_ns: int, directory: Path
) -> KnownFaults:
    """Read labelled instants and join them to runs. Raises ConfigurationError."""
    path = directory / labels.path
    marked: list[tuple[int, str, str, str]] = []
    with open_text(path) as handle:
        rows = csv.DictReader(handle, delimiter=labels.delimiter)
        for number, row in enumerate(rows, start=2):
            if number > FAULTS_MAX:
                raise misfit(path, number, f"more than {FAULTS_MAX} rows", "split the recording")
            try:
                kind = labels.kinds.get(row[labels.kind_column] or "")
                if kind is not None:
                    place, detail = (
                        _cell(row, name) for name in (labels.object_column, labels.detail_column)
                    )
                    marked.append((time.read(row[time_column] or ""), kind, place, detail))
            except (KeyError, ValueError) as error:
                raise misfit(
                    path, number, f"does not fit the mapping: {error}", "mend the mapping's columns"
                ) from error
    return KnownFaults(_joined(sorted(marked), granularity_ns, labels.join_within_seconds))


def _joined(
    marked: list[tuple[int, str, str, str]], granularity_ns: int, within_seconds: float
) -> tuple[KnownFault, ...]:
    within_ns = ns_from_seconds(within_seconds)
    faults: list[KnownFault] = []
    for moment, kind, place, detail in marked:
        last = faults[-1] if faults else None
        end_ns = moment + granularity_ns
        same = last is not None and (last.kind, last.place, last.detail) == (kind, place, detail)
        if last is not None and same and moment - (last.end_ns - granularity_ns) <= within_ns:
            faults[-1] = KnownFault(kind, place, detail, last.start_ns, end_ns)
        else:
            faults.append(KnownFault(kind, place, detail, moment, end_ns))
    return tuple(faults)


def _cell(row: Mapping[str, str | None], column: str) -> str:
    return (row.get(column) or "") if column else ""


def read_events(events: FaultEvents, directory: Path) -> KnownFaults:
    """Read a log of events, and pair what opens a fault with what closes it. Raises ConfigurationError."""
    path = directory / events.path
    kinds = {kind.opens: name for name, kind in events.kinds.items()}
    closings = {kind.closes: name for name, kind in events.kinds.items()}
    under_way: dict[tuple[str, ...], dict[str, str]] = {}
    faults: list[KnownFault] = []
    unclear: list[KnownFault] = []
    for number, event in enumerate(_entries(events, path), start=1):
        word = event.get(events.kind, "")
        name = kinds.get(word) or closings.get(word)
        if name is None:
            continue
        key = (name, *(event.get(field, "") for field in events.identity))
        if word in kinds:
            under_way.setdefault(key, event)
            continue
        opening = under_way.pop(key, None)
        if opening is None:
            continue
        try:
            fault = _fault(events, name, opening, event)
        except (KeyError, ValueError) as error:
            problem = f"entry {number} does not fit the mapping: {error}"
            raise misfit(path, 1, problem, "mend the mapping's fields and time format") from error
        done = all(
            item.get(field) == value
            for item in (opening, event)
            for field, value in events.carried_out.items()
        )
        (faults if done else unclear).append(fault)
    return KnownFaults(tuple(sorted(faults, key=_by_start)), tuple(sorted(unclear, key=_by_start)))


def _by_start(fault: KnownFault) -> tuple[int, str]:
    return fault.start_ns, fault.kind


def _entries(events: FaultEvents, path: Path) -> list[dict[str, str]]:
    """Return the log's entries, each with its scalar fields as texts."""
    with open_text(path) as handle:
        text = handle.read(EVENTS_BYTES_MAX + 1)
    if len(text) > EVENTS_BYTES_MAX:
        raise misfit(path, 1, f"more than {EVENTS_BYTES_MAX} characters", "split the log")
    try:
        document: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise misfit(path, error.lineno, f"is not JSON: {error.msg}", "give a JSON file") from error
    rows = document.get(events.rows) if isinstance(document, dict) and events.rows else document
    if not isinstance(rows, list) or len(rows) > FAULTS_MAX:
        where = f"under {events.rows!r}" if events.rows else "at its top"
        raise misfit(path, 1, f"holds no list of events {where}", "mend `rows` in the mapping")
    return [
        {name: str(value) for name, value in row.items() if isinstance(value, (str, int, float))}
        for row in rows
        if isinstance(row, dict)
    ]


def _fault(
    events: FaultEvents, name: str, opening: dict[str, str], closing: dict[str, str]
) -> KnownFault:
    fields = dict(opening)
    for field, lookup in events.lookups.items():
        found = lookup.names.get(filled(lookup.key, opening) or "")
        if found is not None:
            fields[field] = found
    objects = [filled(template, fields) for template in events.kinds[name].objects]
    place = " ".join(opening[field] for field in events.identity if opening.get(field))
    start_ns = events.time.read(opening[events.opened_at])
    end_ns = events.time.read(closing[events.closed_at])
    if end_ns <= start_ns:
        raise ValueError(f"{name} of {place} ends before it begins")
    return KnownFault(
        name, place, "", start_ns, end_ns, tuple(item for item in objects if item is not None)
    )


def filled(template: str, fields: Mapping[str, str]) -> str | None:
    """Return a template with its fields put in, None when one of them is not there."""
    if any(name not in fields for name in _PLACEHOLDER.findall(template)):
        return None
    return _PLACEHOLDER.sub(lambda found: fields[found.group(1)], template)
