"""Incidents: troubles that belong together, and the objects that explain them, ranked."""

from dataclasses import dataclass
from enum import StrEnum

from trimtab.domain.context import Context

CAUSES_PER_INCIDENT_MAX = 10


class IncidentState(StrEnum):
    """An incident is open while any of its services or causes is in trouble."""

    OPEN = "open"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Cause:
    """Name an object as (part of) the explanation.

    `explains` lists the troubled objects that its trouble accounts for; `confidence` is in 0..1 and is
    the margin over the next candidate; `evidence` are sentences with numbers that a NOC engineer can check.
    """

    object_id: str
    symptom: str
    score: float
    confidence: float
    since_ns: int
    explains: tuple[str, ...]
    evidence: tuple[str, ...]
    value: float | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """Bundle what belongs together. Emitted anew (same `id`) whenever its content changes.

    `unknown` lists objects that may matter but whose sources are silent: a reason to freeze.
    A resource in trouble without a suffering service is an incident with empty `services`.
    """

    context: Context
    id: str
    state: IncidentState
    opened_at_ns: int
    changed_at_ns: int
    services: tuple[str, ...]
    alarm_ids: tuple[str, ...]
    troubled: tuple[str, ...]
    causes: tuple[Cause, ...]
    unknown: tuple[str, ...] = ()
    resolved_at_ns: int | None = None
