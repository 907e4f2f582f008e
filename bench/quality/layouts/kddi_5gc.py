"""KDDI 5G core (ITU challenge 2021, PS-015): NAME_data.txt[.gz] of 33 numbers a row, NAME_label.txt beside it."""

from pathlib import Path

import numpy as np

from bench.quality.layouts.attempt import Read, attempt
from bench.quality.recording import (
    Fault,
    Labels,
    Recording,
    RecordingError,
    SeriesKey,
    Times,
    spans,
)
from bench.quality.table import numbers_of, opened, rows_of
from trimtab.domain.time import NS_PER_SECOND

INTERVAL_NS = 10 * NS_PER_SECOND
FUNCTIONS = ("udm", "amf", "ausf")
KINDS = {
    1: "bridge-delif",
    2: "interface-down",
    3: "interface-loss",
    4: "memory-stress",
    5: "vcpu-overload",
}
DATA = "_data.txt"


def claims(folder: Path) -> bool:
    """Say whether there are files NAME_data.txt or NAME_data.txt.gz."""
    return bool(_files(folder))


def read(folder: Path) -> Read:
    """Yield one recording a file; its first row holds counters where the others hold differences, and is left out."""
    yield from attempt(_files(folder), _recording)


def _recording(path: Path) -> Recording:
    name = path.name.partition(DATA)[0]
    rows = rows_of(path, " ")
    values = numbers_of(path, rows, range(len(rows[0])), first_line=1)[1:]
    return Recording(
        name=f"kddi_5gc/{name}",
        dataset="kddi_5gc",
        series=_series(values.shape[1]),
        times=np.arange(1, len(values) + 1, dtype=np.int64) * INTERVAL_NS,
        values=values,
        interval_ns=INTERVAL_NS,
        labels=_labels(path.with_name(f"{name}_label.txt"), len(values)),
    )


def _files(folder: Path) -> list[Path]:
    return sorted((*folder.glob(f"*{DATA}"), *folder.glob(f"*{DATA}.gz")))


def _series(width: int) -> tuple[SeriesKey, ...]:
    modes = tuple(f"cpu{core}_{mode}" for core in (0, 1) for mode in ("user", "system", "idle"))
    found = [
        *(SeriesKey(each, "oper_down") for each in FUNCTIONS),
        *(SeriesKey(each, "in_octets") for each in FUNCTIONS),
        *(SeriesKey(each, "out_octets") for each in FUNCTIONS),
        *(SeriesKey(each, mode) for each in FUNCTIONS for mode in modes),
        *(
            SeriesKey(each, kpi)
            for each in FUNCTIONS
            for kpi in ("memory_critical", "memory_used_ratio")
        ),
    ]
    if width != len(found):
        return tuple(SeriesKey("network", f"feature_{at}") for at in range(1, width + 1))
    return tuple(found)


def _labels(path: Path, rows: int) -> Labels | None:
    if not path.is_file():
        return None
    with opened(path) as text:
        kinds: Times = np.array(
            [int(float(line)) for line in text if line.strip()], dtype=np.int64
        )[1:]
    if len(kinds) != rows:
        raise RecordingError(
            f"{path}: {len(kinds) + 1} labels for {rows + 1} rows; one a row is due"
        )
    faults = [
        Fault(name, span.first, span.last)
        for kind, name in KINDS.items()
        for span in spans(kinds == kind)
    ]
    return Labels(
        judged=np.ones(rows, dtype=np.bool_),
        anomalous=kinds > 0,
        faults=tuple(sorted(faults, key=lambda fault: fault.first)),
    )
