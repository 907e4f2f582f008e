"""The Decider: from incidents to decisions, actions and verifications. No clock, no I/O; time passes by Ticks."""

from collections.abc import Sequence
from typing import Self

from policies.book import Book
from policies.commands import obey
from policies.containment import Containment
from policies.expression import Known, Truth
from policies.guards import HOUR_NS
from policies.handover import hand_over, owed
from policies.intake import Intake
from policies.ladder import begin, climb, end, engaged
from policies.results import run_deadlines, settle, take_result
from policies.scene import Scene
from policies.snapshot import dump, load
from policies.state import Held, Ladder, Phase, State
from policies.verification import run_checks
from trimtab.domain.action import TERMINAL, ActionResult, ActionState
from trimtab.domain.command import Command
from trimtab.domain.control_loop import ControlLoop, LifecyclePhase, LoopRunState
from trimtab.domain.decision import DecisionOutcome, GuardResult
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.input import DeciderInput, DeciderOutput, Numbered, Tick
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.policy import Policy, PolicyMode


class Decider:
    """Machine over incidents, troubles, alarms, assessments, KPIs, inventory, policies, results, commands and ticks.

    Policies are evaluated on Ticks only, at the tick's own time, so that batch borders can't matter.
    """

    def __init__(self) -> None:
        self._state = State()
        self._prepare()

    def _prepare(self) -> None:
        self._book = Book()
        self._intake = Intake(self._state, self._book)
        self._containment: Containment | None = None

    def step(self, inputs: Sequence[Numbered[DeciderInput]], now: int) -> list[DeciderOutput]:
        """Take inputs in order; return what follows from them."""
        out: list[DeciderOutput] = []
        for item in inputs:
            value = item.value
            if isinstance(value, KpiBatch):
                for kpi in self._intake.read_of(value):
                    out.extend(self._take(kpi))
            else:
                out.extend(self._take(value))
        return out

    def snapshot(self) -> bytes:
        """Return the whole state; equal states give equal bytes."""
        return dump(self._state)

    @classmethod
    def restore(cls, blob: bytes) -> Self:
        """Return a Decider in the state of a snapshot. Raises ValueError when its format is another."""
        decider = cls()
        decider._state = load(blob)
        decider._prepare()
        return decider

    def _take(self, value: DeciderInput) -> list[DeciderOutput]:
        match value:
            case Tick():
                self._state.now_ns = max(self._state.now_ns, value.at_ns)
                scene = self._scene(self._state.now_ns)
                self._tick(scene)
            case ActionResult():
                scene = self._scene(value.at_ns)
                take_result(scene, value)
            case Command():
                scene = self._scene(value.at_ns)
                self._announce(scene)
                obey(scene, value)
            case _:
                scene = self._scene(self._state.now_ns)
                if self._intake.take(scene, value):
                    self._containment = None
        return scene.out

    def _scene(self, now_ns: int) -> Scene:
        if self._containment is None:
            self._containment = Containment(self._state.topology)
        return Scene(self._state, self._book, self._containment, now_ns)

    def _announce(self, scene: Scene) -> None:
        """Tell the loop's first state."""
        if self._state.loop is None:
            self._state.loop = ControlLoop(
                LoopRunState.RUNNING, LifecyclePhase.OPERATION, scene.now_ns, "trimtab", "started"
            )
            scene.out.append(self._state.loop)

    def _tick(self, scene: Scene) -> None:
        self._announce(scene)
        state = self._state
        state.starts = [item for item in state.starts if item[0] > scene.now_ns - HOUR_NS]
        for pair, until_ns in list(state.cooldown_until_ns.items()):
            if until_ns <= scene.now_ns:
                del state.cooldown_until_ns[pair]
        run_deadlines(scene)
        run_checks(scene)
        for _, ladder in sorted(state.ladders.items()):
            self._go_on(scene, ladder)
        for incident in sorted(
            state.incidents.values(), key=lambda one: (one.opened_at_ns, one.id)
        ):
            if incident.state is IncidentState.OPEN:
                self._evaluate(scene, incident)
        owed(scene)
        self._clear_away()

    def _go_on(self, scene: Scene, ladder: Ladder) -> None:
        """Try a waiting rung again; withdraw proposals that nothing calls for any more."""
        incident = self._state.incidents.get(ladder.incident_id)
        over = incident is None or incident.state is IncidentState.RESOLVED
        if incident is not None:
            ladder.services = tuple(sorted({*ladder.services, *incident.services}))
        if ladder.phase is Phase.WAITING:
            if incident is None or over:
                end(scene, ladder)
            else:
                climb(scene, ladder, incident)
            return
        proposed = [
            action
            for action_id in ladder.action_ids
            if (action := self._state.actions[action_id]).state is ActionState.PROPOSED
        ]
        if not proposed:
            return
        stale = "nothing calls for it any more" if over else ""
        if incident is not None and not over and ladder.rung == 0:
            known = Known(scene.facts.condition_names(incident))
            if self._book.when(ladder.policy, known).truth is Truth.FALSE:
                stale = "nothing calls for it any more"
        if ladder.incident_id in self._state.handed_over:
            stale = "the incident is handed over"
        for action in proposed:
            late = ladder.phase is Phase.ACTING and scene.now_ns >= action.deadline_ns
            why = stale or ("the others were approved, this one was not" if late else "")
            if why:
                scene.put_action(action.transition(ActionState.CANCELLED, scene.now_ns, why))
                settle(scene, action.id)

    def _evaluate(self, scene: Scene, incident: Incident) -> None:
        """Ask every policy about one open incident, the most important first."""
        state = self._state
        if incident.id in state.handed_over or state.policies is None:
            return
        known: Known | None = None
        first: Policy | None = None
        for policy in state.policies.policies:
            pair = (policy.name, incident.id)
            if pair in state.ladders or pair in state.dismissed:
                continue
            # Only for who asks: most incidents are in some ladder's hands.
            known = known or Known(scene.facts.condition_names(incident))
            if not self._due(scene, policy, incident, known):
                continue
            working = engaged(scene, incident.id)
            if working is not None:
                text = f"the ladder of {working.policy.name} works on the incident"
                self._wait(scene, policy, incident, "ladder", text)
                continue
            if first is not None and policy.mode is PolicyMode.ENFORCE:
                text = f"{first.name} comes first, of priority {first.priority}"
                self._wait(scene, policy, incident, "priority", text)
                continue
            if policy.mode is PolicyMode.ENFORCE:
                first = policy
            begin(scene, policy, incident)
            if incident.id in state.handed_over:
                return
        self._orphaned(scene, incident, first)

    def _due(self, scene: Scene, policy: Policy, incident: Incident, known: Known) -> bool:
        """Return whether a policy's condition has held for its `for`."""
        pair = (policy.name, incident.id)
        answer = self._book.when(policy, known)
        held = self._state.held.get(pair)
        if answer.truth is Truth.FALSE:
            self._state.held.pop(pair, None)
            self._state.refused_since_ns.pop(pair, None)
            return False
        if held is None or held.truth != answer.truth.value:
            held = self._state.held[pair] = Held(answer.truth.value, scene.now_ns)
        if scene.now_ns - held.since_ns < policy.for_ns:
            return False
        if answer.truth is Truth.UNKNOWN:
            missing = (GuardResult("freeze", False, answer.detail),)
            reason = f"the condition can't be told: {answer.detail}"
            scene.decide(policy, incident, DecisionOutcome.FROZEN, 0, reason, missing)
            return False
        return True

    def _wait(
        self, scene: Scene, policy: Policy, incident: Incident, guard: str, text: str
    ) -> None:
        stopped = (GuardResult(guard, False, text),)
        scene.decide(policy, incident, DecisionOutcome.REFUSED, 0, text, stopped)

    def _orphaned(self, scene: Scene, incident: Incident, first: Policy | None) -> None:
        """Call people for an incident whose last action did not help and that no policy takes up again."""
        since_ns = self._state.orphaned_at_ns.get(incident.id)
        policies = self._state.policies
        if since_ns is None or first is not None or policies is None or not policies.policies:
            return
        if engaged(scene, incident.id) is not None:
            return
        longest = max(policy.verify.within_ns for policy in policies.policies)
        if scene.now_ns - since_ns >= longest:
            cause = incident.causes[0] if incident.causes else None
            last = policies.policies[-1]
            told = "an action did not help, the cause is another now, and no policy is for it"
            hand_over(scene, last, incident, cause, 0, told)

    def _clear_away(self) -> None:
        """Forget what is over: incidents without open ends, and actions that nothing refers to."""
        state = self._state
        needed = {ladder.incident_id for ladder in state.ladders.values()}
        needed.update(check.action.incident_id for check in state.checks.values())
        needed.update(
            action.incident_id for action in state.actions.values() if action.state not in TERMINAL
        )
        gone = [
            incident.id
            for incident in state.incidents.values()
            if incident.state is IncidentState.RESOLVED and incident.id not in needed
        ]
        for incident_id in gone:
            del state.incidents[incident_id]
            for table in (
                state.handed_over, state.tried, state.ladder_counts, state.orphaned_at_ns,
            ):  # fmt: skip
                table.pop(incident_id, None)
        if gone:
            over = set(gone)
            for pairs in (state.held, state.told, state.refused_since_ns, state.dismissed):
                for pair in [pair for pair in pairs if pair[1] in over]:
                    del pairs[pair]
        used = {item for ladder in state.ladders.values() for item in ladder.action_ids}
        for action_id, action in list(state.actions.items()):
            if action.state in TERMINAL and action_id not in used:
                del state.actions[action_id]
