"""Managed objects, their aliases, and how they hang together."""

from dataclasses import dataclass, field
from enum import StrEnum

OBJECTS_MAX = 100_000


class ObjectKind(StrEnum):
    """Name the layers of a network service, from the ground up."""

    HOST = "host"
    VM = "vm"
    VNFC = "vnfc"
    VNF = "vnf"
    LINK = "link"
    NS = "ns"
    SERVICE = "service"


# The lower an object's layer, the more its trouble can explain.
LAYER = {
    ObjectKind.HOST: 0,
    ObjectKind.VM: 1,
    ObjectKind.VNFC: 2,
    ObjectKind.LINK: 2,
    ObjectKind.VNF: 3,
    ObjectKind.NS: 4,
    ObjectKind.SERVICE: 5,
}


class RelationKind(StrEnum):
    """Say how a subject depends on an object: the subject suffers when the object does."""

    RUNS_ON = "runs_on"  # vnfc -> host (or vm -> host, vnfc -> vm)
    PART_OF = "part_of"  # vnfc -> vnf: the vnf suffers when its part does
    USES = "uses"  # service -> vnf, service -> link
    CONNECTS = "connects"  # link -> vnf: an end of a link


@dataclass(frozen=True, slots=True)
class ManagedObject:
    """Stand for a role in the network; heal, scale and migrate change what fills it, never its id.

    `id` is `tenant/kind/name`. Resources belong to the tenant `provider`.
    """

    id: str
    kind: ObjectKind
    tenant: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Alias:
    """Bind a source's native id to an object for a span of time (`valid_to_ns` None: until further notice).

    Sources are free names that actuators and binding rules agree on: `vnfm` (vnfInstanceId),
    `vnfm.vnfc` (vnfcInstanceId), `vim` (server id).
    """

    object_id: str
    source: str
    native_id: str
    valid_from_ns: int
    valid_to_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """Tie two objects; (subject, kind, object) is unique."""

    subject_id: str
    kind: RelationKind
    object_id: str


@dataclass(frozen=True, slots=True)
class InventoryChange:
    """Report what a source knows of the inventory now: additions, and removals by id.

    RUNS_ON and PART_OF of a subject replace its earlier ones of that kind; an alias replaces the
    object's earlier alias of the same source, closing it at the new one's `valid_from_ns`.
    """

    source: str
    at_ns: int
    objects: tuple[ManagedObject, ...] = ()
    aliases: tuple[Alias, ...] = ()
    relations: tuple[Relation, ...] = ()
    removed_object_ids: tuple[str, ...] = ()


def object_id(tenant: str, kind: ObjectKind | str, name: str) -> str:
    """Return the id of a role: `tenant/kind/name`."""
    return f"{tenant}/{kind}/{name}"


def parse_object_id(text: str) -> tuple[str, ObjectKind, str]:
    """Split `tenant/kind/name`. Raises ValueError when it is not of that form."""
    parts = text.split("/", 2)
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"{text!r} is not of the form tenant/kind/name")
    return parts[0], ObjectKind(parts[1]), parts[2]


def managed_object(text: str) -> ManagedObject:
    """Return the object that an id names. Raises ValueError as `parse_object_id`."""
    tenant, kind, name = parse_object_id(text)
    return ManagedObject(id=text, kind=kind, tenant=tenant, name=name)


@dataclass(slots=True)
class Topology:
    """Hold the present inventory; machines own one each and change it only through `apply`."""

    objects: dict[str, ManagedObject] = field(default_factory=dict)
    aliases: dict[tuple[str, str], list[Alias]] = field(default_factory=dict)
    relations: dict[tuple[str, RelationKind], list[str]] = field(default_factory=dict)

    def apply(self, change: InventoryChange) -> list[str]:
        """Take a change in; return what contradicts it, one sentence each, for the NOC to see."""
        conflicts: list[str] = []
        for item in change.objects:
            if len(self.objects) >= OBJECTS_MAX and item.id not in self.objects:
                conflicts.append(f"{item.id} refused: more than {OBJECTS_MAX} objects")
                continue
            self.objects[item.id] = item
        for alias in change.aliases:
            conflict = self._bind(alias)
            if conflict:
                conflicts.append(conflict)
        replaced: set[tuple[str, RelationKind]] = set()
        for relation in change.relations:
            key = (relation.subject_id, relation.kind)
            single = relation.kind in (RelationKind.RUNS_ON, RelationKind.PART_OF)
            if single and key not in replaced:
                self.relations[key] = []
                replaced.add(key)
            targets = self.relations.setdefault(key, [])
            if relation.object_id not in targets:
                targets.append(relation.object_id)
        for gone in change.removed_object_ids:
            self._remove(gone, change.at_ns)
        return conflicts

    def _bind(self, alias: Alias) -> str | None:
        claims = self.aliases.setdefault((alias.source, alias.native_id), [])
        for claim in claims:
            open_claim = claim.valid_to_ns is None
            if open_claim and claim.object_id == alias.object_id:
                return None
            if open_claim:
                return (
                    f"{alias.source} id {alias.native_id} is claimed by {alias.object_id}"
                    f" but belongs to {claim.object_id}"
                )
        for (source, _), others in self.aliases.items():
            if source != alias.source:
                continue
            for index, claim in enumerate(others):
                if claim.object_id == alias.object_id and claim.valid_to_ns is None:
                    others[index] = Alias(
                        claim.object_id, claim.source, claim.native_id, claim.valid_from_ns,
                        alias.valid_from_ns,
                    )  # fmt: skip
        claims.append(alias)
        return None

    def _remove(self, gone: str, at_ns: int) -> None:
        self.objects.pop(gone, None)
        for key in [key for key in self.relations if key[0] == gone]:
            del self.relations[key]
        for targets in self.relations.values():
            if gone in targets:
                targets.remove(gone)
        for claims in self.aliases.values():
            for index, claim in enumerate(claims):
                if claim.object_id == gone and claim.valid_to_ns is None:
                    claims[index] = Alias(
                        gone, claim.source, claim.native_id, claim.valid_from_ns, at_ns
                    )

    def resolve(self, source: str, native_id: str, at_ns: int) -> str | None:
        """Return the object that an alias named at that time, None when there was none."""
        for claim in self.aliases.get((source, native_id), ()):
            if claim.valid_from_ns <= at_ns and (
                claim.valid_to_ns is None or at_ns < claim.valid_to_ns
            ):
                return claim.object_id
        return None

    def native_ids(self, object_id: str) -> dict[str, str]:
        """Return the present native id of an object for each source that knows it."""
        return {
            source: native
            for (source, native), claims in sorted(self.aliases.items())
            for claim in claims
            if claim.object_id == object_id and claim.valid_to_ns is None
        }

    def targets(self, subject_id: str, kind: RelationKind) -> tuple[str, ...]:
        """Return what a subject is tied to by that relation, sorted."""
        return tuple(sorted(self.relations.get((subject_id, kind), ())))

    def subjects(self, object_id: str, kind: RelationKind) -> tuple[str, ...]:
        """Return who is tied to an object by that relation, sorted."""
        return tuple(
            sorted(
                s
                for (s, k), targets in self.relations.items()
                if k == kind and object_id in targets
            )
        )

    def depends_on(self, object_id: str) -> tuple[str, ...]:
        """Return the objects whose trouble makes this one suffer directly, sorted.

        A service suffers with the VNFs and links that it uses, a link with what it connects, a VNF with its VNFCs, a
        VNFC with its host.
        """
        found = set(self.targets(object_id, RelationKind.USES))
        found.update(self.targets(object_id, RelationKind.RUNS_ON))
        found.update(self.targets(object_id, RelationKind.CONNECTS))
        found.update(self.subjects(object_id, RelationKind.PART_OF))
        return tuple(sorted(found))

    def support_of(self, object_id: str) -> tuple[str, ...]:
        """Return every object whose trouble can reach this one, itself first, then breadth first."""
        order = [object_id]
        seen = {object_id}
        for current in order:
            for below in self.depends_on(current):
                if below not in seen:
                    seen.add(below)
                    order.append(below)
        return tuple(order)
