"""Sample history: every row is found again, within bounds, whatever a crash cut off."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.domain.samples import SampleBatch
from trimtab.errors import StoreError
from trimtab.store.history import History, HistoryLimits

ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(-50, 50), st.floats(-1e9, 1e9)), max_size=30
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(ROWS, max_size=6),
    series_id=st.integers(0, 4),
    bounds=st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
    restart=st.booleans(),
)
def test_a_query_finds_exactly_the_rows(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[int, int, float]]],
    series_id: int,
    bounds: tuple[int, int],
    restart: bool,
) -> None:
    folder = tmp_path_factory.mktemp("history")
    limits = HistoryLimits(chunk_rows=20, file_bytes=800)
    history = History(folder, limits)
    expected: dict[int, float] = {}
    for rows in batches:
        history.add(SampleBatch.from_rows("s", rows))
        for number, time_ns, value in rows:
            if number == series_id and bounds[0] <= time_ns < bounds[1]:
                expected[time_ns] = value  # the last to come counts
    if restart:
        history.close()
        history = History(folder, limits)
    found = history.query(series_id, *bounds)
    assert found.time_ns.tolist() == sorted(expected)
    assert found.value.tolist() == [expected[time_ns] for time_ns in sorted(expected)]


def test_flags_and_types_are_kept(tmp_path: Path) -> None:
    batch = SampleBatch(
        "s",
        np.array([1], np.int32),
        np.array([5], np.int64),
        np.array([0.5]),
        np.array([2], np.uint8),
    )
    with closing(History(tmp_path)) as history:
        history.add(batch)
        history.flush()
        found = history.query(1, 0, 10)
        assert found.flags.tolist() == [2]
        assert (found.time_ns.dtype, found.value.dtype) == (
            np.dtype(np.int64),
            np.dtype(np.float64),
        )
        assert len(history.query(2, 0, 10).time_ns) == 0


def test_the_oldest_files_go_when_it_is_too_much(tmp_path: Path) -> None:
    limits = HistoryLimits(chunk_rows=100, file_bytes=4_000, total_bytes=20_000)
    random = np.random.default_rng(1)
    with closing(History(tmp_path, limits)) as history:
        for start in range(0, 20_000, 100):
            times = np.arange(start, start + 100, dtype=np.int64)
            history.add(
                SampleBatch(
                    "s", np.zeros(100, np.int32), times, random.random(100), np.zeros(100, np.uint8)
                )
            )
        assert history.size_bytes <= 20_000
        left = history.query(0, 0, 20_000).time_ns
        assert left[-1] == 19_999
        assert left.tolist() == list(range(left[0], 20_000))
        assert 500 < len(left) < 5_000


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_a_chunk_that_was_cut_off_ends_its_file_only(tmp_path: Path, cut: int) -> None:
    limits = HistoryLimits(chunk_rows=10)
    for start in (0, 10):
        with closing(History(tmp_path, limits)) as history:
            history.add(SampleBatch.from_rows("s", [(1, start + n, 1.5) for n in range(10)]))
    first, second = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-cut])
    with closing(History(tmp_path, limits)) as history:
        assert history.query(1, 0, 100).time_ns.tolist() == list(range(10, 20))
        history.add(SampleBatch.from_rows("s", [(1, 50, 2.5)]))
    with closing(History(tmp_path, limits)) as history:
        assert history.query(1, 0, 100).time_ns.tolist() == [*range(10, 20), 50]
    assert second.exists()


def test_a_chunk_with_a_wrong_checksum_is_left_out(tmp_path: Path) -> None:
    with closing(History(tmp_path)) as history:
        for start in (0, 10):
            history.add(SampleBatch.from_rows("s", [(1, start + n, 1.5) for n in range(10)]))
            history.flush()
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    with closing(History(tmp_path)) as history:
        assert history.query(1, 0, 100).time_ns.tolist() == list(range(10, 20))


def test_what_can_not_be_written_is_told_and_counted(tmp_path: Path) -> None:
    history = History(tmp_path / "history", HistoryLimits(chunk_rows=5))
    (tmp_path / "history").rmdir()
    batch = SampleBatch.from_rows("s", [(1, n, 1.5) for n in range(5)])
    with pytest.raises(StoreError, match="can't be written"):
        history.add(batch)
    assert history.dropped_rows == 5
    (tmp_path / "history").mkdir()
    history.add(batch)
    assert len(history.query(1, 0, 10).time_ns) == 5
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="can't be used"):
        History(tmp_path / "file")
