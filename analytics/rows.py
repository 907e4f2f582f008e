"""Samples on their way into panes, as columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.kpi import Bools, Floats, Ints

Indices = npt.NDArray[np.intp]


@dataclass(slots=True)
class Rows:
    """Samples on their way into panes: the feed that they belong to, time (ns), value, and whether in doubt."""

    feed: Ints
    time: Ints
    value: Floats
    doubt: Bools

    def __len__(self) -> int:
        return len(self.feed)

    def take(self, index: Indices | Bools) -> "Rows":
        """Return the chosen rows."""
        return Rows(self.feed[index], self.time[index], self.value[index], self.doubt[index])

    def plus(self, other: "Rows") -> "Rows":
        """Return these rows, then the others."""
        if not len(self):
            return other
        if not len(other):
            return self
        return Rows(
            np.concatenate((self.feed, other.feed)),
            np.concatenate((self.time, other.time)),
            np.concatenate((self.value, other.value)),
            np.concatenate((self.doubt, other.doubt)),
        )

    @staticmethod
    def none() -> "Rows":
        """Return no rows."""
        empty = np.zeros(0, dtype=np.int64)
        return Rows(empty, empty, np.zeros(0), np.zeros(0, dtype=np.bool_))
