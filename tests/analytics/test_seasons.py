"""Seasons in the loop: the nightly job of a service is excused, its absence is told, and restarts change nothing."""

from typing import Any

import numpy as np
import pytest

from analytics import seasons
from analytics.assessor import Assessor
from analytics.detectors.kpi_anomaly import ALARMS_AT_ONCE
from analytics.order import output_order
from analytics.seasons import Seasons
from analytics.windows import Lane, LaneKey
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.configuration import AnomalyRule, BindingRule, Configuration
from trimtab.domain.input import Input, Numbered, SeriesAdded, Tick
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.managed_object import InventoryChange, ObjectKind
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.time import NS_PER_SECOND as S

MONDAY = 1_704_067_200 * S  # 2024-01-01T00:00:00Z
STEP = 600 * S
A_DAY = 144
DAYS = 16
NAMES = ("acme/service/s", "p/vnfc/v")


def configuration() -> Configuration:
    kpis = tuple(
        KpiDefinition(
            "load", kind, "load", Statistic.LAST, "1", window_ns=STEP, granularity_ns=STEP
        )
        for kind in (ObjectKind.SERVICE, ObjectKind.VNFC)
    )
    return Configuration(
        "h", (), (), kpis, (BindingRule((), "{obj}"),), InventoryChange("configuration", 0),
        anomalies=AnomalyRule(),
    )  # fmt: skip


def nightly() -> np.ndarray:
    """Return load with a job of an hour at two each night, but for the last."""
    at = np.arange(DAYS * A_DAY)
    values = 10 + np.sin(at * 2.1) + 50.0 * ((at // 6) % 24 == 2)
    values[-A_DAY + 12 : -A_DAY + 18] = 10.0
    return values


def story() -> list[tuple[int, list[Input]]]:
    first: list[Input] = [
        *(SeriesAdded(at, Series.of("load", {"obj": name})) for at, name in enumerate(NAMES)),
        configuration(),
        Tick(MONDAY),
    ]
    found: list[tuple[int, list[Input]]] = [(MONDAY, first)]
    for number, value in enumerate(nightly().tolist(), start=1):
        now = MONDAY + number * STEP
        rows = [(at, now, value) for at in range(len(NAMES))]
        found.append((now, [SampleBatch.from_rows("a", rows), Tick(now)]))
    return found


def raised(outputs: list[Any], object_id: str) -> list[Alarm]:
    alarms = [each for each in outputs if isinstance(each, Alarm) and each.object_id == object_id]
    return [each for each in alarms if each.state is AlarmState.UNACKNOWLEDGED]


@pytest.fixture(scope="module")
def told() -> tuple[list[Any], Assessor]:
    machine, outputs = Assessor(), list[Any]()
    for now, values in story():
        outputs += machine.step([Numbered(0, value) for value in values], now)
    return outputs, machine


def test_what_is_usual_at_that_hour_is_excused_and_its_absence_told(
    told: tuple[list[Any], Assessor],
) -> None:
    outputs, machine = told
    service = raised(outputs, NAMES[0])
    believed_from = MONDAY + 5 * A_DAY * STEP
    last_night = MONDAY + (DAYS - 1) * A_DAY * STEP
    assert not [each for each in service if believed_from < each.raised_at_ns < last_night]
    (absent,) = [each for each in service if each.raised_at_ns >= last_night]
    assert absent.raised_at_ns == last_night + 13 * STEP
    assert absent.value is not None
    assert absent.value < 15 < absent.bound
    assert "model seasonal by the day, trained since 2024-01-01T00" in absent.text
    assert machine.counts()["anomalies_of_the_season"] > 0


def test_a_vnfc_has_no_season(told: tuple[list[Any], Assessor]) -> None:
    outputs, _ = told
    assert not [each for each in raised(outputs, NAMES[1]) if "seasonal" in each.text]


def test_restarts_change_nothing(told: tuple[list[Any], Assessor]) -> None:
    machine, outputs = Assessor(), list[Any]()
    for number, (now, values) in enumerate(story()):
        outputs += machine.step([Numbered(0, value) for value in values], now)
        if number % 97 == 0 or number > (DAYS - 1) * A_DAY:
            machine = Assessor.restore(machine.snapshot())
    assert [repr(each) for each in outputs] == [repr(each) for each in told[0]]
    assert machine.snapshot() == told[1].snapshot()


def test_shards_and_cuts_change_nothing(told: tuple[list[Any], Assessor]) -> None:
    machines, outputs = [Assessor(number, 3) for number in range(3)], list[Any]()
    for now, values in story():
        merged: list[Any] = []
        for machine in machines:
            for value in values:
                merged += machine.step([Numbered(0, value)], now)
        outputs += sorted(merged, key=output_order)
    alarms = [repr(each) for each in outputs if isinstance(each, Alarm)]
    assert alarms == [repr(each) for each in told[0] if isinstance(each, Alarm)]
    assert any("seasonal" in each for each in alarms)


def lane_of(count: int) -> Lane:
    definition = configuration().kpis[0]
    lane = Lane(LaneKey(STEP, STEP, Statistic.LAST))
    for number in range(count):
        lane.add_instance(f"acme/service/{number}", 0, definition)
    return lane


def test_those_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seasons, "SEASONS_MAX", 2)
    kept, lane = Seasons(), lane_of(4)
    instance, at = np.arange(1, 5), np.full(4, MONDAY)
    kept.judge(lane, instance, at, np.ones(4))
    assert kept.left_out == 2
    kept.drop(1)
    kept.judge(lane, instance[2:], at[2:] + STEP, np.ones(2))
    assert kept.left_out == 3
    assert kept.detector.training(0).values == 1


def test_alarms_by_season_alone_have_a_budget() -> None:
    kept = Seasons()
    day = A_DAY * STEP
    assert [kept.affords(1, MONDAY, 1.0) for _ in range(int(ALARMS_AT_ONCE) + 1)] == [
        *[True] * int(ALARMS_AT_ONCE),
        False,
    ]
    assert kept.affords(1, MONDAY + 2 * day, 1.0)
    restored = Seasons()
    restored.load(kept.state([1]), [7])
    assert [restored.affords(7, MONDAY + 2 * day, 1.0) for _ in range(2)] == [True, False]
