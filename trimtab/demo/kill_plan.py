"""Which lives the loop leads in a kill campaign: where each of them is to end, fault by fault.

A point in the life of an action is only passed when the life before it left the action in the right state: whoever
wants to see what `after_found` is worth must first die with a request out and no answer written down. So a fault is
survived along a route of named points, and then through a storm of random deaths and deaths in any turn.
"""

from dataclasses import dataclass
from random import Random

from trimtab.drivers.crashpoint import (
    AFTER_ACCEPTED_JOURNALED,
    AFTER_END_JOURNALED,
    AFTER_FOUND,
    AFTER_INPUTS_JOURNALED,
    AFTER_OUTPUTS_JOURNALED,
    AFTER_POLLED,
    AFTER_SENDING_JOURNALED,
    AFTER_SNAPSHOT,
    AFTER_STEP,
    AFTER_SUBMITTED,
    BEFORE_END_JOURNALED,
    BEFORE_SENDING_JOURNALED,
)

# Each leads on from the state in which the point before left the action.
ROUTES: tuple[tuple[str, ...], ...] = (
    # Intended, sent, its answer lost, found again, followed, ended.
    (AFTER_OUTPUTS_JOURNALED, BEFORE_SENDING_JOURNALED, AFTER_SUBMITTED, AFTER_FOUND,
     AFTER_ACCEPTED_JOURNALED, AFTER_POLLED, BEFORE_END_JOURNALED, AFTER_END_JOURNALED),
    # The answer is written down: nothing is to be found, only to be followed.
    (BEFORE_SENDING_JOURNALED, AFTER_ACCEPTED_JOURNALED, AFTER_POLLED, BEFORE_END_JOURNALED,
     AFTER_END_JOURNALED),
    # The worst for who must not repeat: SENDING is durable and nothing was sent. UNKNOWN, and people are called.
    (AFTER_OUTPUTS_JOURNALED, AFTER_SENDING_JOURNALED, BEFORE_END_JOURNALED, AFTER_END_JOURNALED),
    # Doubt upon doubt.
    (AFTER_SUBMITTED, AFTER_FOUND, AFTER_FOUND, AFTER_POLLED, AFTER_POLLED, BEFORE_END_JOURNALED,
     BEFORE_END_JOURNALED, AFTER_END_JOURNALED),
)  # fmt: skip
# Passed in any life: each so many turns after the start, or when it is told to stop.
ANYWHERE = (AFTER_INPUTS_JOURNALED, AFTER_STEP, AFTER_SNAPSHOT)
TURNS_MAX = 12
LIFE_SECONDS = (0.5, 7.0)


@dataclass(frozen=True, slots=True)
class Life:
    """How a life ends: at the `passing`th time at `point`, or (no point) `seconds` after its start.

    `told_to_stop` says that it is asked to stop after `seconds`, as only then it comes by the point.
    """

    point: str | None
    passing: int = 1
    seconds: float = 0.0
    told_to_stop: bool = False


def route(fault_number: int) -> tuple[Life, ...]:
    """Return the lives along a route of named points, the first of which is to see the fault begin."""
    return tuple(Life(point) for point in ROUTES[fault_number % len(ROUTES)])


def storm(fault_number: int, chance: Random) -> tuple[Life, ...]:
    """Return the lives after the route: as many at random as at points passed in any life, and one more."""
    lives: list[Life] = []
    for turn in range(len(ANYWHERE)):
        point = ANYWHERE[(fault_number + turn) % len(ANYWHERE)]
        told = point == AFTER_SNAPSHOT
        passing = 1 if told else chance.randint(1, TURNS_MAX)
        lives.append(Life(None, seconds=chance.uniform(*LIFE_SECONDS)))
        lives.append(Life(point, passing, chance.uniform(*LIFE_SECONDS), told))
    lives.append(Life(None, seconds=chance.uniform(*LIFE_SECONDS)))
    return tuple(lives)
