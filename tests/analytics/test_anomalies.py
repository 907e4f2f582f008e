"""Anomalies in the loop: told with numbers, ended when calm, and the same whatever the shards, cuts and restarts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analytics import anomalies
from analytics.anomalies import CONFIDENCE, SYMPTOM
from analytics.assessor import Assessor
from analytics.order import output_order
from trimtab.domain.alarm import Alarm, AlarmState, PerceivedSeverity
from trimtab.domain.assessment import FulfilmentStatus, Trouble
from trimtab.domain.command import Command, CommandKind
from trimtab.domain.configuration import AnomalyRule, BindingRule, Configuration
from trimtab.domain.input import Input, Numbered, SeriesAdded, Tick
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.managed_object import InventoryChange, ObjectKind
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.time import NS_PER_SECOND as S

T0 = 1_700_000_000 * S
CALM, ODD, AFTER = 40, 3, 12
ALL = AnomalyRule()
OBJECTS = tuple(f"p/vnfc/v{number}" for number in range(6))


def configuration(rule: AnomalyRule | None, hash_: str = "h") -> Configuration:
    kpis = tuple(
        KpiDefinition(name, ObjectKind.VNFC, series, Statistic.MEAN, "seconds")
        for name, series in (("delay", "delay_seconds"), ("wait", "wait_seconds"))
    )
    return Configuration(
        hash_, (), (), kpis, (BindingRule((), "{obj}"),), InventoryChange("configuration", 0),
        anomalies=rule,
    )  # fmt: skip


def series() -> list[Series]:
    names = ("delay_seconds", "wait_seconds")
    return [Series.of(name, {"obj": object_id}) for object_id in OBJECTS for name in names]


def story(rule: AnomalyRule | None = ALL) -> list[tuple[int, list[Input]]]:
    """Return what happens at each second: calm, then the delay of v0 and the wait of v3 jump, then calm again."""
    found: list[tuple[int, list[Input]]] = []
    first: list[Input] = [SeriesAdded(at, each) for at, each in enumerate(series())]
    found.append((T0, [*first, configuration(rule), Tick(T0)]))
    for second in range(1, CALM + ODD + AFTER + 1):
        now = T0 + second * S
        odd = CALM < second <= CALM + ODD
        rows = []
        for number in range(len(series())):
            jump = odd and number in (0, 7)
            rows.append((number, now - S // 2, 9.0 if jump else 1 + 0.1 * ((second + number) % 5)))
        found.append((now, [SampleBatch.from_rows("prometheus/a", rows), Tick(now)]))
    return found


def numbered(values: list[Input]) -> list[Numbered[Input]]:
    return [Numbered(0, value) for value in values]


def told(machine: Assessor, rule: AnomalyRule | None = ALL) -> tuple[list[Alarm], list[Trouble]]:
    outputs: list[Any] = []
    for now, values in story(rule):
        outputs += machine.step(numbered(values), now)
    return (
        [each for each in outputs if isinstance(each, Alarm)],
        [each for each in outputs if isinstance(each, Trouble)],
    )


def test_a_jump_is_told_with_its_numbers_and_ends_when_calm() -> None:
    alarms, troubles = told(Assessor())
    raised = [each for each in alarms if each.state is AlarmState.UNACKNOWLEDGED]
    assert sorted((each.object_id, each.objective) for each in raised) == [
        ("p/vnfc/v0", "anomaly-delay"),
        ("p/vnfc/v3", "anomaly-wait"),
    ]
    alarm = next(each for each in raised if each.object_id == "p/vnfc/v0")
    assert alarm.symptom == SYMPTOM
    assert alarm.severity is PerceivedSeverity.WARNING
    assert not alarm.service_affecting
    assert alarm.value is not None
    assert alarm.value > alarm.bound > 1.0
    for part in (
        "delay of p/vnfc/v0 is",
        "expected",
        "deviations off",
        "kpi_anomaly",
        "2023-11-14T",
    ):
        assert part in alarm.text
    cleared = [each for each in alarms if each.state is AlarmState.CLEARED]
    assert {each.id for each in cleared} == {each.id for each in raised}
    active = [each for each in troubles if each.active]
    ended = [each for each in troubles if each.status is FulfilmentStatus.FULFILLED]
    assert len(active) == len(ended) == 2
    assert {each.alarm_id for each in active} == {each.id for each in raised}
    assert all(each.confidence == CONFIDENCE for each in active)


def test_it_is_off_unless_asked_for_and_only_watches_what_is_named() -> None:
    assert told(Assessor(), None) == ([], [])
    alarms, _ = told(Assessor(), AnomalyRule(kpis=("wait",)))
    assert {each.objective for each in alarms} == {"anomaly-wait"}


def test_cuts_restarts_and_replays_change_nothing() -> None:
    steady, restarted, whole = Assessor(), Assessor(), Assessor()
    everything: list[Numbered[Input]] = []
    expected: list[Any] = []
    for now, values in story():
        said = steady.step(numbered(values), now)
        expected += said
        cut: list[Input] = []
        for value in values:
            if isinstance(value, SampleBatch):
                cut += [value.take(slice(at, at + 5)) for at in range(0, len(value), 5)]
            else:
                cut.append(value)
        found = restarted.step(numbered(cut), now)
        blob = restarted.snapshot()
        restarted = Assessor.restore(blob)
        assert restarted.snapshot() == blob == steady.snapshot()
        assert found == said
        everything += numbered(values)
    assert whole.step(everything, now) == expected
    assert whole.snapshot() == steady.snapshot()


@pytest.mark.parametrize("shards", [2, 3])
def test_shards_merged_equal_one(shards: int) -> None:
    one, several = Assessor(), [Assessor(number, shards) for number in range(shards)]
    for now, values in story():
        expected = one.step(numbered(values), now)
        merged = [each for machine in several for each in machine.step(numbered(values), now)]
        merged.sort(key=output_order)
        assert singles(merged) == singles(expected)


def singles(outputs: list[Any]) -> list[Any]:
    """Return what is told one by one: KPIs come in batches that shards cut otherwise."""
    return [each for each in outputs if not isinstance(each, KpiBatch)]


def odd_machine() -> tuple[Assessor, list[Alarm], int]:
    """Return a machine in the midst of its anomalies, and the alarms that are open."""
    machine, alarms, now = Assessor(), [], 0
    for now, values in story()[: CALM + ODD + 2]:
        found = machine.step(numbered(values), now)
        alarms += [each for each in found if isinstance(each, Alarm)]
    assert len(alarms) == 2
    return machine, alarms, now


def test_an_open_anomaly_can_be_acknowledged_and_clears_all_the_same() -> None:
    machine, alarms, now = odd_machine()
    command = Command("c", CommandKind.ACKNOWLEDGE_ALARM, "noc", now, alarms[0].id)
    found = machine.step(numbered([command, Tick(now)]), now)
    acknowledged = next(each for each in found if isinstance(each, Alarm))
    assert acknowledged.state is AlarmState.ACKNOWLEDGED
    states = []
    for at, values in story()[CALM + ODD + 2 :]:
        found = machine.step(numbered(values), at)
        states += [each.state for each in found if isinstance(each, Alarm)]
    assert states == [AlarmState.CLEARED, AlarmState.CLEARED]


@pytest.mark.parametrize(
    "fact, ended",
    [
        (configuration(None, "off"), 2),
        (configuration(AnomalyRule(kpis=("delay",), alarms_per_day=1.0), "h2"), 0),
        (InventoryChange("sd", T0, removed_object_ids=("p/vnfc/v0",)), 1),
    ],
)
def test_what_is_watched_no_more_ends_its_anomalies(fact: Input, ended: int) -> None:
    machine, _, now = odd_machine()
    found = machine.step(numbered([fact, Tick(now)]), now)
    cleared = [each for each in found if isinstance(each, Alarm) and each.cleared_at_ns]
    assert len(cleared) == ended
    troubles = [each for each in found if isinstance(each, Trouble)]
    assert [each.status for each in troubles] == [FulfilmentStatus.FULFILLED] * ended
    blob = machine.snapshot()
    assert Assessor.restore(blob).snapshot() == blob


def test_the_budget_and_what_it_kept_back_are_counted() -> None:
    machine = Assessor()
    told(machine)
    assert machine.counts()["anomalies_over_budget"] >= 0
    restless = Assessor()
    now = T0
    first: list[Input] = [SeriesAdded(at, each) for at, each in enumerate(series())]
    restless.step(numbered([*first, configuration(AnomalyRule(alarms_per_day=0.1))]), T0)
    generator = np.random.default_rng(1)
    for second in range(1, 400):
        now = T0 + second * S
        value = float(generator.normal(1, 0.01)) + (second % 21 == 0) * second
        restless.step(
            numbered([SampleBatch.from_rows("prometheus/a", [(0, now - 1, value)]), Tick(now)]), now
        )
    assert restless.counts()["anomalies_over_budget"] > 0


def test_what_has_no_room_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomalies, "SLOTS_MAX", 3)
    machine = Assessor()
    alarms, _ = told(machine)
    assert {each.object_id for each in alarms} == {OBJECTS[0]}
    assert machine.counts()["anomalies_left_out"] > 0


def test_no_shipped_policy_names_anomalies(repo_root: Path) -> None:
    rules = sorted((repo_root / "policies" / "rules").glob("*.yaml"))
    assert rules
    assert not [path.name for path in rules if SYMPTOM in path.read_text("utf-8")]
