"""Assessments: is an objective met (TS 28.536 AssuranceGoalStatus)? Three facts that are never mixed."""

from dataclasses import dataclass
from enum import StrEnum

from trimtab.domain.context import Context

# The symptom of what is merely unlike a KPI: no bound of anybody's is broken.
ANOMALY = "anomaly"
# The symptom of what moved when services began to suffer, and broke no bound either.
SHIFTED = "shifted"


class FulfilmentStatus(StrEnum):
    """Answer whether an objective is met; INDETERMINATE when there is nothing to judge by."""

    FULFILLED = "FULFILLED"
    NOT_FULFILLED = "NOT_FULFILLED"
    INDETERMINATE = "INDETERMINATE"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a forecast says of an objective: for a breach when, in seconds from the window's end, with its interval.

    `low_seconds` to `high_seconds` holds the breach as often as past forecasts of this very KPI did hold (80 %).
    Without seconds no breach is foreseen, or it can't be known when: `reason` says which. `model` names what forecasts.
    """

    model: str
    reason: str
    in_seconds: float | None = None
    low_seconds: float | None = None
    high_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """Judge one objective of one object for the window that ends at `end_ns`.

    `observed` is over the objective's rolling window and drives the loop; `since_ns` says since when it
    holds. `compliance` is over the SLS interval so far and is only reported. `predicted` says what a forecast
    expects: None where nothing forecasts, INDETERMINATE where it can't be known; `foreseen` says why, and when.
    `budget_left_ratio` is 1 with the error budget untouched, 0 when spent, negative beyond.
    An assessment is given out each granularity period for services, and on change for resources.
    """

    context: Context
    object_id: str
    objective: str
    kpi: str
    end_ns: int
    observed: FulfilmentStatus
    since_ns: int
    value: float | None
    bound: float
    unit: str
    compliance: FulfilmentStatus = FulfilmentStatus.INDETERMINATE
    budget_left_ratio: float | None = None
    predicted: FulfilmentStatus | None = None
    suspect: bool = False
    foreseen: Foreseen | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Tell that an object is (or, `active` False, no longer is) in trouble: the correlator's raw material.

    `status` INDETERMINATE says that its state is unknown: its sources are silent.
    """

    context: Context
    object_id: str
    symptom: str
    status: FulfilmentStatus
    since_ns: int
    at_ns: int
    confidence: float
    value: float | None
    bound: float
    alarm_id: str | None = None
    objective: str = ""  # several objectives of an object may share a symptom

    @property
    def hint(self) -> bool:
        """Return whether this is only an anomaly: it may be evidence, but neither joins incidents nor makes ill."""
        return self.symptom == ANOMALY

    @property
    def active(self) -> bool:
        """Return whether the object is known to be in this trouble now."""
        return self.status is FulfilmentStatus.NOT_FULFILLED
