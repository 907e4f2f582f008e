"""Microsoft cloud monitoring: folders of TimeStamp,Value[,Label] files, one production KPI each."""

from pathlib import Path

import numpy as np

from bench.quality.layouts.attempt import Read, attempt
from bench.quality.recording import Labels, Recording, SeriesKey
from bench.quality.table import header_of, interval_of, numbers_of, rows_of, times_of

COLUMNS = ("TimeStamp", "Value", "Label")


def claims(folder: Path) -> bool:
    """Say whether a file here has the columns TimeStamp and Value, and no more than a Label beside."""
    files = sorted(folder.glob("*.csv"))
    header = header_of(files[0]) if files else []
    return len(header) in (2, 3) and tuple(header) == COLUMNS[: len(header)]


def read(folder: Path) -> Read:
    """Yield one recording a file, rows in the order of their times, or what is wrong with it."""
    yield from attempt(sorted(folder.glob("*.csv")), _recording)


def _recording(path: Path) -> Recording | None:
    header, *rows = rows_of(path)
    if tuple(header) != COLUMNS[: len(header)]:
        return None
    times = times_of(path, (row[0] for row in rows))
    order = np.argsort(times, kind="stable")
    labels = None
    if len(header) == len(COLUMNS):
        anomalous = numbers_of(path, rows, [2])[order, 0] > 0
        labels = Labels(judged=np.ones(len(times), dtype=np.bool_), anomalous=anomalous)
    return Recording(
        name=f"ms_cloud/{path.parent.name}/{path.stem}",
        dataset="ms_cloud",
        series=(SeriesKey(path.stem, path.parent.name),),
        times=times[order],
        values=numbers_of(path, rows, [1])[order],
        interval_ns=interval_of(times),
        labels=labels,
    )
