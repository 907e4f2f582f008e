"""How fast objectives spend their error budgets, over several windows at once (Google SRE Workbook, chapter 5).

The budget of an SLS interval is the share of granularity periods that may miss the bound. Of each pair of windows, the
long one says that enough of the budget went to matter, the short one that it still goes. An alarm needs both.

The long window is reckoned against all periods that it has, not only those that were measured: where little is
measured, one miss among a handful is no fast burn, and only what was really spent counts. The short one is of measured
periods.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.detectors.slots import Field, SlotArrays
from analytics.kpi import Bools, Floats, Ints
from analytics.rows import Indices
from trimtab.domain.alarm import Alarm

# The long window as a part of the interval (of 30 days: an hour, six hours, three days), and how many times faster than
# sustainable it must burn: 2, 5 and 10 % of the budget are gone then.
PARTS = (720, 120, 10)
FACTORS = (14.4, 6.0, 1.0)
BUCKETS = 60  # of a long window
SHORT_BUCKETS = 5  # a twelfth of it
PERIODS_MIN = 12  # a long window of fewer granularity periods tells nothing
EASED = 0.9  # an alarm ends below this share of its factor
PAGE, TICKET = 0, 1
KINDS = ("page", "ticket")
_KIND_OF = (PAGE, PAGE, TICKET)
_WIDTH = BUCKETS * len(PARTS)


@dataclass(frozen=True, slots=True)
class Burnt:
    """An alarm of a goal begins or ends: by which long window, and how many times too fast both windows burn."""

    row: int
    kind: int
    begins: bool
    window_ns: int
    factor: float
    long_rate: float
    short_rate: float


class BurnRates:
    """Keep misses by bucket for every goal that wants it; 1,467 bytes a goal."""

    def __init__(self) -> None:
        self.state = SlotArrays(
            {
                "known": Field("i4", 0, _WIDTH),
                "missed": Field("i4", 0, _WIDTH),
                "newest": Field("i8", 0, len(PARTS)),
                "burning": Field("?", 0, len(PARTS)),
            }
        )
        self.alarms: dict[tuple[int, int], Alarm] = {}  # goal, kind

    def update(
        self, goal: Indices, end_ns: Ints, known: Bools, missed: Bools,
        granularity_ns: int, interval_ns: Ints, allowed_ratio: Floats,
    ) -> list[Burnt]:  # fmt: skip
        """Take in a window of each goal (distinct); return the alarms that begin or end with it."""
        if not len(goal):
            return []
        self.state.reach(goal)
        before = self.state["burning"][goal]
        rates = np.zeros((len(PARTS), 2, len(goal)))
        for place, (part, factor) in enumerate(zip(PARTS, FACTORS, strict=True)):
            long_ns = interval_ns // part
            enough = long_ns >= PERIODS_MIN * granularity_ns
            bucket = np.maximum(long_ns // BUCKETS, granularity_ns)
            self._turn(goal, place, (end_ns - 1) // bucket)
            rates[place] = self._rates(
                goal, place, end_ns, long_ns, bucket, known, missed, granularity_ns, allowed_ratio
            )
            asked = np.where(before[:, place], EASED * factor, factor)
            self.state["burning"][goal, place] = enough & (rates[place] >= asked).all(axis=0)
        return self._changes(goal, before, interval_ns, rates)

    def _turn(self, goal: Indices, place: int, number: Ints) -> None:
        """Empty the buckets between the newest one and the one that a window falls into."""
        newest = self.state["newest"][goal, place]
        # Far back: another interval or granularity counts other buckets.
        steps = np.where(number < newest - BUCKETS, BUCKETS, np.clip(number - newest, 0, BUCKETS))
        moved = steps > 0
        if not moved.any():
            return
        rows = goal[moved]
        first = (newest[moved] + 1)[:, None]
        stale = (np.arange(BUCKETS)[None, :] - first) % BUCKETS < steps[moved][:, None]
        at = place * BUCKETS + np.arange(BUCKETS)
        for name in ("known", "missed"):
            kept = self.state[name][rows[:, None], at]
            self.state[name][rows[:, None], at] = np.where(stale, 0, kept)
        self.state["newest"][rows, place] = number[moved]

    def _rates(
        self, goal: Indices, place: int, end_ns: Ints, long_ns: Ints, bucket: Ints, known: Bools, missed: Bools,
        granularity_ns: int, allowed_ratio: Floats,
    ) -> Floats:  # fmt: skip
        number = (end_ns - 1) // bucket
        newest = self.state["newest"][goal, place]
        recent = number > newest - BUCKETS
        at = place * BUCKETS + number % BUCKETS
        self.state["known"][goal, at] += known & recent
        self.state["missed"][goal, at] += missed & recent
        whole = slice(place * BUCKETS, (place + 1) * BUCKETS)
        age = (newest[:, None] - np.arange(BUCKETS)) % BUCKETS
        span = np.clip(long_ns // bucket, 1, BUCKETS)  # fewer where a bucket is a whole period
        within, short = age < span[:, None], age < -(-span * SHORT_BUCKETS // BUCKETS)[:, None]
        missed_in, known_in = self.state["missed"][goal, whole], self.state["known"][goal, whole]
        spent = (missed_in * within).sum(axis=1) / (span * bucket / granularity_ns)
        measured = np.maximum((known_in * short).sum(axis=1), 1)
        lately = (missed_in * short).sum(axis=1) / measured
        found: Floats = np.stack((spent, lately)) / allowed_ratio
        return found

    def _changes(
        self, goal: Indices, before: Bools, interval_ns: Ints, rates: Floats
    ) -> list[Burnt]:
        after = self.state["burning"][goal]
        found: list[Burnt] = []
        for row in (before != after).any(axis=1).nonzero()[0].tolist():
            for kind in (PAGE, TICKET):
                places = [place for place, of in enumerate(_KIND_OF) if of == kind]
                was, now = before[row, places].any(), after[row, places].any()
                if was != now:
                    side = after if now else before
                    place = next(place for place in places if side[row, place])
                    long_rate, short_rate = rates[place, :, row].tolist()
                    window_ns = int(interval_ns[row]) // PARTS[place]
                    found.append(
                        Burnt(
                            row, kind, bool(now), window_ns, FACTORS[place], long_rate, short_rate
                        )
                    )
        return found

    def alarms_of(self, goal: int) -> list[Alarm]:
        """Return the open alarms of a goal."""
        return [self.alarms[goal, kind] for kind in (PAGE, TICKET) if (goal, kind) in self.alarms]

    def forget(self, goal: int) -> None:
        """Forget a goal and its alarms."""
        self.state.forget(np.array([goal]))
        for kind in (PAGE, TICKET):
            self.alarms.pop((goal, kind), None)

    def export(self, order: list[int]) -> dict[str, Any]:
        """Return the state of some goals, in their order."""
        return {
            "rows": self.state.export(order),
            "alarms": [
                [at, kind, self.alarms[goal, kind]]
                for at, goal in enumerate(order)
                for kind in (PAGE, TICKET)
                if (goal, kind) in self.alarms
            ],
        }

    def load(self, state: dict[str, Any], numbers: list[int | None]) -> None:
        """Take over the state of those goals that exist here."""
        self.state.load(state["rows"], numbers)
        for at, kind, alarm in state["alarms"]:
            goal = numbers[at]
            if goal is not None:
                self.alarms[goal, kind] = alarm
