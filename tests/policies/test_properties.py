"""Whatever the world does: the invariants 2, 3, 5 and 7 of the design hold."""

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.decider import Decider
from trimtab.domain.action import TERMINAL, Action, ActionState
from trimtab.domain.command import CommandResult
from trimtab.domain.control_loop import ControlLoop, LoopRunState
from trimtab.domain.decision import Decision, DecisionOutcome
from trimtab.domain.input import Numbered
from trimtab.domain.policy import ActionKind
from trimtab.domain.verification import Verification

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
WITHOUT_EFFECT = {ActionKind.NOTIFY, ActionKind.HAND_OVER}
INSIDE = {
    "provider/vnf/fw": {"provider/vnf/fw", "provider/vnfc/fw-0", "provider/vnfc/fw-1"},
    "provider/vnf/rtr": {"provider/vnf/rtr", "provider/vnfc/rtr-0"},
    "provider/host/host-1": {"provider/host/host-1", "provider/vnfc/fw-0", "provider/vnfc/rtr-0"},
    "provider/host/host-2": {"provider/host/host-2", "provider/vnfc/fw-1"},
}
CAUSES = (
        ("FW0", "process-gone"), ("FW1", "process-gone"), ("RTR0", "process-gone"),
        ("FW0", "unreachable"), ("FW0", "overload"), ("RTR0", "overload"), ("FW1", "leak"),
        ("HOST1", "pressure"), ("HOST2", "pressure"), ("HOST1", "unreachable"), (None, ""),
)  # fmt: skip
STATUS = ("BAD", "BAD", "BAD", "OK", "SILENT")
INCIDENTS = ("incident-1", "incident-2", "incident-3")
RESULTS = ("sending", "deferred", "accepted", "succeeded", "succeeded", "failed", "unknown")
COMMANDS = (
    "pause", "resume", "resume", "kill", "reset", "reset", "approve_action", "reject_action",
    "cancel_action",
)  # fmt: skip
KINDS = (
    "tick", "tick", "tick", "fault", "fault", "service", "calm", "result", "result", "command",
    "approve",
)  # fmt: skip
SPANS = (0.25, 1.0, 1.0, 4.0, 20.0)
SEEDS = range(60)
STEPS_EACH = 80


def one_step(choose, number):
    """Return a step; `choose` picks of a sequence, `number` gives a small number."""
    match choose(KINDS):
        case "tick":
            return ("tick", choose(SPANS))
        case "fault":
            return ("fault", choose(INCIDENTS), choose(CAUSES), choose(STATUS))
        case "service":
            return ("service", choose(STATUS))
        case "calm":
            return ("calm", choose(INCIDENTS))
        case "result":
            return ("result", number(), choose(RESULTS))
        case "approve":
            return ("approve",)
        case _:
            return ("command", choose(COMMANDS), number())


@st.composite
def drawn_step(draw):
    return one_step(lambda items: draw(st.sampled_from(items)), lambda: draw(st.integers(0, 5)))


def walk(seed):
    """Return a long random walk: hypothesis alone prefers short ones."""
    chance = random.Random(seed)
    return [one_step(chance.choice, lambda: chance.randrange(6)) for _ in range(STEPS_EACH)]


STEPS = st.lists(drawn_step(), min_size=15, max_size=50)
MANY = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Watch:
    """Reads along what the Decider says, and knows better."""

    def __init__(self, world, policies):
        self.world = world
        self.policies = {policy.name: policy for policy in policies.policies}
        self.read = 0
        self.running = False
        self.approved = set()
        self.decisions = {}
        self.verified = {}
        self.starts = []

    def look(self):
        for item in self.world.out[self.read :]:
            match item:
                case ControlLoop():
                    self.running = item.run_state is LoopRunState.RUNNING
                case Decision():
                    self.decisions[item.id] = item
                case Verification():
                    self.verified[item.action_id] = item
                case Action(state=ActionState.INTENDED):
                    self.started(item)
        self.read = len(self.world.out)
        self.no_two_on_one_target()

    def started(self, action):
        assert self.running, "nothing starts while paused or killed"
        decision = self.decisions[action.decision_id]
        assert action.id in decision.action_ids or action.kind is ActionKind.HAND_OVER
        if action.kind in WITHOUT_EFFECT or action.attempt > 1:
            return
        refusing = {item.guard for item in decision.guards if not item.passed}
        assert not refusing or (refusing == {"approval"} and action.id in self.approved)
        self.starts.append((action.changed_at_ns, decision.policy))

    def no_two_on_one_target(self):
        held = []
        for action in self.world.actions.values():
            if action.kind in WITHOUT_EFFECT or action.state is ActionState.PROPOSED:
                continue
            check = self.verified.get(action.id)
            verifying = action.state is ActionState.SUCCEEDED and (
                check is None or check.verdict is None
            )
            # One of several targets that is done waits for the others before it is verified.
            if action.state not in TERMINAL or verifying:
                held.append(INSIDE.get(action.target_id, {action.target_id}))
        for one, other in combinations(held, 2):
            assert not one & other, "two actions on overlapping targets"

    def budgets_held(self):
        for at_ns, policy in self.starts:
            within = [
                at for at, name in self.starts if name == policy and at_ns - HOUR < at <= at_ns
            ]
            assert len(within) <= self.policies[policy].guard.actions_per_hour_max

    def nothing_forgotten(self, resolved):
        """After everything could end: each action has a verdict, or people or another rung followed.

        After a failure the incident may also have resolved by itself, or a refusal or freeze says what it waits for.
        """
        ended = Counter()
        people = set()
        for decision in self.decisions.values():
            ended[decision.incident_id] += 1
            if decision.outcome is DecisionOutcome.HAND_OVER:
                people.add(decision.incident_id)
        for action in self.world.actions.values():
            if action.kind in WITHOUT_EFFECT or action.state is ActionState.PROPOSED:
                continue
            assert action.state in TERMINAL, f"{action.state} for ever"
            if action.state is ActionState.SUCCEEDED:
                assert self.verified[action.id].verdict is not None
            elif action.state is ActionState.UNKNOWN:
                assert action.incident_id in people
            elif action.state is ActionState.FAILED:
                verified_sibling = any(
                    other.decision_id == action.decision_id and other.id in self.verified
                    for other in self.world.actions.values()
                )
                over = action.incident_id in resolved
                assert verified_sibling or over or ended[action.incident_id] > 1


def play(world, watch, steps):
    for step in steps:
        match step:
            case ("tick", seconds):
                world.tick(seconds)
            case ("fault", name, (cause, symptom), status):
                target = getattr(world, cause) if cause else None
                if target is not None:
                    world.trouble(target, symptom, getattr(world, status))
                world.incident(target, symptom, name=name)
            case ("service", status):
                world.service(getattr(world, status))
            case ("calm", name):
                for vnfc in (world.FW0, world.FW1, world.RTR0):
                    world.trouble(vnfc, "process-gone", world.OK)
                world.service(world.OK)
                world.resolve(name)
            case ("approve",):
                for action in list(world.actions.values()):
                    if action.state is ActionState.PROPOSED:
                        watch.approved.add(action.id)
                        world.command("approve_action", action.id)
                        break
            case ("result", index, state):
                answer(world, index, state)
            case ("command", kind, index):
                subject = pick(world, index) if kind.endswith("_action") else ""
                if kind == "approve_action" and subject:
                    watch.approved.add(subject)
                assert isinstance(world.command(kind, subject), CommandResult)
        watch.look()


def pick(world, index):
    names = sorted(world.actions)
    return names[index % len(names)] if names else ""


def answer(world, index, state):
    sendable = [item for item in world.actions.values() if item.state not in TERMINAL]
    sendable = [item for item in sendable if item.state is not ActionState.PROPOSED]
    if not sendable:
        return
    action = sendable[index % len(sendable)]
    if action.state is ActionState.INTENDED:
        world.result(action, "sending")
    world.result(action, state, wait=2 if state == "deferred" else None)


@given(steps=STEPS)
@MANY
def test_the_invariants_hold(world_of, shipped, steps):
    live_through(world_of, shipped, steps)


@pytest.mark.parametrize("approval", [False, True])
def test_the_invariants_hold_on_long_walks(world_of, with_approval, shipped, approval):
    seen = Counter()
    for seed in SEEDS:
        watch = live_through(world_of, with_approval if approval else shipped, walk(seed))
        seen.update(item.outcome.value for item in watch.decisions.values())
        seen.update(item.verdict.value for item in watch.verified.values())
        seen["starts"] += len(watch.starts)
    # The walks reach what they are to test.
    assert seen["starts"] > len(SEEDS) / 2
    assert min(seen[name] for name in ("refused", "frozen", "hand_over")) > 10
    assert min(seen[name] for name in ("EFFECTIVE", "INEFFECTIVE", "INCONCLUSIVE")) > 0


@pytest.fixture(scope="module")
def with_approval(shipped):
    """Return the shipped rules, each asking a person first."""
    return replace(
        shipped,
        policies=tuple(
            replace(item, guard=replace(item.guard, approval=True)) for item in shipped.policies
        ),
    )


def live_through(world_of, shipped, steps):
    """Play, then let everything end, asking all the time whether the invariants hold."""
    world = world_of(shipped)
    watch = Watch(world, shipped)
    play(world, watch, [("tick", 1.0), *steps])
    # Let all end: no more answers, a running loop, time.
    world.command("reset")
    world.command("resume")
    for _ in range(12):
        world.tick(15.0)
        watch.look()
        for action in [item for item in world.actions.values() if item.state not in TERMINAL]:
            if action.state is ActionState.INTENDED:
                world.result(action, "failed")
                watch.look()
    names = {"incident-1", "incident-2", "incident-3"}
    resolved = names - set(world.decider._state.incidents)
    for name in ("incident-1", "incident-2", "incident-3"):
        world.resolve(name)
    world.tick(60.0)
    world.tick(60.0)
    watch.look()
    watch.budgets_held()
    watch.nothing_forgotten(resolved)
    state = world.decider._state
    assert state.incidents == {}
    assert state.checks == {}
    assert all(lock.stuck for lock in state.locks.values())
    return watch


@given(steps=STEPS, cut=st.integers(0, 1_000))
@MANY
def test_a_replay_and_a_restored_snapshot_say_the_same(world_of, shipped, steps, cut):
    world = world_of(shipped)
    play(world, Watch(world, shipped), [("tick", 1.0), *steps])
    again = Decider()
    said = []
    where = cut % len(world.inputs)
    for seq, (value, now) in enumerate(world.inputs):
        if seq == where:
            blob = again.snapshot()
            again = Decider.restore(blob)
            assert again.snapshot() == blob
        said += again.step([Numbered(seq, value)], now)
    assert said == world.out
    assert again.snapshot() == world.decider.snapshot()
