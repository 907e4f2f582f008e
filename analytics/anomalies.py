"""Anomalies: what the detector of every KPI finds worth telling, as alarms and troubles of a symptom of their own.

An anomaly is a hint: its severity is WARNING, its confidence below that of any breach, and no policy acts on it unless
it names the symptom. It is open from the window that was odd until CALM_WINDOWS in a row are as expected.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.alarm import alarm_id, clear_alarm
from analytics.detectors.kpi_anomaly import (
    DEVIATION_WEIGHT,
    KpiAnomalyDetector,
    KpiAnomalySettings,
    deviations,
)
from analytics.detectors.slots import SLOTS_MAX
from analytics.kpi import Bools, Floats, Ints
from analytics.seasons import Seasonal, Seasons
from analytics.windows import Closed, Lane
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.assessment import ANOMALY, FulfilmentStatus, Trouble
from trimtab.domain.configuration import AnomalyRule
from trimtab.domain.context import Context
from trimtab.domain.identity import content_id
from trimtab.domain.input import AssessorOutput
from trimtab.domain.time import rfc3339
from trimtab.ports import Verdicts

SYMPTOM = ANOMALY
PROBABLE_CAUSE = "thresholdCrossed"
# Below the 0.5 that the weakest breach has, and that the shipped policies ask for.
CONFIDENCE = 0.4
CALM_WINDOWS = 3


@dataclass(frozen=True, slots=True)
class _Odd:
    """A window that was odd, in numbers that people can check."""

    object_id: str
    kpi: str
    unit: str
    kpi_id: str
    end_ns: int
    value: float
    low: float
    high: float
    novelty_ratio: float
    deviations: float

    @property
    def objective(self) -> str:
        """Return the name under which the anomalies of a KPI go."""
        return f"{SYMPTOM}-{self.kpi}"

    @property
    def bound(self) -> float:
        """Return the end of the expected range that the value is nearer to."""
        return self.high if self.value - self.high > self.low - self.value else self.low


class AnomalyWatch:
    """Watch the KPIs of one lane; slots are the lane's instances."""

    def __init__(self, rule: AnomalyRule, seasons: Seasons) -> None:
        self.rule = rule
        self._seasons = seasons
        self.detector = KpiAnomalyDetector(KpiAnomalySettings(alarms_per_day=rule.alarms_per_day))
        self.alarms: dict[int, Alarm] = {}
        self.calm: dict[int, int] = {}
        self.left_out = 0
        self.excused = 0  # alarms of what is usual at that hour
        self.over_budget = 0  # alarms by season alone
        self._names = frozenset(rule.kpis)

    def judge(
        self, lane: Lane, closed: Closed, passed_over: Bools, season: Seasonal | None, tick_ns: int
    ) -> tuple[list[AssessorOutput], Floats]:
        """Take windows that closed; those without a value, or `passed_over`, are neither judged nor learnt.

        `season` says what is normal by the time of day or week, where that is known. Return what is told, and each
        window's deviation, NaN where it was not judged.
        """
        watched = closed.present & ~passed_over & np.isfinite(closed.value)
        beyond = watched & (closed.instance >= SLOTS_MAX)
        self.left_out += int(np.count_nonzero(beyond))
        watched &= ~beyond
        if self._names:
            chosen = np.array([item.name in self._names for item in lane.definitions], np.bool_)
            watched &= chosen[lane.instances["definition"][closed.instance]]
        at = watched.nonzero()[0]
        found = np.full(len(closed.instance), np.nan)
        if not at.size:
            return [], found
        instance, value = closed.instance[at], closed.value[at]
        verdicts = self.detector.update(instance, closed.end_ns[at], value)
        novelty = verdicts.score - DEVIATION_WEIGHT * deviations(value, verdicts)
        if season is not None:
            self._in_season(season.of(at), instance, closed.end_ns[at], value, verdicts)
        told = verdicts.alarmed
        if self.alarms:
            told = told | np.isin(instance, np.fromiter(self.alarms, np.intp, len(self.alarms)))
        sizes = deviations(value, verdicts)
        found[at] = sizes
        outputs: list[AssessorOutput] = []
        for row in told.nonzero()[0].tolist():
            number = int(instance[row])
            object_id, kpi = lane.key_of(number)
            end_ns = int(closed.end_ns[at[row]])
            odd = _Odd(
                object_id=object_id,
                kpi=kpi,
                unit=lane.definition_of(number).unit,
                kpi_id=content_id("kpi", object_id, kpi, end_ns),
                end_ns=end_ns,
                value=float(value[row]),
                low=float(verdicts.low[row]),
                high=float(verdicts.high[row]),
                novelty_ratio=float(novelty[row]),
                deviations=float(sizes[row]),
            )
            outputs += self._tell(number, odd, bool(verdicts.alarmed[row]), tick_ns)
        return outputs, found

    def _in_season(
        self, season: Seasonal, instance: Ints, end_ns: Ints, value: Floats, verdicts: Verdicts
    ) -> None:
        """Change the verdicts where the time of day or week is believed to tell what is normal."""
        at, usual = season.at, (season.low <= value[season.at]) & (value[season.at] <= season.high)
        self.excused += int(np.count_nonzero(verdicts.alarmed[at] & usual))
        verdicts.low[at], verdicts.high[at] = season.low, season.high
        alarmed = verdicts.alarmed[at] & ~usual
        for row in (season.odd & ~alarmed).nonzero()[0].tolist():
            number = int(instance[at[row]])
            if number in self.alarms:
                continue
            alarmed[row] = self._seasons.affords(
                number, int(end_ns[at[row]]), self.rule.alarms_per_day
            )
            self.over_budget += int(not alarmed[row])
        verdicts.alarmed[at] = alarmed

    def _tell(self, number: int, odd: _Odd, alarmed: bool, tick_ns: int) -> list[AssessorOutput]:
        alarm = self.alarms.get(number)
        if alarm is None:
            self.alarms[number] = self._raised(number, odd, tick_ns)
            self.calm[number] = 0
            status = FulfilmentStatus.NOT_FULFILLED
            alarm = self.alarms[number]
            return [alarm, trouble_of(alarm, status, odd.end_ns, odd.value, odd.kpi_id)]
        self.calm[number] += 1
        if alarmed or not odd.low <= odd.value <= odd.high:
            self.calm[number] = 0
        if self.calm[number] < CALM_WINDOWS:
            return []
        return self._ended(number, odd.end_ns, "", odd)

    def _raised(self, number: int, odd: _Odd, tick_ns: int) -> Alarm:
        training = self._seasons.training(number) or self.detector.training(number)
        identity = alarm_id(odd.object_id, odd.objective, odd.end_ns)
        text = (
            f"{odd.kpi} of {odd.object_id} is {odd.value:.6g} {odd.unit}, expected {odd.low:.6g} to "
            f"{odd.high:.6g} {odd.unit}: {odd.deviations:.3g} deviations off, "
            f"{odd.novelty_ratio:.1%} of its range away from any value seen before; "
            f"model {training.model}, trained since {rfc3339(training.from_ns)}"
        )
        return Alarm(
            context=Context(identity, odd.kpi_id),
            id=identity,
            object_id=odd.object_id,
            objective=odd.objective,
            symptom=SYMPTOM,
            alarm_type=AlarmType.QUALITY_OF_SERVICE,
            probable_cause=PROBABLE_CAUSE,
            severity=PerceivedSeverity.WARNING,
            state=AlarmState.UNACKNOWLEDGED,
            raised_at_ns=odd.end_ns,
            reported_at_ns=tick_ns,
            changed_at_ns=odd.end_ns,
            value=odd.value,
            bound=odd.bound,
            unit=odd.unit,
            text=text,
            service_affecting=False,
        )

    def _ended(
        self, number: int, at_ns: int, why: str, odd: _Odd | None = None
    ) -> list[AssessorOutput]:
        alarm = self.alarms.pop(number)
        del self.calm[number]
        at_ns = max(at_ns, alarm.changed_at_ns)
        cleared = clear_alarm(alarm, at_ns, why)
        value, parent = (odd.value, odd.kpi_id) if odd else (None, None)
        return [cleared, trouble_of(cleared, FulfilmentStatus.FULFILLED, at_ns, value, parent)]

    def drop(self, number: int, at_ns: int, why: str) -> list[AssessorOutput]:
        """Forget an instance; what is open of it ends."""
        self.detector.forget(np.array([number], dtype=np.intp))
        return self._ended(number, at_ns, why) if number in self.alarms else []

    def end_unless(self, kept: Collection[str], at_ns: int) -> list[AssessorOutput]:
        """End the alarms whose ids are not kept: their KPIs are watched no more."""
        gone = sorted(
            (alarm.id, number) for number, alarm in self.alarms.items() if alarm.id not in kept
        )
        why = "its KPI is watched no more"
        return [each for _, number in gone for each in self._ended(number, at_ns, why)]

    def state(self, order: Sequence[int]) -> dict[str, Any]:
        """Return the state of the instances, in that order."""
        open_ones = [at for at, number in enumerate(order) if number in self.alarms]
        numbers = np.array(order, dtype=np.intp)
        at = self.detector.used(numbers).nonzero()[0]
        return {
            "at": at,
            "slots": self.detector.export(numbers[at].tolist()),
            "suppressed": self.detector.suppressed,
            "excused": self.excused,
            "over_budget": self.over_budget,
            "left_out": self.left_out,
            "open": open_ones,
            "alarms": [self.alarms[order[at]] for at in open_ones],
            "calm": [self.calm[order[at]] for at in open_ones],
        }

    def load(self, state: dict[str, Any], numbers: Sequence[int | None]) -> None:
        """Put exported state back; `numbers` are the instances' new numbers, None for those that are no more."""
        kept = [numbers[place] for place in state["at"].tolist()]
        self.detector.load(state["slots"], kept, state["suppressed"])
        self.left_out = state["left_out"]
        self.excused, self.over_budget = state["excused"], state["over_budget"]
        for at, alarm, calm in zip(state["open"], state["alarms"], state["calm"], strict=True):
            number = numbers[at]
            if number is not None:
                self.alarms[number], self.calm[number] = alarm, calm


def trouble_of(
    alarm: Alarm, status: FulfilmentStatus, at_ns: int, value: float | None, parent_id: str | None
) -> Trouble:
    """Return the trouble that an anomaly is, or that it is over."""
    name = content_id("trouble", alarm.object_id, alarm.objective, at_ns, status.value)
    active = status is FulfilmentStatus.NOT_FULFILLED
    return Trouble(
        context=Context(name, parent_id),
        object_id=alarm.object_id,
        symptom=SYMPTOM,
        status=status,
        since_ns=alarm.raised_at_ns if active else at_ns,
        at_ns=at_ns,
        confidence=CONFIDENCE if active else 1.0,
        value=value,
        bound=alarm.bound,
        alarm_id=alarm.id if active else None,
        objective=alarm.objective,
    )
