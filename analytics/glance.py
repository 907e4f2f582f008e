"""A glance at single samples: what breaches an objective by itself is told before its window closes.

A window closes only when a later sample shows that it is whole. The last, greatest and least of a window need not wait
for that where an objective has no hold time: one sample beyond the bound is a breach, whatever else the window holds.
Other statistics, and every end of a breach, wait for the close.
"""

from dataclasses import dataclass

import numpy as np

from analytics.columns import FIRST_CAPACITY
from analytics.kpi import Bools, Floats, Ints
from analytics.rows import Rows
from trimtab.domain.kpi import Statistic
from trimtab.domain.service import Comparator, ServiceLevelObjective

# By which side of a bound one sample is enough.
_SIDES = {
    Statistic.LAST: frozenset({Comparator.AT_MOST, Comparator.AT_LEAST}),
    Statistic.MAX: frozenset({Comparator.AT_MOST}),
    Statistic.MIN: frozenset({Comparator.AT_LEAST}),
}


@dataclass(slots=True)
class Seen:
    """Samples that are beyond some bound, in the order of time, instance and value."""

    instance: Ints
    time: Ints
    value: Floats

    def __len__(self) -> int:
        return len(self.instance)


def told_by_one(statistic: Statistic, objective: ServiceLevelObjective) -> bool:
    """Return whether one sample can breach an objective of a KPI of that statistic."""
    return objective.raise_after_ns == 0 and objective.comparator in _SIDES.get(statistic, ())


class Glance:
    """Keep, for each instance of a lane, between which bounds its samples say nothing; gather those that do."""

    def __init__(self, statistic: Statistic) -> None:
        self._statistic = statistic
        self._high = np.full(FIRST_CAPACITY, np.inf)
        self._low = np.full(FIRST_CAPACITY, -np.inf)
        self._any = False
        self._seen: list[Seen] = []

    def watch(self, instance: int, objective: ServiceLevelObjective) -> None:
        """Look at an instance's samples for the sake of an objective."""
        if not told_by_one(self._statistic, objective):
            return
        if instance >= len(self._high):
            more = max(instance + 1, 2 * len(self._high)) - len(self._high)
            self._high = np.concatenate((self._high, np.full(more, np.inf)))
            self._low = np.concatenate((self._low, np.full(more, -np.inf)))
        self._any = True
        if objective.comparator is Comparator.AT_MOST:
            self._high[instance] = min(self._high[instance], objective.bound)
        else:
            self._low[instance] = max(self._low[instance], objective.bound)

    def forget(self, instances: Ints) -> None:
        """Look at some instances no more."""
        known = instances[instances < len(self._high)]
        self._high[known], self._low[known] = np.inf, -np.inf

    def look(self, rows: Rows, instance: Ints) -> None:
        """Gather what is beyond a bound; samples in doubt tell nothing."""
        if not self._any:
            return
        known = np.minimum(instance, len(self._high) - 1)
        beyond: Bools = (rows.value > self._high[known]) | (rows.value < self._low[known])
        if not beyond.any():
            return
        beyond &= ~rows.doubt & (instance < len(self._high))
        self._seen.append(Seen(instance[beyond], rows.time[beyond], rows.value[beyond]))

    def take(self) -> Seen | None:
        """Return what was gathered, None when it is nothing."""
        gathered, self._seen = self._seen, []
        if not gathered:
            return None
        instance = np.concatenate([item.instance for item in gathered])
        time = np.concatenate([item.time for item in gathered])
        value = np.concatenate([item.value for item in gathered])
        order = np.lexsort((value, instance, time))
        return Seen(instance[order], time[order], value[order])
