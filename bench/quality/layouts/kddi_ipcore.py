"""KDDI IP core (ITU challenge 2020, PS-032): one table a metric (METRIC.tsv.gz), VNF+LINK columns, rows in any order.

failure.tsv.gz names what was wrong in each labelled minute; minutes that it lacks are judged by nobody. Some tables
hold the labelled minutes only.
"""

from pathlib import Path

import numpy as np

from bench.quality.layouts.attempt import Read, attempt
from bench.quality.recording import (
    Fault,
    Floats,
    Labels,
    Link,
    Question,
    Recording,
    RecordingError,
    SeriesKey,
    Times,
    Topology,
)
from bench.quality.table import header_of, interval_of, number, numbers_of, rows_of, times_of
from trimtab.domain.time import NS_PER_SECOND

TIME = "timestamp"
# Timestamps are written in Japan's time.
OFFSET_NS = 9 * 3600 * NS_PER_SECOND
LABELS = ("failure", "label")
KINDS = {
    1: "bgp-hijack", 2: "bgp-injection", 3: "node-down", 4: "interface-down", 5: "tap-loss", 6: "tap-delay",
}  # fmt: skip
HOST = "host"
# Rows of one fault are at most so many intervals apart.
APART_MAX = 2


def claims(folder: Path) -> bool:
    """Say whether there are tab-separated tables with a timestamp."""
    return any(TIME in header_of(path, "\t") for path in _tables(folder)[:1])


def read(folder: Path) -> Read:
    """Yield one recording of all tables of metrics, joined by time, or what is wrong with one."""
    yield from attempt([folder], _recording)


def _recording(folder: Path) -> Recording:
    series: list[SeriesKey] = []
    tables: list[tuple[Times, Floats]] = []
    for path in _tables(folder):
        keys, times, values = _table(path)
        series += keys
        tables.append((times, values))
    instants = np.unique(np.concatenate([times for times, _ in tables]))
    joined = np.full((len(instants), len(series)), np.nan)
    column = 0
    for times, values in tables:
        joined[np.searchsorted(instants, times), column : column + values.shape[1]] = values
        column += values.shape[1]
    interval_ns = interval_of(instants)
    labels = _labels(folder, instants, interval_ns)
    questions = () if labels is None else tuple(
        Question(int(instants[fault.first]), int(instants[fault.last])) for fault in labels.faults
    )  # fmt: skip
    return Recording(
        name=f"kddi_ipcore/{folder.name}",
        dataset="kddi_ipcore",
        series=tuple(series),
        times=instants,
        values=joined,
        interval_ns=interval_ns,
        questions=questions,
        topology=_topology(series),
        labels=labels,
    )


def _tables(folder: Path) -> list[Path]:
    found = sorted((*folder.glob("*.tsv"), *folder.glob("*.tsv.gz")))
    whole = {path.name.split(".")[0] for path in found if ".stable." not in path.name}
    return [
        path
        for path in found
        if path.name.split(".")[0] not in LABELS
        # Of a metric that is there with all its minutes, the labelled minutes are no other.
        and not (".stable." in path.name and path.name.split(".")[0] in whole)
    ]


def _table(path: Path) -> tuple[list[SeriesKey], Times, Floats]:
    header, *rows = rows_of(path, "\t")
    if TIME not in header:
        raise RecordingError(f"{path}:1: there is no column {TIME!r}")
    at = header.index(TIME)
    columns = [each for each, name in enumerate(header) if name and each != at]
    kpi = path.name.split(".")[0]
    keys = [_key(header[each], kpi) for each in columns]
    times = times_of(path, (row[at] for row in rows)) - OFFSET_NS
    return keys, times, numbers_of(path, rows, columns)


def _key(column: str, kpi: str) -> SeriesKey:
    """Return whose value a column holds: a VNF's, its interface's, or that of its session with a BGP neighbour."""
    vnf, plus, link = column.partition("+")
    if plus:
        return SeriesKey(f"{vnf}+{link}", kpi)
    parts = column.split("-")
    # IntGW-01-10.20.1.250-2516: a VNF, its neighbour, the neighbour's AS.
    if len(parts) > 3:
        return SeriesKey("-".join(parts[:2]), f"{kpi} {'-'.join(parts[2:])}")
    return SeriesKey(column, kpi)


def _topology(series: list[SeriesKey]) -> Topology:
    kinds, links = {HOST: "host"}, set()
    for key in series:
        vnf, plus, link = key.object.partition("+")
        kinds[vnf] = "vnf"
        links.add((vnf, "runs_on", HOST))
        if plus:
            kinds[key.object], kinds[link] = "interface", "link"
            links |= {(key.object, "part_of", vnf), (link, "connects", key.object)}
    return Topology(kinds, tuple(Link(*each) for each in sorted(links)))


def _labels(folder: Path, instants: Times, interval_ns: int) -> Labels | None:
    path = next(
        (folder / name for name in ("failure.tsv.gz", "failure.tsv") if (folder / name).is_file()),
        None,
    )
    if path is None:
        return None
    header, *rows = rows_of(path, "\t")
    places = {name: header.index(name) for name in ("status", "node", "interface", TIME)}
    times = times_of(path, (row[places[TIME]] for row in rows)) - OFFSET_NS
    order = np.argsort(times, kind="stable")
    judged, anomalous = np.zeros((2, len(instants)), dtype=np.bool_)
    faults: list[Fault] = []
    for each in order:
        at = int(np.searchsorted(instants, times[each]))
        if at == len(instants) or instants[at] != times[each]:
            continue
        judged[at] = True
        status = int(number(rows[each][places["status"]] or "0"))
        if not status:
            continue
        anomalous[at] = True
        blamed = tuple(name for name in (rows[each][places["node"]],) if name)
        _extend(
            faults, Fault(KINDS.get(status, str(status)), at, at, blamed), instants, interval_ns
        )
    return Labels(judged=judged, anomalous=anomalous, faults=tuple(faults))


def _extend(faults: list[Fault], row: Fault, instants: Times, interval_ns: int) -> None:
    """Add a row to the fault that it continues, or as one of its own."""
    last = faults[-1] if faults else None
    if (
        last is not None
        and (last.kind, last.objects) == (row.kind, row.objects)
        and instants[row.first] - instants[last.last] <= APART_MAX * interval_ns
    ):
        faults[-1] = Fault(last.kind, last.first, row.last, last.objects)
    else:
        faults.append(row)
