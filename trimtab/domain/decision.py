"""Decisions: what a policy chose, on which evidence, and which guards passed or stopped it."""

from dataclasses import dataclass
from enum import StrEnum

from trimtab.domain.context import Context


class DecisionOutcome(StrEnum):
    """What came of a policy's condition being met."""

    ACT = "act"
    RECOMMEND = "recommend"  # mode recommend: shown to people, who may approve
    OBSERVE = "observe"  # mode observe: would have acted
    AWAIT_APPROVAL = "await_approval"
    REFUSED = "refused"  # a guard stopped it
    FROZEN = "frozen"  # it depends on facts that are INDETERMINATE
    HAND_OVER = "hand_over"  # the ladder is exhausted, or an outcome is unknown: people take it


@dataclass(frozen=True, slots=True)
class GuardResult:
    """One guard's verdict, with the numbers that it compared."""

    guard: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Record one choice, refusals included. Emitted when the outcome for (policy, incident, rung) changes."""

    context: Context
    id: str
    policy: str
    policy_location: str
    incident_id: str
    at_ns: int
    outcome: DecisionOutcome
    rung: int
    reason: str
    guards: tuple[GuardResult, ...]
    evidence: tuple[tuple[str, str], ...]  # name as CEL sees it -> value as text
    action_ids: tuple[str, ...] = ()
