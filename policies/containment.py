"""What contains what: a VNF its VNFCs, a host its guests. Indexed anew when the inventory changes."""

from collections import defaultdict

from trimtab.domain.managed_object import ObjectKind, RelationKind, Topology


class Containment:
    """Answers for one state of the inventory; build another after a change."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._parts: dict[str, list[str]] = defaultdict(list)
        self._guests: dict[str, list[str]] = defaultdict(list)
        self._native: dict[str, dict[str, str]] = defaultdict(dict)
        for (subject, kind), targets in sorted(topology.relations.items()):
            table = {RelationKind.PART_OF: self._parts, RelationKind.RUNS_ON: self._guests}
            if kind in table:
                for target in targets:
                    table[kind][target].append(subject)
        for (source, native), claims in sorted(topology.aliases.items()):
            for claim in claims:
                if claim.valid_to_ns is None:
                    self._native[claim.object_id][source] = native

    def parts(self, object_id: str) -> list[str]:
        """Return what an object is made of, sorted."""
        return sorted(self._parts.get(object_id, ()))

    def inside(self, object_id: str) -> tuple[str, ...]:
        """Return the object and everything that it contains, however deep, sorted."""
        order = [object_id]
        seen = {object_id}
        for current in order:
            for below in (*self._parts.get(current, ()), *self._guests.get(current, ())):
                if below not in seen:
                    seen.add(below)
                    order.append(below)
        return tuple(sorted(order))

    def guests(self, object_id: str) -> tuple[str, ...]:
        """Return the VNFCs that run on an object, through VMs too, sorted."""
        return tuple(
            item
            for item in self.inside(object_id)
            if item != object_id and self.kind(item) is ObjectKind.VNFC
        )

    def whole(self, object_id: str) -> str | None:
        """Return what the object is part of."""
        targets = self._topology.targets(object_id, RelationKind.PART_OF)
        return targets[0] if targets else None

    def host(self, object_id: str) -> str | None:
        """Return the host that an object runs on, through a VM too."""
        seen = {object_id}
        while True:
            below = self._topology.targets(object_id, RelationKind.RUNS_ON)
            if not below or below[0] in seen:
                return None
            object_id = below[0]
            seen.add(object_id)
            if self.kind(object_id) is ObjectKind.HOST:
                return object_id

    def kind(self, object_id: str) -> ObjectKind | None:
        """Return an object's kind, by the inventory or else by its id; None when neither tells."""
        known = self._topology.objects.get(object_id)
        if known is not None:
            return known.kind
        try:
            return ObjectKind(object_id.split("/")[1])
        except (IndexError, ValueError):
            return None

    def native_ids(self, object_id: str) -> tuple[tuple[str, str], ...]:
        """Return present native ids by source: the object's own, then those of what it is part of."""
        found = dict(self._native.get(object_id, {}))
        whole = self.whole(object_id)
        if whole is not None:
            for source, native in self._native.get(whole, {}).items():
                found.setdefault(source, native)
        return tuple(sorted(found.items()))
