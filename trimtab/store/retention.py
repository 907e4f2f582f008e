"""How much the read model keeps. The journal and the history keep more; here is what people look at."""

import sqlite3
from dataclasses import dataclass

from trimtab.domain.time import NS_PER_SECOND

_DAY_NS = 24 * 3_600 * NS_PER_SECOND
# Performance history: a period's length, and how long such periods are kept.
GRANULARITIES: tuple[tuple[int, int], ...] = (
    (60 * NS_PER_SECOND, 2 * _DAY_NS),
    (900 * NS_PER_SECOND, 31 * _DAY_NS),
    (3_600 * NS_PER_SECOND, 400 * _DAY_NS),
)


@dataclass(frozen=True, slots=True)
class Retention:
    """Rows kept of each table, newest first; what is still open is kept beyond its limit, up to twice as many."""

    kpis: int = 500_000
    assessments: int = 500_000
    events: int = 50_000
    items: int = 50_000
    nodes: int = 50_000
    kept_nodes: int = 200_000
    every_values: int = 10_000  # values written between two prunings


_ITEMS = (
    "alarms", "incidents", "decisions", "actions", "verifications", "notices", "commands",
    "sls_reports",
)  # fmt: skip


def prune(connection: sqlite3.Connection, keep: Retention, now: int) -> None:
    """Remove what exceeds the retention."""
    for table, rows in (("kpis", keep.kpis), ("assessments", keep.assessments)):
        _newest_by_seq(connection, table, rows)
    removed = _newest_by_seq(connection, "events", keep.events)
    if removed is not None:
        connection.execute(
            "INSERT INTO meta VALUES ('events_removed_to', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (removed,),
        )
    for table in _ITEMS:
        _newest_items(connection, table, keep.items)
    connection.execute(
        "DELETE FROM incident_services WHERE incident_id NOT IN (SELECT id FROM incidents)"
    )
    for granularity_ns, kept_ns in GRANULARITIES:
        connection.execute(
            "DELETE FROM performance WHERE granularity_ns = ? AND start_ns < ?",
            (granularity_ns, now - kept_ns),
        )
    for kept, rows in ((0, keep.nodes), (1, keep.kept_nodes)):
        connection.execute(
            "DELETE FROM nodes WHERE kept = ? AND seq <= coalesce((SELECT seq FROM nodes"
            " WHERE kept = ? ORDER BY seq DESC LIMIT 1 OFFSET ?), -1)",
            (kept, kept, rows),
        )
    connection.execute(
        "DELETE FROM edges WHERE child NOT IN (SELECT id FROM nodes)"
        " AND parent NOT IN (SELECT id FROM nodes)"
    )


def _newest_by_seq(connection: sqlite3.Connection, table: str, rows: int) -> int | None:
    """Keep the newest rows; return the newest sequence number removed, None when none was."""
    found = connection.execute(
        f"SELECT seq FROM {table} ORDER BY seq DESC LIMIT 1 OFFSET ?", (rows,)
    ).fetchone()
    if found is None:
        return None
    connection.execute(f"DELETE FROM {table} WHERE seq <= ?", found)
    return int(found[0])


def _newest_items(connection: sqlite3.Connection, table: str, rows: int) -> None:
    for condition, limit in (("open = 0", rows), ("1", 2 * rows)):
        connection.execute(
            f"DELETE FROM {table} WHERE {condition} AND id IN (SELECT id FROM {table} WHERE {condition}"
            " ORDER BY at_ns DESC, id DESC LIMIT -1 OFFSET ?)",
            (limit,),
        )
