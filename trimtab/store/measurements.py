"""KPI and assessment history of the read model, whole and thinned out for charts."""

import sqlite3
from typing import Any

from trimtab.domain.assessment import Assessment, FulfilmentStatus
from trimtab.domain.context import Context
from trimtab.domain.kpi import Kpi
from trimtab.store.lists import Conditions
from trimtab.store.questions import AssessmentPoint, Span

POINTS_MAX = 100_000
_WORST_FIRST = (
    FulfilmentStatus.NOT_FULFILLED,
    FulfilmentStatus.INDETERMINATE,
    FulfilmentStatus.FULFILLED,
)
_ASSESSMENT_COLUMNS = (
    "end_ns, observed, since_ns, value, bound, compliance, budget_left_ratio, predicted, suspect,"
    " id, parent_id"
)


def read_track(
    connection: sqlite3.Connection, what: str, object_id: str, name: str
) -> tuple[int, str, str] | None:
    """Return (id, KPI name, unit) of a track, None when nothing was ever measured."""
    row: tuple[int, str, str] | None = connection.execute(
        "SELECT id, kpi, unit FROM tracks WHERE what = ? AND object_id = ? AND name = ?",
        (what, object_id, name),
    ).fetchone()
    return row


def read_kpis(
    connection: sqlite3.Connection, object_id: str, name: str, span: Span, limit: int
) -> list[Kpi]:
    """Return the newest `limit` values of a KPI within the span, oldest first."""
    track = read_track(connection, "kpi", object_id, name)
    if track is None:
        return []
    columns = "end_ns, window_ns, value, samples, suspect, id, parent_id"
    return [
        Kpi(
            Context(id_, parent_id), object_id, name, end_ns, window_ns, value, samples, track[2],
            bool(suspect),
        )
        for end_ns, window_ns, value, samples, suspect, id_, parent_id in _newest(
            connection, "kpis", columns, track[0], span, limit
        )
    ]  # fmt: skip


def read_assessments(
    connection: sqlite3.Connection, object_id: str, objective: str, span: Span, limit: int
) -> list[Assessment]:
    """Return the newest `limit` assessments whose window ends within the span, oldest first."""
    track = read_track(connection, "objective", object_id, objective)
    if track is None:
        return []
    rows = _newest(connection, "assessments", _ASSESSMENT_COLUMNS, track[0], span, limit)
    return [_assessment_of(object_id, objective, track, row) for row in rows]


def read_chart(
    connection: sqlite3.Connection, object_id: str, objective: str, span: Span, points: int
) -> list[AssessmentPoint]:
    """Return at most about `points` points over the span, oldest first; peaks are kept in each point's range."""
    track = read_track(connection, "objective", object_id, objective)
    if track is None or points < 1:
        return []
    chosen = Conditions().equal("track", track[0]).within("end_ns", span)
    first, last, count = connection.execute(
        f"SELECT min(end_ns), max(end_ns), count(*) FROM assessments{chosen.sql}", chosen.values
    ).fetchone()
    if not count:
        return []
    points = min(points, POINTS_MAX)
    step_ns = 1 if count <= points else -(-(last - first + 1) // points)
    rows = connection.execute(
        "SELECT max(end_ns), min(CASE observed WHEN 'NOT_FULFILLED' THEN 0"
        " WHEN 'INDETERMINATE' THEN 1 ELSE 2 END), avg(value), min(value), max(value),"
        f" max(bound), count(*) FROM assessments{chosen.sql} GROUP BY (end_ns - ?) / ?"
        " ORDER BY 1",
        (*chosen.values, first, step_ns),
    ).fetchall()
    return [
        AssessmentPoint(end_ns, _WORST_FIRST[worst], mean, least, most, bound, windows)
        for end_ns, worst, mean, least, most, bound, windows in rows
    ]


def _newest(
    connection: sqlite3.Connection, table: str, columns: str, track: int, span: Span, limit: int
) -> list[Any]:
    chosen = Conditions().equal("track", track).within("end_ns", span)
    rows = connection.execute(
        f"SELECT {columns} FROM {table}{chosen.sql} ORDER BY end_ns DESC LIMIT ?",
        (*chosen.values, max(0, min(limit, POINTS_MAX))),
    ).fetchall()
    rows.reverse()
    return rows


def _assessment_of(
    object_id: str, objective: str, track: tuple[int, str, str], row: Any
) -> Assessment:
    (
        end_ns,
        observed,
        since_ns,
        value,
        bound,
        compliance,
        budget,
        predicted,
        suspect,
        id_,
        parent,
    ) = row
    return Assessment(
        Context(id_, parent), object_id, objective, track[1], end_ns, FulfilmentStatus(observed),
        since_ns, value, bound, track[2], FulfilmentStatus(compliance), budget,
        None if predicted is None else FulfilmentStatus(predicted), bool(suspect),
    )  # fmt: skip
