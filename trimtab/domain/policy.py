"""Policies: what to do when (TS 28.567 desiredBehavior), as parsed from YAML."""

from dataclasses import dataclass
from enum import StrEnum

from trimtab.domain.time import NS_PER_SECOND

LADDER_RUNGS_MAX = 8


class PolicyMode(StrEnum):
    """How far a policy may go: TS 28.567 DO_NOTHING, NOTIFY_RECOMMENDATION, DECISION_ACTIVATION."""

    OBSERVE = "observe"
    RECOMMEND = "recommend"
    ENFORCE = "enforce"


class ActionKind(StrEnum):
    """What an actuator can be asked to do."""

    HEAL = "heal"
    SCALE_OUT = "scale_out"
    SCALE_IN = "scale_in"
    MIGRATE = "migrate"
    NOTIFY = "notify"  # webhook
    HAND_OVER = "hand_over"  # to people, with the evidence


class TargetSelector(StrEnum):
    """Which objects a step acts on, seen from the incident's first cause."""

    CAUSE = "cause"
    CAUSE_VNF = "cause.vnf"  # the VNF that the causing VNFC is part of
    CAUSE_GUESTS = "cause.guests"  # the VNFCs that run on the causing host, one action each


@dataclass(frozen=True, slots=True)
class ActionStep:
    """One rung of the ladder: what to do, to what, through which actuator, with what."""

    kind: ActionKind
    target: TargetSelector = TargetSelector.CAUSE
    actuator: str = ""  # the configured actuator's name; empty: the configured default for the kind
    parameters: tuple[tuple[str, str], ...] = ()
    deadline_ns: int = 600 * NS_PER_SECOND  # the operation's; then people are called
    retry_ns: int = 10 * NS_PER_SECOND  # after a refusal that names no time itself


@dataclass(frozen=True, slots=True)
class Guard:
    """Bounds that are never bypassed."""

    cooldown_ns: int
    actions_per_hour_max: int
    concurrency_max: int = 1
    blast_radius_max: int = 2  # objects of one kind under action or out of service at once
    common_cause_max: int = 1_000  # objects of the cause's kind with the cause's symptom at once
    confidence_min: float = 0.5
    approval: bool = False


@dataclass(frozen=True, slots=True)
class VerifySpec:
    """When an action counts as having helped.

    After the operation ends and `settle_ns` have passed, `expect` (CEL) must hold for `hold_ns` without a
    break, within `within_ns` of the operation's end.
    """

    expect: str
    settle_ns: int
    hold_ns: int
    within_ns: int


@dataclass(frozen=True, slots=True)
class Policy:
    """A rule: `when` holds for `for_ns`, `unless` does not, then climb `ladder`, verifying each rung.

    `when`, `unless` and `verify.expect` are CEL over the names that docs/policies.md publishes. `location` is
    `file:line` of the rule. `priority` is 1..10, 10 the most important (TS 28.567 cCLPriority).
    """

    name: str
    description: str
    mode: PolicyMode
    priority: int
    when: str
    for_ns: int
    unless: str
    ladder: tuple[ActionStep, ...]
    guard: Guard
    verify: VerifySpec
    location: str


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All loaded policies with their timings resolved; `hash` is of the content."""

    hash: str
    profile: str
    policies: tuple[Policy, ...]
