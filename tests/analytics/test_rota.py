"""The rota: how many changes of silent things are told at once, and that none waits for ever."""

from itertools import islice
from typing import Any

import numpy as np
import pytest

from analytics.rota import TOLD_PER_GROUP_MAX, called, lot
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.input import Tick
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.series import Series
from trimtab.domain.service import Comparator, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND as S
from trimtab.series import key_group

T0, VNFC = 1_700_000_000 * S, ObjectKind.VNFC
CONDITIONS = 4
HOT = tuple(
    ServiceLevelObjective(f"hot-{number}", VNFC, "load", Comparator.AT_MOST, 5.0 + number)
    for number in range(CONDITIONS)
)
LOAD = KpiDefinition("load", VNFC, "load", Statistic.LAST, "1", window_ns=S)
FULFILLED, BREACHED, UNKNOWN = (
    FulfilmentStatus.FULFILLED,
    FulfilmentStatus.NOT_FULFILLED,
    FulfilmentStatus.INDETERMINATE,
)


def names(count: int) -> list[str]:
    """Return objects of one key group."""
    found = (f"p/vnfc/{number}" for number in range(1_000_000))
    return list(islice((name for name in found if key_group(name) == 7), count))


def lots(count: int) -> np.ndarray:
    return np.array([lot(name, "hot") for name in names(count)], dtype=np.uint64)


def test_a_lot_begins_with_the_key_group() -> None:
    assert {lot(name, "x") >> 56 for name in names(3)} == {7}
    assert lot("p/vnfc/a", "x") != lot("p/vnfc/a", "y")


def test_so_many_of_each_group_are_called() -> None:
    many = np.array([lot(f"p/vnfc/{n}", "x") for n in range(3_000)], dtype=np.uint64)
    chosen = called(many, np.zeros(3_000, dtype=np.bool_), T0, 4)
    counts = np.bincount((many >> np.uint64(56)).astype(np.int64), chosen, 256)
    assert counts.max() == 4
    assert (counts >= np.minimum(4, np.bincount((many >> np.uint64(56)).astype(np.int64)))).all()


def test_what_carries_services_goes_first() -> None:
    first = np.zeros(50, dtype=np.bool_)
    first[[3, 30, 44]] = True
    chosen = called(lots(50), first, T0, 5)
    assert chosen.sum() == 5
    assert chosen[first].all()


def test_who_else_there_is_in_other_groups_changes_nothing() -> None:
    ours, others = (
        lots(40),
        np.array([lot(f"q/vnfc/{n}", "x") for n in range(900)], dtype=np.uint64),
    )
    others = others[others >> np.uint64(56) != 7]
    mixed = np.concatenate((others[:300], ours, others[300:]))
    alone = called(ours, np.zeros(40, dtype=np.bool_), T0, 5)
    found = called(mixed, np.zeros(len(mixed), dtype=np.bool_), T0, 5)
    assert (found[300:340] == alone).all()


def test_all_are_called_in_time() -> None:
    waiting, rounds = lots(100), 0
    while len(waiting):
        waiting = waiting[~called(waiting, np.zeros(len(waiting), dtype=np.bool_), rounds * S, 8)]
        rounds += 1
    assert rounds == 13
    # Also where those who spoke have something new to say each time.
    met = np.zeros(100, dtype=np.bool_)
    for number in range(60):
        met |= called(lots(100), np.zeros(100, dtype=np.bool_), T0 + number * S, 8)
    assert met.mean() > 0.95


@pytest.fixture
def crowd(feed: Any, configure: Any) -> tuple[Any, list[str]]:
    """Return objects of one key group with more conditions than may be told at once, all well."""
    known = names(6 * TOLD_PER_GROUP_MAX // CONDITIONS)
    feed.step(configure((LOAD,), HOT))
    for second in range(4):
        say(feed, known, second, 1.0)
    return feed, known


def say(feed: Any, whose: list[str], second: int, value: float) -> list[object]:
    at = T0 + second * S
    rows = [(Series.of("load", {"obj": name}), at - S // 2, value) for name in whose]
    return feed.step(*feed.rows("a", rows), Tick(at))


def told(outputs: list[object], kind: type, status: FulfilmentStatus) -> int:
    found = [value for value in outputs if isinstance(value, kind)]
    return sum(
        (getattr(v, "observed", None) or getattr(v, "status", None)) is status for v in found
    )


def objects_in(outputs: list[object], status: FulfilmentStatus) -> set[str]:
    return {v.object_id for v in outputs if isinstance(v, Trouble) and v.status is status}


def test_a_silent_crowd_is_told_in_turn(crowd: tuple[Any, list[str]]) -> None:
    feed, known = crowd
    rounds = [say(feed, [], second, 0.0) for second in range(4, 16)]
    counts = [told(outputs, Trouble, UNKNOWN) for outputs in rounds]
    first = counts.index(max(counts))
    assert TOLD_PER_GROUP_MAX < counts[first] <= TOLD_PER_GROUP_MAX + len(known)
    assert max(counts[first + 1 :]) == TOLD_PER_GROUP_MAX
    assert sum(counts) == len(known) * CONDITIONS
    assert feed.machine.counts()["changes_held_back"] > len(known)


def test_that_an_object_is_silent_waits_for_nobody(crowd: tuple[Any, list[str]]) -> None:
    feed, known = crowd
    rounds = [say(feed, [], second, 0.0) for second in range(4, 16)]
    first = next(outputs for outputs in rounds if told(outputs, Trouble, UNKNOWN))
    assert objects_in(first, UNKNOWN) == set(known)
    # Once it was heard again, its next silence is told at once, too.
    for second in range(16, 40):
        say(feed, known, second, 1.0)
    rounds = [say(feed, [], second, 0.0) for second in range(40, 50)]
    again = next(outputs for outputs in rounds if told(outputs, Trouble, UNKNOWN))
    assert objects_in(again, UNKNOWN) == set(known)


def test_who_is_back_before_his_turn_says_nothing(crowd: tuple[Any, list[str]]) -> None:
    feed, known = crowd
    second, unknown = 3, 0
    while not unknown:
        second += 1
        unknown = told(say(feed, [], second, 0.0), Trouble, UNKNOWN)
    later = range(second + 1, second + 20)
    outputs = [value for second in later for value in say(feed, known, second, 1.0)]
    back = told(outputs, Trouble, FULFILLED)
    assert back == told(outputs, Assessment, FULFILLED)
    assert back == unknown + told(outputs, Trouble, UNKNOWN)
    assert back < len(known) * CONDITIONS


def test_a_breach_waits_for_nobody(crowd: tuple[Any, list[str]]) -> None:
    feed, known = crowd
    outputs = [value for second in (4, 5) for value in say(feed, known, second, 99.0)]
    assert told(outputs, Trouble, BREACHED) == len(known) * CONDITIONS
    outputs = [value for second in range(6, 20) for value in say(feed, known, second, 1.0)]
    assert told(outputs, Trouble, FULFILLED) == len(known) * CONDITIONS
