"""Seasons in the loop: the nightly job of a service is excused, its absence is told, and restarts change nothing."""

from typing import Any

import numpy as np
import pytest

from analytics import seasons
from analytics.assessor import Assessor
from analytics.detectors.kpi_anomaly import ALARMS_AT_ONCE
from analytics.order import output_order
from analytics.seasons import Seasons
from analytics.windows import Closed, Lane, LaneKey
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.assessment import Assessment, FulfilmentStatus
from trimtab.domain.configuration import AnomalyRule, BindingRule, Configuration
from trimtab.domain.input import Input, Numbered, SeriesAdded, Tick
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.managed_object import InventoryChange, ObjectKind
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.service import Comparator, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND as S

MONDAY = 1_704_067_200 * S  # 2024-01-01T00:00:00Z
STEP = 600 * S
A_DAY = 144
DAYS = 16
NAMES = ("acme/service/s", "p/vnfc/v")


PROMISE = ServiceLevelObjective("steady", ObjectKind.SERVICE, "load", Comparator.AT_MOST, 40.0)


def configuration(
    anomalies: AnomalyRule | None = AnomalyRule(),  # noqa: B008 - frozen
    promises: tuple[ServiceLevelObjective, ...] = (),
) -> Configuration:
    kpis = tuple(
        KpiDefinition(
            "load", kind, "load", Statistic.LAST, "1", window_ns=STEP, granularity_ns=STEP
        )
        for kind in (ObjectKind.SERVICE, ObjectKind.VNFC)
    )
    return Configuration(
        "h", (), promises, kpis, (BindingRule((), "{obj}"),), InventoryChange("configuration", 0),
        anomalies=anomalies,
    )  # fmt: skip


def nightly() -> np.ndarray:
    """Return load with a job of an hour at two each night, but for the last."""
    at = np.arange(DAYS * A_DAY)
    values = 10 + np.sin(at * 2.1) + 50.0 * ((at // 6) % 24 == 2)
    values[-A_DAY + 12 : -A_DAY + 18] = 10.0
    return values


def story(asked: Configuration | None = None) -> list[tuple[int, list[Input]]]:
    first: list[Input] = [
        *(SeriesAdded(at, Series.of("load", {"obj": name})) for at, name in enumerate(NAMES)),
        asked or configuration(),
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


PROMISED = configuration(anomalies=None, promises=(PROMISE,))


@pytest.fixture(scope="module")
def promised() -> list[Any]:
    machine, outputs = Assessor(), list[Any]()
    for now, values in story(PROMISED):
        outputs += machine.step([Numbered(0, value) for value in values], now)
    return outputs


def test_the_nightly_breach_is_foreseen_without_any_ramp(promised: list[Any]) -> None:
    told = [each for each in promised if isinstance(each, Assessment)]
    for day in range(5, DAYS):
        job_ns = MONDAY + (day * A_DAY + 12) * STEP
        before = [each for each in told if job_ns - 18 * STEP <= each.end_ns < job_ns - 5 * STEP]
        seen = [each.foreseen for each in before if each.foreseen]
        assert {each.model for each in seen} == {"season"}, day
        assert all(each.predicted is FulfilmentStatus.NOT_FULFILLED for each in before)
        assert seen[0].reason == (
            "beyond the bound at this time of day or week, as it usually is; "
            "seasonal by the day, learnt since 2024-01-01T00:19:59.999Z"
        )
        assert seen[0].low_seconds <= seen[0].in_seconds <= seen[0].high_seconds
        assert before[0].end_ns + seen[0].in_seconds * S == pytest.approx(job_ns, abs=2.5 * STEP)
    morning = [each for each in told if (each.end_ns // STEP) % A_DAY == 30]
    assert {each.predicted for each in morning} == {FulfilmentStatus.FULFILLED}


def test_forecasts_bear_restarts_shards_and_cuts(promised: list[Any]) -> None:
    machines, outputs = [Assessor(number, 3) for number in range(3)], list[Any]()
    for number, (now, values) in enumerate(story(PROMISED)):
        merged: list[Any] = []
        for at, machine in enumerate(machines):
            for value in values:
                merged += machine.step([Numbered(0, value)], now)
            if number % 97 == at or number > (DAYS - 1) * A_DAY:
                machines[at] = Assessor.restore(machine.snapshot())
        outputs += sorted(merged, key=output_order)
    found, wanted = (
        [repr(each) for each in each_of if isinstance(each, Assessment)]
        for each_of in (outputs, promised)
    )
    assert found == wanted


def lane_of(count: int) -> Lane:
    definition = configuration().kpis[0]
    lane = Lane(LaneKey(STEP, STEP, Statistic.LAST))
    for number in range(count):
        lane.add_instance(f"acme/service/{number}", 0, definition)
    return lane


def closed(instance: np.ndarray, end_ns: int) -> Closed:
    rows = len(instance)
    return Closed(
        instance, np.full(rows, end_ns), np.ones(rows), np.ones(rows, np.bool_),
        np.ones(rows, np.int64), np.zeros(rows, np.bool_),
    )  # fmt: skip


def test_those_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seasons, "SEASONS_MAX", 2)
    kept, lane = Seasons(), lane_of(4)
    kept.judge(lane, closed(np.arange(1, 5), MONDAY), np.zeros(4, dtype=np.bool_))
    assert kept.left_out == 2
    kept.drop(1)
    kept.judge(lane, closed(np.arange(3, 5), MONDAY + STEP), np.zeros(2, dtype=np.bool_))
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
