"""Panes are added up from the oldest to the newest, in numpy and compiled alike, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analytics import panes
from analytics.panes import newest_values, window_sums

WIDTH = st.integers(1, 70)
VALUES = st.floats(allow_nan=False, allow_infinity=False, width=64)


@st.composite
def rings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    width, rows = draw(WIDTH), draw(st.integers(1, 9))
    table = draw(arrays(np.float64, (rows, width), elements=VALUES, fill=st.just(0.1)))
    counts = draw(arrays(np.int32, (rows, width), elements=st.integers(0, 2), fill=st.just(0)))
    chosen = np.array(draw(st.lists(st.integers(0, rows - 1), max_size=12)), dtype=np.int64)
    newest = draw(arrays(np.int64, len(chosen), elements=st.integers(0, width - 1)))
    return table, counts, chosen, newest


def ring_of(table: np.ndarray, row: int, newest: int) -> list[float]:
    width = table.shape[1]
    return [table[row, (newest + 1 + place) % width] for place in range(width)]


@pytest.mark.parametrize("compiled_from", [0, 10**9])
@settings(deadline=None, max_examples=150)
@given(rings())
def test_both_ways_equal_the_definition(
    compiled_from: int, drawn: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
) -> None:
    table, counts, chosen, newest = drawn
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore", invalid="ignore"):
        patch.setattr(panes, "COMPILED_FROM", compiled_from)
        sums = window_sums(table, chosen, newest)
        last = newest_values(table, counts, chosen, newest)
        for at, (row, end) in enumerate(zip(chosen.tolist(), newest.tolist(), strict=True)):
            total, *rest = ring_of(table, row, end)
            for value in rest:
                total = total + value
            assert sums[at].tobytes() == np.float64(total).tobytes() or np.isnan(total)
            held = [
                value
                for value, count in zip(
                    ring_of(table, row, end), ring_of(counts, row, end), strict=True
                )
                if count
            ]
            assert last[at] == (held[-1] if held else table[row, end])


def test_compiled_code_is_used_for_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    from analytics import panes_compiled

    monkeypatch.setattr(panes_compiled, "sums", lambda *given: called.append(len(given[1])))
    rows = np.arange(3_000)
    window_sums(np.ones((3_000, 2)), rows, rows % 2)
    monkeypatch.setenv("TRIMTAB_COMPILED", "no")
    assert window_sums(np.ones((3_000, 2)), rows, rows % 2).tolist() == [2.0] * 3_000
    assert called == [3_000]
