"""Budgets: how many granularity periods of an SLS interval had a value, and how many of these kept to the bound."""

import numpy as np

from analytics.columns import Column, Columns
from analytics.kpi import Bools, Floats, Ints

_NONE = -1


class Budgets(Columns):
    """Hold a row for each goal of a service; row 0, of the goals of resources, stays empty."""

    def __init__(self) -> None:
        super().__init__(
            {"number": Column("i8", _NONE), "known": Column("i8", 0), "good": Column("i8", 0)}
        )

    def reckon(self, rows: Ints, interval: Ints, end: Ints, present: Bools, beyond: Floats) -> None:
        """Count periods that end at `end`, one of each row; what is beyond its bound by more than 0 is not good."""
        number = (end - 1) // interval
        same = number == self["number"][rows]
        known = np.where(same, self["known"][rows], 0) + present
        good = np.where(same, self["good"][rows], 0) + (present & (beyond <= 0))
        self["number"][rows], self["known"][rows], self["good"][rows] = number, known, good
