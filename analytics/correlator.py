"""The Correlator: which troubles belong together, and which objects explain them.

Troubles accumulate; ticks conclude.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from analytics.cause import find_causes, is_service, layer_of
from analytics.grouping import grouped
from analytics.inquiry import Inquiries
from analytics.measures import LINGER_MIN_NS, Key, key_of, linger_of, unit_of, window_of
from analytics.silence import unknown_beneath
from analytics.topology import Dependencies, edges_of, topology_from, topology_state
from trimtab.domain import codec
from trimtab.domain.assessment import ANOMALY, SHIFTED, FulfilmentStatus, Trouble
from trimtab.domain.configuration import Configuration
from trimtab.domain.context import Context
from trimtab.domain.evidence import EvidenceWanted, Shifted
from trimtab.domain.identity import content_id
from trimtab.domain.incident import CAUSES_PER_INCIDENT_MAX, Cause, Incident, IncidentState
from trimtab.domain.input import CorrelatorInput, CorrelatorOutput, Numbered, Tick
from trimtab.domain.managed_object import InventoryChange, Topology
from trimtab.domain.time import NS_PER_SECOND
from trimtab.errors import JournalCorrupt

SNAPSHOT_FORMAT = 2
TROUBLES_MAX = 100_000
INCIDENTS_OPEN_MAX = 1_000
# A cause may be noticed so much later than what it does: another window, another source.
LATE_SLACK_NS = 30 * NS_PER_SECOND


@dataclass(slots=True, eq=False)
class Open:
    """An incident under way: its last words, and the troubles that it was made of."""

    incident: Incident
    first: Key
    members: set[Key] = field(default_factory=set)


class Correlator:
    """Implement Machine[CorrelatorInput, CorrelatorOutput] for one administrative domain."""

    def __init__(self) -> None:
        self.topology = Topology()
        self.dependencies = Dependencies()
        self.configuration: Configuration | None = None
        self.troubles: dict[Key, Trouble] = {}
        self.ended: dict[Key, tuple[Trouble, int]] = {}
        self.open: list[Open] = []
        self.linger_ns = LINGER_MIN_NS
        self.tick_ns = 0
        self.refused = 0
        self.inquiries = Inquiries()
        # What an incident says follows from its own troubles and from what all rest on: looked at where either changed.
        # Not in a snapshot: who starts anew looks at all once, and finds it as it was said.
        self._stirred: set[Key] = set()
        self._moved = True

    def step(self, inputs: Sequence[Numbered[CorrelatorInput]], now: int) -> list[CorrelatorOutput]:
        """Take inputs in order; every tick gives out the incidents that changed, and what is asked on their behalf."""
        outputs: list[CorrelatorOutput] = []
        for item in inputs:
            match item.value:
                case Trouble() as trouble:
                    self._take_trouble(trouble)
                case Shifted() as told:
                    self._moved = True
                    self.inquiries.hear(told)
                case Tick(at_ns):
                    self.tick_ns = max(self.tick_ns, at_ns)
                    outputs.extend(self._conclude())
                    outputs.extend(self._ask())
                case InventoryChange() as change:
                    self._take_inventory(change)
                case Configuration() as configuration:
                    self._configure(configuration)
                case _:
                    pass
        return outputs

    def snapshot(self) -> bytes:
        """Return the whole state; equal states give equal bytes."""
        state = {
            "format": SNAPSHOT_FORMAT,
            "tick_ns": self.tick_ns,
            "linger_ns": self.linger_ns,
            "refused": self.refused,
            "configuration": codec.to_plain(self.configuration),
            "topology": topology_state(self.topology),
            "dependencies": self.dependencies.state(),
            "troubles": [codec.to_plain(item) for _, item in sorted(self.troubles.items())],
            "ended": [[codec.to_plain(item), at] for _, (item, at) in sorted(self.ended.items())],
            "inquiries": self.inquiries.state(),
            "open": [
                [codec.to_plain(item.incident), item.first, sorted(item.members)]
                for item in self.open
            ],
        }
        return json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def restore(cls, blob: bytes) -> Self:
        """Return a correlator in the state of a snapshot. Raises JournalCorrupt when its format is unknown."""
        state: dict[str, Any] = json.loads(blob)
        if state.get("format") != SNAPSHOT_FORMAT:
            raise JournalCorrupt(f"correlator snapshot format {state.get('format')} is unknown")
        machine = cls()
        machine.tick_ns, machine.linger_ns = state["tick_ns"], state["linger_ns"]
        machine.refused = state["refused"]
        if state["configuration"] is not None:
            machine.configuration = codec.from_plain(state["configuration"])
        topology = state["topology"]
        topology["objects"] = [codec.from_plain(item) for item in topology["objects"]]
        topology["aliases"] = [
            (source, native, [codec.from_plain(claim) for claim in claims])
            for source, native, claims in topology["aliases"]
        ]
        machine.topology = topology_from(topology)
        machine.dependencies = Dependencies.from_state(state["dependencies"])
        for plain in state["troubles"]:
            trouble = codec.from_plain(plain)
            machine.troubles[key_of(trouble)] = trouble
        for plain, at_ns in state["ended"]:
            trouble = codec.from_plain(plain)
            machine.ended[key_of(trouble)] = (trouble, at_ns)
        machine.inquiries = Inquiries.from_state(state["inquiries"])
        machine.open = [
            Open(codec.from_plain(incident), (first[0], first[1]), {(o, n) for o, n in members})
            for incident, first, members in state["open"]
        ]
        return machine

    def _configure(self, configuration: Configuration) -> None:
        before = self.configuration
        if before is not None:
            gone = _declared(before) - _declared(configuration)
            self.topology.apply(
                InventoryChange(
                    "configuration", self.tick_ns, removed_object_ids=tuple(sorted(gone))
                )
            )
        self.configuration = configuration
        self.linger_ns = linger_of(configuration)
        self._take_inventory(configuration.inventory)

    def _take_inventory(self, change: InventoryChange) -> None:
        self._moved = True
        self.topology.apply(change)
        services = self.configuration.services if self.configuration else ()
        self.dependencies.update(edges_of(self.topology, services), self.tick_ns)
        for gone in change.removed_object_ids:
            for key in [key for key in self.troubles if key[0] == gone]:
                del self.troubles[key]

    def _take_trouble(self, trouble: Trouble) -> None:
        key = key_of(trouble)
        before = self.troubles.get(key)
        self._stirred.add(key)
        # Silence concerns whatever rests on it, and so does what is over, for a while.
        silent = not trouble.active and trouble.status is not FulfilmentStatus.FULFILLED
        if silent or key in self.ended or (before is not None and trouble is not before):
            self._moved = True
        if trouble.status is FulfilmentStatus.FULFILLED:
            if before is not None:
                del self.troubles[key]
                self.ended[key] = (before, trouble.at_ns)
            return
        if before is None and len(self.troubles) >= TROUBLES_MAX:
            self.refused += 1
            return
        if before is not None and not trouble.active and self._was_active(key, before):
            # Silence says nothing new about a trouble: keep what was last known of it.
            trouble = replace(
                trouble, since_ns=before.since_ns, value=before.value, confidence=before.confidence
            )
        self.troubles[key] = trouble
        self.ended.pop(key, None)

    def _was_active(self, key: Key, before: Trouble) -> bool:
        return before.active or any(key in item.members for item in self.open)

    def _conclude(self) -> list[Incident]:
        expired = self.dependencies.expire(self.tick_ns, self.linger_ns)
        horizon = self.tick_ns - self.linger_ns
        ended = {key: item for key, item in self.ended.items() if item[1] >= horizon}
        moved = self._moved or expired or len(ended) < len(self.ended)
        self.ended = ended
        # Those beyond the limit are counted at every tick.
        if not (moved or self._stirred or len(self.open) >= INCIDENTS_OPEN_MAX):
            return []
        stirred, self._stirred, self._moved = self._stirred, set(), False
        silence = any(not trouble.active for trouble in self.troubles.values())
        held = {key for item in self.open for key in item.members}
        members = {
            key: trouble for key, trouble in self.troubles.items() if trouble.active or key in held
        }
        if not members and not self.open:
            return []
        groups = grouped(members, self.dependencies)
        outputs = self._match(groups, members, None if moved or silence else stirred)
        held = {key for item in self.open for key in item.members}
        # What is silent and no incident holds any longer joins nothing from the next tick on.
        self._moved = any(
            not trouble.active and key not in held for key, trouble in members.items()
        )
        return outputs

    def _match(
        self, groups: list[set[Key]], members: dict[Key, Trouble], stirred: set[Key] | None
    ) -> list[Incident]:
        """Give each group the incident that it continues, or a new one; end the others.

        What it says is looked at where its members changed, or are among the `stirred`; of all where that is None.
        """
        outputs: list[Incident] = []
        restless: list[Open] = []
        free = dict(enumerate(self.open))
        owner = {key: number for number, item in free.items() for key in item.members}
        continued: list[Open] = []
        for group in groups:
            related = sorted({owner[key] for key in group & owner.keys()} & free.keys())
            leading = [number for number in related if free[number].first in group]
            if related:
                chosen = free.pop((leading or related)[0])
                if stirred is None or chosen.members != group or group & stirred:
                    restless.append(chosen)
                chosen.members = group
                continued.append(chosen)
        taken = {id_ for item in continued for id_ in item.members}
        for item in free.values():
            outputs.append(self._resolved(item.incident))
        for group in groups:
            if not group & taken and any(members[key].active for key in group):
                if len(continued) < INCIDENTS_OPEN_MAX:
                    continued.append(self._opened(group, members))
                    restless.append(continued[-1])
                else:
                    self.refused += 1
        # The oldest first, however often they were matched.
        self.open = sorted(
            continued, key=lambda item: (item.incident.opened_at_ns, item.incident.id)
        )
        for item in restless:
            fresh = self._described(item, members)
            if fresh is not None:
                item.incident = fresh
                outputs.append(fresh)
        return sorted(outputs, key=lambda incident: (incident.opened_at_ns, incident.id))

    def _opened(self, group: set[Key], members: dict[Key, Trouble]) -> Open:
        first = min(
            (key for key in group if members[key].active),
            key=lambda key: (members[key].since_ns, layer_of(key[0]), key),
        )
        trouble = members[first]
        identity = content_id("incident", trouble.object_id, trouble.symptom, trouble.since_ns)
        if any(item.incident.id == identity for item in self.open):
            identity = content_id("incident", trouble.object_id, trouble.symptom, self.tick_ns)
        incident = Incident(
            context=Context(identity, trouble.context.id),
            id=identity,
            state=IncidentState.OPEN,
            opened_at_ns=self.tick_ns,
            changed_at_ns=-1,
            services=(),
            alarm_ids=(),
            troubled=(),
            causes=(),
        )
        return Open(incident, first, group)

    def _resolved(self, incident: Incident) -> Incident:
        return replace(
            incident,
            state=IncidentState.RESOLVED,
            changed_at_ns=self.tick_ns,
            resolved_at_ns=self.tick_ns,
        )

    def _described(self, item: Open, members: dict[Key, Trouble]) -> Incident | None:
        """Return the incident as it stands now, None when that is what was said last."""
        by_object: dict[str, list[Trouble]] = {}
        for key in sorted(item.members):
            by_object.setdefault(key[0], []).append(members[key])
        over: dict[str, list[Trouble]] = {}
        for (name, _), (trouble, _) in sorted(self.ended.items()):
            if trouble.active:
                over.setdefault(name, []).append(trouble)
        alarms = {member.alarm_id for key in item.members if (member := members[key]).alarm_id}
        before = item.incident
        fresh = replace(
            before,
            services=tuple(name for name in sorted(by_object) if is_service(name)),
            alarm_ids=tuple(sorted(alarm for alarm in alarms if alarm)),
            troubled=tuple(sorted(by_object)),
            causes=self._causes(before.id, by_object, over),
            unknown=unknown_beneath(
                by_object, self.troubles, self.dependencies, self.configuration
            ),
        )
        if fresh == before and before.changed_at_ns >= 0:
            return None
        return replace(fresh, changed_at_ns=self.tick_ns)

    def _causes(
        self, incident_id: str, troubled: Mapping[str, Sequence[Trouble]],
        over: Mapping[str, Sequence[Trouble]],
    ) -> tuple[Cause, ...]:  # fmt: skip
        """Return causes by troubles; where these are hints at most, those by evidence come first."""
        found = find_causes(
            troubled,
            over,
            self.dependencies,
            LATE_SLACK_NS,
            lambda item: unit_of(item, self.configuration),
        )
        if any(cause.symptom != ANOMALY for cause in found):
            return found
        services = [name for name in troubled if is_service(name)]
        shifted = self.inquiries.causes(incident_id, services, self.dependencies)
        named = {cause.object_id for cause in shifted}
        hints = tuple(cause for cause in found if cause.object_id not in named)
        return (*shifted, *hints)[:CAUSES_PER_INCIDENT_MAX]

    def _ask(self) -> list[EvidenceWanted]:
        """Return what is asked on behalf of incidents whose services suffer without a known cause."""
        puzzling = [
            item.incident
            for item in self.open
            if item.incident.services
            and not any(cause.symptom not in (ANOMALY, SHIFTED) for cause in item.incident.causes)
        ]
        self.inquiries.keep(incident.id for incident in puzzling)
        asked = [
            self.inquiries.ask(incident, self.dependencies, self._began(incident), self.tick_ns)
            for incident in puzzling
        ]
        return [wanted for wanted in asked if wanted is not None]

    def _began(self, incident: Incident) -> int:
        """Return when what the services suffer from may have begun: before the first window that shows it."""
        services = set(incident.services)
        since = [
            trouble.since_ns - window_of(trouble, self.configuration)
            for key, trouble in self.troubles.items()
            if key[0] in services and trouble.active
        ]
        return min(since, default=incident.opened_at_ns)


def _declared(configuration: Configuration) -> set[str]:
    services = {service.id for service in configuration.services}
    return services | {item.id for item in configuration.inventory.objects}
