"""Recorded telemetry as inputs: a mapping file says which column is which series, and which label which fault."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator

from trimtab.domain.input import SeriesAdded
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.time import NS_PER_SECOND, ns_from_seconds
from trimtab.drivers.known_faults import (
    FaultEvents,
    FaultLabels,
    KnownFaults,
    Strict,
    WrittenTime,
    misfit,
    open_text,
    read_events,
    read_labels,
)
from trimtab.errors import ConfigurationError, Finding

ROWS_PER_FILE_MAX = 5_000_000
COLUMNS_PER_FILE_MAX = 10_000
FILES_MAX = 1_000


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}; e.g. (?P<vnf>[^+]+)") from error
    return text


class TimeColumn(WrittenTime):
    """Where a row's time stands, and how it is written."""

    column: str


class RecordedFile(Strict):
    """One table: each column that `columns` (a regex) fully matches is a series, its named groups the labels."""

    path: str
    series: str = Field(min_length=1)
    columns: Annotated[str, AfterValidator(_regex)]
    scale: float = Field(default=1.0, allow_inf_nan=False)
    delimiter: str = Field(default="\t", min_length=1, max_length=1)
    labels: dict[str, str] = Field(default_factory=dict)


class RecordingMapping(Strict):
    """A mapping file: format, the recording's rhythm, its files, and which faults it is known to hold.

    `configuration` is a trimtab.yaml beside it with services, KPIs, objectives, bindings and policies. `left_out`
    names files that are not to be read, each with the reason. Known faults stand in a table of labelled instants
    (`faults`) or in a log of events (`fault_events`). For `settle_seconds` after a fault the network recovers: what
    is raised then is no false alarm.
    """

    format: int = Field(ge=1, le=1)
    name: str
    configuration: str
    time: TimeColumn
    granularity_seconds: float = Field(gt=0)
    files: list[RecordedFile] = Field(min_length=1, max_length=FILES_MAX)
    faults: FaultLabels | None = None
    fault_events: FaultEvents | None = None
    settle_seconds: float = Field(default=0.0, ge=0)
    left_out: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_truth(self) -> "RecordingMapping":
        if self.faults is not None and self.fault_events is not None:
            raise ValueError("known faults have one source; give `faults` or `fault_events`")
        return self


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording in columns, sorted by time: times, series ids and values of every present sample."""

    name: str
    granularity_ns: int
    series: tuple[SeriesAdded, ...]
    series_id: npt.NDArray[np.int32]
    time_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    known: KnownFaults
    settle_ns: int

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
    read_time = _Clock(mapping.time)
    columns: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    for item in mapping.files:
        columns.append(_read_table(read_time, item, directory / item.path, known))
    series_id = np.concatenate([column[0] for column in columns])
    time_ns = np.concatenate([column[1] for column in columns])
    value = np.concatenate([column[2] for column in columns])
    if not len(time_ns):
        raise ConfigurationError(
            (Finding(str(directory), 1, 1, "no sample was found", "check the columns' regexes"),)
        )
    order = np.lexsort((series_id, time_ns))
    return Recording(
        mapping.name,
        ns_from_seconds(mapping.granularity_seconds),
        tuple(SeriesAdded(number, series) for series, number in known.items()),
        series_id[order],
        time_ns[order],
        value[order],
        _known_faults(mapping, directory),
        ns_from_seconds(mapping.settle_seconds),
    )


class _Clock:
    """Read times; every table of a recording tells mostly the same ones."""

    def __init__(self, time: TimeColumn) -> None:
        self.time = time
        self.column = time.column
        self._seen: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        found = self._seen.get(text)
        if found is None:
            found = self._seen[text] = self.time.read(text)
        return found


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
    time: _Clock, item: RecordedFile, path: Path, known: dict[Series, int]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    ids: list[int] = []
    times: list[int] = []
    values: list[float] = []
    with open_text(path) as handle:
        rows = csv.reader(handle, delimiter=item.delimiter)
        head = next(rows, [])
        if time.column not in head:
            raise misfit(path, 1, f"has no column {time.column!r}", f"columns: {head[:8]}")
        at = head.index(time.column)
        wanted = [(p, n) for p, n in _series_of_columns(item, head, known) if p != at]
        if not wanted:
            mend = f"match one of {[name for name in head if name != time.column][:8]}"
            raise misfit(path, 1, f"no column matches {item.columns!r}", mend)
        for number, row in enumerate(rows, start=2):
            if number > ROWS_PER_FILE_MAX:
                raise misfit(path, number, f"over {ROWS_PER_FILE_MAX} rows", "split the recording")
            try:
                moment = time(row[at])
                for position, series_id in wanted:
                    if row[position]:  # an empty cell is an absent sample: never zero, never a clue
                        values.append(float(row[position]))
                        ids.append(series_id)
                        times.append(moment)
            except (ValueError, IndexError) as error:
                mend = "mend the row, or the mapping's time format and columns"
                raise misfit(path, number, f"does not fit the mapping: {error}", mend) from error
    scaled = np.array(values, dtype=np.float64) * item.scale
    present = np.isfinite(scaled)
    return (
        np.array(ids, dtype=np.int32)[present],
        np.array(times, dtype=np.int64)[present],
        scaled[present],
    )


def _known_faults(mapping: RecordingMapping, directory: Path) -> KnownFaults:
    if mapping.fault_events is not None:
        return read_events(mapping.fault_events, directory)
    if mapping.faults is not None:
        granularity_ns = ns_from_seconds(mapping.granularity_seconds)
        time = mapping.time
        return read_labels(mapping.faults, time, time.column, granularity_ns, directory)
    return KnownFaults()
