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
LANES = (
    ("Services", (ObjectKind.SERVICE, ObjectKind.NS)),
    ("Network functions", (ObjectKind.VNF, ObjectKind.LINK)),
    ("Instances", (ObjectKind.VNFC, ObjectKind.VM)),
    ("Hosts", (ObjectKind.HOST,)),
)
_TIES = {
    RelationKind.USES: "uses",
    RelationKind.PART_OF: "part of",
    RelationKind.RUNS_ON: "on",
    RelationKind.CONNECTS: "connects",
}


@dataclass(frozen=True, slots=True)
class Node:
    """An object, how it is, and what it hangs on."""

    id: str
    name: str
    kind: str
    label: Label
    ties: tuple[tuple[str, str], ...]
    native_ids: tuple[tuple[str, str], ...]


async def network(source: Assurance) -> dict[str, Any]:
    """Return what the page shows."""
    view = await source.topology()
    labels = await _labels(source)
    lanes = []
    for title, kinds in LANES:
        nodes = [_node(view, item.id, labels) for item in view.objects if item.kind in kinds]
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


def _node(view: TopologyView, object_id: str, labels: dict[str, Label]) -> Node:
    _, kind, name = object_id.split("/", 2)
    return Node(
        id=object_id,
        name=name,
        kind=kind,
        label=labels.get(object_id, Label("no alarm", "quiet")),
        ties=tuple(
            (_TIES[relation.kind], relation.object_id)
            for relation in view.relations
            if relation.subject_id == object_id
        ),
        native_ids=tuple(
            (alias.source, alias.native_id)
            for alias in view.aliases
            if alias.object_id == object_id and alias.valid_to_ns is None
        ),
    )
