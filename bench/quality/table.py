"""Tables of text as recordings hold them: CSV or the like, gzipped or not, times in the forms that occur."""

import csv
import gzip
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from bench.quality.recording import Floats, RecordingError, Times
from trimtab.domain.time import NS_PER_SECOND

TIME_COLUMNS = ("timestamp", "time", "datetime", "date", "unix_timestamp", "ts")
ROWS_MAX = 5_000_000
ABSENT = {"", "nan", "null", "none", "na", "-"}
# An epoch time with so many digits is in seconds, milliseconds, microseconds or nanoseconds.
_UNITS = ((11, NS_PER_SECOND), (14, 1_000_000), (17, 1_000), (30, 1))


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a text file, unpacking it when it is gzipped."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="") as packed:
            yield packed
    else:
        with path.open(encoding="utf-8", errors="replace", newline="") as plain:
            yield plain


def rows_of(path: Path, delimiter: str = ",") -> list[list[str]]:
    """Return all lines of a table, empty ones left out. Raises RecordingError when there are too many."""
    found: list[list[str]] = []
    with opened(path) as text:
        try:
            for row in csv.reader(text, delimiter=delimiter):
                if row:
                    found.append(row)
                if len(found) > ROWS_MAX:
                    raise RecordingError(f"{path}: more than {ROWS_MAX} rows; cut the file")
        except (csv.Error, EOFError, OSError) as fault:
            line = len(found) + 1
            raise RecordingError(f"{path}:{line}: {fault}; the file is damaged") from fault
    return found


def header_of(path: Path, delimiter: str = ",") -> list[str]:
    """Return the first line of a table, an empty list for an empty or unreadable file."""
    with opened(path) as text:
        try:
            return next(csv.reader(text, delimiter=delimiter), [])
        except (csv.Error, EOFError, OSError):
            return []


def number(text: str) -> float:
    """Return a cell's number, NaN for an absent one. Raises ValueError when it is neither."""
    return float("nan") if text.strip().lower() in ABSENT else float(text)


def time_ns(text: str) -> int:
    """Return an instant, UTC where no offset is given: ISO 8601, M/D/Y, YYYYMMDDHHMMSS or an epoch time.

    Raises ValueError when it is none of these.
    """
    text = text.strip()
    if text.isdigit() and len(text) == 14 and text[:2] in ("19", "20"):
        moment = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    elif text.replace(".", "", 1).isdigit():
        whole, _, fraction = text.partition(".")
        unit = next(unit for digits, unit in _UNITS if len(whole) < digits)
        return int(whole) * unit + round(float(f"0.{fraction or 0}") * unit)
    elif "/" in text:
        moment = _american(text)
    else:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (
        int(moment.replace(microsecond=0).timestamp()) * NS_PER_SECOND + moment.microsecond * 1_000
    )


def _american(text: str) -> datetime:
    """Return an instant that is written month/day/year, as spreadsheets of the US do; UTC."""
    for form in ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no time")


def times_of(path: Path, cells: Iterable[str], first_line: int = 2) -> Times:
    """Return a column of instants; a cell that is none is named with file and line."""
    found = []
    for line, cell in enumerate(cells, start=first_line):
        try:
            found.append(time_ns(cell))
        except (ValueError, StopIteration) as fault:
            raise RecordingError(
                f"{path}:{line}: {cell!r} is no time; write e.g. 2026-01-31 23:59:00"
            ) from fault
    return np.array(found, dtype=np.int64)


def numbers_of(
    path: Path, rows: Sequence[Sequence[str]], columns: Sequence[int], first_line: int = 2
) -> Floats:
    """Return the chosen columns as [rows, columns]; a cell that is no number is named with file and line."""
    found = np.full((len(rows), len(columns)), np.nan)
    for at, row in enumerate(rows):
        for place, column in enumerate(columns):
            try:
                found[at, place] = number(row[column])
            except (ValueError, IndexError) as fault:
                cell = row[column] if column < len(row) else "nothing"
                raise RecordingError(
                    f"{path}:{at + first_line}: {cell!r} in column {column + 1} is no number; leave absent cells empty"
                ) from fault
    found[~np.isfinite(found)] = np.nan
    return found


def interval_of(times: Times) -> int:
    """Return the median step between instants, at least a nanosecond; a minute where there is no step to go by."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    return int(np.median(steps)) if len(steps) else 60 * NS_PER_SECOND
