"""What becomes of actions: their targets' answers, retries after refusals, deadlines."""

from dataclasses import replace

from policies.guards import Request, freeze
from policies.ladder import WITHOUT_EFFECT, end, give_up, next_rung
from policies.scene import Scene
from policies.state import ANSWER_SHARE, SENDS_MAX, Ladder, Phase
from policies.verification import open_check
from trimtab.domain.action import TERMINAL, TRANSITIONS, Action, ActionResult, ActionState
from trimtab.domain.incident import IncidentState
from trimtab.domain.policy import ActionStep

STUCK = "is locked: whether it was changed is unknown; a person resets it"
# From our intent to where SENDING was reported, when a driver reports only what followed.
_AFTER_SENDING = TRANSITIONS[ActionState.SENDING]


def take_result(scene: Scene, result: ActionResult) -> None:
    """Take a target's answer in. An answer for what is over already is told, and changes nothing."""
    action = scene.state.actions.get(result.action_id)
    if action is None:
        return
    if action.state is result.state:
        if result.operation is not None and result.operation != action.operation:
            scene.put_action(replace(action, operation=result.operation))
        return
    if action.state is ActionState.INTENDED and result.state in _AFTER_SENDING:
        action = action.transition(ActionState.SENDING, result.at_ns)
    if result.state not in TRANSITIONS[action.state]:
        text = f"{action.id} is {action.state.value}; a late word of {result.state.value}"
        scene.notice(action.target_id, text)
        return
    moved = action.transition(result.state, result.at_ns, result.detail, result.operation)
    scene.put_action(moved)
    if moved.state is ActionState.DEFERRED:
        _defer(scene, moved, result)
    settle(scene, moved.id)


def settle(scene: Scene, action_id: str) -> None:
    """Draw the consequences of an action that is over: locks, its rung, and people."""
    action = scene.state.actions[action_id]
    if action.state not in TERMINAL:
        return
    lock = scene.state.locks.get(action_id)
    if lock is not None and action.state is ActionState.UNKNOWN:
        lock.stuck = STUCK
    if action.state in (ActionState.FAILED, ActionState.CANCELLED) and lock and not lock.stuck:
        del scene.state.locks[action_id]
    if action.kind in WITHOUT_EFFECT:
        _told(scene, action)
        return
    ladder = ladder_of(scene, action_id)
    if ladder is None:
        return
    actions = [scene.state.actions[item] for item in ladder.action_ids]
    if any(item.state not in TERMINAL for item in actions):
        return
    _rung_over(scene, ladder, actions)


def ladder_of(scene: Scene, action_id: str) -> Ladder | None:
    """Return the ladder that an action belongs to now."""
    for _, ladder in sorted(scene.state.ladders.items()):
        if action_id in ladder.action_ids:
            return ladder
    return None


def step_of(scene: Scene, action: Action) -> ActionStep | None:
    """Return the rung that an action carries out, None when its ladder is gone."""
    ladder = ladder_of(scene, action.id)
    return ladder.policy.ladder[ladder.rung] if ladder is not None else None


def run_deadlines(scene: Scene) -> None:
    """Send again what was refused for now, and call people for what took too long."""
    for action_id, action in sorted(scene.state.actions.items()):
        if action.state in TERMINAL or action.state is ActionState.PROPOSED:
            continue
        if scene.now_ns >= action.deadline_ns:
            _too_late(scene, action)
        elif scene.now_ns >= scene.state.retry_at_ns.get(action_id, scene.now_ns + 1):
            _send_again(scene, action)


def _rung_over(scene: Scene, ladder: Ladder, actions: list[Action]) -> None:
    good = [item for item in actions if item.state is ActionState.SUCCEEDED]
    stuck = {item for item, lock in scene.state.locks.items() if lock.stuck}
    doubtful = [item for item in actions if item.id in stuck]
    failed = [item for item in actions if item.state is ActionState.FAILED]
    for action in good:
        open_check(scene, ladder, action, scene.now_ns)
    if doubtful:
        named = "; ".join(f"{item.target_id}: {item.detail}" for item in doubtful)
        give_up(scene, ladder, f"the outcome of {doubtful[0].kind.value} is unknown ({named})")
    elif good:
        ladder.phase = Phase.VERIFYING
    elif failed:
        named = "; ".join(f"{item.target_id}: {item.detail}" for item in failed)
        next_rung(scene, ladder, f"{failed[0].kind.value} failed ({named})")
    else:
        end(scene, ladder)


def _defer(scene: Scene, action: Action, result: ActionResult) -> None:
    step = step_of(scene, action)
    if action.attempt >= SENDS_MAX:
        detail = f"refused {SENDS_MAX} times: {result.detail}"
        scene.put_action(action.transition(ActionState.FAILED, result.at_ns, detail))
        return
    wait_ns = result.retry_after_ns
    if wait_ns is None:
        wait_ns = step.retry_ns if step is not None else ActionStep(action.kind).retry_ns
    scene.state.retry_at_ns[action.id] = result.at_ns + wait_ns


def _send_again(scene: Scene, action: Action) -> None:
    """Send a refused action again, if what let it through still does."""
    if not scene.running:
        return
    whole_ns = action.deadline_ns - action.created_at_ns
    if action.deadline_ns - scene.now_ns < whole_ns // ANSWER_SHARE:
        return
    incident = scene.state.incidents.get(action.incident_id)
    ladder = ladder_of(scene, action.id)
    if action.kind not in WITHOUT_EFFECT:
        if incident is None or ladder is None or incident.state is IncidentState.RESOLVED:
            detail = "the incident resolved before the target accepted"
            scene.put_action(action.transition(ActionState.CANCELLED, scene.now_ns, detail))
            settle(scene, action.id)
            return
        request = Request(ladder.policy, incident, ladder.cause, (action.target_id,), ladder)
        if not freeze(scene, request).passed:
            return
    scene.state.retry_at_ns.pop(action.id, None)
    scene.put_action(action.transition(ActionState.INTENDED, scene.now_ns, action.detail))


def _too_late(scene: Scene, action: Action) -> None:
    """End an action at its deadline. Once bytes may have left, its outcome is unknown."""
    if action.state is ActionState.INTENDED:
        # Its sending may be on the way to us: the lock stays.
        detail = "no word of its sending in time"
        scene.put_action(action.transition(ActionState.FAILED, scene.now_ns, detail))
        if action.id in scene.state.locks:
            scene.state.locks[action.id].stuck = STUCK
    elif action.state is ActionState.DEFERRED:
        detail = f"refused until its deadline: {action.detail}"
        scene.put_action(action.transition(ActionState.FAILED, scene.now_ns, detail))
    else:
        detail = "no end by its deadline"
        scene.put_action(action.transition(ActionState.UNKNOWN, scene.now_ns, detail))
    settle(scene, action.id)


def _told(scene: Scene, action: Action) -> None:
    """Drop a notification that is over; one that did not arrive is said aloud."""
    if action.state in (ActionState.FAILED, ActionState.UNKNOWN):
        text = f"{action.kind.value} through {action.actuator} did not arrive: {action.detail}"
        scene.notice(action.target_id, text)
