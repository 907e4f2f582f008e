"""One sample that breaches an objective is told at a tick that closes no window; all else waits for the close."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.assessor import Assessor
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.input import ClockJump, Input, Tick
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.samples import SampleFlag
from trimtab.domain.series import Series
from trimtab.domain.service import Comparator, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND as S
from trimtab.series import shard_of

T0 = 1_700_000_000 * S
VNFC, AT_MOST, AT_LEAST = ObjectKind.VNFC, Comparator.AT_MOST, Comparator.AT_LEAST
NAMES = [f"acme/vnfc/fw-{number}" for number in range(3)]
LOADS = [Series.of("load", {"obj": name}) for name in NAMES]


World = Callable[..., Any]


@pytest.fixture(scope="module")
def new_world(new_feed: Callable[[], Any], configure: Callable[..., Any]) -> World:
    """Return how to make a feed whose objects have been well for so many seconds."""

    def make(statistic: Statistic = Statistic.LAST, well: int = 5, **more: Any) -> Any:
        feed = new_feed()
        kpis = [KpiDefinition("load", VNFC, "load", statistic, "ratio", 1 * S, 2 * S)]
        bounds = [
            ServiceLevelObjective("hot", VNFC, "load", AT_MOST, 0.9, **more),
            ServiceLevelObjective("idle", VNFC, "load", AT_LEAST, -1.0, raise_after_ns=S),
            ServiceLevelObjective("low", VNFC, "load", AT_LEAST, 0.2),
        ]
        feed.step(configure(kpis, bounds), Tick(T0))
        for second in range(1, well + 1):
            rows = [(series, T0 + second * S, 0.5) for series in LOADS]
            feed.step(*feed.rows("s", rows), Tick(T0 + second * S))
        return feed

    return make


def glance(feed: Any, *rows: tuple[float, float], flag: int = SampleFlag.NONE) -> list[Any]:
    """Offer samples of the first object, (seconds after T0, value), and tick without closing."""
    samples = [(LOADS[0], T0 + round(second * S), value) for second, value in rows]
    at_ns = max(time_ns for _, time_ns, _ in samples)
    return feed.step(*feed.rows("s", samples, flag), Tick(at_ns, closing=False))


def of(kind: type, outputs: list[Any]) -> list[Any]:
    return [item for item in outputs if isinstance(item, kind)]


def test_a_single_sample_beyond_the_bound_is_told_at_once(new_world: World) -> None:
    feed = new_world()
    outputs = glance(feed, (6.2, 0.95), (6.3, 0.99))
    (assessment,), (alarm,), (trouble,) = (
        of(kind, outputs) for kind in (Assessment, Alarm, Trouble)
    )
    assert len(outputs) == 3
    assert assessment.observed is FulfilmentStatus.NOT_FULFILLED
    assert assessment.value == alarm.value == trouble.value == 0.95
    assert alarm.raised_at_ns == trouble.since_ns == T0 + round(6.2 * S)
    assert glance(feed, (6.4, 0.98)) == []  # known already


def test_its_window_closes_as_ever_and_only_a_window_ends_the_breach(new_world: World) -> None:
    feed = new_world()
    glance(feed, (6.2, 0.95))
    assert glance(feed, (6.8, 0.3)) == []
    told = []
    for second in (8, 9, 10):
        rows = feed.rows("s", [(LOADS[0], T0 + second * S, 0.3)])
        told += of(Alarm, feed.step(*rows, Tick(T0 + second * S)))
    (alarm,) = told
    assert alarm.state is AlarmState.CLEARED
    # Two seconds well behind the breach: windows that were over before it count for nothing.
    assert alarm.changed_at_ns == T0 + 9 * S


@pytest.mark.parametrize(
    ("statistic", "more"),
    [
        (Statistic.MEAN, {}),
        (Statistic.MIN, {}),
        (Statistic.LAST, {"raise_after_ns": S}),
    ],
)
def test_what_one_sample_cannot_tell_waits_for_the_close(
    new_world: World, statistic: Statistic, more: dict[str, Any]
) -> None:
    assert glance(new_world(statistic, **more), (6.2, 0.95)) == []


def test_the_greatest_tells_of_an_upper_bound_only(new_world: World) -> None:
    feed = new_world(Statistic.MAX)
    assert glance(feed, (6.2, 0.1)) == []
    (alarm,) = of(Alarm, glance(feed, (6.3, 0.95)))
    assert alarm.objective == "hot"


def test_the_last_tells_of_both(new_world: World) -> None:
    (low,) = of(Alarm, glance(new_world(), (6.2, 0.1)))
    assert low.objective == "low"


def test_samples_in_doubt_too_early_or_too_late_tell_nothing(new_world: World) -> None:
    feed = new_world()
    assert glance(feed, (6.2, 0.95), flag=SampleFlag.SUSPECT) == []
    assert glance(feed, (3.5, 0.95)) == []
    feed.step(ClockJump(T0 + 6 * S, S // 2))
    assert glance(feed, (6.4, 0.95)) == []
    assert glance(new_world(well=0), (0.5, 0.95), (1.0, 0.95)) == []


ROWS = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(61, 99), st.sampled_from([0.5, 0.89, 0.91, 0.99, 2.0])
    ),
    max_size=30,
)  # (object, tenths of a second, value)


@given(rows=ROWS, cuts=st.lists(st.integers(0, 30), max_size=4), restart=st.booleans())
@settings(max_examples=60, deadline=None)
def test_borders_of_batches_shards_and_a_restart_change_nothing(
    new_world: World,
    new_feed: Callable[..., Any],
    rows: list[tuple[int, int, float]],
    cuts: list[int],
    restart: bool,
) -> None:
    def inputs(feed: Any, parts: list[list[tuple[int, int, float]]]) -> list[Input]:
        found: list[Input] = []
        for part in parts:
            samples = [(LOADS[n], T0 + tenths * S // 10, value) for n, tenths, value in part]
            found += feed.rows("s", samples)
        return found

    whole = new_world()
    borders = [0, *sorted(cuts), len(rows)]
    parts = [rows[low:high] for low, high in pairwise(borders)]
    ticks = [Tick(T0 + 10 * S, closing=False), Tick(T0 + 11 * S)]
    expected = whole.step(*inputs(whole, [rows]), *ticks)
    cut = new_world()
    if restart:
        cut.machine = Assessor.restore(cut.machine.snapshot())
    assert cut.step(*inputs(cut, parts), *ticks) == expected
    assert cut.machine.snapshot() == whole.machine.snapshot()
    for shard in range(2):
        half = new_feed(Assessor(shard, 2))
        half.ids = dict(whole.ids)
        outputs = [
            item
            for value in whole.inputs
            for item in half.machine.step([value], 0)
            if isinstance(item, Alarm)
        ]
        wanted = [item for item in of(Alarm, expected) if shard_of(item.object_id, 2) == shard]
        assert sorted(item.id for item in outputs) == sorted(item.id for item in wanted)
