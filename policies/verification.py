"""Did the action help? `expect` must hold, without a break, for `hold`, after `settle`, within `within`."""

from dataclasses import replace

from policies.expression import Known, Truth
from policies.ladder import end, give_up, next_rung
from policies.scene import Scene
from policies.state import Check, Ladder, Phase
from trimtab.domain.action import Action
from trimtab.domain.context import Context
from trimtab.domain.identity import content_id
from trimtab.domain.verification import Verdict, Verification


def open_check(scene: Scene, ladder: Ladder, action: Action, ended_at_ns: int) -> None:
    """Start to verify an action whose operation ended well."""
    verification_id = content_id("verification", action.id)
    spec = ladder.policy.verify
    verification = Verification(
        context=Context(verification_id, action.id),
        id=verification_id,
        action_id=action.id,
        incident_id=action.incident_id,
        policy=ladder.policy.name,
        expect=spec.expect,
        started_at_ns=ended_at_ns,
        due_at_ns=ended_at_ns + spec.within_ns,
        before=scene.facts.measured(ladder.services, action.target_id),
    )
    scene.state.checks[action.id] = Check(
        verification, ladder.policy, action, ladder.cause, ladder.services, ended_at_ns
    )
    scene.out.append(verification)


def run_checks(scene: Scene) -> None:
    """Look at every open verification; ladders whose last one has ended go on."""
    for action_id, check in sorted(scene.state.checks.items()):
        if not check.verdict:
            _look(scene, action_id, check)
    for _, ladder in sorted(scene.state.ladders.items()):
        if ladder.phase is Phase.VERIFYING:
            _conclude(scene, ladder)
    working = {item for ladder in scene.state.ladders.values() for item in ladder.action_ids}
    for action_id, check in sorted(scene.state.checks.items()):
        if check.verdict and action_id not in working:
            del scene.state.checks[action_id]


def _look(scene: Scene, action_id: str, check: Check) -> None:
    incident = scene.state.incidents.get(check.action.incident_id)
    spec = check.policy.verify
    if scene.now_ns < check.ended_at_ns + spec.settle_ns:
        return
    if incident is None:
        _close(scene, action_id, check, Verdict.INCONCLUSIVE, "the incident is not known any more")
        return
    answer = scene.book.expect(spec.expect, Known(scene.facts.verify_names(incident, check)))
    if answer.truth is Truth.TRUE:
        if check.holding_since_ns is None:
            check.holding_since_ns = scene.now_ns
        if scene.now_ns - check.holding_since_ns >= spec.hold_ns:
            _close(scene, action_id, check, Verdict.EFFECTIVE, "the expectation holds")
        return  # a hold that began before the end may end after it: it is bounded by `hold`
    check.holding_since_ns = None
    if scene.now_ns < check.verification.due_at_ns:
        return
    if answer.truth is Truth.UNKNOWN:
        reason = f"telemetry is missing: {answer.detail}"
        _close(scene, action_id, check, Verdict.INCONCLUSIVE, reason)
    else:
        _close(scene, action_id, check, Verdict.INEFFECTIVE, "the expectation does not hold")


def _close(scene: Scene, action_id: str, check: Check, verdict: Verdict, reason: str) -> None:
    check.verdict = verdict.value
    check.verification = replace(
        check.verification,
        verdict=verdict,
        ended_at_ns=scene.now_ns,
        after=scene.facts.measured(check.services, check.action.target_id),
        reason=reason,
    )
    scene.state.locks.pop(action_id, None)
    scene.out.append(check.verification)


def _conclude(scene: Scene, ladder: Ladder) -> None:
    """Let a ladder go on once every verification of its rung has ended."""
    checks = [scene.state.checks[item] for item in ladder.action_ids if item in scene.state.checks]
    if any(not check.verdict for check in checks):
        return
    verdicts = {check.verdict for check in checks}
    step = ladder.policy.ladder[ladder.rung]
    if Verdict.INCONCLUSIVE.value in verdicts:
        why = next(
            check.verification.reason
            for check in checks
            if check.verdict == Verdict.INCONCLUSIVE.value
        )
        give_up(scene, ladder, f"frozen: {step.kind.value} could not be verified, {why}")
    elif Verdict.INEFFECTIVE.value in verdicts:
        next_rung(scene, ladder, f"{step.kind.value} did not help")
    else:
        end(scene, ladder)
