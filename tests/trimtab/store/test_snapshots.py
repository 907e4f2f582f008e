"""Snapshots: whole or not at all, thrown away whenever there is doubt."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import StoreError
from trimtab.store.snapshots import (
    SNAPSHOTS_KEPT,
    Snapshot,
    Snapshots,
    decode_snapshot,
    encode_snapshot,
)

PARTS = {"assessor": b"\x00\x01" * 300, "correlator": b"{}", "driver": b""}


def test_the_newest_of_the_same_code_is_loaded(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    assert snapshots.load_latest("1.0") is None
    snapshots.save(9, "1.0", PARTS)
    snapshots.save(100, "1.0", {**PARTS, "driver": b"later"})
    found = snapshots.load_latest("1.0")
    assert found == Snapshot(100, "1.0", {**PARTS, "driver": b"later"})
    assert snapshots.load_latest("1.1") is None
    assert snapshots.load_latest("1.0", seq_max=99) == Snapshot(9, "1.0", PARTS)
    assert snapshots.load_latest("1.0", seq_max=8) is None


def test_only_a_few_are_kept(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    for seq in range(10):
        assert snapshots.save(seq, "1.0", PARTS) > 600
    assert len(list(tmp_path.iterdir())) == SNAPSHOTS_KEPT


def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    snapshots.save(1, "1.0", PARTS)
    snapshots.save(2, "1.0", PARTS)
    newest = max(tmp_path.iterdir())
    blob = newest.read_bytes()
    for damaged in (b"", blob[:5], blob[:-1], blob[:40] + b"?" + blob[41:], b"X" + blob[1:]):
        newest.write_bytes(damaged)
        found = snapshots.load_latest("1.0")
        assert found is not None
        assert found.seq == 1
    newest.write_bytes(blob)
    assert snapshots.load_latest("1.0") == Snapshot(2, "1.0", PARTS)


def test_a_newer_format_is_thrown_away() -> None:
    blob = bytearray(encode_snapshot(Snapshot(1, "1.0", PARTS)))
    blob[8] = 2
    assert decode_snapshot(bytes(blob)) is None


def test_half_a_file_of_a_crash_is_not_seen(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    (tmp_path / "unfinished.snapshot").write_bytes(b"half")
    assert snapshots.load_latest("1.0") is None
    snapshots.save(1, "1.0", PARTS)
    assert [path.name for path in tmp_path.iterdir()] == [f"state-{1:020d}.snapshot"]


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="can't be written"):
        Snapshots(tmp_path / "file").save(1, "1.0", PARTS)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(-1, 2**60),
    st.text(max_size=8),
    st.dictionaries(st.text(max_size=8), st.binary(max_size=50), max_size=4),
)
def test_every_snapshot_comes_back_and_equal_ones_are_equal_bytes(
    seq: int, code: str, parts: dict[str, bytes]
) -> None:
    blob = encode_snapshot(Snapshot(seq, code, parts))
    assert decode_snapshot(blob) == Snapshot(seq, code, parts)
    turned = dict(reversed(parts.items()))
    assert encode_snapshot(Snapshot(seq, code, turned)) == blob


def test_what_format_1_wrote_is_read(repo_root: Path) -> None:
    blob = (repo_root / "tests" / "golden" / "snapshot-1.bin").read_bytes()
    assert decode_snapshot(blob) == Snapshot(41, "0.1.0", {"a": b"\x00\xff", "b": b""})
