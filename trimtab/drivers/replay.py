"""The replay driver: recorded history through the same loop, as fast as it goes, acting on nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from trimtab.domain.action import Action, ActionResult, ActionState, Operation
from trimtab.domain.configuration import Configuration
from trimtab.domain.input import Input, Tick
from trimtab.domain.policy import PolicySet
from trimtab.drivers.loop import Loop
from trimtab.drivers.recording import Recording
from trimtab.drivers.turn import Turn, journal_outputs, take_turn
from trimtab.store.journal import Journal

ACTUATOR = "record"
# After the last sample, and in a gap: so many ticks, one a granularity period, let windows close in silence.
QUIET_TICKS = 4
GAP_TICKS_MAX = 10


@dataclass(slots=True)
class Replay:
    """Turn the loop over a recording. Actions are recorded, and reported back to the loop as carried out.

    What they would have changed can't be known, so their verifications judge the history as it was.
    """

    loop: Loop
    journal: Journal
    recording: Recording
    first: tuple[Configuration | PolicySet, ...]
    derive: Callable[[Turn], None] = lambda turn: None
    _results: list[ActionResult] = field(default_factory=list)

    def turns(self) -> Iterator[Turn]:
        """Take one turn for each recorded instant, at that instant, and quiet ones where nothing was recorded."""
        period = self.recording.granularity_ns
        now = int(self.recording.time_ns[0])
        yield self._turn([*self.first, *self.recording.series], now)
        for moment, batch in self.recording.batches():
            for quiet in range(
                now + period, min(moment, now + (GAP_TICKS_MAX + 1) * period), period
            ):
                yield self._turn([], quiet)
            now = moment
            yield self._turn([batch], now)
        for quiet in range(1, QUIET_TICKS + 1):
            yield self._turn([], now + quiet * period)

    def _turn(self, inputs: list[Input], now: int) -> Turn:
        results, self._results = self._results, []
        turn = take_turn(
            self.journal, self.loop, [*inputs, *results, Tick(now)], now, durable=False
        )
        journal_outputs(self.journal, turn, durable=False)
        for action in turn.intended():
            self._results.extend(_carried_out(action, now))
        self.derive(turn)
        return turn


def _carried_out(action: Action, now: int) -> list[ActionResult]:
    operation = Operation(ACTUATOR, action.id, "RECORDED", done=True, succeeded=True)
    return [
        ActionResult(action.id, ActionState.SENDING, now),
        ActionResult(action.id, ActionState.ACCEPTED, now, operation=operation),
        ActionResult(action.id, ActionState.SUCCEEDED, now, "recorded, not carried out", operation),
    ]
