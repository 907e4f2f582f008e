"""PetShop (Hardt et al., CLeaR 2024): SCENARIO/graph.csv, noissue/metrics.csv, SPLIT/issue_N/metrics.csv + target.json.

The normal period was recorded months after the issues. Each recording is that period, moved in time to end right before
the issue, then the issue's own rows.
"""

import json
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
from bench.quality.table import numbers_of, rows_of, times_of
from trimtab.domain.time import NS_PER_SECOND, ns_from_seconds

INTERVAL_NS = 300 * NS_PER_SECOND
HEADER_LINES = 4
UNITS = {"latency": "s", "availability": "%", "requests": "1"}
_Table = tuple[tuple[SeriesKey, ...], Times, Floats]


def claims(folder: Path) -> bool:
    """Say whether there is a call graph and issues in a folder of their own below."""
    return (folder / "graph.csv").is_file() and bool(_issues(folder))


def read(folder: Path) -> Read:
    """Yield one recording an issue, or what is wrong with it."""
    try:
        topology = _topology(folder / "graph.csv")
        normal = next((_table(path) for path in sorted(folder.glob("noissue/metrics.csv*"))), None)
    except RecordingError as fault:
        yield fault
        return
    yield from attempt(_issues(folder), lambda issue: _recording(issue, normal, topology))


def _recording(issue: Path, normal: _Table | None, topology: Topology) -> Recording:
    path = next(iter(sorted(issue.glob("metrics.csv*"))))
    series, times, values = _before(normal, _table(path))
    questions, labels = _target(issue / "target.json", times)
    return Recording(
        name=f"petshop/{issue.parent.parent.name}/{issue.parent.name}/{issue.name}",
        dataset="petshop",
        series=series,
        times=times,
        values=values,
        interval_ns=INTERVAL_NS,
        questions=questions,
        topology=topology,
        labels=labels,
    )


def _issues(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/*/metrics.csv*"))


def _table(path: Path) -> _Table:
    rows = rows_of(path)
    services, metrics, statistics = (line[1:] for line in rows[:3])
    if len(rows) < HEADER_LINES or rows[0][0] != "microservice":
        raise RecordingError(
            f"{path}:1: the header must have the levels microservice, metric, statistic"
        )
    series = tuple(
        SeriesKey(service, f"{metric} {statistic}", UNITS.get(metric, ""))
        for service, metric, statistic in zip(services, metrics, statistics, strict=True)
    )
    data = rows[HEADER_LINES:]
    times = times_of(path, (row[0] for row in data), HEADER_LINES + 1)
    values = numbers_of(path, data, range(1, len(series) + 1), HEADER_LINES + 1)
    order = np.argsort(times, kind="stable")
    return series, times[order], values[order]


def _before(normal: _Table | None, issue: _Table) -> _Table:
    if normal is None:
        return issue
    series = tuple(dict.fromkeys((*normal[0], *issue[0])))
    place = {key: at for at, key in enumerate(series)}
    moved = normal[1] - normal[1][-1] + issue[1][0] - INTERVAL_NS
    values = np.full((len(moved) + len(issue[1]), len(series)), np.nan)
    values[: len(moved), [place[key] for key in normal[0]]] = normal[2]
    values[len(moved) :, [place[key] for key in issue[0]]] = issue[2]
    return series, np.concatenate((moved, issue[1])), values


def _target(path: Path, times: Times) -> tuple[tuple[Question, ...], Labels | None]:
    """Return what was asked, at which series an alarm was seen, and, where it is known, who was to blame."""
    if not path.is_file():
        return (), None
    try:
        told = json.loads(path.read_text("utf-8"))
        seen = told["target"]
        series = SeriesKey(
            seen["node"], f"{seen['metric']} {seen['agg']}", UNITS.get(seen["metric"], "")
        )
        at = ns_from_seconds(float(seen["timestamp"]))
        blamed = told.get("root_cause", {}).get("node")
    except (ValueError, KeyError, TypeError) as fault:
        raise RecordingError(f"{path}: {fault}; it must be the JSON that PetShop ships") from fault
    questions = (Question(at, int(times[-1]), series),)
    if blamed is None:
        return questions, None
    judged = times >= at - INTERVAL_NS
    first = int(np.argmax(judged)) if judged.any() else len(times) - 1
    return questions, Labels(judged=judged, faults=(Fault("", first, len(times) - 1, (blamed,)),))


def _topology(path: Path) -> Topology:
    header, *rows = rows_of(path)
    links = tuple(
        Link(row[0], "calls", name)
        for row in rows
        for name, cell in zip(header[1:], row[1:], strict=True)
        if cell and float(cell) > 0
    )
    return Topology(dict.fromkeys(header[1:], "service"), links)
