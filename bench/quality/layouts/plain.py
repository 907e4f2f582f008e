"""Any other CSV with a column of times and columns of numbers; a column `label` is taken for anomalous rows."""

from pathlib import Path

import numpy as np

from bench.quality.layouts.attempt import Read, attempt
from bench.quality.recording import Labels, Recording, RecordingError, SeriesKey
from bench.quality.table import (
    TIME_COLUMNS,
    header_of,
    interval_of,
    number,
    numbers_of,
    rows_of,
    times_of,
)

LABEL_COLUMNS = ("label", "is_anomaly", "anomaly")
# So many rows tell whether a column holds numbers.
LOOKED_AT = 50
COLUMNS_MAX = 10_000


def claims(folder: Path) -> bool:
    """Say whether a file here has a column of times."""
    return bool(_files(folder))


def read(folder: Path) -> Read:
    """Yield one recording a file that has a column of times and at least one of numbers, or what is wrong with it."""
    yield from attempt(_files(folder), _recording)


def _recording(path: Path) -> Recording | None:
    header, *rows = rows_of(path)
    names = [name.strip().lower() for name in header]
    at = next(each for each, name in enumerate(names) if name in TIME_COLUMNS)
    marks = next((each for each, name in enumerate(names) if name in LABEL_COLUMNS), None)
    columns = [
        each for each in range(len(names)) if each not in (at, marks) and _numeric(rows, each)
    ]
    if not columns or not rows:
        return None
    if len(columns) > COLUMNS_MAX:
        raise RecordingError(f"{path}:1: more than {COLUMNS_MAX} columns; split the file")
    times = times_of(path, (row[at] for row in rows))
    order = np.argsort(times, kind="stable")
    labels = None
    if marks is not None:
        anomalous = numbers_of(path, rows, [marks])[order, 0] > 0
        labels = Labels(judged=np.ones(len(times), dtype=np.bool_), anomalous=anomalous)
    return Recording(
        name=f"plain/{path.parent.name}/{path.name.partition('.')[0]}",
        dataset="plain",
        series=tuple(SeriesKey(path.name.partition(".")[0], header[each]) for each in columns),
        times=times[order],
        values=numbers_of(path, rows, columns)[order],
        interval_ns=interval_of(times),
        labels=labels,
    )


def _files(folder: Path) -> list[Path]:
    found = sorted((*folder.glob("*.csv"), *folder.glob("*.csv.gz")))
    return [
        path
        for path in found
        if any(name.strip().lower() in TIME_COLUMNS for name in header_of(path))
    ]


def _numeric(rows: list[list[str]], column: int) -> bool:
    try:
        return any(np.isfinite(number(row[column])) for row in rows[:LOOKED_AT])
    except (ValueError, IndexError):
        return False
