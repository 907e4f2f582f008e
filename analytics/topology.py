"""The topology as the correlator reads it: who suffers with whom, also shortly after an edge has gone."""

from dataclasses import dataclass, field
from typing import Any

from trimtab.domain import codec
from trimtab.domain.managed_object import RelationKind, Topology
from trimtab.domain.service import Service

FORMER_EDGES_MAX = 100_000
Edge = tuple[str, str]  # who suffers, and with whom


def edges_of(topology: Topology, services: tuple[Service, ...]) -> set[Edge]:
    """Return every direct dependency, as `Topology.depends_on` has it, with what services say they use."""
    edges = {(service.id, below) for service in services for below in service.uses}
    for (subject, kind), targets in topology.relations.items():
        if kind is not RelationKind.PART_OF:
            edges.update((subject, target) for target in targets)
        elif kind is RelationKind.PART_OF:
            edges.update((target, subject) for target in targets)
    return edges


@dataclass(slots=True)
class Dependencies:
    """Answer quickly what supports an object.

    An edge that went (a guest was migrated) counts for `linger_ns` more: the service above still
    shows, for the length of its window, what the old host did to it.
    """

    present: set[Edge] = field(default_factory=set)
    former: dict[Edge, int] = field(default_factory=dict)
    _below: dict[str, list[str]] = field(default_factory=dict)
    _above: dict[str, set[str]] = field(default_factory=dict)
    _support: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def update(self, edges: set[Edge], at_ns: int) -> None:
        """Take over the present edges."""
        for edge in sorted(self.present - edges):
            if len(self.former) < FORMER_EDGES_MAX:
                self.former[edge] = at_ns
        self.present = edges
        self.former = {edge: gone for edge, gone in self.former.items() if edge not in edges}
        self._index()

    def expire(self, at_ns: int, linger_ns: int) -> bool:
        """Forget edges that have been gone for long; return whether there were any."""
        old = [edge for edge, gone in self.former.items() if gone + linger_ns < at_ns]
        for edge in old:
            del self.former[edge]
        if old:
            self._index()
        return bool(old)

    def _index(self) -> None:
        self._below, self._above, self._support = {}, {}, {}
        for above, below in sorted({*self.present, *self.former}):
            self._below.setdefault(above, []).append(below)
            self._above.setdefault(below, set()).add(above)

    def support_of(self, object_id: str) -> tuple[str, ...]:
        """Return every object whose trouble can reach this one, itself first, then breadth first."""
        if object_id not in self._support:
            order, seen = [object_id], {object_id}
            for current in order:
                for below in self._below.get(current, ()):
                    if below not in seen:
                        seen.add(below)
                        order.append(below)
            self._support[object_id] = tuple(order)
        return self._support[object_id]

    def directly_below(self, object_id: str) -> list[str]:
        """Return the objects whose trouble makes this one suffer directly."""
        return self._below.get(object_id, [])

    def above(self, object_id: str) -> list[str]:
        """Return every object that suffers with this one, however indirectly, sorted; itself is none of them."""
        found: set[str] = set()
        waiting = [object_id]
        while waiting:
            fresh = self._above.get(waiting.pop(), set()) - found
            found |= fresh
            waiting += fresh
        return sorted(found - {object_id})

    def rests_on(self, above: str, below: str) -> bool:
        """Return whether one object suffers, however indirectly, when another does."""
        return above != below and below in self.support_of(above)

    def groups_of(self, object_id: str) -> set[str]:
        """Return what is made up of an object directly: the VNFs that a VNFC is part of."""
        return self._above.get(object_id, set())

    def state(self) -> dict[str, Any]:
        """Return what changes, as JSON types."""
        return {
            "present": sorted(self.present),
            "former": [[*edge, gone] for edge, gone in sorted(self.former.items())],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Dependencies":
        """Return what `state` described."""
        found = cls(
            {(above, below) for above, below in state["present"]},
            {(above, below): gone for above, below, gone in state["former"]},
        )
        found._index()
        return found


def topology_state(topology: Topology) -> dict[str, Any]:
    """Return a topology as JSON types."""
    return {
        "objects": [codec.to_plain(item) for item in topology.objects.values()],
        "aliases": [
            [source, native, [codec.to_plain(claim) for claim in claims]]
            for (source, native), claims in topology.aliases.items()
        ],
        "relations": [
            [subject, kind.value, list(targets)]
            for (subject, kind), targets in topology.relations.items()
        ],
    }


def topology_from(state: dict[str, Any]) -> Topology:
    """Return the topology that `topology_state` described, its values decoded already."""
    return Topology(
        objects={item.id: item for item in state["objects"]},
        aliases={(source, native): claims for source, native, claims in state["aliases"]},
        relations={(s, RelationKind(kind)): targets for s, kind, targets in state["relations"]},
    )
