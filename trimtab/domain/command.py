"""Commands of people: journaled inputs like any other."""

from dataclasses import dataclass
from enum import StrEnum


class CommandKind(StrEnum):
    """What a person may order."""

    ACKNOWLEDGE_ALARM = "acknowledge_alarm"
    UNACKNOWLEDGE_ALARM = "unacknowledge_alarm"
    APPROVE_ACTION = "approve_action"
    REJECT_ACTION = "reject_action"
    CANCEL_ACTION = "cancel_action"
    PAUSE = "pause"  # decide, but start nothing
    RESUME = "resume"
    KILL = "kill"  # the kill switch: start nothing, survives a restart, only RESET ends it
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Command:
    """Order something: who, what, to which subject, why. `id` is given by the edge and makes it idempotent."""

    id: str
    kind: CommandKind
    actor: str
    at_ns: int
    subject_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Answer a command: `applied`, or refused with the reason."""

    command_id: str
    applied: bool
    reason: str
    at_ns: int
