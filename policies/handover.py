"""Give an incident to people: a decision at once, and one notification while the loop may start anything."""

from policies.scene import Scene
from policies.state import HandOver
from policies.targets import actuator_of
from trimtab.domain.action import Action, ActionState
from trimtab.domain.context import Context
from trimtab.domain.decision import DecisionOutcome, GuardResult
from trimtab.domain.identity import content_id
from trimtab.domain.incident import Cause, Incident
from trimtab.domain.policy import ActionKind, Policy
from trimtab.domain.time import NS_PER_SECOND

NOTIFY_DEADLINE_NS = 60 * NS_PER_SECOND
REASON_CHARACTERS_MAX = 1_000


def hand_over(
    scene: Scene,
    policy: Policy,
    incident: Incident,
    cause: Cause | None,
    rung: int,
    reason: str,
    guards: tuple[GuardResult, ...] = (),
) -> None:
    """Decide that people take the incident; automation leaves it alone until they reset it or it resolves."""
    if incident.id in scene.state.handed_over:
        return
    target = cause.object_id if cause is not None else next(iter(incident.services), incident.id)
    action = _notification(scene, policy, incident, target, rung, reason)
    ids = (action.id,) if action is not None and scene.running else ()
    decision_id = scene.decide(
        policy, incident, DecisionOutcome.HAND_OVER, rung, reason, guards, ids
    )
    scene.state.handed_over[incident.id] = HandOver(
        decision_id, policy.name, target, reason, scene.now_ns, notified=bool(ids)
    )
    scene.state.orphaned_at_ns.pop(incident.id, None)
    if action is not None and ids:
        scene.put_action(action)


def owed(scene: Scene) -> None:
    """Send the notifications that a pause or the kill switch held back."""
    if not scene.running or scene.state.policies is None:
        return
    policies = {policy.name: policy for policy in scene.state.policies.policies}
    for incident_id, item in sorted(scene.state.handed_over.items()):
        incident = scene.state.incidents.get(incident_id)
        policy = policies.get(item.policy)
        if item.notified or incident is None or policy is None:
            continue
        action = _notification(scene, policy, incident, item.target_id, 0, item.reason)
        if action is not None:
            item.notified = True
            scene.put_action(action)


def _notification(
    scene: Scene, policy: Policy, incident: Incident, target: str, rung: int, reason: str
) -> Action | None:
    named = [step.actuator for step in policy.ladder if step.kind is ActionKind.HAND_OVER]
    actuator = actuator_of(scene, ActionKind.HAND_OVER, named[0] if named else "")
    actuator = actuator or actuator_of(scene, ActionKind.NOTIFY)
    if not actuator:
        return None
    decision_id = scene.next_decision_id(policy.name, incident.id, rung)
    known = scene.state.handed_over.get(incident.id)
    if known is not None:
        decision_id = known.decision_id
    action_id = content_id("action", decision_id, target, ActionKind.HAND_OVER.value)
    return Action(
        context=Context(action_id, decision_id),
        id=action_id,
        decision_id=decision_id,
        incident_id=incident.id,
        kind=ActionKind.HAND_OVER,
        target_id=target,
        actuator=actuator,
        state=ActionState.INTENDED,
        created_at_ns=scene.now_ns,
        changed_at_ns=scene.now_ns,
        deadline_ns=scene.now_ns + NOTIFY_DEADLINE_NS,
        parameters=told_to_people(policy, incident, reason),
        native_ids=scene.containment.native_ids(target),
    )


def told_to_people(policy: Policy, incident: Incident, reason: str) -> tuple[tuple[str, str], ...]:
    """Return what a notification says."""
    rows = {
        "reason": reason[:REASON_CHARACTERS_MAX],
        "policy": policy.name,
        "services": ", ".join(incident.services),
    }
    if incident.causes:
        first = incident.causes[0]
        rows["cause"] = f"{first.object_id} {first.symptom}"
        rows["evidence"] = "; ".join(first.evidence)[:REASON_CHARACTERS_MAX]
    return tuple(sorted(rows.items()))
