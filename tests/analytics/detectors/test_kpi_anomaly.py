"""The detector of every KPI: novelty, z, repeats, budget, and that compiled code says the same bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.detectors.kpi_anomaly import (
    FIELDS,
    NOVELTY_BAR,
    KpiAnomalyDetector,
    KpiAnomalySettings,
    deviations,
)
from analytics.detectors.kpi_anomaly_compiled import warm
from analytics.detectors.slots import SlotArrays
from trimtab.ports import Verdicts

START_NS = 1_700_000_000_000_000_000
MINUTE_NS = 60_000_000_000


def one_by_one(detector: KpiAnomalyDetector, values: np.ndarray, begin: int = 0) -> Verdicts:
    slots = np.zeros(len(values), dtype=np.intp)
    times = START_NS + (begin + np.arange(len(values))) * MINUTE_NS
    return detector.update(slots, times, np.asarray(values, dtype=np.float64))


def both_ways() -> tuple[KpiAnomalyDetector, KpiAnomalyDetector]:
    """Return a detector that never compiles, and one that always does."""
    return tuple(KpiAnomalyDetector(KpiAnomalySettings(compiled_from=rows)) for rows in (10**9, 1))  # type: ignore[return-value]


def calm(rows: int = 400) -> np.ndarray:
    return 10.0 + np.sin(np.arange(rows) * 0.7) + 0.1 * np.cos(np.arange(rows) * 1.3)


def test_the_bytes_of_a_slot_are_as_stated() -> None:
    state = SlotArrays(FIELDS)
    state.reach(np.array([0]))
    assert sum(array[:1].nbytes for array in state.arrays.values()) == 249
    assert KpiAnomalyDetector.bytes_per_slot == 249


def test_a_value_in_a_gap_between_known_ones_is_novel() -> None:
    detector = KpiAnomalyDetector()
    one_by_one(detector, np.tile([1.0, 1.01, 1.02, 9.0, 9.01, 9.02], 60))
    inside = one_by_one(detector, np.array([5.0]), 360)
    assert inside.alarmed[0]
    assert inside.score[0] > 0.1
    again = one_by_one(detector, np.array([5.0]), 361)
    # What is left is the average's, which had not been there yet.
    assert again.score[0] < 2 * NOVELTY_BAR
    assert not again.alarmed[0]


def test_a_repeat_within_a_while_is_not_told_again() -> None:
    detector = KpiAnomalyDetector()
    one_by_one(detector, calm())
    first = one_by_one(detector, np.array([30.0, 30.0, 29.0, 30.0]), 400)
    assert first.alarmed.tolist() == [True, False, False, False]
    worse = one_by_one(detector, np.array([300.0]), 404)
    assert worse.alarmed[0]


def test_a_restless_kpi_is_held_to_its_budget() -> None:
    values = calm(20 * 1440)
    values[500::60] += 40.0 * (1 + np.arange(len(values[500::60])) % 7)
    told = {}
    for budget in (1.0, 4.0):
        detector = KpiAnomalyDetector(KpiAnomalySettings(alarms_per_day=budget))
        told[budget] = int(one_by_one(detector, values).alarmed.sum())
        assert detector.suppressed > 0
        # Besides the budget of twenty days, what novelty may say at once.
        assert told[budget] <= 20 * budget + 20
    assert told[1.0] < told[4.0]


def test_the_expected_range_holds_most_values_and_gives_the_deviation() -> None:
    detector = KpiAnomalyDetector()
    values = calm()
    verdicts = one_by_one(detector, values)
    assert np.isnan(verdicts.low[:20]).all()
    inside = (verdicts.low <= values) & (values <= verdicts.high)
    assert inside[100:].mean() > 0.95
    sizes = deviations(values, verdicts)
    assert (sizes[:20] == 0).all()
    assert (sizes[100:] < 3).mean() > 0.95


def test_units_do_not_matter() -> None:
    values = np.concatenate((calm(), [25.0], calm(50), [3.0]))
    seconds = one_by_one(KpiAnomalyDetector(), values)
    microseconds = one_by_one(KpiAnomalyDetector(), values * 2.0**20)
    assert seconds.alarmed.tolist() == microseconds.alarmed.tolist()
    assert seconds.score == pytest.approx(microseconds.score, abs=1e-3)


ODD = [0.0, 5e-324, -1e-320, 1e-200, 1e300, -1e300, 7821.0, 7821.000001, 1e-9, -0.0]
BATCH = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.one_of(st.sampled_from(ODD), st.floats(allow_nan=False, allow_infinity=False)),
        st.integers(0, 90_000_000_000_000),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(BATCH, min_size=1, max_size=4))
def test_compiled_code_says_the_same_bit_for_bit(
    batches: list[list[tuple[int, float, int]]],
) -> None:
    arrays, compiled = both_ways()
    now = START_NS
    for batch in batches:
        slots = np.array([slot for slot, _, _ in batch], dtype=np.intp)
        times = now + np.cumsum([step for _, _, step in batch])
        values = np.array([value for _, value, _ in batch])
        now = int(times[-1])
        ours, theirs = arrays.update(slots, times, values), compiled.update(slots, times, values)
        for name in ("score", "alarmed", "low", "high"):
            assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes(), name
        assert arrays.snapshot() == compiled.snapshot()
        assert arrays.suppressed == compiled.suppressed


def test_compiled_code_agrees_on_long_noisy_series() -> None:
    generator = np.random.default_rng(7)
    arrays, compiled = both_ways()
    for at in range(60):
        slots = generator.permutation(200)[:100].astype(np.intp)
        times = np.full(100, START_NS + at * MINUTE_NS)
        values = generator.lognormal(0, 2, 100) * 10.0 ** (slots % 9 - 4)
        ours, theirs = arrays.update(slots, times, values), compiled.update(slots, times, values)
        assert ours.score.tobytes() == theirs.score.tobytes()
    assert arrays.snapshot() == compiled.snapshot()


def test_it_can_be_warmed() -> None:
    warm()
    assert (
        KpiAnomalyDetector()
        .update(np.zeros(64, dtype=np.intp), np.arange(64), np.ones(64))
        .score.tolist()
        == [0.0] * 64
    )


def test_asking_which_slots_are_used_makes_no_room() -> None:
    detector = KpiAnomalyDetector()
    assert detector.used(np.array([0, 9])).tolist() == [False, False]
    detector.update(np.array([1]), np.array([1]), np.array([2.0]))
    assert detector.used(np.array([0, 1, 1_000_000])).tolist() == [False, True, False]
    detector.forget(np.array([1]))
    assert detector.used(np.array([1])).tolist() == [False]
    assert detector.export([]).keys() == KpiAnomalyDetector().export([]).keys()
