"""Performance history: a track's assessments summed up by granularity period, for reports over days and months."""

import sqlite3

from trimtab.domain.assessment import Assessment, FulfilmentStatus
from trimtab.domain.service import Comparator
from trimtab.errors import StoreError
from trimtab.store.questions import Measurement, Span
from trimtab.store.retention import GRANULARITIES

RATIO_UNIT = "ratio"
FIRST_NS = -(2**63)  # the least that SQLite keeps


def period_start(end_ns: int, granularity_ns: int) -> int:
    """Return the start of the period, aligned to UTC, that a window ending then belongs to."""
    return max((end_ns - 1) // granularity_ns * granularity_ns, FIRST_NS)


def sum_up(connection: sqlite3.Connection, track: int, value: Assessment, *, again: bool) -> None:
    """Add an assessment to its periods; `again` when it takes the place of an earlier one of the same window."""
    for granularity_ns, _ in GRANULARITIES:
        start_ns = period_start(value.end_ns, granularity_ns)
        if again:
            _sum_anew(connection, track, granularity_ns, start_ns)
            continue
        known = value.value is not None
        connection.execute(
            "INSERT INTO performance VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (track, granularity_ns, start_ns) DO UPDATE SET windows = windows + 1,"
            " known = known + excluded.known, met = met + excluded.met,"
            " missed = missed + excluded.missed, suspect = max(suspect, excluded.suspect),"
            " value_sum = value_sum + excluded.value_sum,"
            " value_min = min(coalesce(value_min, excluded.value_min),"
            " coalesce(excluded.value_min, value_min)),"
            " value_max = max(coalesce(value_max, excluded.value_max),"
            " coalesce(excluded.value_max, value_max))",
            (
                track, granularity_ns, start_ns, known,
                value.observed is FulfilmentStatus.FULFILLED,
                value.observed is FulfilmentStatus.NOT_FULFILLED,
                value.suspect, value.value or 0.0, value.value, value.value,
            ),
        )  # fmt: skip


def read_measurements(
    connection: sqlite3.Connection,
    track: tuple[int, str],
    comparator: Comparator,
    granularity_ns: int,
    span: Span,
    limit: int,
) -> list[Measurement]:
    """Return the newest `limit` periods that lie within the span, oldest first; `track` is (id, unit).

    The granularity is a multiple of a kept one. Raises StoreError when it is not.
    """
    number, unit = track
    stored = [kept for kept, _ in GRANULARITIES if granularity_ns % kept == 0]
    if granularity_ns <= 0 or not stored:
        raise StoreError(
            f"there is no performance history by {granularity_ns} ns: ask for whole minutes"
        )
    rows = connection.execute(
        "SELECT start_ns / ?1 * ?1 AS period, sum(windows), sum(known), sum(met), sum(missed),"
        " max(suspect), sum(value_sum), min(value_min), max(value_max) FROM performance"
        " WHERE track = ?2 AND granularity_ns = ?3 AND start_ns >= ?4 AND start_ns < ?5"
        " GROUP BY period ORDER BY period DESC LIMIT ?6",
        (granularity_ns, number, stored[-1], *_whole_periods(span, granularity_ns), limit),
    ).fetchall()
    found = []
    for start, windows, known, met, missed, suspect, total, least, most in reversed(rows):
        mean = total / known if known else None
        worst = most if comparator is Comparator.AT_MOST else least
        value = mean if unit == RATIO_UNIT else worst
        found.append(
            Measurement(
                start, start + granularity_ns, value, windows, known, met, bool(suspect),
                least, most, mean, missed,
            )
        )  # fmt: skip
    return found


def _whole_periods(span: Span, granularity_ns: int) -> tuple[int, int]:
    """Return the first start, and the end of the starts, of the periods that lie wholly within a span."""
    first = (
        -(2**62) if span.after_ns is None else -(-span.after_ns // granularity_ns) * granularity_ns
    )
    if span.before_ns is None:
        return first, 2**62
    return first, span.before_ns // granularity_ns * granularity_ns


def _sum_anew(
    connection: sqlite3.Connection, track: int, granularity_ns: int, start_ns: int
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO performance SELECT ?1, ?2, ?3, count(*), count(value),"
        " sum(observed = 'FULFILLED'), sum(observed = 'NOT_FULFILLED'), max(suspect), total(value),"
        " min(value), max(value) FROM assessments"
        " WHERE track = ?1 AND end_ns > ?3 AND end_ns <= ?3 + ?2",
        (track, granularity_ns, start_ns),
    )
