"""Commands of people: approve, reject, cancel, pause, resume, kill, reset. The same id is answered once and for all."""

from policies.guards import Request, ask, refused
from policies.ladder import WITHOUT_EFFECT, note_start, start_of
from policies.results import ladder_of, settle
from policies.scene import Scene
from policies.state import COMMANDS_REMEMBERED_MAX, Phase
from trimtab.domain.action import Action, ActionState
from trimtab.domain.command import Command, CommandKind, CommandResult
from trimtab.domain.control_loop import ControlLoop, LifecyclePhase, LoopRunState

OURS = frozenset(CommandKind) - {
    CommandKind.ACKNOWLEDGE_ALARM,
    CommandKind.UNACKNOWLEDGE_ALARM,
}


def obey(scene: Scene, command: Command) -> None:
    """Carry a command out or refuse it with the reason."""
    if command.kind not in OURS:
        return
    commands = scene.state.commands
    if command.id in commands:
        scene.out.append(commands[command.id])
        return
    applied, reason = _apply(scene, command)
    result = CommandResult(command.id, applied, reason, command.at_ns)
    commands[command.id] = result
    while len(commands) > COMMANDS_REMEMBERED_MAX:
        del commands[next(iter(commands))]
    scene.out.append(result)


def _apply(scene: Scene, command: Command) -> tuple[bool, str]:
    match command.kind:
        case CommandKind.PAUSE:
            return _turn(scene, command, LoopRunState.PAUSED, frozenset({LoopRunState.RUNNING}))
        case CommandKind.RESUME:
            return _turn(scene, command, LoopRunState.RUNNING, frozenset({LoopRunState.PAUSED}))
        case CommandKind.KILL:
            anything = frozenset({LoopRunState.RUNNING, LoopRunState.PAUSED})
            return _turn(scene, command, LoopRunState.KILLED, anything)
        case CommandKind.RESET if not command.subject_id:
            return _turn(scene, command, LoopRunState.RUNNING, frozenset({LoopRunState.KILLED}))
        case CommandKind.RESET:
            return _release(scene, command)
    action = scene.state.actions.get(command.subject_id)
    if action is None:
        return False, f"there is no open action {command.subject_id}"
    if command.kind is CommandKind.APPROVE_ACTION:
        return _approve(scene, command, action)
    return _withdraw(scene, command, action)


def _turn(
    scene: Scene, command: Command, to: LoopRunState, allowed: frozenset[LoopRunState]
) -> tuple[bool, str]:
    loop = scene.state.loop
    was = loop.run_state if loop is not None else LoopRunState.RUNNING
    if was is to:
        return True, f"the loop is {to.value} already"
    if was not in allowed:
        hint = "; only reset ends the kill switch" if was is LoopRunState.KILLED else ""
        return False, f"the loop is {was.value}{hint}"
    scene.state.loop = ControlLoop(
        run_state=to,
        phase=LifecyclePhase.OPERATION,
        changed_at_ns=command.at_ns,
        changed_by=command.actor,
        reason=command.reason,
    )
    scene.out.append(scene.state.loop)
    return True, f"the loop is {to.value}"


def _release(scene: Scene, command: Command) -> tuple[bool, str]:
    """Release stuck locks of an action or target, or take an incident back from people."""
    subject = command.subject_id
    freed = [
        action_id
        for action_id, lock in sorted(scene.state.locks.items())
        if lock.stuck and subject in (action_id, lock.target_id)
    ]
    for action_id in freed:
        del scene.state.locks[action_id]
    back = scene.state.handed_over.pop(subject, None) is not None
    if back:
        scene.state.tried.pop(subject, None)
        scene.state.ladder_counts.pop(subject, None)
        for pair in [pair for pair in scene.state.held if pair[1] == subject]:
            del scene.state.held[pair]
        for pair in [pair for pair in scene.state.dismissed if pair[1] == subject]:
            del scene.state.dismissed[pair]
    if not freed and not back:
        return False, f"nothing is locked or handed over under {subject}"
    return True, "released" if freed else "the incident is automation's again"


def _approve(scene: Scene, command: Command, action: Action) -> tuple[bool, str]:
    """Start a proposed action, if every guard lets it through at this moment."""
    if action.state is not ActionState.PROPOSED:
        return False, f"the action is {action.state.value}, not proposed"
    ladder = ladder_of(scene, action.id)
    incident = scene.state.incidents.get(action.incident_id)
    if ladder is None or incident is None:
        return False, "its incident is over"
    if incident.id in scene.state.handed_over:
        return False, "the incident is handed over; reset it first"
    other = [
        item.policy.name
        for (_, subject), item in sorted(scene.state.ladders.items())
        if subject == incident.id and item is not ladder and item.phase is not Phase.PROPOSED
    ]
    if other:
        return False, f"the ladder of {other[0]} works on the incident"
    targets = (action.target_id,)
    request = Request(ladder.policy, incident, ladder.cause, targets, ladder, approved=True)
    stopping = refused(ask(scene, request))
    if stopping:
        return False, "; ".join(f"{item.guard} refuses: {item.detail}" for item in stopping)
    begun = start_of(action, command.at_ns, ladder.policy.ladder[ladder.rung])
    ladder.phase = Phase.ACTING
    scene.put_action(begun)
    if begun.kind not in WITHOUT_EFFECT:
        scene.lock(begun)
        note_start(scene, ladder, 1)
    return True, f"approved by {command.actor}"


def _withdraw(scene: Scene, command: Command, action: Action) -> tuple[bool, str]:
    """Reject a proposal, or cancel what no target has accepted."""
    rejecting = command.kind is CommandKind.REJECT_ACTION
    allowed = {ActionState.PROPOSED}
    if not rejecting:
        allowed.add(ActionState.DEFERRED)
    if action.state not in allowed:
        if action.state is ActionState.INTENDED:
            return False, "the action is being sent"
        return False, f"the action is {action.state.value}"
    ladder = ladder_of(scene, action.id)
    if ladder is not None:
        scene.state.dismissed[(ladder.policy.name, ladder.incident_id)] = command.actor
    word = "rejected" if rejecting else "cancelled"
    detail = f"{word} by {command.actor}: {command.reason}"
    scene.put_action(action.transition(ActionState.CANCELLED, command.at_ns, detail))
    settle(scene, action.id)
    return True, word
