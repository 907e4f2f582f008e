"""Lag: how far behind each source is, so that one that is slow is not taken for one whose objects fell silent.

A source that lags goes on speaking, of times long past: its windows wait as long as it is behind. One that speaks no
more is silent, and gets no such time.
"""

from typing import Any

import numpy as np

from analytics.columns import LONG_AGO
from analytics.kpi import Ints
from trimtab.domain.time import NS_PER_SECOND

LAG_MAX_NS = 120 * NS_PER_SECOND


class Lags:
    """Know of each source, by its number, the newest time that it spoke of, and when it spoke last."""

    def __init__(self, sources_max: int) -> None:
        self.newest = np.full(sources_max, LONG_AGO, dtype=np.int64)
        self.spoke = np.full(sources_max, LONG_AGO, dtype=np.int64)

    def hear(self, source: int, newest_ns: int, tick_ns: int) -> None:
        """Note that a source spoke, of times up to one; what lies in the future is as good as now."""
        self.newest[source] = max(int(self.newest[source]), min(newest_ns, tick_ns))
        self.spoke[source] = tick_ns

    def behind(self, tick_ns: int, granularity_ns: int, grace_ns: int) -> Ints | None:
        """Return by how much more than a granularity each source is behind, 0 where it is silent; None: none is."""
        speaks = tick_ns - self.spoke <= granularity_ns + grace_ns
        if not speaks.any():
            return None
        late = np.where(speaks, tick_ns - self.newest - granularity_ns, 0)
        found: Ints = np.clip(late, 0, LAG_MAX_NS)
        return found if found.any() else None

    def state(self) -> dict[str, Any]:
        """Return what changes."""
        return {"newest": self.newest, "spoke": self.spoke}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.newest, self.spoke = state["newest"], state["spoke"]
