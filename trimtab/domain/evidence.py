"""Evidence of a cause: what the correlator asks of the assessors, and what they testify. Neither leaves the loop."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvidenceWanted:
    """Ask what became of some objects' KPIs since `begin_ns`: services suffer, and no trouble beneath explains it."""

    incident_id: str
    objects: tuple[str, ...]
    begin_ns: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Shifted:
    """Testify of an object by the KPI that shifted most: its medians before and after, and by how much.

    `size` is in units of the KPI's own unrest, signed; `evidence` (0 and more) is what all KPIs of the object together
    say against it (analytics/evidence.py). A median is None where nothing was measured.
    """

    incident_id: str
    object_id: str
    kpi: str
    unit: str
    before: float | None
    after: float | None
    size: float
    evidence: float
    since_ns: int
