"""An object's KPIs together: a model enters as an input, what breaks it is told of, whatever the cuts and shards."""

from base64 import b64encode
from typing import Any

import numpy as np
import pytest

from analytics.assessor import Assessor
from analytics.detectors.pca_model import fit
from analytics.order import output_order
from analytics.together import OBJECTIVE
from trimtab.domain import codec
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.command import Command, CommandKind
from trimtab.domain.configuration import AnomalyRule, BindingRule, Configuration
from trimtab.domain.input import Input, Numbered, SeriesAdded, Tick
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.managed_object import InventoryChange, ObjectKind
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.time import NS_PER_SECOND as S
from trimtab.domain.trained_model import TrainedModel

T0 = 1_700_000_000 * S
KPIS = ("errors", "in", "out", "queue")
OBJECTS = ("p/vnfc/a", "p/vnfc/b")
CALM, ODD, AFTER = 60, 4, 15


def usual(rows: int, seed: int = 1) -> np.ndarray:
    """Return rows of four KPIs: what goes in comes out, the queue follows, there are no errors to speak of."""
    generator = np.random.default_rng(seed)
    load = 100 + 20 * np.sin(np.arange(rows) / 4.0)
    noise = generator.normal(0, 0.2, (rows, 4))
    return np.column_stack((np.full(rows, 1.0), load, load, load / 10)) + noise


def trained(object_id: str = OBJECTS[0]) -> TrainedModel:
    model = fit(np.arange(400, dtype=np.int64) * S, usual(400))
    content = b64encode(model.to_bytes()).decode()
    return TrainedModel(object_id, KPIS, model.from_ns, model.until_ns, model.rows, content)


MODEL = trained()


def configuration(rule: AnomalyRule | None, hash_: str = "h") -> Configuration:
    kpis = tuple(
        KpiDefinition(name, ObjectKind.VNFC, name, Statistic.MEAN, "ratio", window_ns=2 * S)
        if name == "queue"
        else KpiDefinition(name, ObjectKind.VNFC, name, Statistic.LAST, "ratio")
        for name in KPIS
    )
    return Configuration(
        hash_, (), (), kpis, (BindingRule((), "{obj}"),), InventoryChange("configuration", 0),
        anomalies=rule,
    )  # fmt: skip


RULE = AnomalyRule(together=(ObjectKind.VNFC,))


def story(rule: AnomalyRule | None = RULE) -> list[tuple[int, list[Input]]]:
    """Return the inputs of each second: calm, then what goes in no longer comes out, each within its usual range."""
    series = [Series.of(kpi, {"obj": name}) for name in OBJECTS for kpi in KPIS]
    first: list[Input] = [SeriesAdded(at, each) for at, each in enumerate(series)]
    found: list[tuple[int, list[Input]]] = [(T0, [*first, configuration(rule), MODEL, Tick(T0)])]
    values = {name: usual(CALM + ODD + AFTER, seed) for seed, name in enumerate(OBJECTS, start=7)}
    broken = values[OBJECTS[0]][CALM : CALM + ODD]
    broken[:, 1], broken[:, 2] = 118.0, 84.0
    for second in range(CALM + ODD + AFTER):
        now = T0 + (second + 1) * S
        rows = [
            (place * len(KPIS) + column, now - S // 2, float(values[name][second, column]))
            for place, name in enumerate(OBJECTS)
            for column in range(len(KPIS))
        ]
        found.append((now, [SampleBatch.from_rows("prometheus/a", rows), Tick(now)]))
    return found


def numbered(values: list[Input]) -> list[Numbered[Input]]:
    return [Numbered(0, value) for value in values]


def together(outputs: list[Any]) -> list[Alarm]:
    return [each for each in outputs if isinstance(each, Alarm) and each.objective == OBJECTIVE]


def test_what_breaks_the_relation_is_told_with_who_takes_part_and_what_was_learnt() -> None:
    machine, alarms = Assessor(), []
    for now, values in story():
        alarms += together(machine.step(numbered(values), now))
    assert [each.state for each in alarms] == [AlarmState.UNACKNOWLEDGED, AlarmState.CLEARED]
    raised = alarms[0]
    assert raised.object_id == OBJECTS[0]
    assert T0 + CALM * S <= raised.raised_at_ns <= T0 + (CALM + ODD + 1) * S
    for part in ("4 KPIs of p/vnfc/a together", "out ", "in ", "trained on 400 rows from 1970"):
        assert part in raised.text
    assert machine.catalogue.together.refused == 0


def test_without_a_model_or_unwatched_nothing_is_told() -> None:
    for rule in (None, RULE):
        machine, alarms = Assessor(), []
        for now, values in story(rule):
            known = [each for each in values if rule is None or not isinstance(each, TrainedModel)]
            alarms += together(machine.step(numbered(known), now))
        assert alarms == []


def test_cuts_restarts_and_replays_change_nothing() -> None:
    steady, restarted, whole = Assessor(), Assessor(), Assessor()
    everything: list[Numbered[Input]] = []
    expected: list[Any] = []
    for now, values in story():
        said = steady.step(numbered(values), now)
        found = restarted.step(numbered(values[:1]), now)
        restarted = Assessor.restore(restarted.snapshot())
        found += restarted.step(numbered(values[1:]), now)
        assert found == said
        assert restarted.snapshot() == steady.snapshot()
        expected += said
        everything += numbered(values)
    assert together(expected)
    assert whole.step(everything, now) == expected
    assert whole.snapshot() == steady.snapshot()


def test_shards_merged_equal_one() -> None:
    one, several = Assessor(), [Assessor(number, 2) for number in range(2)]
    for now, values in story():
        expected = [each for each in one.step(numbered(values), now) if isinstance(each, Alarm)]
        merged = [each for machine in several for each in machine.step(numbered(values), now)]
        merged.sort(key=output_order)
        assert [each for each in merged if isinstance(each, Alarm)] == expected


def odd_machine() -> tuple[Assessor, Alarm, int]:
    """Return a machine in the midst of the anomaly, and its alarm."""
    machine, alarms, now = Assessor(), [], 0
    for now, values in story()[: CALM + ODD + 1]:
        alarms += together(machine.step(numbered(values), now))
    assert len(alarms) == 1
    return machine, alarms[0], now


def test_it_can_be_acknowledged() -> None:
    machine, alarm, now = odd_machine()
    command = Command("c", CommandKind.ACKNOWLEDGE_ALARM, "noc", now, alarm.id)
    (acknowledged,) = together(machine.step(numbered([command, Tick(now)]), now))
    assert acknowledged.state is AlarmState.ACKNOWLEDGED
    assert acknowledged.id == alarm.id


@pytest.mark.parametrize(
    "fact, ended",
    [
        (configuration(None, "off"), True),
        (configuration(AnomalyRule(together=(ObjectKind.HOST,)), "h2"), False),
        (InventoryChange("sd", T0, removed_object_ids=(OBJECTS[0],)), True),
        (MODEL, False),
    ],
)
def test_what_is_watched_no_more_ends(fact: Input, ended: bool) -> None:
    machine, alarm, now = odd_machine()
    found = together(machine.step(numbered([fact, Tick(now)]), now))
    assert [each.id for each in found] == [alarm.id] * ended
    blob = machine.snapshot()
    assert Assessor.restore(blob).snapshot() == blob


@pytest.mark.parametrize("content", ["", "!!", b64encode(b"\x05\x00\x00\x00abc").decode()])
def test_a_model_that_makes_no_sense_is_refused_and_counted(content: str) -> None:
    machine = Assessor()
    bad = TrainedModel(OBJECTS[0], KPIS, 0, 1, 1, content)
    other = TrainedModel(OBJECTS[1], KPIS[:2], 0, 1, 1, MODEL.content)
    machine.step(numbered([configuration(RULE), bad, other, Tick(T0)]), T0)
    assert machine.catalogue.together.refused == 2
    assert machine.catalogue.together.members == {}


def test_the_model_travels_through_the_journals_codec() -> None:
    assert codec.decode(codec.encode(MODEL)) == MODEL
