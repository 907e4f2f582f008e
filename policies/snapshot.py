"""The Decider's state as bytes and back: canonical JSON, equal states give equal bytes."""

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from policies.state import Check, HandOver, Held, Ladder, Lock, Phase, State, Told
from trimtab.domain.codec import from_plain, to_plain
from trimtab.domain.managed_object import RelationKind, Topology

FORMAT = 1
Plain = Callable[[Any], Any]
_PAIRED = (
    "ladders", "held", "told", "refused_since_ns", "dismissed",
    "cooldown_until_ns",
)  # fmt: skip
_NESTED = ("troubles", "assessments", "kpis", "tried")
_NAMED = (
    "incidents", "alarms", "actions", "retry_at_ns", "checks", "locks", "handed_over",
    "ladder_counts", "orphaned_at_ns", "overflow",
)  # fmt: skip
_OWN: dict[str, type] = {
    "ladders": Ladder,
    "checks": Check,
    "locks": Lock,
    "handed_over": HandOver,
    "held": Held,
    "told": Told,
}


def dump(state: State) -> bytes:
    """Return the state as bytes."""
    plain: dict[str, Any] = {
        "format": FORMAT,
        "now_ns": state.now_ns,
        "topology": _topology_plain(state.topology),
        "configuration": to_plain(state.configuration),
        "policies": to_plain(state.policies),
        "loop": to_plain(state.loop),
        "starts": [list(item) for item in state.starts],
        "commands": [to_plain(result) for result in state.commands.values()],
    }
    for name in _NESTED:
        plain[name] = [
            [outer, [[inner, to_plain(value)] for inner, value in sorted(table.items())]]
            for outer, table in sorted(getattr(state, name).items())
        ]
    for name in _PAIRED:
        table = getattr(state, name)
        plain[name] = [[*pair, _value_plain(value)] for pair, value in sorted(table.items())]
    for name in _NAMED:
        table = getattr(state, name)
        plain[name] = [[key, _value_plain(value)] for key, value in sorted(table.items())]
    return json.dumps(
        plain, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    ).encode()


def load(blob: bytes) -> State:
    """Return the state that `dump` wrote. Raises ValueError when the format is another."""
    plain = json.loads(blob)
    if plain.get("format") != FORMAT:
        raise ValueError(f"a snapshot of format {plain.get('format')}; this code reads {FORMAT}")
    state = State(now_ns=plain["now_ns"], topology=_topology(plain["topology"]))
    for name in ("configuration", "policies", "loop"):
        if plain[name] is not None:
            setattr(state, name, from_plain(plain[name]))
    state.starts = [(at_ns, policy) for at_ns, policy in plain["starts"]]
    state.commands = {item["command_id"]: from_plain(item) for item in plain["commands"]}
    for name in _NESTED:
        nested = {
            outer: {inner: _value(name, item) for inner, item in rows}
            for outer, rows in plain[name]
        }
        setattr(state, name, nested)
    for name in _PAIRED:
        table = {(first, second): _value(name, item) for first, second, item in plain[name]}
        setattr(state, name, table)
    for name in _NAMED:
        setattr(state, name, {key: _value(name, item) for key, item in plain[name]})
    return state


def _value_plain(value: Any) -> Any:
    if type(value) in _OWN.values():
        return {item.name: to_plain(getattr(value, item.name)) for item in fields(value)}
    return to_plain(value)


def _value(name: str, plain: Any) -> Any:
    own = _OWN.get(name)
    if own is None:
        return from_plain(plain) if isinstance(plain, dict) else plain
    values = {
        key: from_plain(item) if isinstance(item, dict) else item for key, item in plain.items()
    }
    for key in ("services", "inside"):
        if key in values:
            values[key] = tuple(values[key])
    if "phase" in values:
        values["phase"] = Phase(values["phase"])
    return own(**values)


def _topology_plain(topology: Topology) -> dict[str, Any]:
    return {
        "objects": [to_plain(item) for _, item in sorted(topology.objects.items())],
        "aliases": [
            [source, native, [to_plain(claim) for claim in claims]]
            for (source, native), claims in sorted(topology.aliases.items())
        ],
        "relations": [
            [subject, kind.value, targets]
            for (subject, kind), targets in sorted(topology.relations.items())
        ],
    }


def _topology(plain: dict[str, Any]) -> Topology:
    topology = Topology()
    for item in plain["objects"]:
        topology.objects[item["id"]] = from_plain(item)
    for source, native, claims in plain["aliases"]:
        topology.aliases[(source, native)] = [from_plain(claim) for claim in claims]
    for subject, kind, targets in plain["relations"]:
        topology.relations[(subject, RelationKind(kind))] = list(targets)
    return topology
