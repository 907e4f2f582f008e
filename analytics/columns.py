"""Tables of numpy columns whose rows come and go: what all of the assessor's state is kept in."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FIRST_CAPACITY = 16
NEVER = np.iinfo(np.int64).max
LONG_AGO = np.iinfo(np.int64).min // 2


class Column(NamedTuple):
    """Describe one column: its type, what a fresh row holds, and how wide a row is (0: one value)."""

    dtype: str
    fill: float
    width: int = 0


class Columns:
    """Hold rows by number. Row 0 belongs to nobody: "none" is a number that may be used as an index.

    A released row is taken again, the lowest first, so that numbers stay dense.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        self.arrays: dict[str, npt.NDArray[Any]] = {
            name: _grown(
                np.zeros((0, column.width) if column.width else 0, column.dtype),
                column,
                FIRST_CAPACITY,
            )
            for name, column in self.columns.items()
        }
        self.capacity = FIRST_CAPACITY
        self.used = 1
        self.free: list[int] = []

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.arrays[name]

    def __len__(self) -> int:
        return self.used - 1 - len(self.free)

    def allocate(self) -> int:
        """Return the number of a fresh row."""
        if self.free:
            return heapq.heappop(self.free)
        if self.used == self.capacity:
            for name, column in self.columns.items():
                self.arrays[name] = _grown(self.arrays[name], column, 2 * self.capacity)
            self.capacity *= 2
        self.used += 1
        return self.used - 1

    def release(self, row: int) -> None:
        """Give a row back, filled as a fresh one."""
        for name, column in self.columns.items():
            self.arrays[name][row] = column.fill
        heapq.heappush(self.free, row)

    def release_many(self, rows: npt.NDArray[Any]) -> None:
        """Give some rows back."""
        for name, column in self.columns.items():
            self.arrays[name][rows] = column.fill
        for row in rows.tolist():
            heapq.heappush(self.free, row)

    def export(self, rows: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the chosen rows, in that order."""
        chosen = np.array(rows, dtype=np.int64)
        return {name: array[chosen] for name, array in self.arrays.items()}

    def load(self, rows: Sequence[int], state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put exported rows back under the numbers given."""
        chosen = np.array(rows, dtype=np.int64)
        for name in self.columns:
            self.arrays[name][chosen] = state[name]


def _grown(array: npt.NDArray[Any], column: Column, rows: int) -> npt.NDArray[Any]:
    """Return a column with more rows. Rows of zeros that nobody wrote to yet take no memory."""
    grown: npt.NDArray[Any] = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    if column.fill != 0:
        grown[len(array) :] = column.fill
    return grown
