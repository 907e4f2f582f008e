"""Lists of the read model: chosen by filters, ordered by (at_ns, id), in pages."""

import sqlite3
from typing import Any

from trimtab.domain.codec import decode
from trimtab.store.questions import (
    ActionFilter,
    AlarmFilter,
    DecisionFilter,
    IncidentFilter,
    Page,
    PageRequest,
    Position,
    SlsReportFilter,
    Span,
    VerificationFilter,
)

PAGE_ITEMS_MAX = 10_000


class Conditions:
    """SQL conditions and the values for their places."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.values: list[object] = []

    def add(self, text: str, *values: object) -> "Conditions":
        """Add a condition."""
        self.texts.append(text)
        self.values.extend(values)
        return self

    def equal(self, column: str, value: object) -> "Conditions":
        """Add `column = value`, unless the value is None."""
        return self if value is None else self.add(f"{column} = ?", value)

    def within(self, column: str, span: Span) -> "Conditions":
        """Add the bounds of a span; NULL lies in none."""
        if span.after_ns is not None:
            self.add(f"{column} > ?", span.after_ns)
        if span.before_ns is not None:
            self.add(f"{column} < ?", span.before_ns)
        return self

    @property
    def sql(self) -> str:
        """Return the WHERE clause, empty when there is nothing to choose."""
        return f" WHERE {' AND '.join(self.texts)}" if self.texts else ""


def of_alarms(where: AlarmFilter) -> Conditions:
    """Return the conditions of an alarm filter."""
    found = Conditions().equal("tenant", where.tenant).equal("id", where.id)
    if where.tenant is not None:
        found.add("object_id LIKE '%/service/%'")
    found.equal("object_id", where.object_id).equal("objective", where.objective)
    found.equal("state", where.state).equal("severity", where.severity)
    found.equal("alarm_type", where.alarm_type)
    found.equal("service_affecting", where.service_affecting)
    if where.open_only:
        found.add("open = 1")
    found.within("changed_ns", where.changed).within("cleared_ns", where.cleared)
    return found.within("reported_ns", where.reported)


def of_incidents(where: IncidentFilter) -> Conditions:
    """Return the conditions of an incident filter."""
    found = Conditions().equal("state", where.state)
    inside = "id IN (SELECT incident_id FROM incident_services WHERE {} = ?)"
    if where.tenant is not None:
        found.add(inside.format("tenant"), where.tenant)
    if where.service_id is not None:
        found.add(inside.format("service_id"), where.service_id)
    return found


def of_decisions(where: DecisionFilter) -> Conditions:
    """Return the conditions of a decision filter."""
    found = Conditions().equal("incident_id", where.incident_id)
    return found.equal("policy", where.policy).equal("outcome", where.outcome)


def of_actions(where: ActionFilter) -> Conditions:
    """Return the conditions of an action filter."""
    found = Conditions().equal("incident_id", where.incident_id)
    found.equal("decision_id", where.decision_id).equal("state", where.state)
    return found.add("open = 1") if where.open_only else found


def of_verifications(where: VerificationFilter) -> Conditions:
    """Return the conditions of a verification filter."""
    found = Conditions().equal("incident_id", where.incident_id)
    return found.equal("action_id", where.action_id).equal("verdict", where.verdict)


def of_sls_reports(where: SlsReportFilter) -> Conditions:
    """Return the conditions of a filter of service level reports."""
    found = Conditions().equal("tenant", where.tenant).equal("service_id", where.service_id)
    found.equal("length_ns", where.length_ns).within("start_ns", where.starts)
    return found.within("at_ns", where.ends).within("reckoned_ns", where.reckoned)


def read_item(connection: sqlite3.Connection, table: str, id_: str) -> Any:
    """Return one item, None when there is none."""
    row = connection.execute(f"SELECT body FROM {table} WHERE id = ?", (id_,)).fetchone()
    return decode(row[0]) if row else None


def read_page(
    connection: sqlite3.Connection, table: str, chosen: Conditions, page: PageRequest
) -> Page[Any]:
    """Return a page of a table's items."""
    rows, total, following = read_rows(connection, table, "body", chosen, page)
    return Page(tuple(decode(row[0]) for row in rows), total, following)


def read_rows(
    connection: sqlite3.Connection,
    table: str,
    columns: str,
    chosen: Conditions,
    page: PageRequest,
) -> tuple[list[Any], int, Position | None]:
    """Return the columns of a page's rows, how many match in all, and where the next page starts."""
    (total,) = connection.execute(
        f"SELECT count(*) FROM {table}{chosen.sql}", chosen.values
    ).fetchone()
    limit = max(0, min(page.limit, PAGE_ITEMS_MAX))
    way, beyond = ("ASC", ">") if page.oldest_first else ("DESC", "<")
    if page.position is not None:
        chosen.add(f"(at_ns, id) {beyond} (?, ?)", page.position.at_ns, page.position.id)
    rows = connection.execute(
        f"SELECT {columns}, at_ns, id FROM {table}{chosen.sql}"
        f" ORDER BY at_ns {way}, id {way} LIMIT ? OFFSET ?",
        (*chosen.values, limit + 1, max(0, page.offset)),
    ).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    following = Position(rows[-1][-2], rows[-1][-1]) if more and rows else None
    return rows, total, following
