"""Objectives: from a KPI's value to fulfilled or not, with hysteresis, hold times and the error budget."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analytics.burn_rate import BurnRates, Burnt
from analytics.columns import FIRST_CAPACITY, NEVER, Column, Columns
from analytics.forecast.breach import BreachForecaster
from analytics.kpi import Bools, Floats, Ints
from analytics.packing import Plain
from analytics.rota import lot
from analytics.rows import Indices
from analytics.windows import Closed, Lane, period_starts
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
Foretold = tuple[int, float, float, float]  # state, and samples to a breach: expected, least, most
_NONE = -1


@dataclass(slots=True)
class Judged:
    """What a round of closed windows means for the goals that read them; `at` points into the windows."""

    goal: Indices
    at: Indices
    told: Ints
    observed: Ints
    raised: Bools
    cleared: Bools
    latched: Bools
    beyond: Floats
    since: Ints
    known: Ints
    good: Ints
    burnt: list[Burnt] = field(default_factory=list)


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
                "next": Column("i8", 0),
                "object": Column("i8", 0),
                "bound": Column("f8", 0.0),
                "sign": Column("f8", 1.0),
                "hysteresis": Column("f8", 0.0),
                "raise_after": Column("i8", 0),
                "clear_after": Column("i8", 0),
                "by_one": Column("?", 0),
                "service": Column("?", 0),
                "burns": Column("?", 0),
                "allowed": Column("f8", 1.0),
                "interval": Column("i8", NEVER),
                "lot": Column("u8", 0),
                "observed": Column("i1", UNJUDGED),
                "told": Column("i1", UNJUDGED),
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
        # The goals of an instance are a chain: its first, then each one's `next`, 0 at the end.
        self._first = np.zeros(FIRST_CAPACITY, dtype=np.int64)
        self.forecaster = BreachForecaster()
        self.burn_rates = BurnRates()
        self.held_back = 0  # changes, once for each round in which they were

    STATE = ("observed", "told", "latched", "since", "pending", "interval_number", "known", "good")

    def add(
        self,
        object_id: str,
        object_number: int,
        instance: int,
        objective: ServiceLevelObjective,
        service: Service | None,
        by_one: bool = False,
    ) -> int:
        """Judge an instance by an objective from now on; `by_one`: a single sample may breach it."""
        goal = self.table.allocate()
        self.keys[goal] = (object_id, objective.name)
        self.numbers[self.keys[goal]] = goal
        self.objectives[goal] = objective
        table = self.table
        table["instance"][goal] = instance
        if instance >= len(self._first):
            more = np.zeros(instance + 1, dtype=np.int64)
            self._first = np.concatenate((self._first, more))
        table["next"][goal], self._first[instance] = self._first[instance], goal
        table["object"][goal] = object_number
        table["lot"][goal] = lot(object_id, objective.name)
        table["bound"][goal] = objective.bound
        table["sign"][goal] = 1.0 if objective.comparator is Comparator.AT_MOST else -1.0
        table["hysteresis"][goal] = objective.hysteresis
        table["raise_after"][goal] = objective.raise_after_ns
        table["clear_after"][goal] = objective.clear_after_ns
        table["by_one"][goal] = by_one
        if service is not None:
            table["service"][goal] = True
            table["interval"][goal] = max(1, service.interval_ns)
            table["burns"][goal] = objective.burn_rate_alarms
            table["allowed"][goal] = 1.0 - objective.target_ratio
        return goal

    def remove(self, goal: int) -> None:
        """Judge no more; the alarms of its burn rates are to be ended before."""
        self.burn_rates.forget(goal)
        self.objectives.pop(goal)
        self.alarms.pop(goal, None)
        del self.numbers[self.keys.pop(goal)]
        self.forecaster.forget(np.array([goal]))
        self._unchain(goal)
        self.table.release(goal)

    def alarms_of(self, goal: int) -> list[Alarm]:
        """Return the open alarms of a goal: of its breach, and of its budget."""
        breach = self.alarms.get(goal)
        return [*([breach] if breach else []), *self.burn_rates.alarms_of(goal)]

    def _unchain(self, goal: int) -> None:
        after, instance = self.table["next"], int(self.table["instance"][goal])
        at = int(self._first[instance])
        if at == goal:
            self._first[instance] = after[goal]
            return
        while after[at] != goal:
            at = int(after[at])
        after[at] = after[goal]

    def of_instance(self, instance: int) -> list[int]:
        """Return the goals that read an instance, in the order of their numbers."""
        found: list[int] = []
        goal = int(self._first[instance]) if instance < len(self._first) else 0
        while goal:
            found.append(goal)
            goal = int(self.table["next"][goal])
        return sorted(found)

    def readers(self, instance: Ints) -> tuple[Indices, Indices]:
        """Return every goal that reads one of these instances, and the row of the instance that it reads."""
        at = np.arange(len(instance))
        goal = np.where(instance < len(self._first), self._first[instance % len(self._first)], 0)
        goals, rows = [], []
        while (goal > 0).any():
            at, goal = at[goal > 0], goal[goal > 0]
            goals.append(goal)
            rows.append(at)
            goal = self.table["next"][goal]
        none = np.zeros(0, dtype=np.int64)
        return np.concatenate(goals or [none]), np.concatenate(rows or [none])

    def latch(
        self, closed: Closed, warming: Bools, suspect: Bools, breaches: Ints, lane: Lane
    ) -> Judged | None:
        """Judge the windows that closed, as far as they have values; None when no goal reads any of them.

        `closed` is of `lane`; `breaches` counts the latched goals by object number.
        """
        table = self.table
        position = np.full(lane.instances.capacity, _NONE, dtype=np.int64)
        position[closed.instance[~warming]] = (~warming).nonzero()[0]
        position[0] = _NONE
        at_all = position[table["instance"]]
        goal = (at_all >= 0).nonzero()[0]
        if not goal.size:
            return None
        at = at_all[goal]
        present, end = closed.present[at], closed.end_ns[at]
        beyond = table["sign"][goal] * (closed.value[at] - table["bound"][goal])
        before = table["latched"][goal]
        raised, cleared, since = self._latch(goal, present, beyond, end, suspect[at])
        latched = (before | raised) & ~cleared
        np.add.at(breaches, table["object"][goal], raised.astype(np.int64) - cleared)
        self._reckon(goal, end, present, beyond)
        burnt = self._burn(goal, end, present, beyond, lane.key.granularity_ns)
        known, good = table["known"][goal], table["good"][goal]
        nothing = np.zeros(0, dtype=np.int64)
        return Judged(
            goal, at, nothing, nothing, raised, cleared, latched, beyond, since, known, good, burnt
        )

    def _burn(
        self, goal: Indices, end: Ints, present: Bools, beyond: Floats, granularity_ns: int
    ) -> list[Burnt]:
        rows = self.table["burns"][goal].nonzero()[0]
        if not rows.size:
            return []
        chosen, table = goal[rows], self.table
        interval = table["interval"][chosen]
        # As for the budget that is left: at least one period of the interval may miss.
        allowed = np.maximum(table["allowed"][chosen], granularity_ns / interval)
        missed = present[rows] & (beyond[rows] > 0)
        found = self.burn_rates.update(
            chosen, end[rows], present[rows], missed, granularity_ns, interval, allowed
        )
        return [replace(item, row=int(rows[item.row])) for item in found]

    def glance(self, closed: Closed, breaches: Ints) -> Judged | None:
        """Raise what single samples breach by themselves; `closed` has them as windows that end with them, in order.

        None when nothing turns by them. What already is breached stays as it is.
        """
        table = self.table
        goal, at = self.readers(closed.instance)
        beyond = table["sign"][goal] * (closed.value[at] - table["bound"][goal])
        turning = (beyond > 0) & ~table["latched"][goal] & table["by_one"][goal]
        if not turning.any():
            return None
        goal, at, beyond = goal[turning], at[turning], beyond[turning]
        order = np.lexsort((at, goal))
        first = order[period_starts(goal[order])]  # of several samples the earliest
        goal, at, beyond = goal[first], at[first], beyond[first]
        told, since = table["told"][goal].astype(np.int64), closed.end_ns[at]
        yes = np.ones(len(goal), dtype=np.bool_)
        table["latched"][goal], table["pending"][goal] = True, _NONE
        table["observed"][goal], table["since"][goal] = BREACHED, since
        np.add.at(breaches, table["object"][goal], 1)
        observed = np.full(len(goal), BREACHED, dtype=np.int64)
        known, good = table["known"][goal], table["good"][goal]
        return Judged(goal, at, told, observed, yes, ~yes, yes, beyond, since, known, good)

    def observe(self, judged: Judged, closed: Closed, heard: Bools, breaches: Ints) -> None:
        """Say what is observed, once all windows of the tick are latched.

        `heard` says that a source which feeds the KPI did speak of the object in that window: having nothing to
        measure (no frame came through) is no doubt about an object that its own source calls broken.
        """
        table, goal, latched = self.table, judged.goal, judged.latched
        present, end = closed.present[judged.at], closed.end_ns[judged.at]
        before = table["observed"][goal].astype(np.int64)
        judged.told = table["told"][goal].astype(np.int64)
        if present.all() and not latched.any() and (before == FULFILLED).all():
            # All was well and still is, as nearly always.
            judged.observed, judged.since = before, table["since"][goal]
            return
        others = breaches[table["object"][goal]] - table["latched"][goal]
        excused = ~present & heard[judged.at] & (others > 0)
        undecided = (before == UNJUDGED) | (before == UNKNOWN)
        held = present & ~latched & (judged.beyond > 0) & undecided
        observed = np.where(latched, BREACHED, FULFILLED)
        observed = np.where(held, before, observed)
        observed = np.where(present | excused, observed, UNKNOWN)
        # As above: a glance has seen further than this window, or than its silence.
        foregone = (before == BREACHED) & (end < table["since"][goal])
        observed = np.where(foregone, before, observed)
        since = np.where(judged.raised, judged.since, end)
        since = np.where(before != observed, since, table["since"][goal])
        table["since"][goal], table["observed"][goal] = since, observed
        judged.observed, judged.since = observed, since

    def foresee(self, judged: Judged, closed: Closed, suspect: Bools) -> dict[int, Foretold]:
        """Return what is to come of the services' goals, by row of `judged`; windows in doubt teach nothing."""
        rows = self.table["service"][judged.goal].nonzero()[0]
        if not rows.size:
            return {}
        goal, at = judged.goal[rows], judged.at[rows]
        values = np.where(closed.present[at] & ~suspect[at], closed.value[at], np.nan)
        table = self.table
        found = self.forecaster.update(goal, values, table["bound"][goal], table["sign"][goal])
        columns = (found.state, found.samples, found.low, found.high)
        return dict(
            zip(rows.tolist(), zip(*(item.tolist() for item in columns), strict=True), strict=True)
        )

    def _latch(
        self, goal: Indices, present: Bools, beyond: Floats, end: Ints, suspect: Bools
    ) -> tuple[Bools, Bools, Ints]:
        """Return what is raised and cleared by these windows, and since when the run lasts that did it."""
        table = self.table
        latched, pending = table["latched"][goal], table["pending"][goal]
        better = beyond <= -table["hysteresis"][goal]
        # A window that was over before a glance saw a breach has nothing to say of it.
        foregone = latched & (end < table["since"][goal])
        turning = present & ~foregone & np.where(latched, better, beyond > 0)
        if not turning.any():
            table["pending"][goal] = _NONE
            return turning, turning, np.full(len(goal), _NONE, dtype=np.int64)
        pending = np.where(turning & ~suspect & (pending < 0), end, pending)
        pending = np.where(turning, pending, _NONE)
        hold = np.where(latched, table["clear_after"][goal], table["raise_after"][goal])
        turned = turning & ~suspect & (pending >= 0) & (end - pending >= hold)
        table["latched"][goal] = latched ^ turned
        raised = turned & ~latched
        table["pending"][goal] = np.where(turned, _NONE, pending)
        return raised, turned & latched, pending

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

    def compliance(
        self, judged: Judged, row: int, granularity_ns: int
    ) -> tuple[FulfilmentStatus, float | None]:
        """Return whether the SLS interval so far meets its target, and the share of the error budget left.

        The budget is the number of granularity periods of the whole interval that may miss the bound.
        """
        goal, known, good = int(judged.goal[row]), int(judged.known[row]), int(judged.good[row])
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
            "keys": Plain([self.keys[goal] for goal in order]),
            "held_back": self.held_back,
            "table": {name: exported[name] for name in self.STATE},
            "alarms": [[at, self.alarms[g]] for at, g in enumerate(order) if g in self.alarms],
            "burn_rates": self.burn_rates.export(order),
            "forecasts": self.forecaster.state.export(order),
        }

    def load(self, state: dict[str, Any], breaches: Ints) -> None:
        """Take over the state of those goals that exist here."""
        self.held_back = state["held_back"]
        numbers = [self.numbers.get((key[0], key[1])) for key in state["keys"]]
        self.forecaster.state.load(state["forecasts"], numbers)
        burns = self.table["burns"]
        wanted = [goal if goal is not None and burns[goal] else None for goal in numbers]
        self.burn_rates.load(state["burn_rates"], wanted)
        kept = np.array([at for at, goal in enumerate(numbers) if goal is not None], dtype=np.int64)
        goals = np.array([goal for goal in numbers if goal is not None], dtype=np.int64)
        for column in self.STATE:
            self.table[column][goals] = state["table"][column][kept]
        np.add.at(breaches, self.table["object"][goals], self.table["latched"][goals])
        for at, alarm in state["alarms"]:
            found = numbers[at]
            if found is not None:
                self.alarms[found] = alarm
