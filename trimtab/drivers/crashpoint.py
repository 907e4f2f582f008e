"""Named places at which a test kills the process, to show that a restart neither repeats nor forgets.

`TRIMTAB_CRASH_AT=name` kills at the first passing of that point, `name:3` at the third. Without the variable every
point is a comparison and nothing more.
"""

import os
import signal
from collections.abc import Callable
from typing import TypeAlias

VARIABLE = "TRIMTAB_CRASH_AT"

# In the order in which an action passes them; the live driver has its own in front and behind.
BEFORE_SENDING_JOURNALED = "before_sending_journaled"
AFTER_SENDING_JOURNALED = "after_sending_journaled"
AFTER_SUBMITTED = "after_submitted"
AFTER_ACCEPTED_JOURNALED = "after_accepted_journaled"
AFTER_FOUND = "after_found"
AFTER_POLLED = "after_polled"
BEFORE_END_JOURNALED = "before_end_journaled"
AFTER_END_JOURNALED = "after_end_journaled"
AFTER_INPUTS_JOURNALED = "after_inputs_journaled"
AFTER_STEP = "after_step"
AFTER_OUTPUTS_JOURNALED = "after_outputs_journaled"
AFTER_SNAPSHOT = "after_snapshot"

CRASH_POINTS = (
    BEFORE_SENDING_JOURNALED,
    AFTER_SENDING_JOURNALED,
    AFTER_SUBMITTED,
    AFTER_ACCEPTED_JOURNALED,
    AFTER_FOUND,
    AFTER_POLLED,
    BEFORE_END_JOURNALED,
    AFTER_END_JOURNALED,
    AFTER_INPUTS_JOURNALED,
    AFTER_STEP,
    AFTER_OUTPUTS_JOURNALED,
    AFTER_SNAPSHOT,
)
CrashPoint: TypeAlias = Callable[[str], None]


class Crasher:
    """Count passings of one point, and kill this process at the one asked for."""

    def __init__(self, wanted: str) -> None:
        name, _, number = wanted.partition(":")
        if name and name not in CRASH_POINTS:
            raise ValueError(f"{VARIABLE}={wanted}: no such point, there are {CRASH_POINTS}")
        self._name = name
        self._left = int(number or 1)

    def __call__(self, name: str) -> None:
        """Pass a point."""
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def crasher_from_environment() -> CrashPoint:
    """Return what TRIMTAB_CRASH_AT asks for: one for the process, made where it is composed. Raises ValueError."""
    return Crasher(os.environ.get(VARIABLE, ""))


def pass_by(name: str) -> None:
    """Be a crash point at which nothing happens."""
