"""The read model: what the API asks, in SQLite, derived from the journal and rebuilt from it at will."""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trimtab.domain.action import Action
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment
from trimtab.domain.codec import decode
from trimtab.domain.command import Command, CommandResult
from trimtab.domain.configuration import Configuration
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident
from trimtab.domain.input import Notice
from trimtab.domain.kpi import Kpi
from trimtab.domain.policy import PolicySet
from trimtab.domain.service import Service
from trimtab.domain.sls import SlsReport
from trimtab.domain.verification import Verification
from trimtab.store import lists, measurements
from trimtab.store.database import Database
from trimtab.store.frame import Frame
from trimtab.store.inventory import read_topology
from trimtab.store.performance import read_measurements
from trimtab.store.projection import Projection
from trimtab.store.questions import (
    ActionFilter,
    AlarmFilter,
    AssessmentPoint,
    CommandState,
    DecisionFilter,
    EventPage,
    Explanation,
    IncidentFilter,
    Measurement,
    ObjectiveState,
    Page,
    PageRequest,
    ServiceState,
    SlsReportFilter,
    Span,
    StreamEvent,
    TopologyView,
    VerificationFilter,
)
from trimtab.store.retention import Retention, prune
from trimtab.store.walk import explain

EVENTS_PER_READ_MAX = 10_000


class ReadModel:
    """Implements `ports.Store`: one thread writes by `apply`, any thread asks.

    Every value has a number of its own that grows in journal order, so that it does not matter how values are
    grouped into calls, and an event keeps its id when the model is rebuilt. Every call may raise StoreError.
    """

    def __init__(self, path: Path, retention: Retention | None = None) -> None:
        """Open or make the file; a damaged one is made anew, `position` is -1 then."""
        self._retention = retention or Retention()
        self._database = Database(path)
        self._projection = Projection(self._database.writer)
        self._position = self._meta("position", -1)
        self._news = threading.Condition()

    def position(self) -> int:
        """Return the last sequence number taken in, -1 when there is none."""
        return self._position

    def apply(self, seq: int, now: int, values: Sequence[object]) -> None:
        """Take in values in order, the first under number `seq`, the next under `seq + 1`, and so on."""
        self._take((seq + index, now, value) for index, value in enumerate(values))

    def apply_frames(self, frames: Iterable[Frame]) -> None:
        """Take in frames as the journal reads them, in one transaction: a step's, or a stretch of a rebuild."""
        self._take((frame.seq, frame.now, frame.value) for frame in frames)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def services(self) -> tuple[ServiceState, ...]:
        """Return every configured service with its objectives' latest assessments, ordered by id."""
        with self._database.reading() as connection:
            configuration = self._document(connection, "configuration")
            if configuration is None:
                return ()
            latest = {(item.object_id, item.objective): item for item in _latest(connection)}
        ordered = sorted(configuration.services, key=lambda service: service.id)
        return tuple(_state_of(service, configuration, latest) for service in ordered)

    def service(self, service_id: str) -> ServiceState | None:
        """Return one service."""
        return next((item for item in self.services() if item.service.id == service_id), None)

    def latest_assessments(self) -> tuple[Assessment, ...]:
        """Return the latest assessment of every objective of every object, resources included."""
        with self._database.reading() as connection:
            return tuple(_latest(connection))

    def assessments(
        self, object_id: str, objective: str, span: Span, limit: int
    ) -> tuple[Assessment, ...]:
        """Return the newest `limit` assessments whose window ends within the span, oldest first."""
        with self._database.reading() as connection:
            return tuple(
                measurements.read_assessments(connection, object_id, objective, span, limit)
            )

    def chart(
        self, object_id: str, objective: str, span: Span, points: int
    ) -> tuple[AssessmentPoint, ...]:
        """Return assessments over the span, thinned out to about `points` points, oldest first."""
        with self._database.reading() as connection:
            return tuple(measurements.read_chart(connection, object_id, objective, span, points))

    def kpis(self, object_id: str, name: str, span: Span, limit: int) -> tuple[Kpi, ...]:
        """Return the newest `limit` values of a KPI within the span, oldest first."""
        with self._database.reading() as connection:
            return tuple(measurements.read_kpis(connection, object_id, name, span, limit))

    def measurements(
        self, service_id: str, objective: str, granularity_ns: int, span: Span, limit: int
    ) -> tuple[Measurement, ...]:
        """Return the newest `limit` granularity periods (aligned to UTC) within the span, oldest first."""
        with self._database.reading() as connection:
            configuration = self._document(connection, "configuration")
            track = measurements.read_track(connection, "objective", service_id, objective)
            if configuration is None or track is None:
                return ()
            comparator = next(
                (item.comparator for item in configuration.objectives if item.name == objective),
                None,
            )
            if comparator is None:
                return ()
            return tuple(
                read_measurements(
                    connection, (track[0], track[2]), comparator, granularity_ns, span, limit
                )
            )

    def alarms(self, where: AlarmFilter, page: PageRequest) -> Page[Alarm]:
        """Return alarms by when they were raised."""
        return self._page("alarms", lists.of_alarms(where), page)

    def alarm(self, alarm_id: str) -> Alarm | None:
        """Return one alarm."""
        found: Alarm | None = self._item("alarms", alarm_id)
        return found

    def incidents(self, where: IncidentFilter, page: PageRequest) -> Page[Incident]:
        """Return incidents by when they were opened."""
        return self._page("incidents", lists.of_incidents(where), page)

    def incident(self, incident_id: str) -> Incident | None:
        """Return one incident."""
        found: Incident | None = self._item("incidents", incident_id)
        return found

    def decisions(self, where: DecisionFilter, page: PageRequest) -> Page[Decision]:
        """Return decisions by when they were taken."""
        return self._page("decisions", lists.of_decisions(where), page)

    def decision(self, decision_id: str) -> Decision | None:
        """Return one decision."""
        found: Decision | None = self._item("decisions", decision_id)
        return found

    def actions(self, where: ActionFilter, page: PageRequest) -> Page[Action]:
        """Return actions by when they were created."""
        return self._page("actions", lists.of_actions(where), page)

    def action(self, action_id: str) -> Action | None:
        """Return one action."""
        found: Action | None = self._item("actions", action_id)
        return found

    def verifications(self, where: VerificationFilter, page: PageRequest) -> Page[Verification]:
        """Return verifications by when they started."""
        return self._page("verifications", lists.of_verifications(where), page)

    def verification(self, verification_id: str) -> Verification | None:
        """Return one verification."""
        found: Verification | None = self._item("verifications", verification_id)
        return found

    def sls_reports(self, where: SlsReportFilter, page: PageRequest) -> Page[SlsReport]:
        """Return service level reports by the end of their period."""
        return self._page("sls_reports", lists.of_sls_reports(where), page)

    def sls_report(self, report_id: str) -> SlsReport | None:
        """Return one service level report."""
        found: SlsReport | None = self._item("sls_reports", report_id)
        return found

    def notices(self, page: PageRequest) -> Page[Notice]:
        """Return notices by time."""
        return self._page("notices", lists.Conditions(), page)

    def commands(self, page: PageRequest) -> Page[CommandState]:
        """Return commands by time, each with its answer."""
        with self._database.reading() as connection:
            rows, total, following = lists.read_rows(
                connection, "commands", "body, result", lists.Conditions(), page
            )
        return Page(tuple(_command_state(row[0], row[1]) for row in rows), total, following)

    def command(self, command_id: str) -> CommandState | None:
        """Return one command and its answer."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT body, result FROM commands WHERE id = ?", (command_id,)
            ).fetchone()
        return _command_state(*row) if row else None

    def loop(self) -> ControlLoop | None:
        """Return the control loop's state, None before its first step."""
        with self._database.reading() as connection:
            found: ControlLoop | None = self._document(connection, "control_loop")
        return found

    def configuration(self) -> Configuration | None:
        """Return the newest configuration."""
        with self._database.reading() as connection:
            found: Configuration | None = self._document(connection, "configuration")
        return found

    def policies(self) -> PolicySet | None:
        """Return the newest policies."""
        with self._database.reading() as connection:
            found: PolicySet | None = self._document(connection, "policy_set")
        return found

    def topology(self) -> TopologyView:
        """Return the present inventory."""
        with self._database.reading() as connection:
            return read_topology(connection)

    def explain(self, value_id: str) -> Explanation | None:
        """Return the walk from a value to its causes and effects, None when it is not known."""
        with self._database.reading() as connection:
            return explain(connection, value_id)

    def events_after(self, event_id: int, limit: int) -> EventPage:
        """Return what came after an event, in order; `event_id` -1 asks from the oldest kept."""
        with self._database.reading() as connection:
            removed_to = _meta(connection, "events_removed_to", -1)
            (newest,) = connection.execute("SELECT max(seq) FROM events").fetchone()
            latest = removed_to if newest is None else newest
            if 0 <= event_id < removed_to:
                return EventPage((), latest, reset=True)
            rows = connection.execute(
                "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
                (event_id, max(0, min(limit, EVENTS_PER_READ_MAX))),
            ).fetchall()
        return EventPage(tuple(StreamEvent(seq, decode(body)) for seq, body in rows), latest)

    def wait_for_news(self, position: int, timeout_seconds: float) -> bool:
        """Block until something beyond a sequence number was taken in; False when the time ran out first."""
        with self._news:
            return self._news.wait_for(lambda: self._position > position, timeout_seconds)

    def _take(self, numbered: Iterable[tuple[int, int, object]]) -> None:
        try:
            position = self._write(numbered)
        except BaseException:
            # What it remembers of the tables was taken back with the transaction. Should they be unreadable, too,
            # the next write fails as this one did.
            with suppress(sqlite3.Error):
                self._projection = Projection(self._database.writer)
            raise
        with self._news:
            self._position = position
            self._news.notify_all()

    def _write(self, numbered: Iterable[tuple[int, int, object]]) -> int:
        position = self._position
        with self._database.writing() as connection:
            written = _meta(connection, "written", 0)
            for seq, now, value in numbered:
                if seq <= position:
                    continue
                # By count, not by time (a rebuilt model is pruned at the same values), nor by number (which has gaps).
                if written and written % self._retention.every_values == 0:
                    prune(connection, self._retention, now)
                self._projection.write(seq, value)
                position, written = seq, written + 1
            for name, number in (("position", position), ("written", written)):
                connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, number))
        return position

    def _meta(self, name: str, default: int) -> int:
        with self._database.reading() as connection:
            return _meta(connection, name, default)

    def _item(self, table: str, id_: str) -> Any:
        with self._database.reading() as connection:
            return lists.read_item(connection, table, id_)

    def _page(self, table: str, chosen: lists.Conditions, page: PageRequest) -> Page[Any]:
        with self._database.reading() as connection:
            return lists.read_page(connection, table, chosen, page)

    @staticmethod
    def _document(connection: Any, name: str) -> Any:
        row = connection.execute("SELECT body FROM documents WHERE name = ?", (name,)).fetchone()
        return decode(row[0]) if row else None


def _meta(connection: Any, name: str, default: int) -> int:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else default


def _latest(connection: Any) -> list[Assessment]:
    rows = connection.execute("SELECT body FROM latest_assessments ORDER BY track")
    return [decode(body) for (body,) in rows]


def _state_of(
    service: Service,
    configuration: Configuration,
    latest: dict[tuple[str, str], Assessment],
) -> ServiceState:
    kpis = {item.name: item for item in configuration.kpis}
    return ServiceState(
        service,
        tuple(
            ObjectiveState(item, kpis.get(item.kpi), latest.get((service.id, item.name)))
            for item in configuration.objectives
            if item.object_kind == "service" and item.object_id in (None, service.id)
        ),
    )


def _command_state(body: str, result: str | None) -> CommandState:
    command: Command = decode(body.encode())
    answer: CommandResult | None = None if result is None else decode(result.encode())
    return CommandState(command, answer)
