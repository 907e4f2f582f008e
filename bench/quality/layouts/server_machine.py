"""Server machines (SMD, ASD as InterFusion ships them): NAME.npz with train, test, label; NAME.txt with what to blame.

They carry no times: rows are one interval apart from the epoch on. The training part is history, seen before the test
part and judged by nobody.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from bench.quality.layouts.attempt import Read, attempt
from bench.quality.recording import (
    Fault,
    Floats,
    Labels,
    Mask,
    Recording,
    RecordingError,
    SeriesKey,
)
from trimtab.domain.time import NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class _Kind:
    dataset: str
    interval_seconds: int


# By the prefix of the files' names; a machine of neither is taken for one with a sample a minute.
KINDS = {"omi": _Kind("asd", 300), "machine": _Kind("smd", 60)}
OTHER = _Kind("server_machine", 60)


def claims(folder: Path) -> bool:
    """Say whether there are .npz files that hold an array `test`."""
    files = sorted(folder.glob("*.npz"))
    try:
        return any("test" in _arrays(path) for path in files[:1])
    except RecordingError:
        return True


def read(folder: Path) -> Read:
    """Yield one recording a machine, or what is wrong with it."""
    yield from attempt(sorted(folder.glob("*.npz")), _recording)


def _recording(path: Path) -> Recording | None:
    arrays = _arrays(path)
    if "test" not in arrays:
        return None
    kind = KINDS.get(path.stem.partition("-")[0], OTHER)
    test = np.asarray(arrays["test"], dtype=np.float64)
    train = np.asarray(arrays.get("train", test[:0]), dtype=np.float64)
    if test.ndim != 2 or train.shape[1:] != test.shape[1:]:
        raise RecordingError(f"{path}: train and test must be [rows, metrics] of equal width")
    labels = None
    if "label" in arrays:
        labels = _labels(path, len(train), np.asarray(arrays["label"]).ravel() > 0)
    rows, width = len(train) + len(test), test.shape[1]
    interval_ns = kind.interval_seconds * NS_PER_SECOND
    return Recording(
        name=f"{kind.dataset}/{path.stem}",
        dataset=kind.dataset,
        series=tuple(SeriesKey(path.stem, f"metric_{at}") for at in range(1, width + 1)),
        times=np.arange(rows, dtype=np.int64) * interval_ns,
        values=np.concatenate((train, test)),
        interval_ns=interval_ns,
        labels=labels,
    )


def _arrays(path: Path) -> dict[str, Floats]:
    try:
        with np.load(path) as packed:
            return {
                name: packed[name] for name in packed.files if name in ("train", "test", "label")
            }
    except (OSError, ValueError, BadZipFile) as fault:
        raise RecordingError(f"{path}: {fault}; write it with numpy.savez") from fault


def _labels(path: Path, before: int, anomalous: Mask) -> Labels:
    history = np.zeros(before, dtype=np.bool_)
    faults = []
    beside = path.with_suffix(".txt")
    lines = beside.read_text("utf-8").split() if beside.is_file() else []
    for number, line in enumerate(lines, start=1):
        stretch, _, metrics = line.partition(":")
        first, _, last = stretch.partition("-")
        try:
            begin, end = before + int(first), before + int(last)
        except ValueError as fault:
            raise RecordingError(f"{beside}:{number}: {line!r}; write e.g. 760-765:4,5") from fault
        faults.append(Fault("", begin, end, tuple(f"metric_{each}" for each in metrics.split(","))))
    return Labels(
        judged=np.concatenate((history, np.ones(len(anomalous), dtype=np.bool_))),
        anomalous=np.concatenate((history, anomalous)),
        faults=tuple(faults),
    )
