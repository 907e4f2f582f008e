"""Alarms, their states and legal transitions (TS 28.111, X.733, MEF W146)."""

from dataclasses import dataclass, replace
from enum import StrEnum

from trimtab.domain.context import Context
from trimtab.errors import IllegalTransition


class AlarmType(StrEnum):
    """X.733 event types that Trimtab raises; MEF spells them this way."""

    COMMUNICATIONS = "communicationsAlarm"
    PROCESSING_ERROR = "processingErrorAlarm"
    ENVIRONMENTAL = "environmentalAlarm"
    QUALITY_OF_SERVICE = "qualityOfServiceAlarm"
    EQUIPMENT = "equipmentAlarm"
    OPERATIONAL_VIOLATION = "operationalViolation"


class PerceivedSeverity(StrEnum):
    """X.733 severities, gravest first."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    WARNING = "warning"
    INDETERMINATE = "indeterminate"
    CLEARED = "cleared"


class AlarmState(StrEnum):
    """MEF's three states: an alarm is open until cleared, acknowledged or not."""

    UNACKNOWLEDGED = "unAcknowledged"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


TRANSITIONS: dict[AlarmState, frozenset[AlarmState]] = {
    AlarmState.UNACKNOWLEDGED: frozenset({AlarmState.ACKNOWLEDGED, AlarmState.CLEARED}),
    AlarmState.ACKNOWLEDGED: frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.CLEARED}),
    AlarmState.CLEARED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """Report that an objective of an object is breached, until it is cleared.

    `raised_at_ns` is the end of the window that caused it (MEF W146), `reported_at_ns` when the loop said so.
    """

    context: Context
    id: str
    object_id: str
    objective: str
    symptom: str
    alarm_type: AlarmType
    probable_cause: str
    severity: PerceivedSeverity
    state: AlarmState
    raised_at_ns: int
    reported_at_ns: int
    changed_at_ns: int
    value: float | None
    bound: float
    unit: str
    text: str
    service_affecting: bool
    cleared_at_ns: int | None = None
    acknowledged_by: str | None = None

    def transition(self, to: AlarmState, at_ns: int, by: str | None = None) -> "Alarm":
        """Return the alarm in its next state. Raises IllegalTransition when that is not allowed."""
        if to not in TRANSITIONS[self.state]:
            raise IllegalTransition("alarm", self.id, self.state, to)
        cleared = to is AlarmState.CLEARED
        return replace(
            self,
            state=to,
            changed_at_ns=at_ns,
            cleared_at_ns=at_ns if cleared else None,
            severity=PerceivedSeverity.CLEARED if cleared else self.severity,
            acknowledged_by=by if to is AlarmState.ACKNOWLEDGED else self.acknowledged_by,
        )
