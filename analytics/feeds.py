"""Feeds: which slots a lane's instances read, as a table, and by slot."""

from collections.abc import Mapping

import numpy as np

from analytics.columns import Column, Columns
from analytics.kpi import Ints
from analytics.rows import Indices

FIRST_SLOTS = 16


class Feeds(Columns):
    """Hold one row for each (slot, instance, role): `order` is twice the series' id, plus 1 on a divisor's side.

    `of_slot` [slots, most feeds a slot] names the feeds of each slot as they came, 0 behind the last.
    """

    def __init__(self, more: Mapping[str, Column]) -> None:
        super().__init__(
            {
                "instance": Column("i8", 0),
                "slot": Column("i8", 0),
                "order": Column("i8", 0),
                "opened": Column("i8", 0),
                **more,
            }
        )
        self.of_slot = np.zeros((FIRST_SLOTS, 1), dtype=np.int64)

    def add(self, instance: int, slot: int, order: int, opened_ns: int) -> int:
        """Let a slot feed an instance."""
        feed = self.allocate()
        self["instance"][feed] = instance
        self["slot"][feed] = slot
        self["order"][feed] = order
        self["opened"][feed] = opened_ns
        self._enter(slot, feed)
        return feed

    def _enter(self, slot: int, feed: int) -> None:
        rows, width = self.of_slot.shape
        used = int(np.count_nonzero(self.of_slot[slot])) if slot < rows else 0
        if slot >= rows or used == width:
            wider = width + (used == width)
            grown = np.zeros((max(rows, 2 * slot if slot >= rows else 0), wider), dtype=np.int64)
            grown[:rows, :width] = self.of_slot
            self.of_slot = grown
        self.of_slot[slot, used] = feed

    def at(self, slot: int) -> list[int]:
        """Return the feeds of a slot."""
        if slot >= len(self.of_slot):
            return []
        row: list[int] = self.of_slot[slot].tolist()
        return [feed for feed in row if feed]

    def of_slots(self, slots: Ints) -> tuple[Indices, Ints]:
        """Return the feeds of some slots: for each the place of its slot, and its number."""
        known = slots < len(self.of_slot)
        feeds = self.of_slot[np.where(known, slots, 0)]
        if feeds.shape[1] == 1:
            row = feeds[:, 0].nonzero()[0]
            return row, feeds[row, 0]
        row, column = np.nonzero(feeds)
        return row, feeds[row, column]

    def of_instances(self, instances: Ints) -> Indices:
        """Return the feeds of some instances."""
        mask = np.zeros(int(self["instance"].max(initial=0)) + 1, dtype=np.bool_)
        mask[instances[instances < len(mask)]] = True
        mask[0] = False
        found: Indices = np.flatnonzero(mask[self["instance"]])
        return found

    def alive(self) -> Indices:
        """Return all feeds."""
        found: Indices = np.flatnonzero(self["instance"])
        return found

    def remove(self, feeds: Indices) -> None:
        """Forget some feeds."""
        for slot in np.unique(self["slot"][feeds]).tolist():
            row = self.of_slot[slot]
            kept = row[(row > 0) & ~np.isin(row, feeds)]
            row[:] = 0
            row[: len(kept)] = kept
        self.release_many(feeds)
