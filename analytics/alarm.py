"""What the assessor tells of a judged window: Kpi, Assessment, Alarm and Trouble as values with their identities."""

import math
from dataclasses import replace

from analytics.burn_rate import KINDS, PAGE, Burnt
from analytics.forecast.breach import (
    AHEAD,
    BEYOND,
    FORESEEN,
    MODELS,
    NO_BREACH,
    PEAK,
    REASONS,
    SEASON,
    TOO_EARLY,
    UNKNOWABLE,
    USUAL,
)
from analytics.objective import Foretold
from trimtab.domain.alarm import Alarm, AlarmState, PerceivedSeverity
from trimtab.domain.assessment import Assessment, Foreseen, FulfilmentStatus, Trouble
from trimtab.domain.context import Context
from trimtab.domain.identity import content_id
from trimtab.domain.kpi import Kpi
from trimtab.domain.service import Comparator, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND, rfc3339
from trimtab.ports import Training
from trimtab.series import key_group

SUSPECT_CONFIDENCE = 0.5
BUDGET_BURN = "budget-burn"


_PREDICTED = {
    NO_BREACH: FulfilmentStatus.FULFILLED,
    AHEAD: FulfilmentStatus.NOT_FULFILLED,
    UNKNOWABLE: FulfilmentStatus.INDETERMINATE,
    BEYOND: FulfilmentStatus.NOT_FULFILLED,
    PEAK: FulfilmentStatus.NOT_FULFILLED,
    USUAL: FulfilmentStatus.FULFILLED,
}


def foresight(
    foretold: Foretold | None, granularity_ns: int, season: Training | None
) -> tuple[FulfilmentStatus | None, Foreseen | None]:
    """Return what is predicted of a goal, and why; nothing while too little was seen, or where nothing forecasts.

    `season` says what the profile that judged the KPI's newest value was learnt from.
    """
    if foretold is None or foretold[0] == TOO_EARLY:
        return None, None
    state, *samples = foretold
    known = state in FORESEEN and all(map(math.isfinite, samples))
    seconds = [item * granularity_ns / NS_PER_SECOND if known else None for item in samples]
    reason = REASONS[state]
    if season is not None and MODELS[state] == SEASON:
        reason = f"{reason}; {season.model}, learnt since {rfc3339(season.from_ns)}"
    return _PREDICTED[state], Foreseen(MODELS[state], reason, *seconds)


def assessment_context(kpi: Kpi, objective: ServiceLevelObjective) -> Context:
    """Return the identity of an assessment, as the child of the KPI value that it judges."""
    return Context(
        content_id("assessment", kpi.object_id, objective.name, kpi.end_ns), kpi.context.id
    )


def alarm_id(object_id: str, objective: str, end_ns: int) -> str:
    """Return the identity of an alarm; its last two digits are its object's key group, hence name its shard."""
    return f"{content_id('alarm', object_id, objective, end_ns)}-{key_group(object_id):02x}"


def group_of_alarm(identity: str) -> int:
    """Return the key group whose shard answers for an alarm id, whether that alarm exists or not."""
    try:
        return int(identity.rpartition("-")[2], 16) % 256 if len(identity) > 2 else 0
    except ValueError:
        return 0


def certainty(value: float | None, objective: ServiceLevelObjective, suspect: bool) -> float:
    """Return how sure a breach is, 0.5..1: by how far the value is beyond its bound, relative to the bound.

    A value as far from the bound as the bound is from zero is as sure as it gets; half of that when suspect.
    """
    if value is None:
        return SUSPECT_CONFIDENCE
    scale = abs(objective.bound) or 1.0
    sure = 0.5 + 0.5 * min(1.0, abs(value - objective.bound) / scale)
    return round(sure * (SUSPECT_CONFIDENCE if suspect else 1.0), 6)


def breach_text(
    object_id: str, objective: ServiceLevelObjective, value: float | None, unit: str
) -> str:
    """Return one sentence with the numbers."""
    wanted = "at most" if objective.comparator is Comparator.AT_MOST else "at least"
    seen = "unknown" if value is None else f"{value:.6g} {unit}"
    return (
        f"{objective.kpi} of {object_id} is {seen}, should be {wanted} {objective.bound:.6g} {unit}"
    )


def raise_alarm(
    kpi: Kpi, objective: ServiceLevelObjective, service_affecting: bool, reported_at_ns: int
) -> Alarm:
    """Return the alarm that a window raises."""
    identity = alarm_id(kpi.object_id, objective.name, kpi.end_ns)
    context = assessment_context(kpi, objective)
    return Alarm(
        context=Context(identity, context.id),
        id=identity,
        object_id=kpi.object_id,
        objective=objective.name,
        symptom=objective.trouble_name,
        alarm_type=objective.alarm_type,
        probable_cause=objective.probable_cause,
        severity=objective.severity,
        state=AlarmState.UNACKNOWLEDGED,
        raised_at_ns=kpi.end_ns,
        reported_at_ns=reported_at_ns,
        changed_at_ns=kpi.end_ns,
        value=kpi.value,
        bound=float(objective.bound),
        unit=kpi.unit,
        text=breach_text(kpi.object_id, objective, kpi.value, kpi.unit),
        service_affecting=service_affecting,
    )


def raise_burn_alarm(
    kpi: Kpi, objective: ServiceLevelObjective, burnt: Burnt, reported_at_ns: int
) -> Alarm:
    """Return the alarm that an objective's error budget goes too fast; its value is how many times too fast."""
    kind = KINDS[burnt.kind]
    identity = alarm_id(kpi.object_id, f"{objective.name} burn {kind}", kpi.end_ns)
    seconds = burnt.window_ns / NS_PER_SECOND
    text = (
        f"{objective.name} of {kpi.object_id} spends its error budget {burnt.long_rate:.3g} times too fast over"
        f" {seconds:g} s, and {burnt.short_rate:.3g} times over the last {seconds / 12:g} s; from {burnt.factor:g} on"
        f" it is told"
    )
    raised = raise_alarm(kpi, objective, True, reported_at_ns)
    return replace(
        raised,
        context=Context(identity, raised.context.parent_id),
        id=identity,
        symptom=BUDGET_BURN,
        severity=objective.severity if burnt.kind == PAGE else PerceivedSeverity.WARNING,
        value=burnt.long_rate,
        bound=burnt.factor,
        unit="burn rate",
        text=text,
    )


def clear_alarm(alarm: Alarm, at_ns: int, why: str = "") -> Alarm:
    """Return the alarm cleared; `why` is told when it was not the KPI that recovered."""
    cleared = alarm.transition(AlarmState.CLEARED, max(at_ns, alarm.changed_at_ns))
    return replace(cleared, text=f"{alarm.text}; cleared: {why}") if why else cleared


def trouble(
    assessment: Assessment, objective: ServiceLevelObjective, alarm: Alarm | None
) -> Trouble:
    """Return the trouble that a changed assessment is."""
    status = assessment.observed
    sure = (
        certainty(assessment.value, objective, assessment.suspect)
        if status is FulfilmentStatus.NOT_FULFILLED
        else 1.0
    )
    name = content_id(
        "trouble", assessment.object_id, objective.name, assessment.end_ns, status.value
    )
    return Trouble(
        context=Context(name, assessment.context.id),
        object_id=assessment.object_id,
        symptom=objective.trouble_name,
        status=status,
        since_ns=assessment.since_ns,
        at_ns=assessment.end_ns,
        confidence=sure,
        value=assessment.value,
        bound=float(objective.bound),
        alarm_id=alarm.id if alarm else None,
        objective=objective.name,
    )


def trouble_ended(object_id: str, objective: ServiceLevelObjective, at_ns: int) -> Trouble:
    """Return the end of whatever trouble an object had by an objective that is judged no more."""
    name = content_id("trouble", object_id, objective.name, at_ns, "ended")
    return Trouble(
        context=Context(name),
        object_id=object_id,
        symptom=objective.trouble_name,
        status=FulfilmentStatus.FULFILLED,
        since_ns=at_ns,
        at_ns=at_ns,
        confidence=1.0,
        value=None,
        bound=float(objective.bound),
        objective=objective.name,
    )
