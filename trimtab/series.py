"""Series and their ids, and which key group and shard an object belongs to (DESIGN section 7)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from trimtab.domain.input import SeriesAdded, SeriesRetired
from trimtab.domain.series import (
    LABEL_VALUE_BYTES_MAX,
    LABELS_PER_SERIES_MAX,
    Series,
    longer_than,
)
from trimtab.errors import StoreError
from trimtab.quota import Quota

ASLEEP_MAX = 1_000_000  # packed: some 600 bytes each
RETIRED_AT_ONCE_MAX = 20_000
NEVER_RETIRED_NS = 2**62  # of one that was interned and has not spoken yet
KEY_GROUPS = 256


def key_group(object_id: str) -> int:
    """Return the key group of an object, 0..255: xxh64 of its id modulo 256."""
    return xxhash.xxh64_intdigest(object_id.encode()) % KEY_GROUPS


def shard_of(object_id: str, shards: int) -> int:
    """Return which of `shards` an object belongs to: equal, contiguous ranges of key groups."""
    if not 1 <= shards <= KEY_GROUPS:
        raise ValueError(f"there are 1 to {KEY_GROUPS} shards, not {shards}")
    return key_group(object_id) * shards // KEY_GROUPS


class SeriesTable:
    """Give every series a number, counting up from 0 and never given twice (implements `ports.SeriesIndex`).

    New ones wait in `take_added` until the driver journals them, before the first batch that names them. A series that
    nobody heard of for long is retired: it sleeps, packed, until it speaks again under the same number, as collectors
    remember numbers. What exceeds a cap, or the limits on labels, is refused and counted. Used from one thread.
    """

    def __init__(self, quota: Quota | None = None, asleep_max: int = ASLEEP_MAX) -> None:
        self.quota = quota or Quota()
        self._asleep_max = asleep_max
        self._ids: dict[Series, int] = {}
        self._series: dict[int, Series] = {}
        self._asleep_ids: dict[bytes, int] = {}
        self._asleep: dict[int, bytes] = {}
        self._next = 0
        self._added: list[SeriesAdded] = []
        self._untold: set[int] = set()  # ids that the journal does not hold yet
        self._heard_ns = np.zeros(0, dtype=np.int64)  # by id; -1 for one that sleeps
        self.refused_labels = 0

    def __len__(self) -> int:
        return len(self._series)

    @property
    def asleep(self) -> int:
        """Return how many series sleep."""
        return len(self._asleep)

    @property
    def refused(self) -> int:
        """Return how many requests for an id were turned away, for whatever reason."""
        return self.quota.refused.total() + self.refused_labels

    def of(self, source: str) -> "SourceIndex":
        """Return the index as one source uses it."""
        return SourceIndex(self, source)

    def intern(self, series: Series, source: str = "") -> int | None:
        """Return the id, making one if it is new; None when refused (counted)."""
        known = self._ids.get(series)
        if known is not None:
            return known
        if not _within_limits(series):
            self.refused_labels += 1
            return None
        sleeping = self._asleep_ids.get(_packed(series)) if self._asleep else None
        if sleeping is not None:
            self._wake(sleeping)
            return sleeping
        if not self.quota.admit(series, source, len(self._series)):
            return None
        return self._add(self._next, series, source)

    def series(self, series_id: int) -> Series:
        """Return the series of an id. Raises IndexError for an id never given, or that of one that sleeps."""
        found = self._series.get(series_id)
        if found is None:
            raise IndexError(series_id)
        return found

    def find(self, series: Series) -> int | None:
        """Return the id of a known series, None when it is not known; never makes one."""
        return self._ids.get(series)

    def known(self) -> list[SeriesAdded]:
        """Return all series that do not sleep and that the journal holds, in order of id. Any thread may ask."""
        untold, series = set(self._untold), list(self._series.items())
        return [
            SeriesAdded(number, each) for number, each in sorted(series) if number not in untold
        ]

    def take_added(self) -> list[SeriesAdded]:
        """Return what is new, or awake again, since the last call, in order; `told` is to be called of it."""
        added, self._added = self._added, []
        return added

    def told(self, inputs: Iterable[object]) -> None:
        """Note what the journal holds now: of its inputs, the series."""
        self._untold.difference_update(
            item.series_id for item in inputs if isinstance(item, SeriesAdded)
        )

    def hear(self, ids: npt.NDArray[np.int32], now_ns: int, source: str = "") -> None:
        """Note that series speak; those that slept are awake again, and new to whoever forgot them."""
        if not len(ids):
            return
        for number in np.unique(ids[self._heard_ns[ids] < 0]).tolist():
            self._wake(number)
        self._heard_ns[ids] = now_ns
        self.quota.meet(ids, source)

    def retire(self, before_ns: int) -> SeriesRetired | None:
        """Let series sleep that were not heard since a time, RETIRED_AT_ONCE_MAX at most; None when there are none."""
        quiet = np.flatnonzero((self._heard_ns >= 0) & (self._heard_ns < before_ns)).tolist()
        room = self._asleep_max - len(self._asleep)
        ids = [number for number in quiet if number in self._series and number not in self._untold]
        ids = ids[: max(0, min(room, RETIRED_AT_ONCE_MAX))]
        for number in ids:
            self._sleep(number)
        return SeriesRetired(tuple(ids)) if ids else None

    def restore(self, told: Iterable[SeriesAdded | SeriesRetired], now_ns: int) -> None:
        """Take over what the journal or a snapshot holds, in order. Raises StoreError when an id means two series.

        They count as heard at `now_ns`. Taking the same one twice changes nothing. What is retired is forgotten: after
        a start nobody remembers its id.
        """
        for item in told:
            if isinstance(item, SeriesRetired):
                for number in item.series_ids:
                    gone = self._series.pop(number, None)
                    if gone is not None:
                        del self._ids[gone]
                        self._heard_ns[number] = -1
                        self.quota.change(number, -1)
                continue
            known = self._series.get(item.series_id)
            if known is not None and known != item.series:
                raise StoreError(
                    f"series {item.series_id} is {known} and can't become {item.series}"
                )
            if known is None:
                self._add(item.series_id, item.series)
                self._added.pop()
                self._untold.discard(item.series_id)
            self._heard_ns[item.series_id] = now_ns

    def _add(self, number: int, series: Series, source: str = "") -> int:
        self.quota.take(number, series, source)
        return self._enter(number, series)

    def _enter(self, number: int, series: Series) -> int:
        self._next = max(self._next, number + 1)
        if number >= len(self._heard_ns):
            more = max(number + 1, 2 * len(self._heard_ns)) - len(self._heard_ns)
            self._heard_ns = np.concatenate((self._heard_ns, np.zeros(more, dtype=np.int64)))
        self._heard_ns[number] = NEVER_RETIRED_NS
        self._series[number] = series
        self._ids[series] = number
        self._added.append(SeriesAdded(number, series))
        self._untold.add(number)
        return number

    def _sleep(self, number: int) -> None:
        series = self._series.pop(number)
        del self._ids[series]
        packed = _packed(series)
        self._asleep[number], self._asleep_ids[packed] = packed, number
        self._heard_ns[number] = -1
        self.quota.change(number, -1)

    def _wake(self, number: int) -> None:
        packed = self._asleep.pop(number, None)
        if packed is not None:
            del self._asleep_ids[packed]
            self._enter(number, _unpacked(packed))
            self.quota.change(number, 1)


@dataclass(frozen=True, slots=True)
class SourceIndex:
    """The index as one source uses it: what it adds counts against its own cap (implements `ports.SeriesIndex`)."""

    table: SeriesTable
    source: str

    def intern(self, series: Series) -> int | None:
        """Return the id, making one if it is new; None when refused (counted)."""
        return self.table.intern(series, self.source)


def _packed(series: Series) -> bytes:
    return json.dumps([series.name, series.labels], separators=(",", ":")).encode()


def _unpacked(packed: bytes) -> Series:
    name, labels = json.loads(packed)
    return Series.of(name, dict(labels))


def _within_limits(series: Series) -> bool:
    if len(series.labels) > LABELS_PER_SERIES_MAX:
        return False
    return not longer_than((value for _, value in series.labels), LABEL_VALUE_BYTES_MAX)
