"""The cause finder: of the objects in trouble, which one explains the others best?

Score of a candidate: (1 + 2 * suffering services + other troubled objects that it explains) * strength of its
symptom, times 0.5 if it began long after what it would explain, 0.3 if a lower candidate explains it, 0.3 if it is over
already. Confidence: score / (score + best rival's score), where a rival is a candidate that the first does not
explain; 1 without a rival, 0.5 for a tie, less for all but the first; times 0.3 for a candidate that is over already.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analytics.binding import kind_of
from analytics.topology import Dependencies
from trimtab.domain.assessment import ANOMALY, Trouble
from trimtab.domain.incident import CAUSES_PER_INCIDENT_MAX, Cause
from trimtab.domain.managed_object import LAYER, ObjectKind
from trimtab.domain.time import rfc3339

PROCESS_GONE, UNREACHABLE, PRESSURE, OVERLOAD = (
    "process-gone",
    "unreachable",
    "pressure",
    "overload",
)
# What is gone says so of all that rests on it.
GONE = frozenset({PROCESS_GONE, UNREACHABLE})
# Facts about whether something is there at all speak louder than facts about how well it does.
STRENGTH = {PROCESS_GONE: 1.0, UNREACHABLE: 0.95, PRESSURE: 0.9, "leak": 0.7, OVERLOAD: 0.6}
OTHER_STRENGTH = 0.6
# What is merely unlike itself tells least.
HINT_STRENGTH = 0.2
SERVICE_WEIGHT = 2.0
LATE_FACTOR = 0.5
EXPLAINED_FACTOR = 0.3
OVER_FACTOR = 0.3
SCORE_DIGITS = 6


@dataclass(slots=True)
class Candidate:
    """An object that may be a cause, by its most telling trouble."""

    trouble: Trouble
    over: bool
    services: tuple[str, ...]
    resources: tuple[str, ...]
    explained_by: tuple[str, ...]
    score: float = 0.0

    @property
    def object_id(self) -> str:
        """Return whose trouble it is."""
        return self.trouble.object_id


def layer_of(object_id: str) -> int:
    """Return how high an object stands; one of unknown kind stands on top."""
    kind = kind_of(object_id)
    return LAYER[kind] if kind is not None else len(LAYER)


def is_service(object_id: str) -> bool:
    """Return whether an object is a service: services suffer, they cause nothing."""
    return kind_of(object_id) is ObjectKind.SERVICE


def strength_of(symptom: str) -> float:
    """Return how telling a symptom is, 0..1."""
    return STRENGTH.get(symptom, HINT_STRENGTH if symptom == ANOMALY else OTHER_STRENGTH)


def most_telling(troubles: Sequence[Trouble]) -> Trouble:
    """Return the trouble that an object is known by: the strongest symptom, then the earliest."""
    return min(
        troubles,
        key=lambda item: (
            -strength_of(item.symptom), -item.confidence, item.since_ns, item.objective, item.symptom,
        ),
    )  # fmt: skip


def can_explain(cause: Trouble, effect: Trouble, dependencies: Dependencies) -> bool:
    """Return whether one resource's trouble accounts for another's.

    What lies below explains what lies above, but no pressure makes a process vanish, and a mere anomaly explains only
    its like. A VNFC that is gone explains that its siblings are overloaded.
    """
    if cause.hint and not effect.hint:
        return False
    if dependencies.rests_on(effect.object_id, cause.object_id):
        return not (cause.symptom == PRESSURE and effect.symptom == PROCESS_GONE)
    return (
        cause.symptom in GONE
        and effect.symptom == OVERLOAD
        and _siblings(cause, effect, dependencies)
    )


def _siblings(one: Trouble, other: Trouble, dependencies: Dependencies) -> bool:
    return (
        one.object_id != other.object_id
        and kind_of(one.object_id) is ObjectKind.VNFC
        and bool(dependencies.groups_of(one.object_id) & dependencies.groups_of(other.object_id))
    )


def find_causes(
    active: Mapping[str, Sequence[Trouble]],
    over: Mapping[str, Sequence[Trouble]],
    dependencies: Dependencies,
    late_after_ns: int,
    unit_of: Callable[[Trouble], str],
) -> tuple[Cause, ...]:
    """Return the ranked causes of what is troubled.

    `active` holds the troubles by object, `over` those of resources that ended only lately: what they did may
    still show in the services above. Empty when services suffer and nothing beneath them is in trouble.
    """
    telling = {
        name: (most_telling(troubles), False)
        for name, troubles in active.items()
        if not is_service(name)
    }
    for name, troubles in over.items():
        if name not in telling and not is_service(name):
            telling[name] = (most_telling(troubles), True)
    services = {
        name: min(item.since_ns for item in troubles)
        for name, troubles in active.items()
        if is_service(name)
    }
    candidates = [
        _weigh(trouble, ended, telling, services, dependencies, late_after_ns)
        for trouble, ended in telling.values()
        if not ended or any(dependencies.rests_on(name, trouble.object_id) for name in services)
    ]
    candidates.sort(
        key=lambda item: (
            -item.score, item.trouble.since_ns, layer_of(item.object_id), item.object_id,
        )
    )  # fmt: skip
    ranked = candidates[:CAUSES_PER_INCIDENT_MAX]
    return tuple(_as_cause(item, ranked, dependencies, unit_of) for item in ranked)


def _weigh(
    trouble: Trouble,
    over: bool,
    telling: Mapping[str, tuple[Trouble, bool]],
    services: Mapping[str, int],
    dependencies: Dependencies,
    late_after_ns: int,
) -> Candidate:
    suffering = tuple(
        name for name in sorted(services) if dependencies.rests_on(name, trouble.object_id)
    )
    others = [item for item, ended in telling.values() if item is not trouble and not ended]
    resources = [item for item in others if can_explain(trouble, item, dependencies)]
    explained_by = [item.object_id for item in others if can_explain(item, trouble, dependencies)]
    effects = [services[name] for name in suffering] + [item.since_ns for item in resources]
    score = (1.0 + SERVICE_WEIGHT * len(suffering) + len(resources)) * strength_of(trouble.symptom)
    if effects and trouble.since_ns > min(effects) + late_after_ns:
        score *= LATE_FACTOR
    if explained_by:
        score *= EXPLAINED_FACTOR
    if over:
        score *= OVER_FACTOR
    names = tuple(sorted(item.object_id for item in resources))
    return Candidate(
        trouble, over, suffering, names, tuple(sorted(explained_by)), round(score, SCORE_DIGITS)
    )


def _as_cause(
    candidate: Candidate,
    ranked: Sequence[Candidate],
    dependencies: Dependencies,
    unit_of: Callable[[Trouble], str],
) -> Cause:
    rivals = [
        other.score
        for other in ranked
        if other is not candidate and not _one_fault(candidate, other, dependencies)
    ]
    rival = max(rivals, default=0.0)
    trouble = candidate.trouble
    confidence = (
        candidate.score / (candidate.score + rival) * (OVER_FACTOR if candidate.over else 1.0)
    )
    return Cause(
        object_id=trouble.object_id,
        symptom=trouble.symptom,
        score=candidate.score,
        confidence=round(confidence, SCORE_DIGITS),
        since_ns=trouble.since_ns,
        explains=tuple(sorted({*candidate.services, *candidate.resources})),
        evidence=_evidence(candidate, unit_of(trouble)),
        value=trouble.value,
        bound=trouble.bound,
    )


def _one_fault(candidate: Candidate, other: Candidate, dependencies: Dependencies) -> bool:
    """Return whether a candidate explains another, or both are parts of one VNF with one symptom: no rivals."""
    alike = other.trouble.symptom == candidate.trouble.symptom
    return candidate.object_id in other.explained_by or (
        alike and _siblings(candidate.trouble, other.trouble, dependencies)
    )


def _evidence(candidate: Candidate, unit: str) -> tuple[str, ...]:
    trouble = candidate.trouble
    seen = "no value" if trouble.value is None else f"{trouble.value:.6g} {unit}".rstrip()
    bound = f"{trouble.bound:.6g} {unit}".rstrip()
    state = "was" if candidate.over else "is"
    told = [
        f"{trouble.object_id} {state} in trouble ({trouble.symptom}) since"
        f" {rfc3339(trouble.since_ns)}: {seen}, bound {bound}"
    ]
    if candidate.over:
        told.append("that trouble has ended, what rests on it has not recovered yet")
    if candidate.services:
        told.append(
            f"suffering services that rest on it, {len(candidate.services)}: {', '.join(candidate.services)}"
        )
    if candidate.resources:
        told.append(
            f"it explains {len(candidate.resources)} other troubled objects:"
            f" {', '.join(candidate.resources)}"
        )
    if candidate.explained_by:
        told.append(f"it may itself follow from {', '.join(candidate.explained_by)}")
    return tuple(told)
