"""Climb a policy's ladder: one rung at a time, each behind the guards, until one helps or people take over."""

from dataclasses import replace

from policies.guards import PASSING, Request, ask, freeze, refused
from policies.handover import hand_over, told_to_people
from policies.scene import Scene
from policies.state import LADDERS_PER_INCIDENT_MAX, Ladder, Pair, Phase
from policies.targets import actuator_of, targets_of
from trimtab.domain.action import Action, ActionState
from trimtab.domain.context import Context
from trimtab.domain.decision import DecisionOutcome, GuardResult
from trimtab.domain.identity import content_id
from trimtab.domain.incident import Cause, Incident, IncidentState
from trimtab.domain.policy import ActionKind, ActionStep, Policy, PolicyMode

WITHOUT_EFFECT = frozenset({ActionKind.NOTIFY, ActionKind.HAND_OVER})


def key_of(ladder: Ladder) -> Pair:
    """Return a ladder's key in the state."""
    return (ladder.policy.name, ladder.incident_id)


def engaged(scene: Scene, incident_id: str) -> Ladder | None:
    """Return the ladder that works on an incident; a mere recommendation is none."""
    for (_, incident), ladder in sorted(scene.state.ladders.items()):
        recommended = ladder.phase is Phase.PROPOSED and ladder.policy.mode is PolicyMode.RECOMMEND
        if incident == incident_id and not recommended:
            return ladder
    return None


def begin(scene: Scene, policy: Policy, incident: Incident) -> None:
    """Try to start a policy's ladder on an incident, at the rung where an earlier one on this cause ended."""
    cause = incident.causes[0] if incident.causes else None
    rungs = scene.state.tried.get(incident.id, {})
    ladder = Ladder(
        policy=policy,
        incident_id=incident.id,
        cause=cause,
        services=incident.services,
        rung=rungs.get(_tried_key(policy, cause), 0),
        phase=Phase.WAITING,
    )
    if scene.state.ladder_counts.get(incident.id, 0) >= LADDERS_PER_INCIDENT_MAX:
        reason = f"{LADDERS_PER_INCIDENT_MAX} ladders were climbed and the incident persists"
        hand_over(scene, policy, incident, cause, ladder.rung, reason)
        return
    climb(scene, ladder, incident, new=True)


def climb(scene: Scene, ladder: Ladder, incident: Incident, new: bool = False) -> None:
    """Start the present rung, or the first after it that can be done at all."""
    policy = ladder.policy
    while ladder.rung < len(policy.ladder):
        step = policy.ladder[ladder.rung]
        if step.kind is ActionKind.HAND_OVER:
            _hand_over_rung(scene, ladder, incident, new)
            return
        targets, why = targets_of(scene, step, ladder.cause)
        actuator = actuator_of(scene, step.kind, step.actuator)
        if not targets or not actuator:
            guard = "target" if not targets else "actuator"
            why = why or f"no actuator is configured for {step.kind.value}"
            impossible = (GuardResult(guard, False, why),)
            scene.decide(policy, incident, DecisionOutcome.REFUSED, ladder.rung, why, impossible)
            ladder.rung += 1
            continue
        request = Request(policy, incident, ladder.cause, targets, None if new else ladder)
        results = ask(scene, request)
        if not _pass(scene, ladder, incident, results):
            return
        actions = _act(scene, ladder, incident, step, targets, actuator, results)
        if policy.mode is PolicyMode.OBSERVE:
            return
        _take_up(scene, ladder, actions, new)
        new = False
        if step.kind is not ActionKind.NOTIFY or ladder.phase is Phase.PROPOSED:
            return
        ladder.rung += 1
        ladder.action_ids = []
    if new or key_of(ladder) in scene.state.ladders:
        _exhausted(scene, ladder, incident)


def next_rung(scene: Scene, ladder: Ladder, reason: str) -> None:
    """Go on after a rung that did not help: the next one, another policy if the cause is another, or people."""
    incident = scene.state.incidents.get(ladder.incident_id)
    ladder.reason = reason
    ladder.rung += 1
    ladder.action_ids = []
    ladder.phase = Phase.WAITING
    if incident is None:
        end(scene, ladder)
        return
    rungs = scene.state.tried.setdefault(incident.id, {})
    rungs[_tried_key(ladder.policy, ladder.cause)] = ladder.rung
    if incident.state is IncidentState.RESOLVED:
        end(scene, ladder)
        told = f"{reason}; the incident has resolved meanwhile"
        hand_over(scene, ladder.policy, incident, ladder.cause, ladder.rung - 1, told)
        return
    now = incident.causes[0].object_id if incident.causes else None
    was = ladder.cause.object_id if ladder.cause is not None else None
    if now is not None and now != was:
        end(scene, ladder)
        scene.state.orphaned_at_ns[incident.id] = scene.now_ns
        return
    climb(scene, ladder, incident)


def end(scene: Scene, ladder: Ladder) -> None:
    """Take a ladder down; every policy has to hold anew from now on, for its whole `for`."""
    scene.state.ladders.pop(key_of(ladder), None)
    for pair in [pair for pair in scene.state.held if pair[1] == ladder.incident_id]:
        del scene.state.held[pair]
    scene.state.refused_since_ns.pop(key_of(ladder), None)


def give_up(scene: Scene, ladder: Ladder, reason: str) -> None:
    """End a ladder with people."""
    incident = scene.state.incidents.get(ladder.incident_id)
    end(scene, ladder)
    if incident is not None:
        hand_over(scene, ladder.policy, incident, ladder.cause, ladder.rung, reason)


def refuse_for_long(
    scene: Scene,
    policy: Policy,
    incident: Incident,
    results: tuple[GuardResult, ...],
    rung: int = 0,
) -> bool:
    """Note a refusal; True once it has lasted so long that people were called."""
    key = (policy.name, incident.id)
    lasting = [item for item in refused(results) if item.guard not in PASSING]
    if not lasting:
        scene.state.refused_since_ns.pop(key, None)
        return False
    since_ns = scene.state.refused_since_ns.setdefault(key, scene.now_ns)
    if scene.now_ns - since_ns < policy.verify.within_ns or policy.mode is not PolicyMode.ENFORCE:
        return False
    reason = "; ".join(f"{item.guard} refuses: {item.detail}" for item in lasting)
    cause = incident.causes[0] if incident.causes else None
    hand_over(scene, policy, incident, cause, rung, reason, results)
    return True


def start_of(action: Action, now_ns: int, step: ActionStep) -> Action:
    """Return a proposed action as one to be sent, its deadline counted from now."""
    begun = action.transition(ActionState.INTENDED, now_ns, "approved")
    return replace(begun, deadline_ns=now_ns + step.deadline_ns)


def note_start(scene: Scene, ladder: Ladder, count: int) -> None:
    """Count actions against the budget and start the cooldown of this policy on this cause."""
    policy = ladder.policy
    scene.state.starts.extend((scene.now_ns, policy.name) for _ in range(count))
    cause = ladder.cause.object_id if ladder.cause is not None else ""
    until_ns = scene.now_ns + policy.guard.cooldown_ns
    scene.state.cooldown_until_ns[(policy.name, cause)] = until_ns


def _tried_key(policy: Policy, cause: Cause | None) -> str:
    return f"{policy.name} {cause.object_id if cause is not None else ''}"


def _pass(
    scene: Scene, ladder: Ladder, incident: Incident, results: tuple[GuardResult, ...]
) -> bool:
    """Return whether the guards let a rung through; approval is asked for later."""
    stopping = [item for item in refused(results) if item.guard != "approval"]
    policy = ladder.policy
    if not stopping:
        scene.state.refused_since_ns.pop((policy.name, incident.id), None)
        return True
    frozen = any(item.guard == "freeze" for item in stopping)
    outcome = DecisionOutcome.FROZEN if frozen else DecisionOutcome.REFUSED
    reason = "; ".join(f"{item.guard}: {item.detail}" for item in stopping)
    scene.decide(policy, incident, outcome, ladder.rung, reason, results)
    if refuse_for_long(scene, policy, incident, results, ladder.rung):
        end(scene, ladder)
    return False


def _act(
    scene: Scene,
    ladder: Ladder,
    incident: Incident,
    step: ActionStep,
    targets: tuple[str, ...],
    actuator: str,
    results: tuple[GuardResult, ...],
) -> list[Action]:
    """Tell the decision of a rung that the guards let through, and its actions."""
    policy = ladder.policy
    to_approve = any(not item.passed for item in results)
    outcome = DecisionOutcome.ACT
    if policy.mode is PolicyMode.OBSERVE:
        outcome = DecisionOutcome.OBSERVE
    elif policy.mode is PolicyMode.RECOMMEND:
        outcome = DecisionOutcome.RECOMMEND
    elif to_approve:
        outcome = DecisionOutcome.AWAIT_APPROVAL
    started = outcome is DecisionOutcome.ACT
    decision_id = scene.next_decision_id(policy.name, incident.id, ladder.rung)
    state = ActionState.INTENDED if started else ActionState.PROPOSED
    actions = [
        _action(scene, ladder, incident, step, target, actuator, decision_id, state)
        for target in targets
        if outcome is not DecisionOutcome.OBSERVE
    ]
    reason = f"{step.kind.value} {', '.join(targets)}"
    if ladder.reason:
        reason = f"{reason}, because {ladder.reason}"
    ids = tuple(action.id for action in actions)
    ladder.decision_id = scene.decide(policy, incident, outcome, ladder.rung, reason, results, ids)
    ladder.phase = Phase.ACTING if started else Phase.PROPOSED
    return actions


def _action(
    scene: Scene,
    ladder: Ladder,
    incident: Incident,
    step: ActionStep,
    target: str,
    actuator: str,
    decision_id: str,
    state: ActionState,
) -> Action:
    action_id = content_id("action", decision_id, target, step.kind.value)
    parameters = step.parameters
    if step.kind is ActionKind.NOTIFY:
        told = dict(told_to_people(ladder.policy, incident, ladder.reason or "condition met"))
        parameters = tuple(sorted((told | dict(parameters)).items()))
    return Action(
        context=Context(action_id, decision_id),
        id=action_id,
        decision_id=decision_id,
        incident_id=incident.id,
        kind=step.kind,
        target_id=target,
        actuator=actuator,
        state=state,
        created_at_ns=scene.now_ns,
        changed_at_ns=scene.now_ns,
        deadline_ns=scene.now_ns + step.deadline_ns,
        parameters=parameters,
        native_ids=scene.containment.native_ids(target),
    )


def _take_up(scene: Scene, ladder: Ladder, actions: list[Action], new: bool) -> None:
    """Enter a started rung into the state."""
    state = scene.state
    if new:
        state.ladder_counts[ladder.incident_id] = state.ladder_counts.get(ladder.incident_id, 0) + 1
        state.orphaned_at_ns.pop(ladder.incident_id, None)
    state.ladders[key_of(ladder)] = ladder
    ladder.action_ids = [action.id for action in actions]
    for action in actions:
        scene.put_action(action)
        if action.state is ActionState.INTENDED and action.kind not in WITHOUT_EFFECT:
            scene.lock(action)
    started = [action for action in actions if action.state is ActionState.INTENDED]
    if started and started[0].kind not in WITHOUT_EFFECT:
        note_start(scene, ladder, len(started))


def _hand_over_rung(scene: Scene, ladder: Ladder, incident: Incident, new: bool) -> None:
    policy = ladder.policy
    reason = ladder.reason or policy.description or "the policy hands over"
    if not new:
        give_up(scene, ladder, f"the ladder of {policy.name} is at its end: {reason}")
        return
    frozen = freeze(scene, Request(policy, incident, ladder.cause, ()))
    if not frozen.passed:
        scene.decide(
            policy, incident, DecisionOutcome.FROZEN, ladder.rung, frozen.detail, (frozen,)
        )
        return
    if policy.mode is PolicyMode.ENFORCE:
        hand_over(scene, policy, incident, ladder.cause, ladder.rung, reason, (frozen,))
        return
    observing = policy.mode is PolicyMode.OBSERVE
    outcome = DecisionOutcome.OBSERVE if observing else DecisionOutcome.RECOMMEND
    scene.decide(policy, incident, outcome, ladder.rung, f"hand over: {reason}", (frozen,))


def _exhausted(scene: Scene, ladder: Ladder, incident: Incident) -> None:
    """End a ladder whose last rung is behind it: after a mere notice that is all; else people are called."""
    only_told = all(step.kind is ActionKind.NOTIFY for step in ladder.policy.ladder)
    if only_told:
        end(scene, ladder)
        scene.state.dismissed[key_of(ladder)] = "told"
        return
    reason = ladder.reason or "no rung of the ladder can be done"
    end(scene, ladder)
    if ladder.policy.mode is PolicyMode.ENFORCE:
        told = f"the ladder of {ladder.policy.name} is at its end: {reason}"
        hand_over(scene, ladder.policy, incident, ladder.cause, ladder.rung, told)
