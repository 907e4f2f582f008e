"""Series and their ids, and which key group and shard an object belongs to (DESIGN section 7)."""

from collections.abc import Iterable

import xxhash

from trimtab.domain.input import SeriesAdded
from trimtab.domain.series import (
    LABEL_VALUE_BYTES_MAX,
    LABELS_PER_SERIES_MAX,
    Series,
    longer_than,
)
from trimtab.errors import StoreError

SERIES_MAX = 1_000_000
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
    """Give every series a number, counting up from 0 (implements `ports.SeriesIndex`).

    New ones wait in `take_added` until the driver journals them, before the first batch that names them.
    What exceeds the cap, or the limits on labels, is refused and counted; a series once known stays known.
    Used from one thread.
    """

    def __init__(self, series_max: int = SERIES_MAX) -> None:
        self._series_max = series_max
        self._ids: dict[Series, int] = {}
        self._series: list[Series] = []
        self._journaled = 0
        self.refused_over_cap = 0
        self.refused_labels = 0

    def __len__(self) -> int:
        return len(self._series)

    @property
    def refused(self) -> int:
        """Return how many requests for an id were turned away, for whatever reason."""
        return self.refused_over_cap + self.refused_labels

    def intern(self, series: Series) -> int | None:
        """Return the id, making one if it is new; None when refused (counted)."""
        known = self._ids.get(series)
        if known is not None:
            return known
        if not _within_limits(series):
            self.refused_labels += 1
            return None
        if len(self._series) >= self._series_max:
            self.refused_over_cap += 1
            return None
        return self._add(series)

    def series(self, series_id: int) -> Series:
        """Return the series of an id. Raises IndexError for an id never given."""
        if series_id < 0:
            raise IndexError(series_id)
        return self._series[series_id]

    def find(self, series: Series) -> int | None:
        """Return the id of a known series, None when it is not known; never makes one."""
        return self._ids.get(series)

    def take_added(self) -> list[SeriesAdded]:
        """Return what is new since the last call, in order of id."""
        added = [
            SeriesAdded(number, self._series[number])
            for number in range(self._journaled, len(self._series))
        ]
        self._journaled = len(self._series)
        return added

    def give_back(self, added: Iterable[SeriesAdded]) -> None:
        """Take back what could not be journaled, so that the next `take_added` returns it again."""
        for item in added:
            self._journaled = min(self._journaled, item.series_id)

    def restore(self, added: Iterable[SeriesAdded]) -> None:
        """Take over what the journal or a snapshot holds. Raises StoreError when ids leave a gap.

        Taking the same one twice changes nothing.
        """
        for item in added:
            if item.series_id < len(self._series):
                if self._series[item.series_id] != item.series:
                    raise StoreError(
                        f"series {item.series_id} is {self._series[item.series_id]}"
                        f" and can't become {item.series}"
                    )
                continue
            if item.series_id != len(self._series):
                raise StoreError(
                    f"series {item.series_id} follows {len(self._series) - 1}: some are missing"
                )
            self._add(item.series)
            self._journaled = len(self._series)

    def _add(self, series: Series) -> int:
        number = len(self._series)
        self._series.append(series)
        self._ids[series] = number
        return number


def _within_limits(series: Series) -> bool:
    if len(series.labels) > LABELS_PER_SERIES_MAX:
        return False
    return not longer_than((value for _, value in series.labels), LABEL_VALUE_BYTES_MAX)
