"""Chunks of the history give every bit back, in every shape that a column can have; older ones are still read."""

import struct
import zlib
from pathlib import Path

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import StoreError
from trimtab.store import history_chunk
from trimtab.store.history import History
from trimtab.store.history_chunk import (
    HEAD,
    ChunkHead,
    HistoryRows,
    decode_chunk,
    encode_chunk,
    parse_head,
)

VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**60), 2**60).map(float),
    st.integers(-(10**6), 10**6).map(lambda number: number / 1_000.0),
    st.just(-0.0),
)
TIMES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(0, 10**9).map(lambda number: number * 10**9)
)
ROWS = st.lists(st.tuples(st.integers(0, 2**31 - 1) | st.integers(0, 3), TIMES, VALUES,
                          st.integers(0, 3)), min_size=1, max_size=40)  # fmt: skip
SHAPE_AT = HEAD.size + 1


def _rows(rows: list[tuple[int, int, float, int]]) -> HistoryRows:
    return HistoryRows(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], np.uint8),
    )


def _head(chunk: bytes) -> ChunkHead:
    head = parse_head(chunk[: HEAD.size], 0, len(chunk))
    assert head is not None
    return head


@settings(max_examples=200, deadline=None)
@given(ROWS, st.sampled_from([1, 8, 4_096]))
def test_every_row_of_every_series_comes_back(
    rows: list[tuple[int, int, float, int]], block_rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_chunk, "BLOCK_ROWS", block_rows)
        _comes_back(rows)


def _comes_back(rows: list[tuple[int, int, float, int]]) -> None:
    chunk = encode_chunk(_rows(rows).in_order())
    head = _head(chunk)
    for series_id in {row[0] for row in rows}:
        found = decode_chunk(head, chunk[head.start : head.end], series_id)
        assert found is not None
        expected = [row for row in rows if row[0] == series_id]
        expected.sort(key=lambda row: row[1])
        assert found.time_ns.tolist() == [row[1] for row in expected]
        assert found.value.tobytes() == np.array([row[2] for row in expected]).tobytes()
        assert found.flags.tolist() == [row[3] for row in expected]
        assert head.may_hold(series_id, expected[0][1], 2**63)


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (np.arange(500.0) % 7, 0),
        (np.arange(500.0) % 7 / 100, 2),
        (np.arange(0.0, 5e8, 1e6) + np.arange(500.0) % 3, 4),
        (1.0 + np.arange(500) * 1e-7 * np.pi, 9),
        (np.tile(np.random.default_rng(1).standard_normal(5), 100), 8),
    ],
)
def test_a_column_gets_the_shape_that_suits_it(values: np.ndarray, shape: int) -> None:
    rows = HistoryRows(
        np.ones(500, np.int32), np.arange(500, dtype=np.int64), values, np.zeros(500, np.uint8)
    )
    chunk = encode_chunk(rows)
    assert chunk[SHAPE_AT] == shape
    found = decode_chunk(_head(chunk), chunk[HEAD.size :], 1)
    assert found is not None
    assert found.value.tobytes() == values.tobytes()


def test_regular_samples_take_little() -> None:
    random = np.random.default_rng(1)
    rows = HistoryRows(
        np.tile(np.arange(100, dtype=np.int32), 100),
        np.repeat(np.arange(100, dtype=np.int64) * 10**9, 100),
        random.integers(10, 80, 10_000).astype(np.float64),
        np.zeros(10_000, np.uint8),
    )
    assert len(encode_chunk(rows.in_order())) < 1.2 * len(rows)


def test_a_chunk_of_the_first_format_is_still_read(tmp_path: Path) -> None:
    columns = (
        np.array([1, 1, 2], "<i4"), np.array([5, 6, 7], "<i8"), np.array([0.5, -0.0, 3.0], "<f8"),
        np.array([0, 1, 2], "u1"),
    )  # fmt: skip
    packed = bytes(cramjam.lz4.compress_block(b"".join(column.tobytes() for column in columns)))
    head = struct.pack(
        "<4sHHIiiqqII", b"TTHC", 1, 0, 3, 1, 2, 5, 7, len(packed), zlib.crc32(packed)
    )
    (tmp_path / "samples-0000000000.columns").write_bytes(head + packed)
    found = History(tmp_path).query(1, 0, 10)
    assert found.time_ns.tolist() == [5, 6]
    assert found.value.tobytes() == np.array([0.5, -0.0]).tobytes()
    assert found.flags.tolist() == [0, 1]


def test_a_chunk_of_a_newer_format_ends_its_file(tmp_path: Path) -> None:
    chunk = bytearray(encode_chunk(_rows([(1, 5, 0.5, 0)])))
    chunk[4] = 3
    (tmp_path / "samples-0000000000.columns").write_bytes(chunk)
    assert len(History(tmp_path).query(1, 0, 10).time_ns) == 0


@pytest.mark.parametrize("at", [1, 3, 12])
def test_columns_that_make_no_sense_are_reported(at: int) -> None:
    chunk = encode_chunk(_rows([(1, 5, 0.5, 0), (1, 6, 0.5, 0)]))
    packed = bytearray(chunk[HEAD.size :])
    packed[at] ^= 0xFF
    head = _head(chunk)
    assert decode_chunk(head, bytes(packed), 1) is None
    sealed = ChunkHead(head.format, 2, 1, 1, 5, 6, zlib.crc32(packed), head.start, head.end)
    with pytest.raises(StoreError, match="makes no sense"):
        decode_chunk(sealed, bytes(packed), 1)
