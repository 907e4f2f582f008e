"""How each journaled value changes the read model."""

import sqlite3
from collections.abc import Callable
from typing import Any

from trimtab.domain.action import TERMINAL, Action
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.assessment import Assessment
from trimtab.domain.codec import encode
from trimtab.domain.command import Command, CommandResult
from trimtab.domain.configuration import Configuration
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.input import Notice
from trimtab.domain.kpi import Kpi
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.policy import PolicySet
from trimtab.domain.sls import SlsReport
from trimtab.domain.verification import Verification
from trimtab.store.causality import Node, node_of
from trimtab.store.inventory import Inventory
from trimtab.store.performance import sum_up

STREAMED = (
    Assessment,
    Alarm,
    Incident,
    Decision,
    Action,
    Verification,
    ControlLoop,
    Notice,
    SlsReport,
)
_WITHOUT_BODY = (Kpi, InventoryChange)
INTEGER_MAX = 2**63 - 1


def tenant_of(object_id: str) -> str:
    """Return the tenant in an object's id."""
    return object_id.partition("/")[0]


class Projection:
    """Writes values into tables, one at a time, within the transaction that its caller holds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._inventory = Inventory(connection)
        self._tracks: dict[tuple[str, str, str], int] = {
            (what, object_id, name): number
            for number, what, object_id, name in connection.execute(
                "SELECT id, what, object_id, name FROM tracks"
            )
        }
        self._writers: dict[type, Callable[[int, str, Any], None]] = {
            Kpi: self._kpi,
            Assessment: self._assessment,
            Alarm: self._alarm,
            Incident: self._incident,
            Decision: self._decision,
            Action: self._action,
            Verification: self._verification,
            Notice: self._notice,
            SlsReport: self._sls_report,
            Command: self._command,
            CommandResult: self._command_result,
            ControlLoop: self._control_loop,
            Configuration: self._configuration,
            PolicySet: self._policy_set,
            InventoryChange: self._inventory_change,
        }

    def write(self, seq: int, value: object) -> None:
        """Take one value in."""
        writer = self._writers.get(type(value))
        body = "" if writer is None or isinstance(value, _WITHOUT_BODY) else encode(value).decode()
        if writer is not None:
            writer(seq, body, value)
        node = node_of(seq, value)
        if node is not None:
            self._node(seq, node)
        if isinstance(value, STREAMED):
            self._run("INSERT OR REPLACE INTO events VALUES (?, ?)", seq, body)

    def _run(self, sql: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def _item(self, table: str, id_: str, at_ns: int, is_open: bool, *rest: object) -> None:
        """Insert or replace, but keep the place in the list that the item first had."""
        found = self._run(f"SELECT at_ns FROM {table} WHERE id = ?", id_).fetchone()
        places = ", ".join("?" * (3 + len(rest)))
        first_ns = found[0] if found else at_ns
        self._run(
            f"INSERT OR REPLACE INTO {table} VALUES ({places})", id_, first_ns, is_open, *rest
        )

    def _track(self, what: str, object_id: str, name: str, kpi: str, unit: str) -> int:
        key = (what, object_id, name)
        known = self._tracks.get(key)
        if known is None:
            known = self._tracks[key] = len(self._tracks) + 1
            self._run(
                "INSERT INTO tracks VALUES (?, ?, ?, ?, ?, ?)",
                known, what, object_id, name, kpi, unit,
            )  # fmt: skip
        return known

    def _kpi(self, seq: int, body: str, value: Kpi) -> None:
        track = self._track("kpi", value.object_id, value.name, value.name, value.unit)
        self._run(
            "INSERT OR REPLACE INTO kpis VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            seq, track, value.end_ns, value.window_ns, value.value, value.samples, value.suspect,
            value.context.id, value.context.parent_id,
        )  # fmt: skip

    def _assessment(self, seq: int, body: str, value: Assessment) -> None:
        track = self._track("objective", value.object_id, value.objective, value.kpi, value.unit)
        known = self._run(
            "SELECT 1 FROM assessments WHERE track = ? AND end_ns = ?", track, value.end_ns
        ).fetchone()
        self._run(
            "INSERT OR REPLACE INTO assessments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            seq, track, value.end_ns, value.observed, value.since_ns, value.value, value.bound,
            value.compliance, value.budget_left_ratio, value.predicted, value.suspect,
            value.context.id, value.context.parent_id,
        )  # fmt: skip
        self._run(
            "INSERT INTO latest_assessments VALUES (?, ?, ?) ON CONFLICT (track) DO UPDATE SET"
            " end_ns = excluded.end_ns, body = excluded.body WHERE excluded.end_ns >= end_ns",
            track, value.end_ns, body,
        )  # fmt: skip
        sum_up(self._connection, track, value, again=known is not None)

    def _alarm(self, seq: int, body: str, value: Alarm) -> None:
        self._item(
            "alarms", value.id, value.raised_at_ns, value.state is not AlarmState.CLEARED,
            tenant_of(value.object_id), value.object_id, value.objective, value.state,
            value.severity, value.alarm_type, value.service_affecting, value.reported_at_ns,
            value.changed_at_ns, value.cleared_at_ns, body,
        )  # fmt: skip

    def _incident(self, seq: int, body: str, value: Incident) -> None:
        is_open = value.state is IncidentState.OPEN
        self._item("incidents", value.id, value.opened_at_ns, is_open, value.state, body)
        for service_id in value.services:
            self._run(
                "INSERT OR IGNORE INTO incident_services VALUES (?, ?, ?)",
                value.id, service_id, tenant_of(service_id),
            )  # fmt: skip

    def _decision(self, seq: int, body: str, value: Decision) -> None:
        self._item(
            "decisions", value.id, value.at_ns, False, value.incident_id, value.policy,
            value.outcome, body,
        )  # fmt: skip

    def _action(self, seq: int, body: str, value: Action) -> None:
        self._item(
            "actions", value.id, value.created_at_ns, value.state not in TERMINAL,
            value.incident_id, value.decision_id, value.target_id, value.state, body,
        )  # fmt: skip

    def _verification(self, seq: int, body: str, value: Verification) -> None:
        self._item(
            "verifications", value.id, value.started_at_ns, value.verdict is None,
            value.incident_id, value.action_id, value.verdict, body,
        )  # fmt: skip

    def _notice(self, seq: int, body: str, value: Notice) -> None:
        self._item("notices", value.id, value.at_ns, False, body)

    def _sls_report(self, seq: int, body: str, value: SlsReport) -> None:
        # Two times fit into SQLite's integers, their difference may not.
        length_ns = min(value.end_ns - value.start_ns, INTEGER_MAX)
        length_ns = max(length_ns, -INTEGER_MAX)
        self._item(
            "sls_reports", value.context.id, value.end_ns, False, tenant_of(value.object_id),
            value.object_id, length_ns, value.start_ns, value.reckoned_at_ns, body,
        )  # fmt: skip

    def _command(self, seq: int, body: str, value: Command) -> None:
        self._run(
            "INSERT OR IGNORE INTO commands VALUES (?, ?, 1, ?, ?, NULL)",
            value.id, value.at_ns, value.subject_id, body,
        )  # fmt: skip

    def _command_result(self, seq: int, body: str, value: CommandResult) -> None:
        self._run("UPDATE commands SET result = ?, open = 0 WHERE id = ?", body, value.command_id)

    def _control_loop(self, seq: int, body: str, value: ControlLoop) -> None:
        self._document("control_loop", body)

    def _configuration(self, seq: int, body: str, value: Configuration) -> None:
        self._document("configuration", body)
        self._inventory.apply(value.inventory)

    def _policy_set(self, seq: int, body: str, value: PolicySet) -> None:
        self._document("policy_set", body)

    def _inventory_change(self, seq: int, body: str, value: InventoryChange) -> None:
        self._inventory.apply(value)

    def _document(self, name: str, body: str) -> None:
        self._run("INSERT OR REPLACE INTO documents VALUES (?, ?)", name, body)

    def _node(self, seq: int, node: Node) -> None:
        kept = node.kept or self._leads_to_something_kept(node.id)
        self._run(
            "INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " seq = excluded.seq, text = excluded.text, kept = max(kept, excluded.kept)",
            node.id, seq, node.kind, node.at_ns, node.parent_id, node.text, kept,
        )  # fmt: skip
        parents = [parent for parent in (node.parent_id, *node.also) if parent]
        for parent in parents:
            self._edge(node.id, parent)
        if node.alias is not None:
            self._edge(node.alias, node.id)
        if kept:
            self._keep(parents)

    def _edge(self, child: str, parent: str) -> None:
        self._run("INSERT OR IGNORE INTO edges VALUES (?, ?)", child, parent)

    def _leads_to_something_kept(self, id_: str) -> bool:
        found = self._run(
            "SELECT 1 FROM edges JOIN nodes ON nodes.id = edges.child"
            " WHERE edges.parent = ? AND nodes.kept = 1 LIMIT 1",
            id_,
        ).fetchone()
        return found is not None

    def _keep(self, ids: list[str]) -> None:
        """Keep what led to something kept, up to the first that is kept already."""
        waiting = list(ids)
        while waiting:
            id_ = waiting.pop()
            changed = self._run("UPDATE nodes SET kept = 1 WHERE id = ? AND kept = 0", id_).rowcount
            if changed:
                waiting += [
                    p for (p,) in self._run("SELECT parent FROM edges WHERE child = ?", id_)
                ]
