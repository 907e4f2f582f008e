"""Numenta Anomaly Benchmark: data/CATEGORY/FILE.csv (timestamp,value), windows in labels/combined_windows.json."""

import json
from pathlib import Path

import numpy as np

from bench.quality.layouts.attempt import Read, attempt
from bench.quality.recording import Labels, Recording, RecordingError, SeriesKey, Times
from bench.quality.table import header_of, interval_of, numbers_of, rows_of, time_ns, times_of

Windows = dict[str, list[tuple[str, str]]]
LABELS = Path("labels", "combined_windows.json")


def claims(folder: Path) -> bool:
    """Say whether there is a `data` folder of categories whose files have the columns timestamp and value."""
    files = sorted(folder.glob("data/*/*.csv"))
    return bool(files) and header_of(files[0]) == ["timestamp", "value"]


def read(folder: Path) -> Read:
    """Yield one recording a file, or what is wrong with it."""
    try:
        known = _windows(folder / LABELS)
    except RecordingError as fault:
        yield fault
        known = None
    yield from attempt(
        sorted(folder.glob("data/*/*.csv")), lambda path: _recording(folder, path, known)
    )


def _recording(folder: Path, path: Path, known: Windows | None) -> Recording:
    name = path.relative_to(folder / "data").as_posix()
    rows = rows_of(path)[1:]
    times = times_of(path, (row[0] for row in rows))
    order = np.argsort(times, kind="stable")
    return Recording(
        name=f"nab/{name}",
        dataset="nab",
        series=(SeriesKey(path.stem, "value"),),
        times=times[order],
        values=numbers_of(path, rows, [1])[order],
        interval_ns=interval_of(times),
        labels=None if known is None else _labels(times[order], known.get(name, [])),
    )


def _windows(path: Path) -> Windows | None:
    if not path.is_file():
        return None
    try:
        found: Windows = json.loads(path.read_text("utf-8"))
    except ValueError as fault:
        raise RecordingError(f"{path}: {fault}; it must be the JSON that NAB ships") from fault
    return found


def _labels(times: Times, windows: list[tuple[str, str]]) -> Labels:
    spans = []
    for begin, end in windows:
        first = int(np.searchsorted(times, time_ns(begin)))
        last = int(np.searchsorted(times, time_ns(end)))
        if last < len(times):
            spans.append((first, last))
    anomalous = np.zeros(len(times), dtype=np.bool_)
    for first, last in spans:
        anomalous[first : last + 1] = True
    judged = np.ones(len(times), dtype=np.bool_)
    return Labels(judged=judged, anomalous=anomalous, windows=tuple(spans))
