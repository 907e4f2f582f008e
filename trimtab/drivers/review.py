"""What a replay said, held against the faults that its recording is known to hold."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trimtab.domain.action import Action
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.policy import ActionKind
from trimtab.domain.time import NS_PER_SECOND
from trimtab.domain.verification import Verification
from trimtab.drivers.known_faults import KnownFault
from trimtab.drivers.recording import Recording
from trimtab.drivers.turn import Turn

NEVER_NS = 2**62
TOP_CAUSES = 3
TOLD = frozenset({ActionKind.NOTIFY, ActionKind.HAND_OVER})


@dataclass(frozen=True, slots=True)
class FaultReview:
    """What the loop made of one known fault; `noticed_at_ns` None when it did not notice, or knew of trouble before.

    `already_open`: no alarm was raised while the fault lasted, but one raised earlier was still open.
    `decisions` tell policy and outcome; `actions` and `verdicts` what was intended, and what became of it in the
    history as it was.
    """

    fault: KnownFault
    noticed_at_ns: int | None
    noticed_on: str
    already_open: bool
    cause: str
    cause_rank: int | None  # where the labelled object stood among the causes, 1 the first
    decisions: tuple[str, ...]
    actions: tuple[Action, ...]
    verdicts: tuple[str, ...]

    @property
    def noticed(self) -> bool:
        """Return whether an alarm was raised, or still open, while the fault lasted."""
        return self.noticed_at_ns is not None or self.already_open

    @property
    def delay_seconds(self) -> float | None:
        """Return how long after its start the fault was told of, None when nothing new was told."""
        if self.noticed_at_ns is None:
            return None
        return max(0, self.noticed_at_ns - self.fault.start_ns) / NS_PER_SECOND


@dataclass(slots=True)
class Review:
    """Collect what a replay said."""

    alarms: dict[str, Alarm] = field(default_factory=dict)
    incidents: dict[str, list[Incident]] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    actions: dict[str, Action] = field(default_factory=dict)
    verifications: dict[str, Verification] = field(default_factory=dict)

    def take(self, turn: Turn) -> None:
        """Keep what matters of a turn."""
        for value in turn.outputs:
            match value:
                case Alarm():
                    self.alarms[value.id] = value
                case Incident() if value.state is IncidentState.OPEN:
                    self.incidents.setdefault(value.id, []).append(value)
                case Decision():
                    self.decisions.append(value)
                case Action():
                    self.actions[value.id] = value
                case Verification():
                    self.verifications[value.action_id] = value
                case _:
                    pass

    def verdict(self, action: Action) -> str:
        """Return what was found of an action."""
        found = self.verifications.get(action.id)
        return found.verdict.value if found is not None and found.verdict else "not judged"

    def faults(self, recording: Recording) -> list[FaultReview]:
        """Return what was made of each known fault."""
        clock = _Timeline(self)
        return [clock.review(fault, recording.settle_ns) for fault in recording.known.faults]

    def false_alarms(self, recording: Recording) -> int:
        """Count the alarms raised where neither a fault was, nor its after-effects, nor what may have been one."""
        known = (*recording.known.faults, *recording.known.unclear)
        raised = np.array([alarm.raised_at_ns for alarm in self.alarms.values()], dtype=np.int64)
        excused = np.zeros(len(raised), dtype=np.bool_)
        for fault in known:
            excused |= (raised >= fault.start_ns) & (raised <= fault.end_ns + recording.settle_ns)
        return int(np.count_nonzero(~excused))


class _Timeline:
    """A review's facts with their times in columns, so that a fault finds its own quickly."""

    def __init__(self, review: Review) -> None:
        self.review_ = review
        self.alarms = sorted(review.alarms.values(), key=lambda item: (item.raised_at_ns, item.id))
        self.raised = np.array([item.raised_at_ns for item in self.alarms], dtype=np.int64)
        cleared = [
            item.changed_at_ns if item.state is AlarmState.CLEARED else NEVER_NS
            for item in self.alarms
        ]
        self.cleared = np.array(cleared, dtype=np.int64)
        self.incident_of = {
            alarm_id: versions[-1].id
            for versions in review.incidents.values()
            for version in versions
            for alarm_id in version.alarm_ids
        }
        self.decided = np.array([item.at_ns for item in review.decisions], dtype=np.int64)
        self.actions = list(review.actions.values())
        self.acted = np.array([item.created_at_ns for item in self.actions], dtype=np.int64)

    def review(self, fault: KnownFault, settle_ns: int) -> FaultReview:
        """Return what was made of a fault: alarms while it lasted, decisions until its effects are over."""
        start, end, over = fault.start_ns, fault.end_ns, fault.end_ns + settle_ns
        fresh = [
            self.alarms[n] for n in np.flatnonzero((self.raised >= start) & (self.raised <= end))
        ]
        open_ = [
            self.alarms[n] for n in np.flatnonzero((self.raised < start) & (self.cleared > start))
        ]
        first = min(fresh, key=lambda item: (item.reported_at_ns, item.object_id), default=None)
        causes = self._causes(fresh or open_, end)
        rank = next((at for at, name in enumerate(causes, 1) if fault.is_at(name)), None)
        decisions = [
            self.review_.decisions[n]
            for n in np.flatnonzero((self.decided >= start) & (self.decided <= over))
        ]
        actions = [
            self.actions[n] for n in np.flatnonzero((self.acted >= start) & (self.acted <= over))
        ]
        shown = first or (open_[0] if open_ else None)
        return FaultReview(
            fault=fault,
            noticed_at_ns=first.reported_at_ns if first else None,
            noticed_on=shown.object_id if shown else "",
            already_open=first is None and bool(open_),
            cause=causes[0] if causes else "",
            cause_rank=rank,
            decisions=tuple(dict.fromkeys(f"{item.policy}: {item.outcome}" for item in decisions)),
            actions=tuple(actions),
            verdicts=tuple(self.review_.verdict(item) for item in actions),
        )

    def _causes(self, alarms: Sequence[Alarm], end_ns: int) -> list[str]:
        """Return the causes, best first, as the incident of the alarms had them last while the fault lasted."""
        for alarm in alarms:
            versions = self.review_.incidents.get(self.incident_of.get(alarm.id, ""), [])
            seen = [item for item in versions if item.changed_at_ns <= end_ns and item.causes]
            if seen or versions:
                return [cause.object_id for cause in (seen or versions)[-1 if seen else 0].causes]
        return []


@dataclass(frozen=True, slots=True)
class KindReview:
    """What was made of the faults of one kind. Delays in seconds from the true start, None where none was told."""

    kind: str
    runs: int
    placed: int
    noticed: int
    already_open: int
    delay_median_seconds: float | None
    delay_worst_seconds: float | None
    cause_first: int
    cause_in_top: int
    would_have: tuple[tuple[str, int], ...]


def by_kind(reviews: Sequence[FaultReview]) -> list[KindReview]:
    """Return a summary for each kind of fault, in order of appearance."""
    kinds = dict.fromkeys(item.fault.kind for item in reviews)
    return [_kind(kind, [item for item in reviews if item.fault.kind == kind]) for kind in kinds]


def _kind(kind: str, items: Sequence[FaultReview]) -> KindReview:
    delays = sorted(item.delay_seconds for item in items if item.delay_seconds is not None)
    return KindReview(
        kind=kind,
        runs=len(items),
        placed=sum(item.fault.placed for item in items),
        noticed=sum(item.noticed for item in items),
        already_open=sum(item.already_open for item in items),
        delay_median_seconds=float(np.median(delays)) if delays else None,
        delay_worst_seconds=delays[-1] if delays else None,
        cause_first=sum(item.cause_rank == 1 for item in items),
        cause_in_top=sum(
            item.cause_rank is not None and item.cause_rank <= TOP_CAUSES for item in items
        ),
        would_have=tuple(
            Counter(text for item in items for text in would_have(item)).most_common()
        ),
    )


def would_have(item: FaultReview) -> list[str]:
    """Return what the policies would have done about a fault, one phrase each; else what kept them from it."""
    told = [
        f"{action.kind.value} {_whose(item.fault, action)}, {verdict}"
        if action.kind not in TOLD
        else action.kind.value
        for action, verdict in zip(item.actions, item.verdicts, strict=True)
    ]
    return told or [f"no action; {text}" for text in item.decisions] or ["no action"]


def _whose(fault: KnownFault, action: Action) -> str:
    if not fault.placed:
        return "somewhere"
    return "what is faulty" if fault.is_at(action.target_id) else "another object"
