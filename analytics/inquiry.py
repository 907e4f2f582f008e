"""Inquiries: where services suffer and no trouble beneath explains it, what shifted there is asked for, and blamed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics.binding import kind_of
from analytics.cause import is_service
from analytics.evidence import blame
from analytics.topology import Dependencies
from trimtab.domain import codec
from trimtab.domain.assessment import SHIFTED
from trimtab.domain.evidence import EvidenceWanted, Shifted
from trimtab.domain.incident import CAUSES_PER_INCIDENT_MAX, Cause, Incident
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.time import NS_PER_SECOND, rfc3339

OBJECTS_ASKED_MAX = 10_000
# Evidence becomes clearer as time goes by: it is asked for so often, so far apart.
ASKS_MAX = 5
ASK_EVERY_NS = 5 * NS_PER_SECOND
DIGITS = 6


@dataclass(slots=True)
class Inquiry:
    """What was asked for on behalf of one incident, and what is known so far."""

    asked: int = 0
    next_ns: int = 0
    heard: dict[str, Shifted] = field(default_factory=dict)


class Inquiries:
    """Hold an inquiry for each open incident that nothing but hints explains."""

    def __init__(self) -> None:
        self.open: dict[str, Inquiry] = {}

    def hear(self, told: Shifted) -> None:
        """Take a testimony in; a later one about the same object takes its place."""
        inquiry = self.open.get(told.incident_id)
        if inquiry is not None:
            inquiry.heard[told.object_id] = told

    def keep(self, incident_ids: Iterable[str]) -> None:
        """Forget the inquiries of other incidents."""
        kept = set(incident_ids)
        self.open = {key: inquiry for key, inquiry in self.open.items() if key in kept}

    def ask(
        self, incident: Incident, dependencies: Dependencies, begin_ns: int, now_ns: int
    ) -> EvidenceWanted | None:
        """Return what is to be asked for now, None when it is not time, or nothing carries the services."""
        inquiry = self.open.setdefault(incident.id, Inquiry())
        if inquiry.asked >= ASKS_MAX or now_ns < inquiry.next_ns:
            return None
        objects = sorted(
            {
                name
                for service in incident.services
                for name in dependencies.support_of(service)
                if not is_service(name)
            }
        )
        if not objects:
            return None
        inquiry.asked += 1
        inquiry.next_ns = now_ns + ASK_EVERY_NS
        return EvidenceWanted(incident.id, tuple(objects[:OBJECTS_ASKED_MAX]), begin_ns, now_ns)

    def causes(
        self, incident_id: str, services: Iterable[str], dependencies: Dependencies
    ) -> tuple[Cause, ...]:
        """Return whom the evidence speaks against, the most first."""
        inquiry = self.open.get(incident_id)
        if inquiry is None or not inquiry.heard:
            return ()
        evidence = {name: told.evidence for name, told in inquiry.heard.items()}
        needs = {name: set(dependencies.support_of(name)) - {name} for name in evidence}
        votes = _votes(evidence, needs, dependencies, services)
        suffering = sorted(services)
        return tuple(
            Cause(
                object_id=blamed.object_id,
                symptom=SHIFTED,
                score=round(blamed.score, DIGITS),
                confidence=round(blamed.confidence, DIGITS),
                since_ns=min(
                    inquiry.heard[name].since_ns for name in votes.get(blamed.object_id, (blamed.object_id,))
                ),
                explains=tuple(
                    name for name in suffering if dependencies.rests_on(name, blamed.object_id)
                ),
                evidence=_said(blamed.object_id, inquiry.heard, votes),
                value=_value(inquiry.heard.get(blamed.object_id)),
            )
            for blamed in blame(evidence, needs)[:CAUSES_PER_INCIDENT_MAX]
        )  # fmt: skip

    def state(self) -> list[Any]:
        """Return all inquiries as JSON types."""
        return [
            [
                key, inquiry.asked, inquiry.next_ns,
                [codec.to_plain(inquiry.heard[name]) for name in sorted(inquiry.heard)],
            ]
            for key, inquiry in sorted(self.open.items())
        ]  # fmt: skip

    @classmethod
    def from_state(cls, state: list[Any]) -> "Inquiries":
        """Return what `state` described."""
        inquiries = cls()
        for key, asked, next_ns, heard in state:
            told = [codec.from_plain(item) for item in heard]
            inquiries.open[key] = Inquiry(asked, next_ns, {item.object_id: item for item in told})
        return inquiries


def _votes(
    evidence: dict[str, float], needs: dict[str, set[str]], dependencies: Dependencies,
    services: Iterable[str],
) -> dict[str, tuple[str, ...]]:  # fmt: skip
    """Let both ends of a link vote for it: what is between two that shifted alike, and tells nothing itself.

    Adds the links to `evidence` and to what their ends need; returns each link's voters.
    """
    links = sorted(
        {
            name
            for service in services
            for name in dependencies.support_of(service)
            if kind_of(name) is ObjectKind.LINK and name not in evidence
        }
    )
    votes: dict[str, tuple[str, ...]] = {}
    for link in links:
        ends = [
            max(sides, key=lambda name: (evidence[name], name))
            for end in dependencies.directly_below(link)
            if (sides := [name for name in dependencies.support_of(end) if name in evidence])
        ]
        if len(set(ends)) >= 2:
            votes[link] = tuple(sorted(set(ends)))
    for link, ends_of in votes.items():
        evidence[link] = min(evidence[name] for name in ends_of)
        needs[link] = set()
        for name in ends_of:
            needs[name] = needs[name] | {link}
    return votes


def _said(
    object_id: str, heard: Mapping[str, Shifted], votes: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    voters = votes.get(object_id)
    if voters is not None:
        first = f"what it connects shifted alike at {len(voters)} ends, and it tells nothing itself"
        return (first, *(_sentence(heard[name]) for name in voters))
    return (_sentence(heard[object_id]),)


def _sentence(told: Shifted) -> str:
    before = "nothing" if told.before is None else f"{told.before:.6g} {told.unit}"
    after = "nothing" if told.after is None else f"{told.after:.6g} {told.unit}"
    return (
        f"{told.kpi} of {told.object_id} went from {before} to {after} (medians) at {rfc3339(told.since_ns)},"
        f" {abs(told.size):.3g} times its usual unrest"
    )


def _value(told: Shifted | None) -> float | None:
    return told.after if told is not None else None
