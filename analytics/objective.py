"""Objectives: from a KPI's value to fulfilled or not, with hysteresis, hold times and the error budget."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analytics.budget import Budgets
from analytics.burn_rate import BurnRates, Burnt
from analytics.columns import FIRST_CAPACITY, Column, Columns
from analytics.forecast.breach import HORIZON, BreachForecaster
from analytics.kpi import Bools, Floats, Ints
from analytics.packing import Plain
from analytics.rota import lot
from analytics.rows import Indices
from analytics.seasons import Seasons
from analytics.terms import Terms
from analytics.windows import Closed, Lane, period_starts
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import FulfilmentStatus
from trimtab.domain.service import Service, ServiceLevelObjective

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

    def __init__(self, lane: Lane) -> None:
        self.table = Columns(
            {
                "instance": Column("i8", 0),
                "next": Column("i4", 0),
                "object": Column("i4", 0),
                "terms": Column("i4", 0),
                "budget": Column("i4", 0),
                "lot": Column("u8", 0),
                "observed": Column("i1", UNJUDGED),
                "told": Column("i1", UNJUDGED),
                "latched": Column("?", 0),
                "since": Column("i8", 0),
                "pending": Column("i8", _NONE),
            }
        )
        self.terms = Terms()
        self.budgets = Budgets()
        self._lane = lane
        self.alarms: dict[int, Alarm] = {}
        # The goals of an instance are a chain: its first, then each one's `next`, 0 at the end.
        self._first = np.zeros(FIRST_CAPACITY, dtype=np.int32)
        self.forecaster = BreachForecaster()
        self.burn_rates = BurnRates()
        self.held_back = 0  # changes, once for each round in which they were

    STATE = ("observed", "told", "latched", "since", "pending")

    def add(
        self,
        object_number: int,
        instance: int,
        objective: ServiceLevelObjective,
        service: Service | None,
        by_one: bool = False,
    ) -> int:
        """Judge an instance by an objective from now on; `by_one`: a single sample may breach it."""
        goal, table = self.table.allocate(), self.table
        table["instance"][goal] = instance
        if instance >= len(self._first):
            more = np.zeros(instance + 1, dtype=np.int32)
            self._first = np.concatenate((self._first, more))
        table["next"][goal], self._first[instance] = self._first[instance], goal
        table["object"][goal] = object_number
        table["lot"][goal] = lot(str(self._lane.object_ids[instance]), objective.name)
        table["terms"][goal] = self.terms.of(objective, service, by_one)
        if service is not None:
            table["budget"][goal] = self.budgets.allocate()
        return goal

    def objective(self, goal: int) -> ServiceLevelObjective:
        """Return what a goal is judged by."""
        return self.terms.objectives[int(self.table["terms"][goal])]

    def key_of(self, goal: int) -> GoalKey:
        """Return whose a goal is, and the name of its objective."""
        object_id = self._lane.object_ids[self.table["instance"][goal]]
        return str(object_id), self.objective(goal).name

    def sign_of(self, goal: int) -> float:
        """Return 1 where more is worse, -1 where less is."""
        return float(self.terms["sign"][self.table["terms"][goal]])

    def ranked(self) -> list[tuple[GoalKey, int]]:
        """Return all goals with their keys, in the order of these."""
        alive = self.table["instance"].nonzero()[0].tolist()
        return sorted((self.key_of(goal), goal) for goal in alive)

    def remove(self, goal: int) -> None:
        """Judge no more; the alarms of its burn rates are to be ended before."""
        self.burn_rates.forget(goal)
        self.alarms.pop(goal, None)
        budget = int(self.table["budget"][goal])
        if budget:
            self.budgets.release(budget)
            self.forecaster.forget(np.array([budget]))
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
        self, closed: Closed, warming: Bools, suspect: Bools, breaches: Ints
    ) -> Judged | None:
        """Judge the windows that closed, as far as they have values; None when no goal reads any of them.

        `breaches` counts the latched goals by object number.
        """
        table = self.table
        position = np.full(self._lane.instances.capacity, _NONE, dtype=np.int64)
        position[closed.instance[~warming]] = (~warming).nonzero()[0]
        position[0] = _NONE
        at_all = position[table["instance"]]
        goal = (at_all >= 0).nonzero()[0]
        if not goal.size:
            return None
        at = at_all[goal]
        present, end = closed.present[at], closed.end_ns[at]
        terms = table["terms"][goal].astype(np.int64)
        beyond = self.terms["sign"][terms] * (closed.value[at] - self.terms["bound"][terms])
        before = table["latched"][goal]
        raised, cleared, since = self._latch(goal, terms, present, beyond, end, suspect[at])
        latched = (before | raised) & ~cleared
        turned = (raised | cleared).nonzero()[0]
        change = raised[turned].astype(np.int64) - cleared[turned]
        np.add.at(breaches, table["object"][goal[turned]], change)
        budget = table["budget"][goal].astype(np.int64)
        rows = budget.nonzero()[0]
        if rows.size:
            interval = self.terms["interval"][terms[rows]]
            self.budgets.reckon(budget[rows], interval, end[rows], present[rows], beyond[rows])
        burnt = self._burn(goal, terms, end, present, beyond)
        known, good = self.budgets["known"][budget], self.budgets["good"][budget]
        nothing = np.zeros(0, dtype=np.int64)
        return Judged(
            goal, at, nothing, nothing, raised, cleared, latched, beyond, since, known, good, burnt
        )

    def _burn(
        self, goal: Indices, terms: Ints, end: Ints, present: Bools, beyond: Floats
    ) -> list[Burnt]:
        rows = self.terms["burns"][terms].nonzero()[0]
        if not rows.size:
            return []
        chosen, granularity_ns = goal[rows], self._lane.key.granularity_ns
        interval = self.terms["interval"][terms[rows]]
        # As for the budget that is left: at least one period of the interval may miss.
        allowed = np.maximum(self.terms["allowed"][terms[rows]], granularity_ns / interval)
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
        terms = table["terms"][goal]
        beyond = self.terms["sign"][terms] * (closed.value[at] - self.terms["bound"][terms])
        turning = (beyond > 0) & ~table["latched"][goal] & self.terms["by_one"][terms]
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
        budget = table["budget"][goal]
        known, good = self.budgets["known"][budget], self.budgets["good"][budget]
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

    def foresee(
        self, judged: Judged, closed: Closed, suspect: Bools, seasons: Seasons
    ) -> dict[int, Foretold]:
        """Return what is to come of the services' goals, by row of `judged`; windows in doubt teach nothing."""
        budget = self.table["budget"][judged.goal]
        rows = budget.nonzero()[0]
        if not rows.size:
            return {}
        goal, at = judged.goal[rows], judged.at[rows]
        values = np.where(closed.present[at] & ~suspect[at], closed.value[at], np.nan)
        terms = self.table["terms"][goal]
        bound, sign = self.terms["bound"][terms], self.terms["sign"][terms]
        granularity_ns = self._lane.key.granularity_ns
        expected = seasons.foretell(closed.instance[at], closed.end_ns[at], granularity_ns, HORIZON)
        # Budgets are dense: the goals of resources take no room in the forecaster.
        found = self.forecaster.update(budget[rows].astype(np.intp), values, bound, sign, expected)
        columns = (found.state, found.samples, found.low, found.high)
        return dict(
            zip(rows.tolist(), zip(*(item.tolist() for item in columns), strict=True), strict=True)
        )

    def _latch(
        self, goal: Indices, terms: Ints, present: Bools, beyond: Floats, end: Ints, suspect: Bools
    ) -> tuple[Bools, Bools, Ints]:
        """Return what is raised and cleared by these windows, and since when the run lasts that did it."""
        table = self.table
        latched, pending = table["latched"][goal], table["pending"][goal]
        better = beyond <= -self.terms["hysteresis"][terms]
        # A window that was over before a glance saw a breach has nothing to say of it.
        foregone = latched & (end < table["since"][goal])
        turning = present & ~foregone & np.where(latched, better, beyond > 0)
        if not turning.any():
            table["pending"][goal] = _NONE
            return turning, turning, np.full(len(goal), _NONE, dtype=np.int64)
        pending = np.where(turning & ~suspect & (pending < 0), end, pending)
        pending = np.where(turning, pending, _NONE)
        hold = np.where(latched, self.terms["clear_after"][terms], self.terms["raise_after"][terms])
        turned = turning & ~suspect & (pending >= 0) & (end - pending >= hold)
        table["latched"][goal] = latched ^ turned
        raised = turned & ~latched
        table["pending"][goal] = np.where(turned, _NONE, pending)
        return raised, turned & latched, pending

    def compliance(
        self, judged: Judged, row: int, granularity_ns: int
    ) -> tuple[FulfilmentStatus, float | None]:
        """Return whether the SLS interval so far meets its target, and the share of the error budget left.

        The budget is the number of granularity periods of the whole interval that may miss the bound.
        """
        goal, known, good = int(judged.goal[row]), int(judged.known[row]), int(judged.good[row])
        if known == 0:
            return FulfilmentStatus.INDETERMINATE, None
        target = self.objective(goal).target_ratio
        periods = int(self.terms["interval"][self.table["terms"][goal]]) / granularity_ns
        allowed = max(1.0, (1.0 - target) * periods)
        met = good >= target * known
        status = FulfilmentStatus.FULFILLED if met else FulfilmentStatus.NOT_FULFILLED
        return status, 1.0 - (known - good) / allowed

    def state(self) -> dict[str, Any]:
        """Return what changes, goal by goal, in the order of their keys."""
        ranked = self.ranked()
        order = [goal for _, goal in ranked]
        exported = self.table.export(order)
        at = exported["budget"].nonzero()[0]
        of_services = [order[place] for place in at.tolist()]
        return {
            "keys": Plain([key for key, _ in ranked]),
            "held_back": self.held_back,
            "table": {name: exported[name] for name in self.STATE},
            "alarms": [[at, self.alarms[g]] for at, g in enumerate(order) if g in self.alarms],
            "of_services": at,
            "budgets": self.budgets.export(exported["budget"][at].tolist()),
            "burn_rates": self.burn_rates.export(of_services),
            "forecasts": self.forecaster.export(exported["budget"][at].tolist()),
        }

    def load(self, state: dict[str, Any], objects: Columns, known: dict[GoalKey, int]) -> None:
        """Take over the state of those goals that are `known` here, and count in `objects` what it says of them."""
        self.held_back = state["held_back"]
        numbers = [known.get((key[0], key[1])) for key in state["keys"]]
        budget = self.table["budget"]
        served = [numbers[place] for place in state["of_services"].tolist()]
        served = [goal if goal is not None and budget[goal] else None for goal in served]
        self._load_budgets(state["budgets"], served)
        rows = [int(budget[goal]) if goal is not None else None for goal in served]
        self.forecaster.load(state["forecasts"], rows)
        burns = self.terms["burns"][self.table["terms"]]
        wanted = [goal if goal is not None and burns[goal] else None for goal in served]
        self.burn_rates.load(state["burn_rates"], wanted)
        kept = np.array([at for at, goal in enumerate(numbers) if goal is not None], dtype=np.int64)
        goals = np.array([goal for goal in numbers if goal is not None], dtype=np.int64)
        for column in self.STATE:
            self.table[column][goals] = state["table"][column][kept]
        owner = self.table["object"][goals]
        np.add.at(objects["breaches"], owner, self.table["latched"][goals])
        np.add.at(objects["silent"], owner, self.table["told"][goals] == UNKNOWN)
        for at, alarm in state["alarms"]:
            found = numbers[at]
            if found is not None:
                self.alarms[found] = alarm

    def _load_budgets(self, rows: dict[str, Any], goals: Sequence[int | None]) -> None:
        kept = [(at, goal) for at, goal in enumerate(goals) if goal is not None]
        at = [place for place, _ in kept]
        budgets = [int(self.table["budget"][goal]) for _, goal in kept]
        self.budgets.load(budgets, {name: column[at] for name, column in rows.items()})
