"""What must hold for any inputs: replay, snapshots, batch borders and shards change nothing."""

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from analytics.assessor import Assessor
from analytics.correlator import Correlator
from analytics.detectors.pca_model import fit
from analytics.order import output_order
from analytics.rota import TOLD_PER_GROUP_MAX
from trimtab.domain import codec
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Trouble
from trimtab.domain.command import Command, CommandKind
from trimtab.domain.configuration import AnomalyRule, BindingRule, Configuration
from trimtab.domain.input import ClockJump, Input, Numbered, SeriesAdded, Tick
from trimtab.domain.kpi import KpiDefinition, LabelMatcher, Statistic
from trimtab.domain.kpi_batch import spell_out
from trimtab.domain.managed_object import (
    Alias,
    InventoryChange,
    ObjectKind,
    Relation,
    RelationKind,
    managed_object,
)
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective
from trimtab.domain.sls import PairGroup, SlsTerms
from trimtab.domain.time import NS_PER_SECOND as S
from trimtab.domain.trained_model import TrainedModel

T0 = 1_700_000_000 * S
VNFC = ObjectKind.VNFC
NAMES = ("a", "b")
SERVICE = "acme/service/s"


def definitions() -> tuple[KpiDefinition, ...]:
    """Return one KPI of every statistic."""
    found = [
        KpiDefinition(
            item.value, VNFC, "counter" if item in _COUNTERS else "gauge", item, "x",
            window_ns=(1 + number % 3) * S, percentile=90.0 if item in _PERCENTILES else None,
            divisor_series="total" if item is Statistic.RATIO else
            "other" if item is Statistic.MEAN_RATIO else None,
            samples_min=1 + number % 2, consecutive_slots=3,
        )
        for number, item in enumerate(Statistic)
    ]  # fmt: skip
    return (
        *found,
        KpiDefinition("loss", ObjectKind.SERVICE, "gauge", Statistic.MEAN, "ratio"),
        KpiDefinition("chain", ObjectKind.SERVICE, "gauge", Statistic.MAX, "x", over=VNFC),
        KpiDefinition("delay", ObjectKind.SERVICE, "total", Statistic.MEAN, "seconds"),
    )


_COUNTERS = (Statistic.RATE, Statistic.INCREASE, Statistic.RATIO)
_PERCENTILES = (Statistic.PERCENTILE, Statistic.RANGE, Statistic.VARIATION)


TERMS = SlsTerms(
    "total", "gauge", ("from",), consecutive_slots=3, high_loss_run=2, measurement_interval_ns=4 * S,
    late_after_ns=S, groups=(PairGroup("g", (("from=a",), ("all",))),),
)  # fmt: skip


def configuration(bound: float = 5.0, without: str = "") -> Configuration:
    """Return a configuration with an objective on every KPI."""
    kpis = tuple(item for item in definitions() if item.name != without)
    objectives = tuple(
        ServiceLevelObjective(
            f"{item.name}-bound", item.object_kind, item.name, Comparator.AT_MOST, bound,
            hysteresis=0.5, raise_after_ns=number % 2 * S, clear_after_ns=number % 3 * S,
        )
        for number, item in enumerate(kpis)
    )  # fmt: skip
    objects = tuple(managed_object(f"p/vnfc/{name}") for name in NAMES)
    return Configuration(
        f"{bound}{without}",
        (Service(SERVICE, "acme", "s", ("p/vnfc/a", "p/vnfc/b"), 20 * S, sls=TERMS),),
        objectives,
        kpis,
        (
            BindingRule((LabelMatcher("uuid", ".+", regex=True),), "{uuid}", "vim"),
            BindingRule((LabelMatcher("s", "s"),), SERVICE),
            BindingRule((), "p/vnfc/{o}"),
        ),
        InventoryChange("configuration", T0, objects, (Alias("p/vnfc/a", "vim", "u1", T0),)),
        anomalies=AnomalyRule(),
    )


def model() -> TrainedModel:
    """Return a model of three KPIs of an object, two of which are in lanes of their own."""
    rows = np.random.default_rng(1).normal(3, 1, (120, 3))
    fitted = fit(np.arange(120, dtype=np.int64), rows)
    content = b64encode(fitted.to_bytes()).decode()
    return TrainedModel("p/vnfc/a", ("last", "max", "mean"), 0, 119, 120, content)


MODEL = model()
SERIES = [
    *(Series.of(name, {"o": o}) for o in NAMES for name in ("gauge", "counter", "total", "other")),
    *(Series.of("gauge", {"uuid": uuid}) for uuid in ("u1", "u2")),
    Series.of("gauge", {"s": "s"}),
    Series.of("gauge", {"s": "s", "from": "a"}),
    Series.of("total", {"s": "s"}),
    Series.of("gauge", {"nothing": "binds"}),
]
ROW = st.tuples(
    st.integers(0, len(SERIES)),  # one beyond: a series that was never added
    st.sampled_from([-9_000, -2_500, -1_200, -900, -500, -500, -100, 0, 400, 11_000]),
    st.sampled_from([0.0, 1.0, 3.0, 5.0, 7.0, 100.0, 0.1, 0.7]),
    st.sampled_from([0, 0, 0, 0, 1, 2]),
)
FACT = st.one_of(
    st.builds(lambda: configuration(7.0)),
    st.builds(lambda: configuration(5.0, without="mean")),
    st.builds(lambda: InventoryChange("sd", T0, removed_object_ids=("p/vnfc/b",))),
    st.builds(lambda: InventoryChange("sd", T0, (managed_object("p/vnfc/b"),))),
    st.integers(1, 20).map(
        lambda t: InventoryChange("vim", T0, aliases=(Alias("p/vnfc/a", "vim", "u2", T0 + t * S),))
    ),
    st.builds(
        lambda: InventoryChange(
            "sd", T0, relations=(Relation("p/vnfc/a", RelationKind.RUNS_ON, "p/vnfc/b"),)
        )
    ),
    st.integers(0, 20).map(lambda t: ClockJump(T0 + t * S, 3 * S)),
    st.sampled_from([MODEL, TrainedModel("p/vnfc/b", ("mean",), 0, 1, 1, "nonsense")]),
    st.sampled_from(["", "alarm-x-07", "alarm-x-ff"]).map(
        lambda alarm: Command("c" + alarm, CommandKind.ACKNOWLEDGE_ALARM, "noc", T0, alarm)
    ),
)


@pytest.fixture(autouse=True, scope="module", params=[TOLD_PER_GROUP_MAX, 1])
def told_at_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let all of it hold, too, where more changes at once than may be told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analytics.verdict.TOLD_PER_GROUP_MAX", request.param)
        yield


@dataclass(frozen=True)
class Second:
    """What happens between two ticks."""

    rows: tuple[tuple[str, list[tuple[int, int, float, int]]], ...]
    facts: tuple[Any, ...]
    seconds: int


SECOND = st.builds(
    Second,
    st.lists(
        st.tuples(st.sampled_from(["prometheus/a", "stamp/b"]), st.lists(ROW, max_size=25)),
        max_size=2,
    ).map(tuple),
    st.one_of(st.just(()), st.just(()), st.tuples(FACT)),
    st.sampled_from([1, 1, 1, 2, 4]),
)
STORY = st.lists(SECOND, min_size=3, max_size=7)
common = settings(
    max_examples=10, deadline=None, derandomize=True,
    # Shrinking stories of this size takes longer than reading them.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def batch(source: str, rows: list[tuple[int, int, float, int]], now: int) -> SampleBatch:
    made = SampleBatch.from_rows(
        source, [(series, now + offset * 1_000_000, value) for series, offset, value, _ in rows]
    )
    flags = np.array([flag for _, _, _, flag in rows], dtype=np.uint8)
    return SampleBatch(made.source, made.series_id, made.time_ns, made.value, flags)


def segments(story: list[Second], cut: int = 1_000) -> Iterator[tuple[int, list[Numbered[Input]]]]:
    """Return the inputs up to each tick; batches are cut into pieces of at most `cut` rows."""
    added = [SeriesAdded(number, series) for number, series in enumerate(SERIES)]
    yield T0, [Numbered(0, value) for value in (*added, configuration(), Tick(T0))]
    now = T0
    for number, second in enumerate(story, start=1):
        now += second.seconds * S
        inputs: list[Input] = list(second.facts)
        for source, rows in second.rows:
            pieces = [rows[at : at + cut] for at in range(0, len(rows), cut)]
            inputs += [batch(source, piece, now) for piece in pieces]
        inputs.append(Tick(now))
        yield now, [Numbered(number, value) for value in inputs]


def as_bytes(outputs: list[Any]) -> list[bytes]:
    return [codec.encode(value) for value in spell_out(outputs)]


def run(machine: Assessor, story: list[Second], cut: int = 1_000) -> list[bytes]:
    outputs: list[Any] = []
    for now, inputs in segments(story, cut):
        outputs += machine.step(inputs, now)
    return as_bytes(outputs)


@common
@given(STORY)
def test_a_replay_gives_the_same_bytes(story: list[Second]) -> None:
    first, second = Assessor(), Assessor()
    assert run(first, story) == run(second, story)
    assert first.snapshot() == second.snapshot()


@common
@given(STORY)
def test_restored_at_every_step_equals_never_stopped(story: list[Second]) -> None:
    steady, restarted = Assessor(), Assessor()
    for now, inputs in segments(story):
        expected = as_bytes(steady.step(inputs, now))
        # Also between two ticks, with rows and facts still waiting.
        head, tail = inputs[: len(inputs) // 2], inputs[len(inputs) // 2 :]
        found = restarted.step(head, now)
        restarted = Assessor.restore(restarted.snapshot())
        found += restarted.step(tail, now)
        assert as_bytes(found) == expected
        assert restarted.snapshot() == steady.snapshot()


@common
@given(STORY, st.integers(1, 7))
def test_batch_borders_change_nothing(story: list[Second], cut: int) -> None:
    whole, cut_up = Assessor(), Assessor()
    assert run(whole, story) == run(cut_up, story, cut)
    assert whole.snapshot() == cut_up.snapshot()


@common
@given(STORY)
def test_the_number_of_inputs_a_step_changes_nothing(story: list[Second]) -> None:
    apart, together = Assessor(), Assessor()
    parts: list[Any] = []
    everything: list[Numbered[Input]] = []
    for now, inputs in segments(story):
        for item in inputs:
            parts += apart.step([item], now)
        everything += inputs
    assert parts == together.step(everything, now)


@common
@given(STORY, st.sampled_from([2, 3]))
def test_shards_merged_equal_one(story: list[Second], shards: int) -> None:
    one = Assessor()
    several = [Assessor(number, shards) for number in range(shards)]
    for now, inputs in segments(story):
        expected = one.step(inputs, now)
        merged: list[Any] = []
        for machine in several:
            merged += machine.step(inputs, now)
        merged.sort(key=output_order)
        assert as_bytes(merged) == as_bytes(expected)


@common
@given(STORY)
def test_alarms_and_troubles_tell_a_coherent_story(story: list[Second]) -> None:
    machine = Assessor()
    alarms: dict[str, Alarm] = {}
    status: dict[tuple[str, str], str] = {}
    for now, inputs in segments(story):
        for value in machine.step(inputs, now):
            if isinstance(value, Alarm):
                before = alarms.get(value.id)
                assert (before is None) == (value.state.value == "unAcknowledged")
                assert before is None or before.state.value != "cleared"
                alarms[value.id] = value
            if isinstance(value, Trouble):
                key = (value.object_id, value.objective)
                assert status.get(key) != value.status.value or "ended" in str(value)
                status[key] = value.status.value
    open_alarms = {(a.object_id, a.objective) for a in alarms.values() if a.cleared_at_ns is None}
    troubled = {key for key, value in status.items() if value == "NOT_FULFILLED"}
    assert troubled <= open_alarms
    assert open_alarms <= {key for key, value in status.items() if value != "FULFILLED"}


def told_to_the_correlator(
    assessor: Assessor, number: int, now: int, inputs: list[Numbered[Input]]
) -> list[Numbered[Any]]:
    """Return what the correlator hears of some inputs: facts, and the troubles that follow from them."""
    facts = [item for item in inputs if isinstance(item.value, Configuration | InventoryChange)]
    outputs = assessor.step(inputs, now)
    troubles = [Numbered(number, value) for value in outputs if isinstance(value, Trouble)]
    return [*facts, *troubles]


@common
@given(STORY)
def test_the_correlator_replays_and_restores_alike(story: list[Second]) -> None:
    assessor, steady, restarted = Assessor(), Correlator(), Correlator()
    for number, (now, inputs) in enumerate(segments(story)):
        told = [*told_to_the_correlator(assessor, number, now, inputs), Numbered(number, Tick(now))]
        expected = [codec.encode(value) for value in steady.step(told, now)]
        found = restarted.step(told[: len(told) // 2], now)
        restarted = Correlator.restore(restarted.snapshot())
        found += restarted.step(told[len(told) // 2 :], now)
        assert [codec.encode(value) for value in found] == expected
        assert restarted.snapshot() == steady.snapshot()


class Restless(Correlator):
    """A correlator that looks at every incident at every tick."""

    def _conclude(self) -> list[Any]:
        self._moved = True
        return super()._conclude()


@common
@given(STORY)
def test_the_correlator_misses_nothing_by_looking_only_where_something_changed(
    story: list[Second],
) -> None:
    assessor, frugal, restless = Assessor(), Correlator(), Restless()
    for number, (now, inputs) in enumerate(segments(story)):
        told = told_to_the_correlator(assessor, number, now, inputs)
        told += [Numbered(number, Tick(now)), Numbered(number, Tick(now + 1))]
        assert frugal.step(told, now) == restless.step(told, now)
        assert frugal.snapshot() == restless.snapshot()


def test_unknown_snapshots_are_refused() -> None:
    from trimtab.errors import JournalCorrupt

    for machine in (Assessor(), Correlator()):
        blob = re.sub(rb'"format":\d', b'"format":9', machine.snapshot())
        with pytest.raises(JournalCorrupt):
            type(machine).restore(blob)
