"""The read model: what goes in comes out by every question, whatever the grouping, and again after a rebuild."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.domain.action import Action, ActionResult, ActionState
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.command import Command, CommandKind, CommandResult
from trimtab.domain.configuration import Configuration
from trimtab.domain.context import Context
from trimtab.domain.control_loop import ControlLoop, LifecyclePhase, LoopRunState
from trimtab.domain.decision import Decision, DecisionOutcome
from trimtab.domain.incident import Cause, Incident, IncidentState
from trimtab.domain.input import Notice, Tick
from trimtab.domain.kpi import Kpi, KpiDefinition, Statistic
from trimtab.domain.managed_object import (
    Alias,
    InventoryChange,
    ObjectKind,
    Relation,
    RelationKind,
    managed_object,
)
from trimtab.domain.policy import ActionKind
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective
from trimtab.domain.sls import PairPerformance, Performance, SlsReport, SlsTerms
from trimtab.domain.verification import Verdict, Verification
from trimtab.errors import StoreError
from trimtab.store import database
from trimtab.store.frame import Frame
from trimtab.store.performance import period_start
from trimtab.store.questions import (
    ActionFilter,
    AlarmFilter,
    DecisionFilter,
    IncidentFilter,
    PageRequest,
    SlsReportFilter,
    Span,
    VerificationFilter,
)
from trimtab.store.read_model import ReadModel
from trimtab.store.retention import Retention

SECOND = 1_000_000_000
VPN, WEB, FW_0 = "acme/service/vpn", "globex/service/web", "provider/vnfc/fw-0"
MET, MISSED, UNKNOWN = (
    FulfilmentStatus.FULFILLED,
    FulfilmentStatus.NOT_FULFILLED,
    FulfilmentStatus.INDETERMINATE,
)
FIRST = PageRequest(limit=100)
ALL_TIME = Span()
CONFIGURATION = Configuration(
    "hash",
    services=(Service(WEB, "globex", "web"), Service(VPN, "acme", "vpn")),
    objectives=(
        ServiceLevelObjective("delay", ObjectKind.SERVICE, "delay_p95", Comparator.AT_MOST, 0.04),
        ServiceLevelObjective(
            "loss", ObjectKind.SERVICE, "loss", Comparator.AT_MOST, 0.05, object_id=VPN
        ),
        ServiceLevelObjective("up", ObjectKind.VNFC, "guest_up", Comparator.AT_LEAST, 1),
    ),
    kpis=(
        KpiDefinition("delay_p95", ObjectKind.SERVICE, "probe_delay_seconds",
                      Statistic.PERCENTILE, "seconds"),
    ),
    bindings=(),
    inventory=InventoryChange("config", 0, (managed_object(VPN), managed_object(FW_0))),
)  # fmt: skip


def assessment(
    end: int,
    value: float | None,
    observed: FulfilmentStatus = MET,
    object_id: str = VPN,
    objective: str = "delay",
    unit: str = "seconds",
) -> Assessment:
    return Assessment(
        Context(f"a-{object_id}-{objective}-{end}", f"k-{object_id}-{end}"), object_id, objective,
        "delay_p95", end * SECOND, observed, 0, value, 0.04, unit,
    )  # fmt: skip


def kpi(end: int, value: float | None, object_id: str = VPN) -> Kpi:
    return Kpi(
        Context(f"k-{object_id}-{end}"), object_id, "delay_p95", end * SECOND, 5 * SECOND, value,
        9, "seconds",
    )  # fmt: skip


def alarm(name: str, at: int, object_id: str = VPN) -> Alarm:
    return Alarm(
        Context(name, f"a-{object_id}-delay-{at}"), name, object_id, "delay", "delay",
        AlarmType.QUALITY_OF_SERVICE, "thresholdCrossed", PerceivedSeverity.MAJOR,
        AlarmState.UNACKNOWLEDGED, at * SECOND, at * SECOND + 1, at * SECOND + 1, 0.06, 0.04,
        "seconds", "delay over its bound", True,
    )  # fmt: skip


CAUSE = Cause(FW_0, "process-gone", 1.0, 0.9, 9 * SECOND, (VPN,), ("guest_up is 0",))
INCIDENT = Incident(
    Context("incident-1", "trouble-1"), "incident-1", IncidentState.OPEN, 10 * SECOND, 10 * SECOND,
    (VPN, WEB), ("alarm-1",), (VPN, FW_0), (CAUSE,),
)  # fmt: skip
DECISION = Decision(
    Context("decision-1", "incident-1"), "decision-1", "heal-crashed", "rules.yaml:3", "incident-1",
    11 * SECOND, DecisionOutcome.ACT, 0, "the process is gone", (), (("cause.kind", "vnfc"),),
    ("action-1",),
)  # fmt: skip
ACTION = Action(
    Context("action-1", "decision-1"), "action-1", "decision-1", "incident-1", ActionKind.HEAL,
    FW_0, "vnfm", ActionState.INTENDED, 11 * SECOND, 11 * SECOND, 60 * SECOND,
)  # fmt: skip
VERIFICATION = Verification(
    Context("verification-1", "action-1"), "verification-1", "action-1", "incident-1",
    "heal-crashed", "service.fulfilled", 13 * SECOND, 30 * SECOND,
)  # fmt: skip
STORY: tuple[Any, ...] = (
    CONFIGURATION,
    kpi(10, 0.06),
    assessment(10, 0.06, MISSED),
    Trouble(
        Context("trouble-1", f"a-{VPN}-delay-10"), FW_0, "process-gone", MISSED, 9, 10, 1.0, 0, 1
    ),
    alarm("alarm-1", 10),
    INCIDENT,
    DECISION,
    ACTION,
    ActionResult("action-1", ActionState.SENDING, 12 * SECOND),
    VERIFICATION,
)


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ReadModel]:
    with closing(ReadModel(tmp_path / "read_model.sqlite")) as found:
        yield found


def dump(path: Path) -> dict[str, list[Any]]:
    """Return every row of every table."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table'"
        ).fetchall()
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for (name,) in tables
        }


def test_services_come_with_their_latest_assessments(model: ReadModel) -> None:
    assert model.services() == ()
    model.apply(0, 0, [CONFIGURATION, assessment(1, 0.01), assessment(2, 0.02)])
    vpn, web = model.services()
    assert (vpn.service.id, web.service.id) == (VPN, WEB)
    delay, loss = vpn.objectives
    assert delay.assessment == assessment(2, 0.02)
    assert delay.kpi is not None
    assert delay.kpi.name == "delay_p95"
    assert (loss.assessment, loss.kpi) == (None, None)
    assert [item.objective.name for item in web.objectives] == ["delay"]
    assert model.service(VPN) == vpn
    assert model.service("acme/service/other") is None
    assert model.latest_assessments() == (assessment(2, 0.02),)
    assert model.configuration() == CONFIGURATION


def test_a_late_assessment_is_history_not_the_latest(model: ReadModel) -> None:
    model.apply(0, 0, [assessment(9, 0.03), assessment(4, 0.9, MISSED)])
    assert model.latest_assessments() == (assessment(9, 0.03),)
    assert len(model.assessments(VPN, "delay", ALL_TIME, 10)) == 2


def test_history_is_given_newest_last_within_bounds(model: ReadModel) -> None:
    values = [assessment(end, None if end == 3 else end / 100) for end in range(1, 8)]
    kpis = [kpi(end, None if end == 3 else end / 100) for end in range(1, 8)]
    model.apply(0, 0, [*values, *kpis])
    assert model.assessments(VPN, "delay", ALL_TIME, 100) == tuple(values)
    assert model.assessments(VPN, "delay", ALL_TIME, 2) == tuple(values[-2:])
    within = Span(after_ns=2 * SECOND, before_ns=5 * SECOND)
    assert model.assessments(VPN, "delay", within, 100) == tuple(values[2:4])
    assert model.kpis(VPN, "delay_p95", within, 100) == tuple(kpis[2:4])
    assert model.assessments(VPN, "other", ALL_TIME, 100) == ()
    assert model.kpis(VPN, "other", ALL_TIME, 100) == ()


def test_a_chart_is_thinned_out_but_keeps_peaks_and_the_worst(model: ReadModel) -> None:
    values = [assessment(end, 0.01) for end in range(1, 1_001)]
    values[500] = assessment(501, 0.9, MISSED)
    values[700] = assessment(701, None, UNKNOWN)
    model.apply(0, 0, values)
    points = model.chart(VPN, "delay", ALL_TIME, 50)
    assert 45 <= len(points) <= 51
    assert sum(point.windows for point in points) == 1_000
    assert max(point.value_max or 0.0 for point in points) == 0.9
    assert [point.observed for point in points].count(MISSED) == 1
    assert [point.observed for point in points].count(UNKNOWN) == 1
    assert points[-1].end_ns == 1_000 * SECOND
    exact = model.chart(VPN, "delay", Span(before_ns=11 * SECOND), 50)
    assert [point.value_mean for point in exact] == [0.01] * 10
    assert model.chart(VPN, "other", ALL_TIME, 50) == ()


def test_performance_is_summed_up_by_period(model: ReadModel) -> None:
    model.apply(0, 0, [CONFIGURATION])
    # The window that ends with the minute still belongs to it.
    values = [assessment(end, end / 1_000, MISSED if end == 60 else MET) for end in range(1, 121)]
    values[9] = assessment(10, None, UNKNOWN)
    model.apply(1, 0, values)
    first, second = model.measurements(VPN, "delay", 60 * SECOND, ALL_TIME, 10)
    assert (first.start_ns, first.end_ns) == (0, 60 * SECOND)
    assert (first.windows, first.known, first.met, first.missed) == (60, 59, 58, 1)
    assert (first.value, first.value_min, first.value_max) == (0.06, 0.001, 0.06)
    assert first.value_mean == pytest.approx((sum(range(61)) - 10) / 59_000)
    assert (second.start_ns, second.met) == (60 * SECOND, 60)
    (both,) = model.measurements(VPN, "delay", 120 * SECOND, ALL_TIME, 10)
    assert (both.windows, both.met, both.value) == (120, 118, 0.12)
    (hour,) = model.measurements(VPN, "delay", 3_600 * SECOND, ALL_TIME, 10)
    assert hour.windows == 120
    within = Span(after_ns=30 * SECOND, before_ns=125 * SECOND)
    assert model.measurements(VPN, "delay", 60 * SECOND, within, 10) == (second,)
    assert model.measurements(VPN, "delay", 60 * SECOND, ALL_TIME, 1) == (second,)
    assert model.measurements(VPN, "loss", 60 * SECOND, ALL_TIME, 1) == ()
    with pytest.raises(StoreError, match="whole minutes"):
        model.measurements(VPN, "delay", SECOND, ALL_TIME, 10)


def test_a_ratio_is_reported_by_its_mean(model: ReadModel) -> None:
    values = [assessment(end, end / 10, objective="loss", unit="ratio") for end in (1, 2, 3)]
    model.apply(0, 0, [CONFIGURATION, *values])
    (minute,) = model.measurements(VPN, "loss", 60 * SECOND, ALL_TIME, 10)
    assert minute.value == pytest.approx(0.2)


def test_a_window_judged_again_counts_once(model: ReadModel) -> None:
    model.apply(0, 0, [CONFIGURATION, assessment(1, 0.9, MISSED), assessment(2, 0.01)])
    model.apply(9, 0, [assessment(1, 0.02)])
    (minute,) = model.measurements(VPN, "delay", 60 * SECOND, ALL_TIME, 10)
    assert (minute.windows, minute.met, minute.missed, minute.value) == (2, 2, 0, 0.02)
    assert [item.value for item in model.assessments(VPN, "delay", ALL_TIME, 9)] == [0.02, 0.01]


def test_alarms_are_chosen_and_paged(model: ReadModel) -> None:
    mine = [alarm(f"alarm-{at}", at) for at in range(1, 6)]
    others = [alarm("alarm-web", 3, WEB), alarm("alarm-fw", 4, FW_0)]
    cleared = mine[0].transition(AlarmState.CLEARED, 9 * SECOND)
    model.apply(0, 0, [*mine, *others, cleared])
    assert model.alarm("alarm-1") == cleared
    assert model.alarm("alarm-x") is None
    assert model.alarms(AlarmFilter(), FIRST).total == 7
    page = model.alarms(AlarmFilter(tenant="acme"), PageRequest(limit=2))
    assert ([item.id for item in page.items], page.total) == (["alarm-5", "alarm-4"], 5)
    page = model.alarms(AlarmFilter(tenant="acme"), PageRequest(limit=2, position=page.next))
    assert [item.id for item in page.items] == ["alarm-3", "alarm-2"]
    page = model.alarms(AlarmFilter(tenant="acme"), PageRequest(limit=2, position=page.next))
    assert ([item.id for item in page.items], page.next) == (["alarm-1"], None)
    oldest = PageRequest(limit=2, offset=1, oldest_first=True)
    assert [item.id for item in model.alarms(AlarmFilter(object_id=VPN), oldest).items] == [
        "alarm-2", "alarm-3",
    ]  # fmt: skip
    assert model.alarms(AlarmFilter(tenant="provider"), FIRST).items == ()


@pytest.mark.parametrize(
    "where,ids",
    [
        (AlarmFilter(state=AlarmState.CLEARED), ["a1"]),
        (AlarmFilter(open_only=True), ["a3", "a2"]),
        (AlarmFilter(severity=PerceivedSeverity.MAJOR), ["a3", "a2"]),
        (AlarmFilter(object_id=WEB), ["a3"]),
        (AlarmFilter(objective="loss"), []),
        (AlarmFilter(id="a2"), ["a2"]),
        (AlarmFilter(service_affecting=False), []),
        (AlarmFilter(alarm_type=AlarmType.EQUIPMENT), []),
        (AlarmFilter(cleared=Span(after_ns=0)), ["a1"]),
        (AlarmFilter(changed=Span(after_ns=2 * SECOND + 1)), ["a3", "a1"]),
        (AlarmFilter(reported=Span(before_ns=2 * SECOND)), ["a1"]),
    ],
)
def test_every_filter_of_alarms_chooses(
    model: ReadModel, where: AlarmFilter, ids: list[str]
) -> None:
    first = alarm("a1", 1)
    cleared = first.transition(AlarmState.CLEARED, 9 * SECOND)
    model.apply(0, 0, [first, cleared, alarm("a2", 2), alarm("a3", 3, WEB)])
    assert [item.id for item in model.alarms(where, FIRST).items] == ids


def test_incidents_and_what_was_done_are_found(model: ReadModel) -> None:
    model.apply(0, 0, STORY)
    assert model.incident("incident-1") == INCIDENT
    assert model.decision("decision-1") == DECISION
    assert model.action("action-1") == ACTION
    assert model.verification("verification-1") == VERIFICATION
    for tenant, count in (("acme", 1), ("globex", 1), ("initech", 0)):
        assert model.incidents(IncidentFilter(tenant=tenant), FIRST).total == count
    assert model.incidents(IncidentFilter(service_id=WEB), FIRST).items == (INCIDENT,)
    assert model.incidents(IncidentFilter(state=IncidentState.RESOLVED), FIRST).items == ()
    assert model.decisions(DecisionFilter(incident_id="incident-1"), FIRST).items == (DECISION,)
    assert model.decisions(DecisionFilter(policy="other"), FIRST).total == 0
    assert model.decisions(DecisionFilter(outcome=DecisionOutcome.ACT), FIRST).total == 1
    assert model.actions(ActionFilter(open_only=True), FIRST).items == (ACTION,)
    assert model.actions(ActionFilter(decision_id="decision-1"), FIRST).total == 1
    assert model.verifications(VerificationFilter(action_id="action-1"), FIRST).total == 1
    assert model.verifications(VerificationFilter(verdict=Verdict.EFFECTIVE), FIRST).total == 0
    over = ACTION.transition(ActionState.CANCELLED, 20)
    model.apply(len(STORY), 0, [over])
    assert model.actions(ActionFilter(open_only=True), FIRST).items == ()
    assert model.actions(ActionFilter(state=ActionState.CANCELLED), FIRST).items == (over,)


def test_commands_notices_and_the_loop(model: ReadModel) -> None:
    order = Command("command-1", CommandKind.KILL, "ana", 5, reason="night")
    state = ControlLoop(LoopRunState.KILLED, LifecyclePhase.OPERATION, 5, "ana", "night")
    assert model.loop() is None
    assert model.policies() is None
    model.apply(0, 0, [order, Notice("notice-1", 6, "inventory", "two claim one alias")])
    found = model.command("command-1")
    assert found is not None
    assert (found.command, found.result) == (order, None)
    model.apply(2, 0, [CommandResult("command-1", True, "", 5), state])
    assert model.loop() == state
    (answered,) = model.commands(FIRST).items
    assert answered.result == CommandResult("command-1", True, "", 5)
    assert [item.id for item in model.notices(FIRST).items] == ["notice-1"]
    assert model.command("command-2") is None


def test_the_inventory_follows_its_changes(model: ReadModel, tmp_path: Path) -> None:
    host, other = "provider/host/host-1", "provider/host/host-2"
    model.apply(0, 0, [CONFIGURATION])
    change = InventoryChange(
        "vim", 1, (managed_object(host), managed_object(other)), (Alias(FW_0, "vim", "1", 1),),
        (Relation(FW_0, RelationKind.RUNS_ON, host),),
    )  # fmt: skip
    model.apply(1, 1, [change])
    move = InventoryChange(
        "vim", 2, aliases=(Alias(FW_0, "vim", "2", 2),),
        relations=(Relation(FW_0, RelationKind.RUNS_ON, other),), removed_object_ids=(host,),
    )  # fmt: skip
    model.apply(2, 2, [move])
    expected = model.topology()
    assert [item.id for item in expected.objects] == [VPN, other, FW_0]
    assert expected.relations == (Relation(FW_0, RelationKind.RUNS_ON, other),)
    assert expected.aliases == (Alias(FW_0, "vim", "2", 2),)
    model.close()
    with closing(ReadModel(tmp_path / "read_model.sqlite")) as again:
        again.apply(3, 3, [InventoryChange("vim", 3, removed_object_ids=(other,))])
        assert [item.id for item in again.topology().objects] == [VPN, FW_0]
        assert again.topology().relations == ()


def test_the_walk_goes_both_ways(model: ReadModel) -> None:
    model.apply(0, 0, STORY)
    up = model.explain("verification-1")
    assert up is not None
    assert [step.kind for step in up.causes] == [
        "action", "decision", "incident", "alarm", "trouble", "assessment", "kpi",
    ]  # fmt: skip
    down = model.explain(f"k-{VPN}-10")
    assert down is not None
    assert {step.kind for step in down.effects} == {
        "assessment", "trouble", "alarm", "incident", "decision", "action", "action_result",
        "verification",
    }  # fmt: skip
    times = [step.at_ns or 0 for step in down.effects]
    assert times == sorted(times)
    assert "0.06 seconds over 5 s, from 9 samples" in down.subject.text
    assert "first cause provider/vnfc/fw-0 (process-gone), sure to 90%" in up.causes[2].text
    assert model.explain("nothing") is None


def test_a_walk_through_a_second_name(model: ReadModel) -> None:
    """An incident's context may have another id than the incident itself; children may name either."""
    incident = replace(INCIDENT, context=Context("incident-1@2", "trouble-1"))
    decision = replace(DECISION, context=Context("decision-1", "incident-1@2"), incident_id="")
    model.apply(0, 0, [incident, decision])
    model.apply(2, 0, [Tick(0)] * Retention().every_values)  # a pruning leaves it whole
    found = model.explain("decision-1")
    assert found is not None
    assert [step.id for step in found.causes] == ["incident-1"]
    by_other_name = model.explain("incident-1@2")
    assert by_other_name is not None
    assert by_other_name.subject.id == "incident-1"
    assert [step.id for step in by_other_name.effects] == ["decision-1"]


def test_events_come_after_a_position_and_reset_beyond_what_is_kept(tmp_path: Path) -> None:
    retention = Retention(events=5, every_values=10)
    with closing(ReadModel(tmp_path / "a.sqlite", retention)) as model:
        empty = model.events_after(-1, 10)
        assert (empty.events, empty.latest_id, empty.reset) == ((), -1, False)
        notices = [Notice(f"n{number}", number, "s", "t") for number in range(9)]
        model.apply(0, 0, [Tick(0), *notices])
        page = model.events_after(3, 2)
        assert [(event.id, event.value) for event in page.events] == [
            (4, notices[3]),
            (5, notices[4]),
        ]
        assert (page.latest_id, page.reset) == (9, False)
        model.apply(10, 0, [Tick(1)])
        assert model.events_after(3, 10).reset
        assert not model.events_after(4, 10).reset
        assert [event.id for event in model.events_after(-1, 10).events] == [5, 6, 7, 8, 9]
        assert model.events_after(9, 10).events == ()


def test_tables_are_bounded_but_what_is_open_stays(tmp_path: Path) -> None:
    retention = Retention(
        kpis=5, assessments=5, events=5, items=3, nodes=4, kept_nodes=6, every_values=349
    )
    path = tmp_path / "a.sqlite"
    with closing(ReadModel(path, retention)) as model:
        values: list[Any] = [kpi(end, 0.1) for end in range(100)]
        values += [assessment(end, 0.1) for end in range(100)]
        values.append(alarm("open", 0))
        for number in range(1, 50):
            raised = alarm(f"alarm-{number}", number)
            values += [raised, raised.transition(AlarmState.CLEARED, number * SECOND)]
        values += [Notice(f"n{number}", number, "s", "t") for number in range(50)]
        model.apply(0, 0, values)
        model.apply(1_000, 200_000 * SECOND, [Tick(0)])
        rows = {name: len(found) for name, found in dump(path).items()}
        assert [item.id for item in model.alarms(AlarmFilter(open_only=True), FIRST).items] == [
            "open"
        ]
        assert model.measurements(VPN, "delay", 60 * SECOND, ALL_TIME, 9) == ()
    assert (rows["kpis"], rows["assessments"], rows["events"]) == (5, 5, 5)
    assert (rows["alarms"], rows["notices"]) == (4, 3)
    assert rows["nodes"] == 4 + 6
    assert rows["edges"] <= 3 * rows["nodes"]
    assert {row[1] for row in dump(path)["performance"]} == {900 * SECOND, 3_600 * SECOND}


def test_what_led_to_an_action_outlives_ordinary_measurements(tmp_path: Path) -> None:
    retention = Retention(nodes=10, every_values=len(STORY) + 100)
    with closing(ReadModel(tmp_path / "a.sqlite", retention)) as model:
        later: list[Any] = [kpi(end, 0.01) for end in range(20, 120)]
        model.apply(0, 0, [*STORY, *later])
        model.apply(1_000, 0, [Tick(0)])
        found = model.explain("action-1")
        assert found is not None
        assert found.causes[-1].id == f"k-{VPN}-10"
        assert model.explain(f"k-{VPN}-20") is None
        assert model.explain(f"k-{VPN}-119") is not None


def test_the_same_number_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(ReadModel(path)) as model:
        assert model.position() == -1
        model.apply(0, 0, STORY)
        before = dump(path)
        model.apply(0, 0, STORY)
        model.apply(5, 0, STORY[5:])
        assert model.position() == len(STORY) - 1
        assert dump(path) == before


@pytest.mark.parametrize("end_ns", [-(2**63), -(2**63) + 1, -1, 0, 1, 2**63 - 1])
def test_a_period_begins_at_a_time_that_can_be_kept(end_ns: int) -> None:
    granularity_ns = 300 * 1_000_000_000
    start_ns = period_start(end_ns, granularity_ns)
    assert -(2**63) <= start_ns <= end_ns
    assert start_ns % granularity_ns == 0 or start_ns == -(2**63)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_rebuilt_model_equals_the_grown_one(
    tmp_path_factory: pytest.TempPathFactory,
    journaled_values: st.SearchStrategy[Any],
    data: st.DataObject,
) -> None:
    """Whatever the values, their grouping and restarts in between: the same rows in the end."""
    folder = tmp_path_factory.mktemp("model")
    known: list[Any] = list(STORY)
    values = data.draw(st.lists(journaled_values | st.sampled_from(known), max_size=25))
    frames = [Frame(seq, seq, value, False) for seq, value in enumerate(values)]
    retention = Retention(items=2, nodes=3, kept_nodes=5, events=3, every_values=4)
    with closing(ReadModel(folder / "whole.sqlite", retention)) as whole:
        whole.apply_frames(frames)
    start = 0
    while start < len(frames):
        size = data.draw(st.integers(1, 6))
        with closing(ReadModel(folder / "grown.sqlite", retention)) as grown:
            assert grown.position() == start - 1
            grown.apply_frames(frames[start : start + size])
            grown.apply_frames(frames[: start + size])
        start += size
    if frames:
        assert dump(folder / "grown.sqlite") == dump(folder / "whole.sqlite")


def test_a_value_that_fails_takes_nothing_of_its_call(model: ReadModel) -> None:
    broken = assessment(3, float("nan"))
    thing = InventoryChange("vim", 0, (managed_object(FW_0),))
    with pytest.raises(ValueError):
        model.apply(0, 0, [assessment(1, 0.1), thing, broken])
    assert model.position() == -1
    assert model.assessments(VPN, "delay", ALL_TIME, 9) == ()
    model.apply(0, 0, [assessment(1, 0.1)])
    assert len(model.assessments(VPN, "delay", ALL_TIME, 9)) == 1
    assert model.topology().objects == ()


def test_other_threads_read_while_one_writes(model: ReadModel) -> None:
    wrong: list[Any] = []

    def look() -> None:
        while model.position() < 199:
            count = len(model.assessments(VPN, "delay", ALL_TIME, 1_000))
            if count % 10:  # a call's values show up together
                wrong.append(count)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for start in range(0, 200, 10):
        model.apply(start, 0, [assessment(end, 0.1) for end in range(start, start + 10)])
    for reader in readers:
        reader.join(timeout=30)
        assert not reader.is_alive()
    assert not wrong


def test_news_wakes_who_waits(model: ReadModel) -> None:
    assert not model.wait_for_news(-1, 0.01)
    writer = threading.Timer(0.05, lambda: model.apply(0, 0, [Tick(1)]))
    writer.start()
    assert model.wait_for_news(-1, 20.0)
    writer.join()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    ReadModel(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="format 99, newer than"):
        ReadModel(path)
    assert path.exists()


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"this was a database once " * 400)
    with closing(ReadModel(path)) as model:
        assert model.position() == -1
        model.apply(0, 0, STORY)
        assert model.incident("incident-1") == INCIDENT


def test_migrations_are_applied_in_order_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite"
    with closing(ReadModel(path)) as model:
        model.apply(0, 0, STORY)
    known = database.migrations()
    assert [number for number, _ in known] == list(range(1, len(known) + 1))
    number = len(known) + 1
    following = (number, "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;")
    monkeypatch.setattr(database, "migrations", lambda: [*known, following])
    for _ in range(2):
        with closing(ReadModel(path)) as model:
            assert model.incident("incident-1") == INCIDENT
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (number,)
        assert connection.execute("SELECT count(*) FROM later").fetchone() == (0,)


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite"
    ReadModel(path).close()
    known = database.migrations()
    broken = (len(known) + 1, "CREATE TABLE later (id INTEGER) STRICT; CREATE NONSENSE;")
    monkeypatch.setattr(database, "migrations", lambda: [*known, broken])
    with pytest.raises(StoreError, match="can't be used"):
        ReadModel(path)
    monkeypatch.undo()
    ReadModel(path).close()
    assert "later" not in dump(path)


def test_missing_migrations_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0002_second.sql").write_text("SELECT 1;")
    monkeypatch.setattr(database, "MIGRATIONS", tmp_path)
    with pytest.raises(StoreError, match="not numbered"):
        database.migrations()


def test_every_table_is_strict_and_a_place_that_is_no_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    ReadModel(path).close()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, strict FROM pragma_table_list WHERE schema = 'main'"
            " AND type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    assert len(rows) > 15
    assert all(strict for _, strict in rows), rows
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(StoreError, match="can't be used"):
        ReadModel(tmp_path / "folder.sqlite")


def test_a_closed_model_answers_with_its_error(model: ReadModel) -> None:
    model.close()
    asks: list[Callable[[], object]] = [model.loop, model.topology]
    for ask in asks:
        with pytest.raises(StoreError, match=r"closed|can't be read"):
            ask()


def sls_report(end: int, object_id: str = VPN, seconds: int = 900) -> SlsReport:
    found = Performance(
        seconds, seconds, seconds, 9.0, 0.0, 9, ((95.0, 0.01),), 0.01, 0.0, None, 0.0, 1.0, 0, 0
    )
    pair = PairPerformance("from=a", (("from", "a"),), found)
    return SlsReport(
        Context(f"sls-{object_id}-{end}-{seconds}"), object_id, (end - seconds) * SECOND, end * SECOND,
        (end + 15) * SECOND, SlsTerms(), False, found, (pair,),
    )  # fmt: skip


@pytest.mark.parametrize("ends", [(-1, 2**63 - 1), (2**63 - 1, -(2**63)), (-(2**63), 2**63 - 1)])
def test_a_report_between_impossible_times_is_kept(model: ReadModel, ends: tuple[int, int]) -> None:
    odd = replace(sls_report(900), start_ns=ends[0], end_ns=ends[1])
    model.apply(0, 0, [odd])
    assert model.sls_report(odd.context.id) == odd


def test_service_level_reports_are_chosen_by_service_length_and_time(model: ReadModel) -> None:
    told = [
        sls_report(900),
        sls_report(1_800),
        sls_report(1_800, WEB),
        sls_report(3_600, VPN, 3_600),
    ]
    model.apply(0, 0, told)
    assert model.sls_report("nowhere") is None
    assert model.sls_report(told[1].context.id) == told[1]
    assert model.sls_reports(SlsReportFilter(), FIRST).total == 4
    mine = model.sls_reports(SlsReportFilter("acme", length_ns=900 * SECOND), FIRST)
    assert mine.items == (told[1], told[0])
    ends = SlsReportFilter(ends=Span(after_ns=1_800 * SECOND))
    assert model.sls_reports(ends, FIRST).items == (told[3],)
    starts = SlsReportFilter(service_id=VPN, starts=Span(before_ns=1))
    assert model.sls_reports(starts, FIRST).items == (told[3], told[0])
    assert [event.value for event in model.events_after(-1, 10).events] == told
