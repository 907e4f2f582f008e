"""Which troubles belong together: those on one path of dependency, and unexplained services that share what carries
them."""

from collections.abc import Callable, Mapping

from analytics.binding import kind_of
from analytics.cause import is_service
from analytics.measures import Key
from analytics.topology import Dependencies
from trimtab.domain.assessment import Trouble
from trimtab.domain.managed_object import ObjectKind


def grouped(members: Mapping[Key, Trouble], dependencies: Dependencies) -> list[set[Key]]:
    """Return the troubles in groups, one incident each."""
    objects = sorted({key[0] for key, trouble in members.items() if not trouble.hint})
    parent = {name: name for name in objects}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    def join(one: str, other: str) -> None:
        low, high = sorted((root(one), root(other)))
        parent[high] = low

    for name in objects:
        for below in dependencies.support_of(name):
            if below in parent and below != name:
                join(name, below)
    _join_alike(objects, dependencies, join)
    explained = {root(name) for name in objects if not is_service(name)}
    carriers: dict[str, str] = {}
    for name in objects:
        if root(name) in explained:
            continue
        for below in dependencies.support_of(name):
            join(name, carriers.setdefault(below, name))
    groups: dict[str, set[Key]] = {}
    for key in sorted(members):
        at = key[0] if key[0] in parent else _beside(key[0], objects, dependencies)
        groups.setdefault(root(at) if at in parent else at, set()).add(key)
    return [groups[name] for name in sorted(groups)]


def _beside(name: str, objects: list[str], dependencies: Dependencies) -> str:
    """Return an object in trouble that one with mere anomalies depends on, or carries; itself when there is none.

    An anomaly goes with an incident as evidence, it never makes one of two.
    """
    below = dependencies.support_of(name)
    for other in objects:
        if other in below or name in dependencies.support_of(other):
            return other
    return name


def _join_alike(
    objects: list[str], dependencies: Dependencies, join: Callable[[str, str], None]
) -> None:
    """Put parts of one VNF together: what ails one is seldom unrelated to what ails its sibling."""
    first: dict[str, str] = {}
    for name in objects:
        if kind_of(name) is ObjectKind.VNFC:
            for group in sorted(dependencies.groups_of(name)):
                join(name, first.setdefault(group, name))
