"""Seasons: what the time of day and of week leads to expect of the KPIs of services, network services and VNFs.

Where a profile is believed, it decides what is odd: what is usual at that hour is excused, whatever the hours before it
were like, and what is unusual at that hour is told, though it was usual an hour ago. It also foretells what is to come.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.detectors.kpi_anomaly import ALARMS_AT_ONCE, NS_PER_DAY
from analytics.detectors.seasonal import BELIEVED, PLAIN, Expectation, SeasonalDetector
from analytics.kpi import Bools, Floats, Ints
from analytics.windows import Closed, Lane
from trimtab.domain.configuration import AnomalyRule
from trimtab.domain.kpi import KpiDefinition
from trimtab.domain.managed_object import ObjectKind
from trimtab.ports import Training

# A profile takes two kilobytes: not for every KPI of every VNFC.
KINDS = frozenset({ObjectKind.SERVICE, ObjectKind.NS, ObjectKind.VNF})
# Of these forecasts are made, whether anomalies are watched or not.
FORECAST = frozenset({ObjectKind.SERVICE})
SEASONS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Seasonal:
    """What the believed profiles say of windows; `at` points into them, the other columns go with it."""

    at: Ints
    odd: Bools
    low: Floats
    high: Floats

    def of(self, rows: Ints) -> "Seasonal":
        """Return the same with `at` pointing into chosen rows, which are in order; what is not of them is left out."""
        place = np.searchsorted(rows, self.at)
        kept = np.isin(self.at, rows)
        return Seasonal(place[kept], self.odd[kept], self.low[kept], self.high[kept])


class Seasons:
    """Keep the profiles of one lane's KPIs; a KPI beyond SEASONS_MAX has none, and is counted."""

    def __init__(self, rule: AnomalyRule | None = None) -> None:
        self._rule = rule
        self.detector = SeasonalDetector()
        self.left_out = 0
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        self._spent: dict[int, tuple[float, int]] = {}

    def judge(self, lane: Lane, closed: Closed, passed_over: Bools) -> Seasonal | None:
        """Learn the windows that closed; those without a value, or `passed_over`, are neither judged nor learnt.

        None where nothing is believed.
        """
        wanted = np.array([self._wanted(item) for item in lane.definitions], dtype=np.bool_)
        if not wanted.any():
            return None
        whole = closed.present & ~passed_over & np.isfinite(closed.value)
        at = (whole & wanted[lane.instances["definition"][closed.instance]]).nonzero()[0]
        if not at.size:
            return None
        slots = np.array([self._slot(each) for each in closed.instance[at].tolist()], np.intp)
        at, slots = at[slots >= 0], slots[slots >= 0]
        # A window that ends with an hour is one of that hour.
        verdicts = self.detector.update(slots, closed.end_ns[at] - 1, closed.value[at])
        believed = (self.detector.believed(slots) != PLAIN) & np.isfinite(verdicts.low)
        if not believed.any():
            return None
        return Seasonal(
            at[believed],
            verdicts.alarmed[believed],
            verdicts.low[believed],
            verdicts.high[believed],
        )

    def foretell(
        self, instance: Ints, end_ns: Ints, granularity_ns: int, periods: int
    ) -> Expectation | None:
        """Return what is expected of windows and the `periods` after them, [rows, 1 + periods]; None for nothing."""
        slots = np.array([self._slots.get(each, -1) for each in instance.tolist()], dtype=np.intp)
        known = (slots >= 0).nonzero()[0]
        known = known[self.detector.believed(slots[known]) != PLAIN]
        if not known.size:
            return None
        times = end_ns[known, None] - 1 + np.arange(1 + periods) * granularity_ns
        shape = (len(slots), 1 + periods)
        found = Expectation(np.full(shape, np.nan), np.full(shape, np.nan))
        told = self.detector.foretell(slots[known], times)
        found.value[known], found.error[known] = told.value, told.error
        return found

    def _wanted(self, definition: KpiDefinition) -> bool:
        kind, rule = definition.object_kind, self._rule
        watched = rule is not None and (not rule.kpis or definition.name in rule.kpis)
        return kind in FORECAST or (watched and kind in KINDS)

    def _slot(self, number: int) -> int:
        slot = self._slots.get(number)
        if slot is not None:
            return slot
        if len(self._slots) >= SEASONS_MAX:
            self.left_out += 1
            return -1
        slot = heapq.heappop(self._free) if self._free else len(self._slots)
        self._slots[number] = slot
        return slot

    def affords(self, number: int, end_ns: int, alarms_per_day: float) -> bool:
        """Return whether a KPI may raise an alarm by its season alone; it is spent then."""
        spent, last_ns = self._spent.get(number, (0.0, end_ns))
        spent = max(0.0, spent - alarms_per_day * max(0, end_ns - last_ns) / NS_PER_DAY)
        may = spent < ALARMS_AT_ONCE
        self._spent[number] = (spent + may, max(end_ns, last_ns))
        return may

    def training(self, number: int) -> Training | None:
        """Tell what judged the newest value of an instance; None when it was no profile."""
        slot = self._slots.get(number)
        if slot is None:
            return None
        believed = int(self.detector.believed(np.array([slot]))[0])
        if believed == PLAIN:
            return None
        known = self.detector.training(slot)
        name = f"{known.model} by the {BELIEVED[believed]}"
        return Training(name, known.from_ns, known.until_ns, known.values)

    def drop(self, number: int) -> None:
        """Forget an instance."""
        slot = self._slots.pop(number, None)
        self._spent.pop(number, None)
        if slot is not None:
            self.detector.forget(np.array([slot], dtype=np.intp))
            heapq.heappush(self._free, slot)

    def state(self, order: Sequence[int]) -> dict[str, Any]:
        """Return the state of the instances, in that order."""
        at = [place for place, number in enumerate(order) if number in self._slots]
        spent = [place for place, number in enumerate(order) if number in self._spent]
        return {
            "left_out": self.left_out,
            "at": at,
            "slots": self.detector.export([self._slots[order[place]] for place in at]),
            "spent": [[place, *self._spent[order[place]]] for place in spent],
        }

    def load(self, state: dict[str, Any], numbers: Sequence[int | None]) -> None:
        """Put exported state back; `numbers` are the instances' new numbers, None for those that are no more."""
        self.left_out = state["left_out"]
        kept = [numbers[place] for place in state["at"]]
        slots = [None if number is None else self._slot(number) for number in kept]
        self.detector.load(state["slots"], slots)
        for place, spent, last_ns in state["spent"]:
            number = numbers[place]
            if number is not None:
                self._spent[number] = (spent, last_ns)
