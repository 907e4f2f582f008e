"""One step's desk: the state, what is known now, and the outputs written so far. Decisions are told here."""

from policies.book import Book
from policies.containment import Containment
from policies.facts import Facts, evidence
from policies.state import DECISIONS_PER_INCIDENT_MAX, Lock, State, Told
from trimtab.domain.action import TERMINAL, Action
from trimtab.domain.context import Context
from trimtab.domain.control_loop import LoopRunState
from trimtab.domain.decision import Decision, DecisionOutcome, GuardResult
from trimtab.domain.identity import content_id
from trimtab.domain.incident import Incident
from trimtab.domain.input import DeciderOutput, Notice
from trimtab.domain.policy import Policy

_ALWAYS_TOLD = frozenset({DecisionOutcome.ACT, DecisionOutcome.HAND_OVER})


class Scene:
    """What the parts of the Decider share while one input is worked on."""

    def __init__(self, state: State, book: Book, containment: Containment, now_ns: int) -> None:
        self.state = state
        self.book = book
        self.containment = containment
        self.now_ns = now_ns
        self.facts = Facts(state, containment, now_ns)
        self.out: list[DeciderOutput] = []

    @property
    def running(self) -> bool:
        """Return whether the loop may start anything."""
        return self.state.loop is not None and self.state.loop.run_state is LoopRunState.RUNNING

    def next_decision_id(self, policy: str, incident_id: str, rung: int) -> str:
        """Return the id that the next decision of a policy on an incident gets."""
        told = self.state.told.get((policy, incident_id))
        count = told.count if told else 0
        # With the time: an incident that resolved may come back under its id, and the count starts anew.
        return content_id("decision", policy, incident_id, rung, count, self.now_ns)

    def decide(
        self,
        policy: Policy,
        incident: Incident,
        outcome: DecisionOutcome,
        rung: int,
        reason: str,
        guards: tuple[GuardResult, ...] = (),
        action_ids: tuple[str, ...] = (),
    ) -> str:
        """Tell a decision if it is news, and return its id; an unchanged one is not told again."""
        key = (policy.name, incident.id)
        failed = ",".join(item.guard for item in guards if not item.passed)
        signature = f"{outcome.value} {failed}"
        told = self.state.told.setdefault(key, Told())
        decision_id = self.next_decision_id(policy.name, incident.id, rung)
        loud = outcome in _ALWAYS_TOLD or bool(action_ids)
        if told.signatures[rung] == signature and not loud:
            return decision_id
        if told.count >= DECISIONS_PER_INCIDENT_MAX and not loud:
            self.count("decisions")
            return decision_id
        told.signatures[rung] = signature
        told.count += 1
        names = self.facts.condition_names(incident)
        self.out.append(
            Decision(
                context=Context(decision_id, incident.id),
                id=decision_id,
                policy=policy.name,
                policy_location=policy.location,
                incident_id=incident.id,
                at_ns=self.now_ns,
                outcome=outcome,
                rung=rung,
                reason=reason,
                guards=guards,
                evidence=evidence(self.book.paths(policy), names),
                action_ids=action_ids,
            )
        )
        return decision_id

    def put_action(self, action: Action) -> None:
        """Keep and tell an action's new state; a lock of one that never ran is released."""
        self.state.actions[action.id] = action
        if action.state in TERMINAL:
            self.state.retry_at_ns.pop(action.id, None)
        self.out.append(action)

    def lock(self, action: Action) -> None:
        """Hold an action's target until its verification ended."""
        inside = self.containment.inside(action.target_id)
        self.state.locks[action.id] = Lock(action.id, action.target_id, inside)

    def notice(self, subject: str, text: str) -> None:
        """Tell the NOC something about the loop itself."""
        notice_id = content_id("notice", subject, text, self.now_ns)
        self.out.append(Notice(notice_id, self.now_ns, subject, text))

    def count(self, table: str) -> None:
        """Count what a limit turned away; the first time is told."""
        seen = self.state.overflow.get(table, 0)
        self.state.overflow[table] = seen + 1
        if seen == 0:
            self.notice("decider", f"a limit is reached: {table}; what is beyond it is not kept")
