"""Series ids, and where an object belongs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.domain.input import SeriesAdded, SeriesRetired
from trimtab.domain.series import LABEL_VALUE_BYTES_MAX, LABELS_PER_SERIES_MAX, Series
from trimtab.errors import StoreError
from trimtab.quota import Quota, SeriesLimits
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


def test_what_is_new_is_taken_once_and_known_when_the_journal_holds_it() -> None:
    table = SeriesTable()
    table.intern(Series.of("a"))
    table.intern(Series.of("b"))
    added = table.take_added()
    assert added == [SeriesAdded(0, Series.of("a")), SeriesAdded(1, Series.of("b"))]
    assert table.take_added() == []
    assert table.known() == []
    table.told(added[1:])
    assert table.known() == added[1:]


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


def spoken(table: SeriesTable, *names: str, at_ns: int) -> None:
    """Let series speak, and the journal take them."""
    numbers = [table.intern(Series.of(name)) for name in names]
    table.hear(ids(*(number for number in numbers if number is not None)), at_ns)
    table.told(table.take_added())


def test_a_silent_series_sleeps_and_keeps_its_id() -> None:
    table = SeriesTable(Quota(SeriesLimits(all=2)))
    spoken(table, "a", "b", at_ns=100)
    table.hear(ids(1), 200)
    assert table.retire(150) == SeriesRetired((0,))
    assert (len(table), table.asleep) == (1, 1)
    assert table.retire(150) is None
    with pytest.raises(IndexError):
        table.series(0)
    spoken(table, "c", at_ns=200)  # it has the room of the one that sleeps
    assert table.find(Series.of("c")) == 2
    # A collector that remembers the id goes on using it.
    table.hear(ids(0, 0, 1), 300)
    assert table.take_added() == [SeriesAdded(0, Series.of("a"))]
    assert table.series(0) == Series.of("a")
    assert table.asleep == 0


def test_one_that_forgot_the_id_finds_it_again() -> None:
    table = SeriesTable()
    spoken(table, "a", at_ns=100)
    table.retire(150)
    assert table.intern(Series.of("a")) == 0
    assert table.take_added() == [SeriesAdded(0, Series.of("a"))]


def test_what_the_journal_does_not_hold_yet_is_not_retired() -> None:
    table = SeriesTable()
    table.intern(Series.of("a"))
    table.hear(ids(0), 1)
    assert table.retire(100) is None


def test_so_many_sleep_at_most() -> None:
    table = SeriesTable(Quota(SeriesLimits(all=2)), asleep_max=1)
    spoken(table, "a", "b", at_ns=1)
    assert table.retire(100) == SeriesRetired((0,))
    assert table.retire(100) is None
    spoken(table, "c", at_ns=1)
    assert table.intern(Series.of("d")) is None
    assert table.refused == 1


def test_what_was_retired_is_forgotten_by_a_restart_and_its_id_is_not_given_again() -> None:
    told: list[SeriesAdded | SeriesRetired] = [
        SeriesAdded(0, Series.of("a")), SeriesAdded(1, Series.of("b")), SeriesRetired((0, 1)),
        SeriesAdded(1, Series.of("b")),
    ]  # fmt: skip
    table = SeriesTable()
    table.restore(told, 5)
    assert table.known() == [SeriesAdded(1, Series.of("b"))]
    assert table.intern(Series.of("a")) == 2
    assert table.retire(6) == SeriesRetired((1,))


def test_beyond_the_cap_series_are_refused_and_counted() -> None:
    table = SeriesTable(Quota(SeriesLimits(all=1)))
    assert table.intern(Series.of("a")) == 0
    assert table.intern(Series.of("b")) is None
    assert table.intern(Series.of("a")) == 0
    assert table.refused == 1
    assert table.quota.refused == {("all", ""): 1}


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
    second.restore(added, 1)
    second.restore(added, 1)
    assert second.take_added() == []
    assert second.intern(Series.of("b")) == 1
    assert second.intern(Series.of("d")) == 3


def test_a_contradiction_is_refused() -> None:
    table = SeriesTable()
    table.restore([SeriesAdded(0, Series.of("a"))], 1)
    with pytest.raises(StoreError, match="can't become"):
        table.restore([SeriesAdded(0, Series.of("b"))], 1)


def tenant_of(series: Series) -> str:
    return series.label("tenant") or ""


def test_a_source_takes_no_more_room_than_is_its_own() -> None:
    table = SeriesTable(Quota(SeriesLimits(all=10, per_source=2)))
    one, other = table.of("rw/a"), table.of("rw/b")
    assert [one.intern(Series.of(name)) for name in "abc"] == [0, 1, None]
    assert other.intern(Series.of("c")) == 2
    assert one.intern(Series.of("c")) == 2  # known already
    assert table.quota.refused == {("source", "rw/a"): 1}
    table.told(table.take_added())
    table.hear(ids(0, 1, 2), 1)
    table.hear(ids(0, 2), 200)
    table.retire(100)  # b sleeps
    assert one.intern(Series.of("d")) == 3
    assert one.intern(Series.of("e")) is None


def test_a_tenant_takes_no_more_room_than_is_its_own() -> None:
    table = SeriesTable(Quota(SeriesLimits(all=10, per_tenant=1), tenant_of))
    acme = [Series.of(name, {"tenant": "acme"}) for name in "ab"]
    assert [table.intern(each) for each in acme] == [0, None]
    assert table.intern(Series.of("a", {"tenant": "globex"})) == 1
    assert table.quota.refused == {("tenant", "acme"): 1}


def test_whose_restored_series_are_shows_when_they_speak() -> None:
    table = SeriesTable(Quota(SeriesLimits(all=10, per_source=2)))
    table.restore([SeriesAdded(0, Series.of("a")), SeriesAdded(1, Series.of("b"))], 1)
    assert table.of("rw/a").intern(Series.of("c")) == 2
    table.hear(ids(0), 2, "rw/a")
    assert table.of("rw/a").intern(Series.of("d")) is None
    table.hear(ids(1), 2, "rw/b")
    assert table.of("rw/b").intern(Series.of("d")) == 3


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
