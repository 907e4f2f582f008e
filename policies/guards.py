"""The guards, in order. All are asked, so that a refusal names everything that stands in the way."""

from dataclasses import dataclass

from policies.freeze import silent
from policies.scene import Scene
from policies.state import ACTIONS_AT_ONCE_MAX, ACTIONS_PER_HOUR_MAX, Ladder, Phase
from trimtab.config.duration import format_duration
from trimtab.domain.action import TERMINAL, ActionState
from trimtab.domain.assessment import SHIFTED
from trimtab.domain.decision import GuardResult
from trimtab.domain.incident import Cause, Incident
from trimtab.domain.policy import Policy
from trimtab.domain.time import NS_PER_SECOND

HOUR_NS = 3_600 * NS_PER_SECOND
# What people know of, or what ends by itself: no reason to call them.
PASSING = frozenset({"run_state", "freeze", "present", "ladder", "priority", "approval"})


@dataclass(frozen=True, slots=True)
class Request:
    """What a rung wants to do. `ladder` None: a new one."""

    policy: Policy
    incident: Incident
    cause: Cause | None
    targets: tuple[str, ...]
    ladder: Ladder | None = None
    approved: bool = False


def ask(scene: Scene, request: Request) -> tuple[GuardResult, ...]:
    """Return every guard's verdict."""
    return (
        run_state(scene),
        freeze(scene, request),
        _present(scene, request),
        _confidence(request),
        _cooldown(scene, request),
        _budget(scene, request),
        _concurrency(scene, request),
        _lock(scene, request),
        _blast_radius(scene, request),
        _approval(request),
    )


def refused(results: tuple[GuardResult, ...]) -> list[GuardResult]:
    """Return the guards that stand in the way."""
    return [result for result in results if not result.passed]


def run_state(scene: Scene) -> GuardResult:
    """Ask whether the loop may start anything: pause and kill switch."""
    loop = scene.state.loop
    if loop is None:
        return GuardResult("run_state", False, "the loop has not started")
    by = f" by {loop.changed_by}: {loop.reason}" if loop.changed_by else ""
    return GuardResult("run_state", scene.running, f"{loop.run_state.value}{by}")


def freeze(scene: Scene, request: Request) -> GuardResult:
    """Ask whether everything that the decision depends on is known."""
    unknown = silent(scene.facts, request.incident, request.cause)
    return GuardResult("freeze", not unknown, "; ".join(unknown[:5]) or "all sources speak")


def overlaps(scene: Scene, targets: tuple[str, ...], own: frozenset[str]) -> list[str]:
    """Return why targets are taken: equal to, inside or around one that is under action."""
    wanted = {inside for target in targets for inside in scene.containment.inside(target)}
    found = []
    for action_id, lock in sorted(scene.state.locks.items()):
        if action_id in own:
            continue
        held = set(lock.inside) | set(scene.containment.inside(lock.target_id))
        if held & wanted:
            why = lock.stuck or "is under action until its verification ends"
            found.append(f"{lock.target_id} {why} ({action_id})")
    return found


def _present(scene: Scene, request: Request) -> GuardResult:
    """Ask whether the cause still shows its symptom: what is over may only need a moment to be seen above."""
    cause = request.cause
    if cause is None or request.ladder is not None:
        return GuardResult("present", True, "not asked of this step")
    if cause.symptom == SHIFTED:
        # Told by the incident itself: no condition was broken that could be asked whether it still is.
        return GuardResult(
            "present", True, f"what shifted at {cause.object_id} is evidence, no state"
        )
    shows = cause.symptom in scene.facts.symptoms(cause.object_id)
    detail = f"{cause.object_id} {'shows' if shows else 'no longer shows'} {cause.symptom}"
    return GuardResult("present", shows, detail)


def _confidence(request: Request) -> GuardResult:
    least = request.policy.guard.confidence_min
    if request.cause is None:
        return GuardResult("confidence", least <= 0, f"no cause; {least:g} is asked for")
    has = request.cause.confidence
    return GuardResult("confidence", has >= least, f"{has:.2f}; {least:g} is asked for")


def _cooldown(scene: Scene, request: Request) -> GuardResult:
    if request.ladder is not None:
        return GuardResult("cooldown", True, "the same ladder")
    cause = request.cause.object_id if request.cause is not None else ""
    until_ns = scene.state.cooldown_until_ns.get((request.policy.name, cause), 0)
    left_ns = until_ns - scene.now_ns
    if left_ns <= 0:
        return GuardResult("cooldown", True, "over")
    return GuardResult("cooldown", False, f"{format_duration(left_ns)} left for {cause}")


def _budget(scene: Scene, request: Request) -> GuardResult:
    since_ns = scene.now_ns - HOUR_NS
    recent = [policy for at_ns, policy in scene.state.starts if at_ns > since_ns]
    own = recent.count(request.policy.name)
    wants = len(request.targets)
    limit = request.policy.guard.actions_per_hour_max
    passed = own + wants <= limit and len(recent) + wants <= ACTIONS_PER_HOUR_MAX
    detail = (
        f"{own} of {limit} in the last hour, {len(recent)} of {ACTIONS_PER_HOUR_MAX} in all,"
        f" {wants} wanted"
    )
    return GuardResult("budget", passed, detail)


def _concurrency(scene: Scene, request: Request) -> GuardResult:
    working = [
        ladder
        for ladder in scene.state.ladders.values()
        if ladder.policy.name == request.policy.name
        and ladder is not request.ladder
        and ladder.phase is not Phase.PROPOSED
    ]
    limit = request.policy.guard.concurrency_max
    under_way = sum(
        action.state not in TERMINAL and action.state is not ActionState.PROPOSED
        for action in scene.state.actions.values()
    )
    passed = len(working) < limit and under_way + len(request.targets) <= ACTIONS_AT_ONCE_MAX
    detail = f"{len(working)} of {limit} ladders, {under_way} of {ACTIONS_AT_ONCE_MAX} actions"
    return GuardResult("concurrency", passed, detail)


def _lock(scene: Scene, request: Request) -> GuardResult:
    taken = overlaps(scene, request.targets, frozenset())
    return GuardResult("lock", not taken, "; ".join(taken[:5]) or "free")


def _blast_radius(scene: Scene, request: Request) -> GuardResult:
    kinds = {scene.containment.kind(target) for target in request.targets}
    touched = set(request.targets)
    touched.update(
        lock.target_id
        for lock in scene.state.locks.values()
        if scene.containment.kind(lock.target_id) in kinds
    )
    touched.update(
        object_id
        for object_id, symptoms in scene.state.troubles.items()
        if scene.containment.kind(object_id) in kinds
        and any(item.active and not item.hint for item in symptoms.values())
    )
    limit = request.policy.guard.blast_radius_max
    named = ", ".join(sorted(kind.value for kind in kinds if kind is not None))
    detail = f"{len(touched)} of {limit} {named} in trouble or under action"
    alike, alike_limit = _alike(scene, request.cause), request.policy.guard.common_cause_max
    if request.cause is not None and alike > alike_limit:
        detail += f"; {request.cause.symptom} of {alike} at once, {alike_limit} allowed"
    return GuardResult("blast_radius", len(touched) <= limit and alike <= alike_limit, detail)


def _alike(scene: Scene, cause: Cause | None) -> int:
    """Count objects of the cause's kind in the cause's trouble: many at once have a cause of their own beneath."""
    if cause is None:
        return 0
    kind = scene.containment.kind(cause.object_id)
    showing = {
        object_id
        for object_id, symptoms in scene.state.troubles.items()
        if scene.containment.kind(object_id) is kind
        and any(
            item.active and not item.hint and item.symptom == cause.symptom
            for item in symptoms.values()
        )
    }
    return len(showing | {cause.object_id})


def _approval(request: Request) -> GuardResult:
    if not request.policy.guard.approval:
        return GuardResult("approval", True, "not asked for")
    return GuardResult("approval", request.approved, "given" if request.approved else "awaited")
