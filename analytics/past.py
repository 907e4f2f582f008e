"""The recent past of some KPIs: the values of their last windows, for whoever asks what changed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analytics.columns import Column, Columns
from analytics.kpi import Bools, Floats, Ints
from analytics.rows import Indices

WINDOWS_KEPT = 64
KPIS_KEPT_MAX = 200_000  # of a lane: 264 bytes each


class Past:
    """Remember the windows of a lane's instances, as single precision; NaN where there was no value."""

    def __init__(self) -> None:
        self.table = Columns(
            {"newest": Column("i8", -1), "ring": Column("f4", np.nan, WINDOWS_KEPT)}
        )
        self.left_out = 0
        self._row_of = np.zeros(0, dtype=np.int64)  # by instance; 0: not remembered

    def take(self, instance: Indices, number: Ints, value: Floats, present: Bools) -> None:
        """Remember windows of distinct instances; `number` counts granularity periods."""
        if not len(instance):
            return
        self._reach(int(instance.max()))
        for fresh in instance[self._row_of[instance] == 0].tolist():
            if len(self.table) >= KPIS_KEPT_MAX:
                self.left_out += 1
            else:
                self._row_of[fresh] = self.table.allocate()
        row = self._row_of[instance]
        kept = row > 0
        row, number = row[kept], number[kept]
        sound = present[kept] & (np.abs(value[kept]) <= np.finfo(np.float32).max)
        value = np.where(sound, value[kept], np.nan)
        skipped = np.minimum(number - self.table["newest"][row], WINDOWS_KEPT)
        for each in (skipped > 1).nonzero()[0].tolist():
            gap = (number[each] - np.arange(1, skipped[each])) % WINDOWS_KEPT
            self.table["ring"][row[each], gap] = np.nan
        self.table["ring"][row, number % WINDOWS_KEPT] = value
        self.table["newest"][row] = number

    def _reach(self, instance: int) -> None:
        if instance >= len(self._row_of):
            more = np.zeros(max(instance + 1, 2 * len(self._row_of)) - len(self._row_of), np.int64)
            self._row_of = np.concatenate((self._row_of, more))

    def rows(self, instances: Sequence[int]) -> tuple[list[int], Ints, Floats]:
        """Return those of the instances that are remembered, the numbers of the last periods, and their values.

        Values are [periods, instances], the oldest period first, up to the newest of any of them.
        """
        known = [n for n in instances if n < len(self._row_of) and self._row_of[n] > 0]
        if not known:
            return [], np.zeros(0, dtype=np.int64), np.zeros((0, 0))
        row = self._row_of[known]
        newest = self.table["newest"][row]
        numbers = newest.max() - WINDOWS_KEPT + 1 + np.arange(WINDOWS_KEPT)
        values = self.table["ring"][row[None, :], (numbers % WINDOWS_KEPT)[:, None]]
        there = (numbers[:, None] <= newest) & (numbers[:, None] > newest - WINDOWS_KEPT)
        return known, numbers, np.where(there, values, np.nan).astype(np.float64)

    def forget(self, instances: Ints) -> None:
        """Forget some instances."""
        known = instances[instances < len(self._row_of)]
        rows = self._row_of[known]
        self._row_of[known] = 0
        self.table.release_many(rows[rows > 0])

    def state(self, order: Sequence[int]) -> dict[str, Any]:
        """Return what is remembered of the instances, in that order."""
        places = [at for at, n in enumerate(order) if n < len(self._row_of) and self._row_of[n] > 0]
        rows = [int(self._row_of[order[at]]) for at in places]
        table = self.table.export(rows)
        return {"places": np.array(places, dtype=np.int64), "left_out": self.left_out, **table}

    def load(self, state: dict[str, Any], numbers: Sequence[int | None]) -> None:
        """Take over what `state` gave, under new numbers; None for those that are no more."""
        self.left_out = state["left_out"]
        for at, newest, ring in zip(
            state["places"].tolist(), state["newest"].tolist(), state["ring"], strict=True
        ):
            number = numbers[at]
            if number is not None:
                self._reach(number)
                row = self._row_of[number] = self.table.allocate()
                self.table["newest"][row], self.table["ring"][row] = newest, ring
