"""Numenta Anomaly Benchmark: data/CATEGORY/FILE.csv (timestamp,value), windows in labels/combined_windows.json."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.quality.recording import Labels, Recording, RecordingError, SeriesKey, Times
from bench.quality.table import header_of, interval_of, numbers_of, rows_of, time_ns, times_of

LABELS = Path("labels", "combined_windows.json")


def claims(folder: Path) -> bool:
    """Say whether there is a `data` folder of categories whose files have the columns timestamp and value."""
    files = sorted(folder.glob("data/*/*.csv"))
    return bool(files) and header_of(files[0]) == ["timestamp", "value"]


def read(folder: Path) -> Iterator[Recording]:
    """Yield one recording a file. Raises RecordingError when a file or the labels make no sense."""
    known = _windows(folder / LABELS)
    for path in sorted(folder.glob("data/*/*.csv")):
        name = path.relative_to(folder / "data").as_posix()
        rows = rows_of(path)[1:]
        times = times_of(path, (row[0] for row in rows))
        order = np.argsort(times, kind="stable")
        labels = None
        if known is not None:
            labels = _labels(times[order], known.get(name, []))
        yield Recording(
            name=f"nab/{name}",
            dataset="nab",
            series=(SeriesKey(path.stem, "value"),),
            times=times[order],
            values=numbers_of(path, rows, [1])[order],
            interval_ns=interval_of(times),
            labels=labels,
        )


def _windows(path: Path) -> dict[str, list[tuple[str, str]]] | None:
    if not path.is_file():
        return None
    try:
        found: dict[str, list[tuple[str, str]]] = json.loads(path.read_text("utf-8"))
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
