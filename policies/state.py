"""What the Decider remembers: plain values only, each table with a limit, all of it in the snapshot."""

from dataclasses import dataclass, field
from enum import StrEnum

from trimtab.domain.action import Action
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment, Trouble
from trimtab.domain.command import CommandResult
from trimtab.domain.configuration import Configuration
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.incident import Cause, Incident
from trimtab.domain.kpi import Kpi
from trimtab.domain.managed_object import Topology
from trimtab.domain.policy import LADDER_RUNGS_MAX, Policy, PolicySet
from trimtab.domain.verification import Verification

INCIDENTS_MAX = 10_000
OBJECTS_PER_TABLE_MAX = 100_000  # of troubles, assessments and KPIs, each
NAMES_PER_OBJECT_MAX = 1_000
ALARMS_MAX = 500_000
COMMANDS_REMEMBERED_MAX = 10_000
DECISIONS_PER_INCIDENT_MAX = 500  # of one policy; then only acting and handing over are still told
LADDERS_PER_INCIDENT_MAX = 8
ACTIONS_PER_HOUR_MAX = 60  # of all policies together
ACTIONS_AT_ONCE_MAX = 20
SENDS_MAX = 10  # of one action; only a refusal leads to another
ANSWER_SHARE = 8  # nothing is sent again in the last eighth of its time: its end would be in doubt

Pair = tuple[str, str]


class Phase(StrEnum):
    """Where a ladder stands on its rung."""

    PROPOSED = "proposed"  # a person is asked
    ACTING = "acting"
    VERIFYING = "verifying"
    WAITING = "waiting"  # a guard refuses the next rung for now


@dataclass(slots=True)
class Ladder:
    """One policy at work on one incident, with the policy and the cause as they were at the start."""

    policy: Policy
    incident_id: str
    cause: Cause | None
    services: tuple[str, ...]
    rung: int
    phase: Phase
    decision_id: str = ""
    reason: str = ""
    action_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Check:
    """One open verification. `holding_since_ns` is since when `expect` holds without a break."""

    verification: Verification
    policy: Policy
    action: Action
    cause: Cause | None
    services: tuple[str, ...]
    ended_at_ns: int
    holding_since_ns: int | None = None
    verdict: str = ""


@dataclass(slots=True)
class Lock:
    """Hold a target and all that it contained when the action was started, until its verification ended."""

    action_id: str
    target_id: str
    inside: tuple[str, ...]
    stuck: str = ""  # why only a person may release it


@dataclass(slots=True)
class HandOver:
    """An incident that belongs to people now; `notified` once they were told through an actuator."""

    decision_id: str
    policy: str
    target_id: str
    reason: str
    at_ns: int
    notified: bool = False


@dataclass(slots=True)
class Held:
    """Since when a policy's condition gives this truth for an incident."""

    truth: str
    since_ns: int


@dataclass(slots=True)
class Told:
    """What was last said about (policy, incident), rung by rung, so that only changes are told."""

    signatures: list[str] = field(default_factory=lambda: [""] * (LADDER_RUNGS_MAX + 1))
    count: int = 0


@dataclass(slots=True)
class State:
    """All of it. Pairs are (policy, incident) or (policy, cause); nested tables are by object, then by name."""

    now_ns: int = 0
    topology: Topology = field(default_factory=Topology)
    configuration: Configuration | None = None
    policies: PolicySet | None = None
    loop: ControlLoop | None = None
    incidents: dict[str, Incident] = field(default_factory=dict)
    troubles: dict[str, dict[str, Trouble]] = field(default_factory=dict)  # by objective
    assessments: dict[str, dict[str, Assessment]] = field(default_factory=dict)
    kpis: dict[str, dict[str, Kpi]] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)  # not yet over
    retry_at_ns: dict[str, int] = field(default_factory=dict)
    ladders: dict[Pair, Ladder] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)  # by action
    locks: dict[str, Lock] = field(default_factory=dict)  # by action
    handed_over: dict[str, HandOver] = field(default_factory=dict)
    held: dict[Pair, Held] = field(default_factory=dict)
    told: dict[Pair, Told] = field(default_factory=dict)
    refused_since_ns: dict[Pair, int] = field(default_factory=dict)
    dismissed: dict[Pair, str] = field(default_factory=dict)  # rejected by whom
    # Incident -> `policy cause` -> the rung that comes next.
    tried: dict[str, dict[str, int]] = field(default_factory=dict)
    ladder_counts: dict[str, int] = field(default_factory=dict)
    orphaned_at_ns: dict[str, int] = field(default_factory=dict)
    cooldown_until_ns: dict[Pair, int] = field(default_factory=dict)  # (policy, cause)
    starts: list[tuple[int, str]] = field(default_factory=list)  # (when, policy), the last hour
    commands: dict[str, CommandResult] = field(default_factory=dict)
    overflow: dict[str, int] = field(default_factory=dict)
