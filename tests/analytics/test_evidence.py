"""What a shift weighs, and whom that speaks against."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.evidence import (
    RISE_WEIGHT,
    SIZE_MAX,
    Shifts,
    blame,
    most_shifted,
    share_of,
    shifts,
    typical_of_kind,
    weights,
)

ONE_KIND = np.zeros(1, dtype=np.int64)


def by_kind(before: np.ndarray, after: np.ndarray, kind: np.typing.NDArray[np.int64]) -> Shifts:
    return shifts(before, after, typical_of_kind(before, kind))


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def test_a_shift_is_measured_in_the_unrest_of_the_kpi() -> None:
    calm = column(*[100.0, 101.0] * 10)
    found = by_kind(calm, column(130.0, 130.0), ONE_KIND)
    assert (found.before[0], found.after[0]) == (100.5, 130.0)
    # Values lie 0.5 above or below their running median: the quartiles are 1 apart.
    assert found.size[0] == pytest.approx(29.5 / (1.0 + 0.05 * 100.5), rel=1e-3)
    restless = column(*[50.0, 151.0] * 10)
    assert abs(by_kind(restless, column(130.0), ONE_KIND).size[0]) < 1.0


def test_what_falls_to_nothing_or_silent_went_as_far_as_can_be() -> None:
    steady = column(*[7.0] * 20)
    assert by_kind(steady, column(0.0), ONE_KIND).size[0] == pytest.approx(-SIZE_MAX, rel=1e-3)
    assert by_kind(steady, column(np.nan, np.nan), ONE_KIND).size[0] == -SIZE_MAX
    seldom = column(*[np.nan, np.nan, 7.0] * 6)
    assert by_kind(seldom, column(np.nan), ONE_KIND).size[0] == 0.0


def test_what_stood_at_zero_is_held_against_its_kind() -> None:
    rows = np.column_stack([np.zeros(20), np.full(20, 1_000.0)])
    found = by_kind(rows, np.array([[1.0, 1_000.0]]), np.zeros(2, dtype=np.int64))
    assert found.size[0] == SIZE_MAX
    alone = by_kind(column(*[0.0] * 20), column(0.0), ONE_KIND)
    assert alone.size[0] == 0.0


def test_the_bad_way_counts_and_where_nobody_knows_it_the_fall() -> None:
    size = np.array([4.0, -4.0])
    assert weights(size, np.array([1, 1])).tolist() == [4.0, 0.0]
    assert weights(size, np.array([-1, -1])).tolist() == [0.0, 4.0]
    assert weights(size, np.array([0, 0])).tolist() == [4.0 * RISE_WEIGHT, 4.0]


def test_of_equals_the_one_that_has_lost_more_of_itself_comes_first() -> None:
    weight = np.array([SIZE_MAX, SIZE_MAX, SIZE_MAX, 0.0])
    told = most_shifted(weight, np.array([0, 0, 1, 1]), 2)
    assert told[0] > told[1] > 0.0


def test_few_calls_explain_little() -> None:
    assert share_of(9.0, excess=5.0, wanted=10.0) == pytest.approx(0.45)
    assert share_of(9.0, excess=50.0, wanted=10.0) == pytest.approx(0.9)
    assert share_of(9.0, excess=-1.0, wanted=10.0) == 0.0


def test_who_needs_the_culprit_is_explained_and_a_bystander_counts_less() -> None:
    needs = {"shop": {"search", "pay"}, "search": {"table"}}
    evidence = {"shop": 0.9, "search": 0.8, "pay": 0.1, "table": 0.05, "other": 0.85}
    ranked = blame(evidence, needs, "shop")
    assert [each.object_id for each in ranked[:2]] == ["search", "shop"]
    assert ranked[0].confidence == pytest.approx(0.8 / (0.8 + 0.27))
    assert all(each.confidence < 0.5 for each in ranked[1:])
    assert blame({"a": 0.0}, {})[0].confidence == 0.0
    assert blame({}, {}) == ()


@given(
    st.lists(
        st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), min_size=3, max_size=3),
        min_size=0, max_size=30,
    ),
    st.integers(0, 30),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_any_rows_give_finite_sizes_and_the_order_of_kpis_changes_nothing(
    rows: list[list[float]], cut: int
) -> None:
    values = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    kind = np.array([0, 1, 0])
    found = by_kind(values[:cut], values[cut:], kind)
    assert np.isfinite(found.size).all()
    assert (np.abs(found.size) <= SIZE_MAX).all()
    turned = by_kind(values[:cut, ::-1], values[cut:, ::-1], kind[::-1])
    assert np.array_equal(turned.size[::-1], found.size)
