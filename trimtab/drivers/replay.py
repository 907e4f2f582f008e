"""The replay driver: recorded history through the same loop, as fast as it goes, acting on nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from trimtab.domain.action import Action, ActionResult, ActionState, Operation
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.configuration import Configuration
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.input import Input, Tick
from trimtab.domain.policy import PolicySet
from trimtab.domain.verification import Verification
from trimtab.drivers.loop import Loop
from trimtab.drivers.recording import KnownFault, Recording
from trimtab.drivers.turn import Turn, journal_outputs, take_turn
from trimtab.store.journal import Journal

ACTUATOR = "record"
NOTICED_AFTER_END_SECONDS = 120
QUIET_TICKS = 3


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
        """Take one turn for each recorded instant, and a few quiet ones to close the last windows."""
        start = int(self.recording.time_ns[0])
        yield self._turn([*self.first, *self.recording.series], start)
        moment = start
        for moment, batch in self.recording.batches():
            yield self._turn([batch], moment + self.recording.granularity_ns)
        for quiet in range(2, QUIET_TICKS + 2):
            yield self._turn([], moment + quiet * self.recording.granularity_ns)

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


@dataclass(frozen=True, slots=True)
class FaultReview:
    """What the loop made of one known fault; times None when it did not."""

    fault: KnownFault
    noticed_at_ns: int | None
    noticed_on: str
    cause: str
    cause_rank: int | None  # where the labelled object stood among the causes, 1 the first
    decisions: tuple[str, ...]

    @property
    def delay_seconds(self) -> float | None:
        """Return how long after its start the fault was noticed."""
        if self.noticed_at_ns is None:
            return None
        return max(0, self.noticed_at_ns - self.fault.start_ns) / 1e9


@dataclass(slots=True)
class Review:
    """Collect what a replay said, and hold it against the known faults."""

    alarms: list[Alarm] = field(default_factory=list)
    incidents: dict[str, list[Incident]] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    actions: dict[str, Action] = field(default_factory=dict)
    verifications: list[Verification] = field(default_factory=list)

    def take(self, turn: Turn) -> None:
        """Keep what matters of a turn."""
        for value in turn.outputs:
            if isinstance(value, Alarm) and value.state is AlarmState.UNACKNOWLEDGED:
                self.alarms.append(value)
            elif isinstance(value, Incident) and value.state is IncidentState.OPEN:
                self.incidents.setdefault(value.id, []).append(value)
            elif isinstance(value, Decision):
                self.decisions.append(value)
            elif isinstance(value, Action):
                self.actions[value.id] = value
            elif isinstance(value, Verification) and value.verdict is not None:
                self.verifications.append(value)

    def faults(self, recording: Recording) -> list[FaultReview]:
        """Return what was made of each known fault."""
        return [self._review(fault) for fault in recording.faults]

    def false_alarms(self, recording: Recording) -> int:
        """Count the alarms raised where no known fault was."""
        return sum(
            not any(_within(fault, alarm.raised_at_ns) for fault in recording.faults)
            for alarm in self.alarms
        )

    def _review(self, fault: KnownFault) -> FaultReview:
        noticed = [alarm for alarm in self.alarms if _within(fault, alarm.raised_at_ns)]
        first = min(
            noticed, key=lambda alarm: (alarm.reported_at_ns, alarm.object_id), default=None
        )
        causes: list[str] = []
        for versions in self.incidents.values():
            for incident in versions:
                if _within(fault, incident.changed_at_ns) and incident.causes:
                    causes = [cause.object_id for cause in incident.causes]
        rank = next(
            (
                place
                for place, cause in enumerate(causes, 1)
                if fault.place and fault.place in cause
            ),
            None,
        )
        decided = tuple(
            dict.fromkeys(
                f"{decision.policy}: {decision.outcome}"
                for decision in self.decisions
                if _within(fault, decision.at_ns)
            )
        )
        return FaultReview(
            fault,
            first.reported_at_ns if first else None,
            first.object_id if first else "",
            causes[0] if causes else "",
            rank,
            decided,
        )


def _within(fault: KnownFault, at_ns: int) -> bool:
    return fault.start_ns <= at_ns <= fault.end_ns + NOTICED_AFTER_END_SECONDS * 1_000_000_000
