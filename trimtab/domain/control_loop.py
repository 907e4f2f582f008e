"""The control loop as an object of its own (TS 28.567, ZSM 009-1)."""

from dataclasses import dataclass
from enum import StrEnum


class LifecyclePhase(StrEnum):
    """ZSM 009-1 lifecycle phases."""

    PREPARATION = "PREPARATION"
    COMMISSIONING = "COMMISSIONING"
    OPERATION = "OPERATION"
    DECOMMISSIONING = "DECOMMISSIONING"


class LoopRunState(StrEnum):
    """Whether the loop may act. KILLED is the kill switch and survives a restart."""

    RUNNING = "running"
    PAUSED = "paused"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class ControlLoop:
    """The loop's state, emitted when it changes."""

    run_state: LoopRunState
    phase: LifecyclePhase
    changed_at_ns: int
    changed_by: str
    reason: str
