"""Joins along the topology: series of parts that also feed KPIs of the wholes that rest on them.

A KPI of a VNF `over` its VNFCs reads the series of all of these, together; one of a service those of its whole chain.
Rows are joined, not values: so any statistic holds, and a shard needs nothing of another.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from analytics.binding import Binder, kind_of
from analytics.kpi import Ints
from analytics.topology import Dependencies
from trimtab.domain.series import Series

_UNSEEN, _PLAIN, _FEEDS = 0, 1, 2
WHOLES_PER_SERIES_MAX = 1_000


@dataclass(slots=True)
class Joins:
    """Know, of each series, the slots through which it feeds what its object carries."""

    owns: Callable[[str], bool]
    binder: Binder | None = None
    dependencies: Dependencies = field(default_factory=Dependencies)
    fed: dict[int, dict[str, int]] = field(default_factory=dict)  # series: whole: slot
    left_out: int = 0  # wholes of a series beyond WHOLES_PER_SERIES_MAX
    _state: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # by series

    @property
    def wanted(self) -> bool:
        """Return whether any KPI reads parts."""
        return self.binder is not None and self.binder.joins

    def survey(self, dependencies: Dependencies) -> None:
        """Take over who rests on whom; what series feed is found out anew when they speak next."""
        self.dependencies = dependencies
        self._state[self._state == _FEEDS] = _UNSEEN

    def adopt(self, series_id: int, whole: str, slot: int) -> None:
        """Take over a slot that a series fed before."""
        self.fed.setdefault(series_id, {})[whole] = slot

    def forget(self, series_id: int, whole: str) -> None:
        """Let go of a slot that ended; the series' next row finds out anew what it feeds."""
        slots = self.fed.get(series_id)
        if slots is not None and slots.pop(whole, None) is not None:
            self._state[series_id : series_id + 1] = _UNSEEN

    def drop(self, series_id: int) -> None:
        """Forget a series that has no slot any more."""
        self.fed.pop(series_id, None)
        self._state[series_id : series_id + 1] = _UNSEEN

    def unseen(self, series: Ints) -> list[int]:
        """Return the series of some rows of which it is to be found out what they feed."""
        if not len(series):
            return []
        size = int(series.max()) + 1
        if size > len(self._state):
            more = np.zeros(max(size, 2 * len(self._state)) - len(self._state), dtype=np.int64)
            self._state = np.concatenate((self._state, more))
        fresh = series[(series >= 0) & (self._state[np.maximum(series, 0)] == _UNSEEN)]
        return [int(number) for number in np.unique(fresh)]

    def found_out(self, series_id: int) -> None:
        """Note that all is known of what a series feeds, until the topology changes or a slot ends."""
        self._state[series_id] = _FEEDS

    def feeds(
        self, series_id: int, series: Series, object_id: str, refused: set[str]
    ) -> list[str] | None:
        """Return the wholes that a series feeds, None when no KPI will ever read it as a part's.

        `object_id` is what it speaks of now, empty for nothing; nothing feeds what is `refused`.
        """
        readers = self.binder.readers(series, joined=True) if self.binder else []
        if not readers:
            self._state[series_id] = _PLAIN
            return None
        part = kind_of(object_id)
        kinds = {item.definition.object_kind for item in readers if item.definition.over == part}
        wholes = [
            name
            for name in (self.dependencies.above(object_id) if kinds else ())
            if kind_of(name) in kinds and self.owns(name) and name not in refused
        ]
        self.left_out += max(0, len(wholes) - WHOLES_PER_SERIES_MAX)
        return wholes[:WHOLES_PER_SERIES_MAX]

    def rows(self, series: Ints) -> tuple[Ints, Ints]:
        """Return the rows that feed wholes, once for each whole, and the slot of each."""
        feeding = np.flatnonzero((series >= 0) & (self._state[np.maximum(series, 0)] == _FEEDS))
        slots = [sorted(self.fed.get(number, {}).values()) for number in series[feeding].tolist()]
        rows = np.repeat(feeding, [len(each) for each in slots])
        return rows, np.array([slot for each in slots for slot in each], dtype=np.int64)
