"""How a service stands, from its objectives' latest assessments: the one place where that is worked out.

| observed over the objectives | status | TMF638 operatingStatus |
| --- | --- | --- |
| an availability objective, or one of critical severity, is NOT_FULFILLED | NOT_FULFILLED | failed |
| any other is NOT_FULFILLED | NOT_FULFILLED | degraded |
| none is NOT_FULFILLED, one is INDETERMINATE or was never assessed | INDETERMINATE | unknown |
| all are FULFILLED | FULFILLED | running |
| the service has no objective | INDETERMINATE | unknown |
"""

from dataclasses import dataclass

from trimtab.domain.alarm import PerceivedSeverity
from trimtab.domain.assessment import FulfilmentStatus
from trimtab.domain.kpi import Statistic
from trimtab.store.questions import ObjectiveState, ServiceState


@dataclass(frozen=True, slots=True)
class Standing:
    """A service's status in our words and in TM Forum's."""

    status: FulfilmentStatus
    operating_status: str


def standing_of(state: ServiceState) -> Standing:
    """Return how a service stands by the table above."""
    observed = [_observed(item) for item in state.objectives]
    if FulfilmentStatus.NOT_FULFILLED in observed:
        failed = any(
            _observed(item) is FulfilmentStatus.NOT_FULFILLED and _means_outage(item)
            for item in state.objectives
        )
        return Standing(FulfilmentStatus.NOT_FULFILLED, "failed" if failed else "degraded")
    if not observed or FulfilmentStatus.INDETERMINATE in observed:
        return Standing(FulfilmentStatus.INDETERMINATE, "unknown")
    return Standing(FulfilmentStatus.FULFILLED, "running")


def _observed(item: ObjectiveState) -> FulfilmentStatus:
    if item.assessment is None:
        return FulfilmentStatus.INDETERMINATE
    return item.assessment.observed


def _means_outage(item: ObjectiveState) -> bool:
    availability = item.kpi is not None and item.kpi.statistic is Statistic.AVAILABILITY
    return availability or item.objective.severity is PerceivedSeverity.CRITICAL
