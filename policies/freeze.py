"""Absence of evidence freezes; evidence of absence does not (DESIGN section 6.4)."""

from policies.facts import Facts
from trimtab.domain.assessment import FulfilmentStatus
from trimtab.domain.incident import Cause, Incident


def silent(facts: Facts, incident: Incident, cause: Cause | None) -> list[str]:
    """Return what about an incident can't be told now, one phrase each; empty: nothing freezes.

    An objective without a value does not freeze while another objective of the same service is known to be
    breached: when every probe is lost there is no delay to measure, and the loss is the evidence.
    """
    found = [f"{item} is silent" for item in incident.unknown]
    for service in incident.services:
        objectives = facts.objectives(service)
        if any(item.observed is FulfilmentStatus.NOT_FULFILLED for item in objectives):
            continue
        found += [
            f"{item.objective} of {service} is INDETERMINATE"
            for item in objectives
            if item.observed is FulfilmentStatus.INDETERMINATE
        ]
    if cause is not None:
        status = facts.symptoms(cause.object_id).get(cause.symptom)
        if status is FulfilmentStatus.INDETERMINATE:
            found.append(f"{cause.symptom} of {cause.object_id} is INDETERMINATE")
    return found
