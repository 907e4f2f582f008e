"""The executor in a simulated world: time jumps to the next event, and the process may die between any two awaits."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.domain.action import TERMINAL, Action, ActionResult, ActionState, Operation
from trimtab.domain.context import Context
from trimtab.domain.policy import ActionKind
from trimtab.drivers import execution
from trimtab.drivers import ledger as ledger_module
from trimtab.drivers.crashpoint import CRASH_POINTS, Crasher, crasher_from_environment
from trimtab.drivers.execution import ActionLedger, Executor, Stage
from trimtab.errors import ActuatorError, TrimtabError
from trimtab.ports import ActionNews, Found, Submission, SubmissionOutcome

START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
STEPS_MAX = 20_000
ATTEMPTS_MAX = 3


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until nothing is ready, and then jumps to the next timer."""

    seconds = 0.0

    def time(self) -> float:
        return self.seconds

    def turn(self) -> bool:
        """Run what is ready, once; False when there is nothing left to do."""
        if not self._ready:
            timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]
            if not timers:
                return False
            self.seconds = max(self.seconds, min(timers))
        self.stop()
        self.run_forever()
        return True

    def die(self) -> None:
        """Drop everything that was under way: no task runs on."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False
            task.get_coro().close()
        self.close()


@dataclass
class SimulatedClock:
    """Wall clock and monotonic clock of the simulated loop; both go on across deaths of the process."""

    offset_ns: int = 0
    loop: SimulatedLoop | None = None

    def now_ns(self) -> int:
        return START_NS + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        return self.offset_ns + round(self.loop.seconds * SECOND if self.loop else 0)


@dataclass
class Plan:
    """How the simulated target takes one action: a word an attempt for `submit`, then the operation's life."""

    submits: tuple[str, ...] = ("accept",)
    operation_seconds: float = 1.0
    operation_succeeds: bool = True
    find: str = "works"  # down: can't be asked; blind: never shows a match; raises: has a defect
    polls_failing: int = 0


@dataclass
class Target:
    """A simulated target (an Actuator): it keeps its own record of what it accepted, across our deaths."""

    clock: SimulatedClock
    plans: dict[str, Plan]
    journal: list[object]
    name: str = "target"
    kind: str = "simulated"
    submitted: list[tuple[str, int]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    operations: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    polls: int = 0
    closed: int = 0

    async def submit(self, action: Action) -> Submission:
        self.submitted.append((action.id, action.attempt))
        sendings = [
            value for value in self.journal
            if isinstance(value, ActionResult) and value.action_id == action.id
            and value.state is ActionState.SENDING
        ]  # fmt: skip
        if len(sendings) != action.attempt:
            self.violations.append(f"{action.id}: SENDING was not durable before a byte left")
        plan = self.plans[action.id]
        word = plan.submits[min(action.attempt, len(plan.submits)) - 1]
        await asyncio.sleep(0.01)
        if word in ("accept", "accept, answer lost", "accept, answer hangs", "done"):
            self.accepted.append(action.id)
            self.operations[action.id] = self.clock.now_ns()
        await asyncio.sleep(0.01)
        if "hangs" in word:
            await asyncio.sleep(10_000)
        if word == "raise":
            raise ZeroDivisionError("an actuator's defect")
        operation = self._operation(action)
        match word:
            case "accept":
                return Submission(SubmissionOutcome.ACCEPTED, "taken", operation)
            case "done":
                done = Operation(self.name, action.id, "OVER", True, True)
                return Submission(SubmissionOutcome.DONE, "over already", done)
            case "refuse":
                return Submission(SubmissionOutcome.REFUSED, "later", retry_after_seconds=2.0)
            case "fail":
                return Submission(SubmissionOutcome.FAILED, "never")
        return Submission(SubmissionOutcome.UNKNOWN, "no answer")

    async def poll(self, action: Action, operation: Operation) -> Operation:
        await asyncio.sleep(0.01)
        self.polls += 1
        plan = self.plans[action.id]
        if plan.polls_failing > 0:
            plan.polls_failing -= 1
            raise ActuatorError("down for a moment")
        return self._operation(action)

    async def find(self, action: Action, since_ns: int) -> Found:
        await asyncio.sleep(0.01)
        plan = self.plans[action.id]
        if plan.find == "raises":
            raise ZeroDivisionError("an actuator's defect")
        if plan.find == "down":
            return Found(asked=False, detail="down")
        started_ns = self.operations.get(action.id)
        if plan.find == "blind" or started_ns is None or started_ns < since_ns:
            return Found(asked=True, detail="none")
        return Found(True, self._operation(action), "echoes our id")

    async def close(self) -> None:
        self.closed += 1

    def _operation(self, action: Action) -> Operation:
        plan = self.plans[action.id]
        started_ns = self.operations.get(action.id, self.clock.now_ns())
        over = self.clock.now_ns() - started_ns >= plan.operation_seconds * SECOND
        succeeded = over and plan.operation_succeeds
        state = "COMPLETED" if succeeded else "FAILED" if over else "PROCESSING"
        return Operation(self.name, f"op/{action.id}", state, over, succeeded)


def an_action(
    identifier: str = "a", deadline_seconds: float = 60.0, actuator: str = "target"
) -> Action:
    return Action(
        context=Context(identifier),
        id=identifier,
        decision_id=f"decision of {identifier}",
        incident_id="incident",
        kind=ActionKind.HEAL,
        target_id="provider/vnfc/fw-0",
        actuator=actuator,
        state=ActionState.INTENDED,
        created_at_ns=START_NS,
        changed_at_ns=START_NS,
        deadline_ns=START_NS + round(deadline_seconds * SECOND),
    )


class World:
    """The journal, a Decider's least part, and the processes that come and die over them."""

    def __init__(self, plans: dict[str, Plan], unwritable: frozenset[int] = frozenset()) -> None:
        self.clock = SimulatedClock()
        self.journal: list[object] = []
        self.target = Target(self.clock, plans, self.journal)
        self.actions: dict[str, Action] = {}
        self.unwritable = unwritable
        self.commits = 0
        self.executor: Executor | None = None
        self.loop: SimulatedLoop | None = None

    def intend(self, action: Action) -> None:
        self.actions[action.id] = action
        self.journal.append(action)

    async def commit(self, result: ActionResult) -> bool:
        self.commits += 1
        number = self.commits
        await asyncio.sleep(0.001)
        if number in self.unwritable:
            return False
        self.journal.append(result)
        followed = self.actions[result.action_id].transition(
            result.state, result.at_ns, result.detail, result.operation
        )
        self.actions[result.action_id] = followed
        self.journal.append(followed)
        if result.state is ActionState.DEFERRED:
            asyncio.get_running_loop().call_later(
                (result.retry_after_ns or 0) / SECOND, self._intend_again, followed, self.executor
            )
        await asyncio.sleep(0.001)
        return True

    def _intend_again(self, action: Action, executor: Executor) -> None:
        given_up = action.attempt >= ATTEMPTS_MAX
        state = ActionState.CANCELLED if given_up else ActionState.INTENDED
        self.intend(action.transition(state, self.clock.now_ns()))
        if not given_up:
            executor.dispatch(self.actions[action.id])

    def boot(self) -> None:
        """Start a process: fold the journal, take up what it left."""
        self.loop = SimulatedLoop()
        asyncio.set_event_loop(self.loop)
        self.clock.loop = self.loop
        self.executor = Executor({"target": self.target}, self.commit, self.clock)
        ledger = ActionLedger()
        for value in self.journal:
            ledger.apply(value)
        self.loop.create_task(self.executor.recover(ledger))
        for action in self.actions.values():
            if action.state is ActionState.DEFERRED:
                self.loop.call_later(2, self._intend_again, action, self.executor)

    def kill(self) -> None:
        self.clock.offset_ns = self.clock.monotonic_ns()
        self.clock.loop = None
        self.loop.die()

    def run(self, turns: int = STEPS_MAX) -> int:
        """Run so many turns of the loop, or until nothing is left to do; return how many it took."""
        for turn in range(turns):
            if not self.loop.turn():
                return turn
        return turns

    def dispatch(self, identifier: str) -> bool:
        """Dispatch from inside the loop, as the live driver does."""
        answers: list[bool] = []
        self.loop.call_soon(
            lambda: answers.append(self.executor.dispatch(self.actions[identifier]))
        )
        self.loop.turn()
        return answers[0]

    def until(self, happened: Callable[[], bool]) -> None:
        """Run until something happened; it must."""
        for _ in range(STEPS_MAX):
            if happened():
                return
            assert self.loop.turn(), "the world stands still"
        raise AssertionError("it never happened")

    def results(self, identifier: str = "a") -> list[ActionState]:
        return [
            value.state for value in self.journal
            if isinstance(value, ActionResult) and value.action_id == identifier
        ]  # fmt: skip

    def check(self) -> None:
        """Hold what DESIGN section 6 says of actions against the target's own record."""
        assert self.target.violations == []
        assert len(set(self.target.submitted)) == len(self.target.submitted), "sent twice"
        assert len(set(self.target.accepted)) == len(self.target.accepted), "accepted twice"
        for action in self.actions.values():
            plan = self.target.plans[action.id]
            assert action.state in TERMINAL, f"{action.id} was forgotten as {action.state}"
            accepted = action.id in self.target.accepted
            if accepted and plan.operation_succeeds:
                assert action.state in (ActionState.SUCCEEDED, ActionState.UNKNOWN)
            if action.state is ActionState.SUCCEEDED:
                assert accepted


def survive(world: World, *deaths: int) -> int:
    """Run processes that die after so many turns each, then one that lives; return its turns."""
    for turns in deaths:
        world.boot()
        world.run(turns)
        world.kill()
    world.boot()
    took = world.run()
    world.kill()
    assert took < STEPS_MAX
    world.check()
    return took


SUBMITS = ("accept", "done", "refuse", "fail", "accept, answer lost", "accept, answer hangs",
           "answer lost", "hangs", "raise")  # fmt: skip
plans = st.builds(
    Plan,
    submits=st.lists(st.sampled_from(SUBMITS), min_size=1, max_size=3).map(tuple),
    operation_seconds=st.sampled_from([0.0, 0.5, 5.0, 55.0, 200.0]),
    operation_succeeds=st.booleans(),
    find=st.sampled_from(["works", "works", "down", "blind", "raises"]),
    polls_failing=st.sampled_from([0, 1, 5, 1000]),
)


@settings(max_examples=300, deadline=None)
@given(
    given_plans=st.lists(plans, min_size=1, max_size=3),
    deaths=st.lists(st.integers(0, 60), max_size=5),
    unwritable=st.frozensets(st.integers(1, 12)),
)
def test_accepted_at_most_once_and_never_forgotten_whenever_the_process_dies(
    given_plans: list[Plan], deaths: list[int], unwritable: frozenset[int]
) -> None:
    world = World({f"a{n}": plan for n, plan in enumerate(given_plans)}, unwritable)
    for identifier in world.target.plans:
        world.intend(an_action(identifier))
    survive(world, *deaths)


@pytest.mark.parametrize("word", SUBMITS)
@pytest.mark.parametrize("find", ["works", "down"])
def test_death_at_every_single_await(word: str, find: str) -> None:
    def fresh() -> World:
        world = World({"a": Plan((word,), operation_seconds=0.3, find=find)})
        world.intend(an_action())
        return world

    whole = survive(fresh())
    ends = set()
    for turns in range(whole + 1):
        world = fresh()
        survive(world, turns)
        ends.add(world.actions["a"].state)
    assert ends <= TERMINAL
    if word == "accept" and find == "works":
        assert ActionState.SUCCEEDED in ends
        assert "a" in world.target.accepted


def test_what_was_not_sent_before_the_death_is_sent_after_it() -> None:
    world = World({"a": Plan()})
    world.intend(an_action())
    survive(world, 0)
    assert world.target.accepted == ["a"]
    assert world.results() == [ActionState.SENDING, ActionState.ACCEPTED, ActionState.SUCCEEDED]


def test_an_operation_that_ended_while_we_were_dead_is_adopted() -> None:
    world = World({"a": Plan(operation_seconds=3.0)})
    world.intend(an_action())
    world.boot()
    world.until(lambda: world.target.accepted)
    world.kill()
    world.clock.offset_ns += 10 * SECOND
    survive(world)
    assert world.results() == [ActionState.SENDING, ActionState.ACCEPTED, ActionState.SUCCEEDED]
    assert world.target.submitted == [("a", 1)]


def test_a_deadline_that_passed_while_we_were_dead_still_asks_once() -> None:
    world = World({"a": Plan(operation_seconds=3.0)})
    world.intend(an_action(deadline_seconds=5))
    world.boot()
    world.until(lambda: ActionState.ACCEPTED in world.results())
    world.kill()
    world.clock.offset_ns += 3600 * SECOND
    survive(world)
    assert world.actions["a"].state is ActionState.SUCCEEDED


def test_a_refusal_is_deferred_for_as_long_as_the_target_says_and_sent_again_when_intended_again() -> (
    None
):
    world = World({"a": Plan(("refuse", "accept"))})
    world.intend(an_action())
    survive(world)
    assert world.results() == [
        ActionState.SENDING, ActionState.DEFERRED,
        ActionState.SENDING, ActionState.ACCEPTED, ActionState.SUCCEEDED,
    ]  # fmt: skip
    deferred = [v for v in world.journal if isinstance(v, ActionResult) and v.retry_after_ns]
    assert [result.retry_after_ns for result in deferred] == [2 * SECOND]
    assert world.target.submitted == [("a", 1), ("a", 2)]


def test_the_same_intent_dispatched_twice_is_sent_once() -> None:
    world = World({"a": Plan()})
    world.intend(an_action())
    world.boot()
    world.loop.turn()
    for _ in range(3):
        assert world.dispatch("a")
    world.run()
    assert world.executor.dispatch(an_action())
    world.run()
    world.kill()
    assert world.target.submitted == [("a", 1)]
    world.check()


def test_nothing_leaves_while_the_journal_cannot_be_written() -> None:
    world = World({"a": Plan()}, unwritable=frozenset(range(1, 1000)))
    world.intend(an_action())
    world.boot()
    world.run(500)
    assert world.target.submitted == []
    world.unwritable = frozenset()
    world.run()
    world.kill()
    assert world.results() == [ActionState.FAILED]
    assert "never sent" in world.actions["a"].detail


def test_a_result_waits_for_the_journal() -> None:
    world = World({"a": Plan()}, unwritable=frozenset(range(2, 8)))
    world.intend(an_action())
    survive(world)
    assert world.results() == [ActionState.SENDING, ActionState.ACCEPTED, ActionState.SUCCEEDED]


@pytest.mark.parametrize(
    ("word", "find", "tries", "detail"),
    [
        ("answer lost", "works", 3, "no answer; target: asked since, it has no match: none"),
        ("answer lost", "down", 5, "no answer; target: it can't be asked: down"),
    ],
)
def test_doubt_ends_with_people_who_are_told_all(
    word: str, find: str, tries: int, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World({"a": Plan((word,), find=find)})
    asked: list[str] = []
    asking = world.target.find

    async def counted(action: Action, since_ns: int) -> Found:
        asked.append(action.id)
        return await asking(action, since_ns)

    monkeypatch.setattr(world.target, "find", counted)
    world.intend(an_action())
    survive(world)
    assert world.results() == [ActionState.SENDING, ActionState.UNKNOWN]
    assert world.actions["a"].detail == detail
    assert len(asked) == tries


def test_another_actions_operation_is_not_adopted() -> None:
    world = World({"a": Plan(), "b": Plan(("answer lost",))})
    world.intend(an_action("a"))
    world.boot()
    world.run()
    world.intend(an_action("b"))
    world.target.operations["b"] = START_NS + 3600 * SECOND  # what find shows is recent enough
    theirs = world.target._operation
    world.target._operation = lambda action: replace(theirs(action), reference="op/a")
    assert world.dispatch("b")
    world.run(5)
    world.kill()  # and what the journal says holds after a restart, too
    survive(world)
    assert world.actions["a"].state is ActionState.SUCCEEDED
    assert world.actions["b"].state is ActionState.UNKNOWN
    assert world.actions["b"].detail.endswith("the only match belongs to a")


def test_an_operation_that_does_not_end_goes_to_people() -> None:
    world = World({"a": Plan(operation_seconds=500)})
    world.intend(an_action(deadline_seconds=20))
    survive(world)
    assert world.actions["a"].state is ActionState.UNKNOWN
    assert "still PROCESSING at its deadline" in world.actions["a"].detail
    assert world.target.polls < 15


def test_polls_that_fail_are_repeated_until_the_deadline() -> None:
    world = World({"a": Plan(polls_failing=3)})
    world.intend(an_action())
    survive(world)
    assert world.actions["a"].state is ActionState.SUCCEEDED
    world = World({"a": Plan(polls_failing=1000)})
    world.intend(an_action(deadline_seconds=10))
    survive(world)
    assert world.actions["a"].state is ActionState.UNKNOWN
    assert "the last poll failed: down for a moment" in world.actions["a"].detail


def test_an_intent_that_grew_old_while_we_were_dead_is_not_sent() -> None:
    world = World({"a": Plan()})
    world.intend(an_action(deadline_seconds=30))
    world.clock.offset_ns += 31 * SECOND
    world.boot()
    world.run()
    world.kill()
    assert world.target.submitted == []
    assert world.results() == [ActionState.FAILED]
    assert world.actions["a"].detail.startswith("never sent: its deadline passed")


def test_an_actuator_that_is_not_configured_fails_before_anything_is_sent() -> None:
    world = World({"a": Plan()})
    world.intend(an_action(actuator="vnfm-2"))
    world.boot()
    world.run()
    world.kill()
    assert world.results() == [ActionState.FAILED]
    assert world.actions["a"].detail == "no actuator 'vnfm-2' is configured, only ['target']"


def test_an_actuator_that_went_from_the_configuration_leaves_its_actions_unknown() -> None:
    world = World({"a": Plan()})
    world.intend(an_action(actuator="vnfm-2"))
    sending = ActionResult("a", ActionState.SENDING, START_NS)
    world.journal.append(sending)
    world.actions["a"] = world.actions["a"].transition(ActionState.SENDING, START_NS)
    world.boot()
    world.run()
    world.kill()
    assert world.results() == [ActionState.SENDING, ActionState.UNKNOWN]


def test_news_of_an_operation_polls_it_at_once() -> None:
    world = World({"a": Plan(operation_seconds=20)})
    world.intend(an_action())
    world.boot()
    world.until(lambda: world.loop.seconds >= 21)
    polls = world.target.polls
    later = world.loop.seconds
    assert world.actions["a"].state is ActionState.ACCEPTED
    assert not world.executor.news(ActionNews("target", "http://x/op/b", "COMPLETED"))
    assert world.executor.news(ActionNews("target", "http://x/op/a", "COMPLETED"))
    world.until(lambda: world.target.polls > polls)
    assert world.loop.seconds < later + 0.1
    world.run()
    world.kill()
    world.check()


def test_a_cancelled_intent_never_leaves_and_one_that_may_have_left_is_not_cancelled() -> None:
    world = World({"a": Plan(), "b": Plan()}, unwritable=frozenset(range(1, 4)))
    world.intend(an_action("a"))
    world.boot()
    world.run(12)
    assert world.target.submitted == []
    assert not world.executor.cancel("b")
    world.until(
        lambda: world.executor.cancel("a")
    )  # not while a SENDING may be on its way to the disk
    world.run()
    assert world.target.submitted == []
    world.intend(an_action("b"))
    assert world.dispatch("b")
    world.until(lambda: world.target.accepted)
    assert not world.executor.cancel("b")
    world.run()
    world.kill()
    assert world.actions["b"].state is ActionState.SUCCEEDED


def closing(world: World) -> float:
    """Close the executor in the simulated loop; return how long it took."""
    before = world.loop.seconds
    task = world.loop.create_task(world.executor.close())
    world.until(task.done)
    task.result()
    return world.loop.seconds - before


def test_close_lets_an_answer_in_and_leaves_the_rest_to_the_next_start() -> None:
    world = World({"a": Plan(operation_seconds=30), "b": Plan(("hangs",)), "c": Plan()})
    world.intend(an_action("a"))
    world.intend(an_action("b"))
    world.boot()
    world.until(lambda: world.loop.seconds >= 8)
    world.intend(an_action("c"))
    assert world.dispatch("c")
    world.until(lambda: ("c", 1) in world.target.submitted)
    assert closing(world) <= execution.CLOSE_SECONDS_MAX
    assert len(world.executor) == 0
    assert world.target.closed == 1
    assert not world.executor.dispatch(an_action("d"))
    world.kill()
    survive(world)
    assert world.actions["a"].state is ActionState.SUCCEEDED
    assert world.actions["b"].state is ActionState.UNKNOWN
    assert world.actions["c"].state is ActionState.SUCCEEDED


def test_more_than_fits_is_turned_away_and_taken_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "IN_FLIGHT_MAX", 2)
    names = ["a", "b", "c"]
    world = World({name: Plan() for name in names})
    world.boot()
    world.loop.turn()
    for name in names:
        world.intend(an_action(name))
    assert [world.dispatch(name) for name in names] == [True, True, False]
    assert world.executor.turned_away == 1
    world.run()
    assert world.dispatch("c")
    world.run()
    world.kill()
    world.check()


# The ledger


def test_the_ledger_folds_whatever_order_results_and_outputs_have() -> None:
    action = an_action()
    operation = Operation("target", "op/a", "STARTING", False, False)
    sending = ActionResult("a", ActionState.SENDING, START_NS + 1)
    accepted = ActionResult("a", ActionState.ACCEPTED, START_NS + 2, operation=operation)
    as_sending = action.transition(ActionState.SENDING, START_NS + 1)
    as_accepted = as_sending.transition(ActionState.ACCEPTED, START_NS + 2, operation=operation)
    for values in (
        [action, sending, accepted],
        [action, sending, accepted, as_sending, as_accepted],
        [action, sending, as_sending, accepted, as_accepted],
    ):
        ledger = ActionLedger()
        for value in values:
            ledger.apply(value)
        entry = ledger.get("a")
        assert entry is not None
        assert (entry.stage, entry.sent_at_ns) == (Stage.ACCEPTED, START_NS + 1)
        assert entry.operation == operation
        again = ActionLedger.restore(ledger.snapshot())
        assert again.snapshot() == ledger.snapshot()
        assert again.get("a") == entry
        ledger.apply(ActionResult("a", ActionState.SUCCEEDED, START_NS + 3))
        ledger.apply(as_accepted)  # a late echo revives nothing
        assert len(ledger) == 0


def test_the_ledger_starts_an_attempt_anew_and_forgets_what_is_over() -> None:
    ledger = ActionLedger()
    action = an_action()
    ledger.apply(action)
    ledger.apply(ActionResult("a", ActionState.SENDING, START_NS))
    ledger.apply(ActionResult("a", ActionState.DEFERRED, START_NS, retry_after_ns=1))
    assert [entry.stage for entry in ledger] == [Stage.DEFERRED]
    deferred = action.transition(ActionState.SENDING, START_NS).transition(
        ActionState.DEFERRED, START_NS
    )
    ledger.apply(deferred)
    again = deferred.transition(ActionState.INTENDED, START_NS + 5)
    ledger.apply(again)
    assert [(entry.stage, entry.sent_at_ns) for entry in ledger] == [(Stage.INTENDED, None)]
    ledger.apply(again.transition(ActionState.CANCELLED, START_NS + 6))
    ledger.apply("anything else")
    assert len(ledger) == 0


def test_the_ledger_remembers_so_many_claims_and_the_first_one_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_module, "CLAIMS_MAX", 2)
    ledger = ActionLedger()
    for owner, reference in (("a", "op/1"), ("b", "op/1"), ("b", "op/2"), ("c", "op/3")):
        operation = Operation("target", reference, "COMPLETED", True, True)
        ledger.apply(ActionResult(owner, ActionState.SUCCEEDED, START_NS, operation=operation))
    again = ActionLedger.restore(ledger.snapshot())
    assert again.claims.plain() == [["target", "op/2", "b"], ["target", "op/3", "c"]]


def test_a_ledger_of_a_newer_format_is_refused() -> None:
    with pytest.raises(TrimtabError, match="format 2, not 1"):
        ActionLedger.restore(b'{"format":2,"entries":[]}')


# Crash points


def test_a_crash_point_kills_at_the_passing_that_was_asked_for() -> None:
    code = (
        "from trimtab.drivers.crashpoint import crasher_from_environment as make\n"
        "crash = make()\n"
        "for n in range(5):\n"
        "    crash('after_submitted')\n"
        "    print(n, flush=True)\n"
    )
    environment = {**os.environ, "TRIMTAB_CRASH_AT": "after_submitted:3"}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == ["0", "1"]


def test_without_the_variable_nothing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIMTAB_CRASH_AT", raising=False)
    crash = crasher_from_environment()
    for name in CRASH_POINTS:
        crash(name)
    with pytest.raises(ValueError, match="no such point"):
        Crasher("nowhere:1")


def test_an_action_passes_every_point_of_its_own() -> None:
    passed: list[str] = []
    for word in ("accept", "accept, answer lost"):
        world = World({"a": Plan((word,))})
        world.boot()
        world.intend(an_action())
        world.executor = Executor(
            {"target": world.target}, world.commit, world.clock, crash_point=passed.append
        )
        assert world.dispatch("a")
        world.run()
        world.kill()
    assert set(passed) == set(CRASH_POINTS[:8])
