"""Objectives: from a KPI's value to fulfilled or not, with hysteresis, hold times and the error budget."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.columns import NEVER, Column, Columns
from analytics.kpi import Bools, Floats, Ints
from analytics.windows import Closed, Indices
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import FulfilmentStatus
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective

UNJUDGED, FULFILLED, BREACHED, UNKNOWN = 0, 1, 2, 3
STATUS = {
    FULFILLED: FulfilmentStatus.FULFILLED,
    BREACHED: FulfilmentStatus.NOT_FULFILLED,
    UNKNOWN: FulfilmentStatus.INDETERMINATE,
}
GoalKey = tuple[str, str]  # object id, objective's name
_NONE = -1


@dataclass(slots=True)
class Judged:
    """What a round of closed windows means for the goals that read them; `at` points into the windows."""

    goal: Indices
    at: Indices
    before: Ints
    observed: Ints
    raised: Bools
    cleared: Bools


class Goals:
    """Hold one goal for every (object, objective) of a lane.

    A goal is latched while its objective is breached: that takes `raise_after_ns` of windows beyond the bound
    in a row, and `clear_after_ns` of windows better than it by the hysteresis to end. A window without a value
    breaks either run. Suspect windows neither start nor end anything.
    """

    def __init__(self) -> None:
        self.table = Columns(
            {
                "instance": Column("i8", 0),
                "object": Column("i8", 0),
                "bound": Column("f8", 0.0),
                "sign": Column("f8", 1.0),
                "hysteresis": Column("f8", 0.0),
                "raise_after": Column("i8", 0),
                "clear_after": Column("i8", 0),
                "service": Column("?", 0),
                "interval": Column("i8", NEVER),
                "observed": Column("i1", UNJUDGED),
                "latched": Column("?", 0),
                "since": Column("i8", 0),
                "pending": Column("i8", _NONE),
                "interval_number": Column("i8", _NONE),
                "known": Column("i8", 0),
                "good": Column("i8", 0),
            }
        )
        self.objectives: dict[int, ServiceLevelObjective] = {}
        self.keys: dict[int, GoalKey] = {}
        self.numbers: dict[GoalKey, int] = {}
        self.alarms: dict[int, Alarm] = {}

    STATE = ("observed", "latched", "since", "pending", "interval_number", "known", "good")

    def add(
        self,
        object_id: str,
        object_number: int,
        instance: int,
        objective: ServiceLevelObjective,
        service: Service | None,
    ) -> int:
        """Judge an instance by an objective from now on."""
        goal = self.table.allocate()
        self.keys[goal] = (object_id, objective.name)
        self.numbers[self.keys[goal]] = goal
        self.objectives[goal] = objective
        table = self.table
        table["instance"][goal] = instance
        table["object"][goal] = object_number
        table["bound"][goal] = objective.bound
        table["sign"][goal] = 1.0 if objective.comparator is Comparator.AT_MOST else -1.0
        table["hysteresis"][goal] = objective.hysteresis
        table["raise_after"][goal] = objective.raise_after_ns
        table["clear_after"][goal] = objective.clear_after_ns
        if service is not None:
            table["service"][goal] = True
            table["interval"][goal] = max(1, service.interval_ns)
        return goal

    def remove(self, goal: int) -> None:
        """Judge no more."""
        self.objectives.pop(goal)
        self.alarms.pop(goal, None)
        del self.numbers[self.keys.pop(goal)]
        self.table.release(goal)

    def of_instance(self, instance: int) -> list[int]:
        """Return the goals that read an instance."""
        found: list[int] = np.flatnonzero(self.table["instance"] == instance).tolist()
        return found

    def judge(
        self,
        closed: Closed,
        warming: Bools,
        suspect: Bools,
        heard: Bools,
        breaches: Ints,
        size: int,
    ) -> Judged | None:
        """Judge the windows that closed; None when no goal reads any of them.

        `size` is the number of instances. `heard` says that a source which feeds the KPI did speak of the
        object in that window, `breaches` (by object number) how many goals are latched: having nothing to measure
        (no frame came through) is no doubt about an object that its own source calls broken.
        """
        table = self.table
        position = np.full(size, _NONE, dtype=np.int64)
        position[closed.instance[~warming]] = np.flatnonzero(~warming)
        position[0] = _NONE
        at_all = position[table["instance"]]
        goal = np.flatnonzero(at_all >= 0)
        if not goal.size:
            return None
        at = at_all[goal]
        present, end = closed.present[at], closed.end_ns[at]
        beyond = table["sign"][goal] * (closed.value[at] - table["bound"][goal])
        latched = table["latched"][goal]
        others = breaches[table["object"][goal]] - latched
        excused = ~present & heard[at] & (others > 0)
        raised, cleared = self._latch(goal, present, beyond, end, suspect[at])
        latched = (latched | raised) & ~cleared
        before = table["observed"][goal].astype(np.int64)
        observed = np.where(latched, BREACHED, FULFILLED)
        undecided = (before == UNJUDGED) | (before == UNKNOWN)
        held = present & ~latched & (beyond > 0) & undecided
        observed = np.where(held, before, observed)
        observed = np.where(present | excused, observed, UNKNOWN)
        self._note(goal, before, observed, end)
        np.add.at(breaches, table["object"][goal], raised.astype(np.int64) - cleared)
        self._reckon(goal, end, present, beyond)
        return Judged(goal, at, before, observed, raised, cleared)

    def _latch(
        self, goal: Indices, present: Bools, beyond: Floats, end: Ints, suspect: Bools
    ) -> tuple[Bools, Bools]:
        table = self.table
        latched, pending = table["latched"][goal], table["pending"][goal]
        better = beyond <= -table["hysteresis"][goal]
        turning = present & np.where(latched, better, beyond > 0)
        pending = np.where(turning & ~suspect & (pending < 0), end, pending)
        pending = np.where(turning, pending, _NONE)
        hold = np.where(latched, table["clear_after"][goal], table["raise_after"][goal])
        turned = turning & ~suspect & (pending >= 0) & (end - pending >= hold)
        table["latched"][goal] = latched ^ turned
        raised = turned & ~latched
        table["since"][goal] = np.where(
            turned, np.where(raised, pending, end), table["since"][goal]
        )
        table["pending"][goal] = np.where(turned, _NONE, pending)
        return raised, turned & latched

    def _note(self, goal: Indices, before: Ints, observed: Ints, end: Ints) -> None:
        changed = before != observed
        table = self.table
        fresh = changed & (observed != BREACHED)
        table["since"][goal] = np.where(fresh, end, table["since"][goal])
        table["observed"][goal] = observed

    def _reckon(self, goal: Indices, end: Ints, present: Bools, beyond: Floats) -> None:
        """Count granularity periods with a value, and those within the bound, over the SLS interval."""
        table = self.table
        if not table["service"][goal].any():
            return
        number = (end - 1) // table["interval"][goal]
        same = number == table["interval_number"][goal]
        known = np.where(same, table["known"][goal], 0) + present
        good = np.where(same, table["good"][goal], 0) + (present & (beyond <= 0))
        table["interval_number"][goal], table["known"][goal], table["good"][goal] = (
            number,
            known,
            good,
        )

    def compliance(self, goal: int, granularity_ns: int) -> tuple[FulfilmentStatus, float | None]:
        """Return whether the SLS interval so far meets its target, and the share of the error budget left.

        The budget is the number of granularity periods of the whole interval that may miss the bound.
        """
        known, good = int(self.table["known"][goal]), int(self.table["good"][goal])
        if known == 0:
            return FulfilmentStatus.INDETERMINATE, None
        target = self.objectives[goal].target_ratio
        periods = int(self.table["interval"][goal]) / granularity_ns
        allowed = max(1.0, (1.0 - target) * periods)
        met = good >= target * known
        status = FulfilmentStatus.FULFILLED if met else FulfilmentStatus.NOT_FULFILLED
        return status, 1.0 - (known - good) / allowed

    def state(self, order: list[int]) -> dict[str, Any]:
        """Return what changes, goal by goal."""
        exported = self.table.export(order)
        return {
            "keys": [list(self.keys[goal]) for goal in order],
            "table": {name: exported[name] for name in self.STATE},
            "alarms": [self.alarms.get(goal) for goal in order],
        }

    def load(self, state: dict[str, Any], breaches: Ints) -> None:
        """Take over the state of those goals that exist here."""
        for row, key in enumerate(state["keys"]):
            goal = self.numbers.get((key[0], key[1]))
            if goal is None:
                continue
            for column in self.STATE:
                self.table[column][goal] = state["table"][column][row]
            if state["alarms"][row] is not None:
                self.alarms[goal] = state["alarms"][row]
            breaches[self.table["object"][goal]] += int(self.table["latched"][goal])
