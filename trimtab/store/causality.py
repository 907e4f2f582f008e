"""Links between values, and each value in a sentence: what `trimtab explain` walks and prints."""

from dataclasses import dataclass
from typing import TypeAlias

from trimtab.domain.action import Action, ActionResult
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.command import Command
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident
from trimtab.domain.kpi import Kpi
from trimtab.domain.time import NS_PER_SECOND
from trimtab.domain.verification import Verification


@dataclass(frozen=True, slots=True)
class Node:
    """One value in the walk: its parent, its further parents (`also`), another id that children may name it by.

    `kept` outlives the crowd of ordinary measurements.
    """

    id: str
    kind: str
    at_ns: int
    parent_id: str | None
    text: str
    kept: bool = True
    also: tuple[str, ...] = ()
    alias: str | None = None


def node_of(seq: int, value: object) -> Node | None:
    """Return a value's place in the walk, None for what has none (samples, ticks, configuration)."""
    match value:
        case Kpi():
            return _of_kpi(value)
        case Assessment():
            return _of_assessment(value)
        case Trouble():
            return _of_trouble(value)
        case Alarm():
            return _of_alarm(value)
        case Incident():
            return _of_incident(value)
        case Decision():
            text = f"policy {value.policy}, rung {value.rung}: {value.outcome}. {value.reason}"
            return _node("decision", value, value.at_ns, text, value.incident_id)
        case Action():
            return _of_action(value)
        case ActionResult():
            text = f"the target's word: {value.state}{_tail(value.detail)}"
            return Node(f"result-{seq}", "action_result", value.at_ns, value.action_id, text)
        case Verification():
            return _of_verification(value)
        case Command():
            text = f"{value.actor} ordered {value.kind}{_tail(value.reason)}"
            return Node(value.id, "command", value.at_ns, value.subject_id or None, text)
        case _:
            return None


_Identified: TypeAlias = Alarm | Incident | Decision | Action | Verification


def _node(kind: str, value: _Identified, at_ns: int, text: str, *also: str) -> Node:
    context = value.context
    alias = context.id if context.id != value.id else None
    parents = tuple(dict.fromkeys(p for p in also if p and p not in (context.parent_id, value.id)))
    return Node(value.id, kind, at_ns, context.parent_id, text, True, parents, alias)


def _of_kpi(value: Kpi) -> Node:
    seconds = value.window_ns / NS_PER_SECOND
    text = (
        f"{value.name} of {value.object_id} was {_amount(value.value, value.unit)}"
        f" over {seconds:g} s, from {value.samples} samples"
    )
    context = value.context
    return Node(context.id, "kpi", value.end_ns, context.parent_id, text, kept=False)


def _of_assessment(value: Assessment) -> Node:
    text = (
        f"{value.objective} of {value.object_id} is {value.observed}:"
        f" {_amount(value.value, value.unit)} against a bound of {_amount(value.bound, value.unit)}"
    )
    context = value.context
    return Node(context.id, "assessment", value.end_ns, context.parent_id, text, kept=False)


def _of_trouble(value: Trouble) -> Node:
    state = {
        FulfilmentStatus.NOT_FULFILLED: "is in trouble",
        FulfilmentStatus.FULFILLED: "is no longer in trouble",
        FulfilmentStatus.INDETERMINATE: "may be in trouble, its sources are silent",
    }[value.status]
    measured = "nothing" if value.value is None else f"{value.value:g}"
    text = (
        f"{value.object_id} {state}: {value.symptom}, {measured} against {value.bound:g},"
        f" sure to {value.confidence:.0%}"
    )
    context = value.context
    also = (value.alarm_id,) if value.alarm_id and value.alarm_id != context.parent_id else ()
    return Node(context.id, "trouble", value.at_ns, context.parent_id, text, True, also)


def _of_alarm(value: Alarm) -> Node:
    text = f"{value.severity} alarm on {value.object_id}, {value.state}: {value.text}"
    return _node("alarm", value, value.raised_at_ns, text)


def _of_incident(value: Incident) -> Node:
    cause = value.causes[0] if value.causes else None
    why = (
        f"first cause {cause.object_id} ({cause.symptom}), sure to {cause.confidence:.0%}"
        if cause
        else "no cause found"
    )
    text = f"incident {value.state}: {', '.join(value.services) or 'no service'} suffers; {why}"
    if value.unknown:
        text += f"; unknown: {', '.join(value.unknown)}"
    return _node("incident", value, value.opened_at_ns, text, *value.alarm_ids)


def _of_action(value: Action) -> Node:
    text = (
        f"{value.kind} {value.target_id} through {value.actuator}:"
        f" {value.state}{_tail(value.detail)}"
    )
    return _node("action", value, value.created_at_ns, text, value.decision_id)


def _of_verification(value: Verification) -> Node:
    verdict = value.verdict or "under way"
    text = f"{verdict}: expected {value.expect}{_tail(value.reason)}"
    return _node("verification", value, value.started_at_ns, text, value.action_id)


def _amount(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:g} {unit}"


def _tail(text: str) -> str:
    return f" ({text})" if text else ""
