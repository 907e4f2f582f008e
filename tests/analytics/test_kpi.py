"""Statistics against the vectors of the service level metrics, and counters against hand reckoning."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.availability import AvailabilityTrack
from analytics.kpi import (
    delay_range,
    grouped_percentile,
    grouped_range,
    increases,
    loss_ratio,
    percentile,
    variation_pairs,
)
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.time import NS_PER_SECOND as S

DELAYS = np.array([10, 12, 11, 50, 10, 13, 12, 11, 10, 14], dtype=np.float64)
LOSSES = [0, 0, .9, .9, 0, 0, .8, .8, .8, .8, .8, .8, 0, 0, 0, .9, 0, 0, 0, 0, 0, .7, .7, .7,
          0, 0, 0, 0]  # fmt: skip
STATES = [True] * 6 + [False] * 10 + [True] * 9


@pytest.mark.parametrize(
    ("percent", "expected"), [(95, 50), (90, 14), (50, 11), (100, 50), (1, 10)]
)
def test_percentile_is_the_inverse_empirical_cdf(percent: float, expected: float) -> None:
    assert percentile(DELAYS, percent) == expected


def test_percentile_is_not_lifted_by_the_last_bit_of_a_float() -> None:
    # 0.95 * 20 is 19.000000000000004 in some orders of multiplication: still the 19th of 20.
    for size in range(1, 400):
        values = np.arange(1.0, size + 1)
        assert percentile(values, 95.0) == -(-95 * size // 100)


def test_range_is_percentile_less_minimum() -> None:
    assert delay_range(DELAYS, 95.0) == 40
    assert delay_range(DELAYS, 100.0) == 40
    assert delay_range(DELAYS, 50.0) == 1


def test_nothing_measured_is_none_not_zero() -> None:
    assert percentile(np.zeros(0), 95.0) is None
    assert delay_range(np.zeros(0), 95.0) is None
    assert loss_ratio(0, 0) is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), min_size=1, max_size=8),
    st.floats(0.1, 100),
)
def test_groups_equal_one_by_one_and_numpy(groups: list[list[float]], percent: float) -> None:
    values = np.concatenate([np.sort(group) for group in groups])
    counts = np.array([len(group) for group in groups])
    starts = np.cumsum(counts) - counts
    percents = np.full(len(groups), percent)
    found = grouped_percentile(values, starts, counts, percents)
    spread = grouped_range(values, starts, counts, percents)
    for at, group in enumerate(groups):
        assert found[at] == percentile(np.array(group), percent)
        assert spread[at] == found[at] - min(group)
        below = sum(value <= found[at] for value in group)
        assert below >= percent / 100 * len(group) - 1e-9


def test_loss_ratio_is_of_summed_counts() -> None:
    assert loss_ratio(100 + 2, 1 + 1) == pytest.approx(2 / 102)


def test_variation_pairs_stay_within_a_series() -> None:
    values = np.array([1.0, 4.0, 2.0, 10.0, 15.0])
    series = np.array([1, 1, 1, 2, 2])
    differences, exists = variation_pairs(values, series, np.full(5, 1))
    assert differences[exists].tolist() == [3.0, 2.0, 5.0]
    differences, exists = variation_pairs(values, series, np.full(5, 2))
    assert differences[exists].tolist() == [1.0]


def grown(times: list[int], values: list[float], before: tuple[int, float]) -> list[float]:
    feed = np.zeros(len(times), dtype=np.int64)
    found, _ = increases(
        feed, np.array(times) * S, np.array(values), np.array([before[0]]), np.array([before[1]]), 10 * S
    )  # fmt: skip
    return found.tolist()


def test_a_counter_that_falls_began_anew() -> None:
    assert grown([1, 2, 3, 4], [10, 15, 4, 6], (-1, 0.0)) == [0.0, 5.0, 4.0, 2.0]
    assert grown([1], [3], (0, 8.0)) == [3.0]


def test_a_first_sample_or_a_long_gap_tells_nothing() -> None:
    assert grown([1, 30, 31], [10, 15, 16], (-1, 0.0)) == [0.0, 0.0, 1.0]


def track(consecutive: int, threshold: float) -> AvailabilityTrack:
    definition = KpiDefinition(
        "a", ObjectKind.SERVICE, "lost", Statistic.AVAILABILITY, "ratio",
        consecutive_slots=consecutive, loss_threshold_ratio=threshold,
    )  # fmt: skip
    return AvailabilityTrack.of(definition, 0)


def states(losses: list[float | None], consecutive: int = 4, threshold: float = 0.5) -> list[bool]:
    judged = track(consecutive, threshold)
    for slot, loss in enumerate(losses, start=1):
        judged.close_slot(slot, loss)
    return [available for _, available, _ in judged.decided]


def test_availability_vector() -> None:
    found = states(list(LOSSES))
    assert found == STATES
    assert len(found) == len(LOSSES) - 3
    assert 100 * sum(found) / len(found) == 60.0
    kept = [state for slot, state in enumerate(found) if slot not in (8, 9)]
    assert 100 * sum(kept) / len(kept) == pytest.approx(65.2174, abs=1e-4)


def test_a_slot_is_decided_n_minus_one_slots_later() -> None:
    assert states([0.0] * 3) == []
    assert states([0.0] * 4) == [True]
    # n bad slots in a row turn the state, dated back to the first of them.
    assert states([0.0, 1.0, 1.0, 1.0, 1.0]) == [True, False]


def test_an_unknown_slot_holds_the_state_and_breaks_no_run() -> None:
    known = states([0.0] * 4 + [1.0] * 4 + [0.0] * 4)
    assert known == [True] * 4 + [False] * 4 + [True]
    gappy = states([0.0] * 4 + [1.0, 1.0, None, 1.0, 1.0] + [0.0] * 4)
    assert gappy == [True] * 4 + [False] * 5 + [True]
    assert states([0.0] * 4 + [None] * 5) == [True]
    assert states([None, None, 1.0, 1.0, 1.0, 1.0]) == [False]


def test_a_share_is_of_decided_slots_only() -> None:
    judged = track(3, 0.1)
    times = np.arange(1, 41) * S // 4  # four probes a slot
    lost = np.where((times > 4 * S) & (times <= 8 * S), 1.0, 0.0)
    judged.add(times, lost)
    judged.advance(10 * S)
    assert judged.share(10 * S, 8 * S) == 0.5  # slots 1..8, of which 5..8 were lost
    assert judged.share(2 * S, 5 * S) is None


def test_a_silent_hour_has_no_share() -> None:
    judged = track(3, 0.1)
    judged.add(np.array([S, 2 * S, 3 * S]), np.zeros(3))
    judged.advance(3 * S)
    judged.advance(5_000 * S)
    assert judged.share(5_000 * S, 60 * S) is None
    assert len(judged.waiting) <= 3_600
