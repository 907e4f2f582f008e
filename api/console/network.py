"""The network as it is now: layers from services down to hosts, what ties them, and what ails them."""

from dataclasses import dataclass
from typing import Any

from api.console.words import SEVERITY, Label, spaced
from api.ports import Assurance
from trimtab.domain.incident import IncidentState
from trimtab.domain.managed_object import ObjectKind, RelationKind
from trimtab.store.questions import AlarmFilter, IncidentFilter, PageRequest, TopologyView

ITEMS_MAX = 1_000
LANE_ITEMS_MAX = 200
NO_ALARM = Label("no alarm", "quiet")
LANES = (
    ("Services", (ObjectKind.SERVICE, ObjectKind.NS)),
    ("Network functions", (ObjectKind.VNF, ObjectKind.LINK)),
    ("Instances", (ObjectKind.VNFC, ObjectKind.VM)),
    ("Hosts", (ObjectKind.HOST,)),
)
_TIES = {
    RelationKind.USES: ("uses", "carries"),
    RelationKind.PART_OF: ("part of", "made of"),
    RelationKind.RUNS_ON: ("on", "runs"),
    RelationKind.CONNECTS: ("connects", "at an end of"),
}


@dataclass(frozen=True, slots=True)
class Node:
    """An object, how it is, and what it hangs on."""

    id: str
    name: str
    kind: str
    label: Label
    ties: tuple[tuple[str, tuple[str, ...]], ...]
    native_ids: tuple[tuple[str, str], ...]


async def network(source: Assurance) -> dict[str, Any]:
    """Return what the page shows."""
    view = await source.topology()
    labels = await _labels(source)
    ties, native = _ties(view), _native_ids(view)
    lanes = []
    for title, kinds in LANES:
        nodes = [
            Node(
                id=item.id,
                name=item.name,
                kind=item.kind,
                label=labels.get(item.id, NO_ALARM),
                ties=tuple((verb, tuple(ids)) for verb, ids in ties.get(item.id, {}).items()),
                native_ids=tuple(native.get(item.id, ())),
            )
            for item in view.objects
            if item.kind in kinds
        ]
        nodes.sort(key=lambda node: (node.label.tone == "quiet", node.id))
        lanes.append((title, nodes[:LANE_ITEMS_MAX], max(0, len(nodes) - LANE_ITEMS_MAX)))
    return {"page": "network", "lanes": lanes, "empty": not view.objects}


async def _labels(source: Assurance) -> dict[str, Label]:
    """Return what is wrong with which object: silence first, then the gravest open alarm."""
    page = PageRequest(ITEMS_MAX)
    found: dict[str, Label] = {}
    incidents = await source.incidents(IncidentFilter(state=IncidentState.OPEN), page)
    for incident in incidents.items:
        for cause in incident.causes:
            found[cause.object_id] = Label(f"cause: {spaced(cause.symptom)}", "bad")
    alarms = await source.alarms(AlarmFilter(open_only=True), page)
    for alarm in alarms.items:
        text = spaced(alarm.symptom or alarm.objective)
        found.setdefault(alarm.object_id, Label(text, SEVERITY[alarm.severity].tone))
    for incident in incidents.items:
        found.update({name: Label("silent", "unknown") for name in incident.unknown})
    return found


def _ties(view: TopologyView) -> dict[str, dict[str, list[str]]]:
    """Return, for each object, a verb and the objects that it is tied to by it, seen from either end."""
    found: dict[str, dict[str, list[str]]] = {}
    for relation in view.relations:
        verb, back = _TIES[relation.kind]
        found.setdefault(relation.subject_id, {}).setdefault(verb, []).append(relation.object_id)
        found.setdefault(relation.object_id, {}).setdefault(back, []).append(relation.subject_id)
    return found


def _native_ids(view: TopologyView) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for alias in view.aliases:
        if alias.valid_to_ns is None:
            found.setdefault(alias.object_id, []).append((alias.source, alias.native_id))
    return found
