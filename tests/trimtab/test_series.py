"""Series ids, and where an object belongs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.domain.input import SeriesAdded
from trimtab.domain.series import LABEL_VALUE_BYTES_MAX, LABELS_PER_SERIES_MAX, Series
from trimtab.errors import StoreError
from trimtab.series import KEY_GROUPS, SeriesTable, key_group, shard_of


def test_ids_count_up_from_zero_and_stay() -> None:
    table = SeriesTable()
    up, down = Series.of("up", {"job": "a"}), Series.of("down")
    assert [table.intern(up), table.intern(down), table.intern(up)] == [0, 1, 0]
    assert table.series(1) == down
    assert table.find(Series.of("other")) is None
    assert len(table) == 2
    with pytest.raises(IndexError):
        table.series(-1)


def test_what_is_new_is_taken_once_and_can_be_given_back() -> None:
    table = SeriesTable()
    table.intern(Series.of("a"))
    table.intern(Series.of("b"))
    added = table.take_added()
    assert added == [SeriesAdded(0, Series.of("a")), SeriesAdded(1, Series.of("b"))]
    assert table.take_added() == []
    table.intern(Series.of("c"))
    table.give_back(added[1:])
    assert [item.series_id for item in table.take_added()] == [1, 2]


def test_beyond_the_cap_series_are_refused_and_counted() -> None:
    table = SeriesTable(series_max=1)
    assert table.intern(Series.of("a")) == 0
    assert table.intern(Series.of("b")) is None
    assert table.intern(Series.of("a")) == 0
    assert (table.refused, table.refused_over_cap) == (1, 1)


def test_too_many_or_too_long_labels_are_refused_and_counted() -> None:
    table = SeriesTable()
    many = Series.of("a", {f"l{n}": "v" for n in range(LABELS_PER_SERIES_MAX + 1)})
    long = Series.of("a", {"l": "ü" * (LABEL_VALUE_BYTES_MAX // 2 + 1)})
    assert table.intern(many) is None
    assert table.intern(long) is None
    assert table.refused_labels == 2
    assert table.intern(Series.of("a", {"l": "ü" * (LABEL_VALUE_BYTES_MAX // 2)})) == 0


def test_a_restored_table_goes_on_where_the_other_stopped() -> None:
    first = SeriesTable()
    for name in "abc":
        first.intern(Series.of(name))
    added = first.take_added()
    second = SeriesTable()
    second.restore(added)
    second.restore(added)
    assert second.take_added() == []
    assert second.intern(Series.of("b")) == 1
    assert second.intern(Series.of("d")) == 3


def test_a_gap_or_a_contradiction_is_refused() -> None:
    table = SeriesTable()
    with pytest.raises(StoreError, match="missing"):
        table.restore([SeriesAdded(1, Series.of("a"))])
    table.restore([SeriesAdded(0, Series.of("a"))])
    with pytest.raises(StoreError, match="can't become"):
        table.restore([SeriesAdded(0, Series.of("b"))])


def test_key_groups_are_xxh64() -> None:
    # Fixed for good: shards, and the far side of a distributed run, reckon the same.
    assert key_group("") == 0xEF46DB3751D8E999 % 256
    assert key_group("a") == 0xD24EC4F1A98C6E5B % 256


@given(st.text(max_size=40), st.integers(1, KEY_GROUPS))
def test_every_object_has_one_shard(object_id: str, shards: int) -> None:
    assert 0 <= key_group(object_id) < KEY_GROUPS
    assert 0 <= shard_of(object_id, shards) < shards
    assert shard_of(object_id, 1) == 0


def test_shards_are_about_equal() -> None:
    counts = [0, 0]
    for number in range(2_000):
        counts[shard_of(f"acme/service/s{number}", 2)] += 1
    assert min(counts) > 900
    with pytest.raises(ValueError):
        shard_of("a", 0)
