"""Recorded telemetry as inputs: a mapping file says which column is which series, and which label which fault."""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from trimtab.domain.input import SeriesAdded
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.time import NS_PER_SECOND, ns_from_seconds
from trimtab.errors import ConfigurationError, Finding

ROWS_PER_FILE_MAX = 5_000_000
COLUMNS_PER_FILE_MAX = 10_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TimeColumn(_Strict):
    """Where a row's time stands and how it is written (strptime), with the offset of its zone from UTC."""

    column: str
    format: str = "%Y-%m-%d %H:%M:%S"
    utc_offset_hours: float = 0.0


class RecordedFile(_Strict):
    """One table: each column that `columns` (a regex) fully matches is a series, its named groups the labels."""

    path: str
    series: str
    columns: str
    scale: float = 1.0
    delimiter: str = "\t"
    labels: dict[str, str] = Field(default_factory=dict)


class FaultLabels(_Strict):
    """Where the known faults stand: rows whose `kind_column` maps to a name, joined to runs."""

    path: str
    kind_column: str
    kinds: dict[str, str]
    object_column: str = ""
    detail_column: str = ""
    delimiter: str = "\t"
    join_within_seconds: float = 90.0


class RecordingMapping(_Strict):
    """A mapping file: format, the recording's rhythm, its files and its labels.

    `configuration` is a trimtab.yaml beside it with services, KPIs, objectives, bindings and policies. `left_out`
    names files that are not to be read, each with the reason.
    """

    format: int = Field(ge=1, le=1)
    name: str
    configuration: str
    time: TimeColumn
    granularity_seconds: float = Field(gt=0)
    files: list[RecordedFile] = Field(min_length=1)
    faults: FaultLabels | None = None
    left_out: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnownFault:
    """A labelled fault: what, where (as the recording names it), from when to when."""

    kind: str
    place: str
    detail: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording in columns, sorted by time: times, series ids and values of every present sample."""

    name: str
    granularity_ns: int
    series: tuple[SeriesAdded, ...]
    series_id: npt.NDArray[np.int32]
    time_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    faults: tuple[KnownFault, ...]

    @property
    def span_seconds(self) -> float:
        """Return how long the recording lasted."""
        return float(self.time_ns[-1] - self.time_ns[0]) / NS_PER_SECOND

    def batches(self) -> Iterator[tuple[int, SampleBatch]]:
        """Give the samples of each instant as one batch."""
        moments, starts = np.unique(self.time_ns, return_index=True)
        ends = [*starts[1:].tolist(), len(self.time_ns)]
        flags = np.zeros(len(self.time_ns), dtype=np.uint8)
        for moment, start, end in zip(moments.tolist(), starts.tolist(), ends, strict=True):
            cut = slice(start, end)
            yield (
                moment,
                SampleBatch(
                    f"replay/{self.name}",
                    self.series_id[cut],
                    self.time_ns[cut],
                    self.value[cut],
                    flags[cut],
                ),
            )


def read_recording(mapping: RecordingMapping, directory: Path) -> Recording:
    """Read every file of the mapping. Raises ConfigurationError with the file, line and mend when one does not fit."""
    known: dict[Series, int] = {}
    columns: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    for item in mapping.files:
        columns.append(_read_table(mapping.time, item, directory / item.path, known))
    series_id = np.concatenate([column[0] for column in columns])
    time_ns = np.concatenate([column[1] for column in columns])
    value = np.concatenate([column[2] for column in columns])
    if not len(time_ns):
        raise ConfigurationError(
            (Finding(str(directory), 1, 1, "no sample was found", "check the columns' regexes"),)
        )
    order = np.lexsort((series_id, time_ns))
    faults = _read_faults(mapping, directory) if mapping.faults else ()
    return Recording(
        mapping.name,
        ns_from_seconds(mapping.granularity_seconds),
        tuple(SeriesAdded(number, series) for series, number in known.items()),
        series_id[order],
        time_ns[order],
        value[order],
        faults,
    )


def _open(path: Path) -> IO[str]:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8", newline="")
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigurationError(
            (
                Finding(
                    str(path),
                    1,
                    1,
                    f"can't be read: {error.strerror}",
                    "give the recording's folder",
                ),
            )
        ) from error


def _time_reader(time: TimeColumn) -> "_TimeReader":
    return _TimeReader(time.format, ns_from_seconds(time.utc_offset_hours * 3_600))


@dataclass(frozen=True, slots=True)
class _TimeReader:
    format: str
    offset_ns: int

    def __call__(self, text: str) -> int:
        moment = datetime.strptime(text, self.format).replace(tzinfo=UTC)
        return int(moment.timestamp()) * NS_PER_SECOND - self.offset_ns


def _series_of_columns(
    item: RecordedFile, head: list[str], known: dict[Series, int]
) -> list[tuple[int, int]]:
    pattern = re.compile(item.columns)
    found: list[tuple[int, int]] = []
    for position, name in enumerate(head[:COLUMNS_PER_FILE_MAX]):
        match = pattern.fullmatch(name)
        if match:
            labels = {**item.labels, **{k: v for k, v in match.groupdict().items() if v}}
            found.append((position, known.setdefault(Series.of(item.series, labels), len(known))))
    return found


def _read_table(
    time: TimeColumn, item: RecordedFile, path: Path, known: dict[Series, int]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    read_time = _time_reader(time)
    ids: list[int] = []
    times: list[int] = []
    values: list[float] = []
    with _open(path) as handle:
        rows = csv.reader(handle, delimiter=item.delimiter)
        head = next(rows, [])
        if time.column not in head:
            raise ConfigurationError(
                (
                    Finding(
                        str(path), 1, 1, f"has no column {time.column!r}", f"columns: {head[:8]}"
                    ),
                )
            )
        at = head.index(time.column)
        wanted = [(p, n) for p, n in _series_of_columns(item, head, known) if p != at]
        for number, row in enumerate(rows, start=2):
            if number > ROWS_PER_FILE_MAX:
                raise _too_long(path, number)
            try:
                moment = read_time(row[at])
                for position, series_id in wanted:
                    if row[position]:  # an empty cell is an absent sample: never zero, never a clue
                        values.append(float(row[position]) * item.scale)
                        ids.append(series_id)
                        times.append(moment)
            except (ValueError, IndexError) as error:
                raise ConfigurationError(
                    (Finding(str(path), number, 1, f"does not fit the mapping: {error}",
                             "mend the row, or the mapping's time format and columns"),)
                ) from error  # fmt: skip
    present = np.isfinite(np.array(values, dtype=np.float64))
    return (
        np.array(ids, dtype=np.int32)[present],
        np.array(times, dtype=np.int64)[present],
        np.array(values, dtype=np.float64)[present],
    )


def _too_long(path: Path, number: int) -> ConfigurationError:
    return ConfigurationError(
        (
            Finding(
                str(path), number, 1, f"more than {ROWS_PER_FILE_MAX} rows", "split the recording"
            ),
        )
    )


def _read_faults(mapping: RecordingMapping, directory: Path) -> tuple[KnownFault, ...]:
    labels = mapping.faults
    if labels is None:
        return ()
    read_time = _time_reader(mapping.time)
    granularity_ns = ns_from_seconds(mapping.granularity_seconds)
    marked: list[tuple[int, str, str, str]] = []
    with _open(directory / labels.path) as handle:
        for row in csv.DictReader(handle, delimiter=labels.delimiter):
            kind = labels.kinds.get(row[labels.kind_column])
            if kind is not None:
                moment = read_time(row[mapping.time.column])
                marked.append(
                    (
                        moment,
                        kind,
                        _cell(row, labels.object_column),
                        _cell(row, labels.detail_column),
                    )
                )
    join_ns = ns_from_seconds(labels.join_within_seconds)
    faults: list[KnownFault] = []
    for moment, kind, place, detail in sorted(marked):
        last = faults[-1] if faults else None
        same = last is not None and (last.kind, last.place, last.detail) == (kind, place, detail)
        if last is not None and same and moment - last.end_ns <= join_ns - granularity_ns:
            faults[-1] = KnownFault(kind, place, detail, last.start_ns, moment + granularity_ns)
        else:
            faults.append(KnownFault(kind, place, detail, moment, moment + granularity_ns))
    return tuple(faults)


def _cell(row: Mapping[str, str | None], column: str) -> str:
    return (row.get(column) or "") if column else ""
