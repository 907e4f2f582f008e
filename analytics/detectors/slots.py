"""Arrays with a row a slot: they grow as slots are used, and a slot that is given up leaves no trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.packing import pack, unpack
from trimtab.errors import JournalCorrupt

SLOTS_MAX = 2_000_000
SNAPSHOT_FORMAT = 1

Slots = npt.NDArray[np.intp]
Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its type, what a fresh row holds, and how many numbers a row has (0: one, without an axis)."""

    dtype: str
    fill: float = 0
    width: int = 0


class SlotArrays:
    """Named columns over slots; a slot is in use when its `seen` is above zero."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = dict(fields)
        self.size = 0
        self.arrays = {name: self._fresh(field, 0) for name, field in self.fields.items()}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.arrays[name]

    @staticmethod
    def _fresh(field: Field, rows: int) -> npt.NDArray[Any]:
        shape = (rows, field.width) if field.width else (rows,)
        # Zeros that nobody wrote to yet take no memory.
        return (
            np.full(shape, field.fill, field.dtype) if field.fill else np.zeros(shape, field.dtype)
        )

    def reach(self, slots: Slots) -> None:
        """Have rows for these slots. Raises ValueError when one is out of range."""
        if not len(slots):
            return
        lowest, highest = int(slots.min()), int(slots.max())
        if lowest < 0 or highest >= SLOTS_MAX:
            raise ValueError(f"slots lie in 0..{SLOTS_MAX - 1}, got {lowest}..{highest}")
        if highest >= self.size:
            more = min(max(highest + 1, 2 * self.size), SLOTS_MAX) - self.size
            for name, field in self.fields.items():
                grown = self._fresh(field, self.size + more)
                grown[: self.size] = self.arrays[name]
                self.arrays[name] = grown
            self.size += more

    def used(self, slots: Slots) -> Bools:
        """Return which slots have taken a value since they were last empty; makes no room for any."""
        if not self.size:
            return np.zeros(len(slots), dtype=np.bool_)
        known = slots < self.size
        found: Bools = known & (self.arrays["seen"][np.where(known, slots, 0)] > 0)
        return found

    def forget(self, slots: Slots) -> None:
        """Make rows as fresh ones; slots that were never reached are left alone."""
        known = slots[slots < self.size]
        for name, field in self.fields.items():
            self.arrays[name][known] = field.fill

    def export(self, order: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the rows of some slots, in that order; a slot never reached is a fresh row."""
        chosen = np.array(order, dtype=np.intp)
        self.reach(chosen)
        return {name: array[chosen] for name, array in self.arrays.items()}

    def load(self, rows: Mapping[str, npt.NDArray[Any]], numbers: Sequence[int | None]) -> None:
        """Put exported rows back under new numbers; None drops a row."""
        kept = np.array([at for at, number in enumerate(numbers) if number is not None], np.intp)
        chosen = np.array([number for number in numbers if number is not None], dtype=np.intp)
        self.reach(chosen)
        for name in self.fields:
            self.arrays[name][chosen] = rows[name][kept]

    def snapshot(self, model: str) -> bytes:
        """Return all rows up to the last one in use."""
        seen = np.flatnonzero(self.arrays["seen"])
        used = int(seen[-1]) + 1 if len(seen) else 0
        rows = {name: array[:used] for name, array in self.arrays.items()}
        return pack({"format": SNAPSHOT_FORMAT, "model": model, "rows": rows})

    def restore(self, blob: bytes, model: str) -> None:
        """Take rows over. Raises JournalCorrupt when format, model or columns are not ours."""
        state = unpack(blob)
        found = (state.get("format"), state.get("model"), set(state.get("rows", ())))
        if found != (SNAPSHOT_FORMAT, model, set(self.fields)):
            raise JournalCorrupt(f"a {model} snapshot of format {state.get('format')} is unknown")
        self.arrays = {
            name: state["rows"][name].astype(field.dtype, copy=False)
            for name, field in self.fields.items()
        }
        self.size = len(self.arrays["seen"])


def rounds(slots: Slots) -> list[npt.NDArray[np.intp]]:
    """Cut rows into rounds of distinct slots that keep the order of each slot: its first value, its second, ..."""
    if not len(slots):
        return []
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    begins = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    starts = np.maximum.accumulate(np.where(begins, np.arange(len(slots)), 0))
    turn = np.empty(len(slots), dtype=np.intp)
    turn[order] = np.arange(len(slots)) - starts
    last = int(turn.max())
    if last == 0:
        return [np.arange(len(slots))]
    by_turn = np.argsort(turn, kind="stable")
    return np.split(by_turn, np.searchsorted(turn[by_turn], np.arange(1, last + 1)))
