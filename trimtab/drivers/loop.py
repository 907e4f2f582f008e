"""The closed loop: three machines in a row, without I/O. Every driver steps this very object."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Trouble
from trimtab.domain.command import CommandResult
from trimtab.domain.configuration import Configuration
from trimtab.domain.evidence import EvidenceWanted, Shifted
from trimtab.domain.incident import Incident
from trimtab.domain.input import (
    AssessorInput,
    AssessorOutput,
    ClockJump,
    CorrelatorInput,
    CorrelatorOutput,
    DeciderInput,
    DeciderOutput,
    Input,
    Notice,
    Numbered,
    Output,
    SeriesAdded,
    SeriesRetired,
    Tick,
)
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.samples import SampleBatch
from trimtab.domain.sls import SlsReport
from trimtab.domain.trained_model import TrainedModel
from trimtab.errors import JournalCorrupt
from trimtab.ports import Machine

SNAPSHOT_FORMAT = 2
_ROWS = (SampleBatch, SeriesAdded, SeriesRetired)


@dataclass(frozen=True, slots=True)
class Machines:
    """How to make and to restore the machines; handed in by the composition root."""

    assessor: Callable[[int, int], Machine[AssessorInput, AssessorOutput]]
    correlator: Callable[[], Machine[CorrelatorInput, CorrelatorOutput]]
    decider: Callable[[], Machine[DeciderInput, DeciderOutput]]
    restore_assessor: Callable[[bytes], Machine[AssessorInput, AssessorOutput]]
    restore_correlator: Callable[[bytes], Machine[CorrelatorInput, CorrelatorOutput]]
    restore_decider: Callable[[bytes], Machine[DeciderInput, DeciderOutput]]
    output_order: Callable[[AssessorOutput], tuple[Any, ...]]


@dataclass(slots=True)
class Loop:
    """Step assessors (one a shard), correlator and decider; outputs come in one canonical order.

    Inputs are cut at every Tick: up to it the machines are told facts, at it they draw conclusions. That is why
    neither batch borders nor the number of inputs a step can change what comes out.
    """

    machines: Machines
    shards: int = 1
    assessors: list[Machine[AssessorInput, AssessorOutput]] = field(default_factory=list)
    correlator: Machine[CorrelatorInput, CorrelatorOutput] = field(init=False)
    decider: Machine[DeciderInput, DeciderOutput] = field(init=False)

    def __post_init__(self) -> None:
        self.assessors = [self.machines.assessor(n, self.shards) for n in range(self.shards)]
        self.correlator = self.machines.correlator()
        self.decider = self.machines.decider()

    def step(self, inputs: Sequence[Numbered[Input]], now: int) -> list[Output]:
        """Return all that follows from the inputs, in order."""
        outputs: list[Output] = []
        segment: list[Numbered[Input]] = []
        for item in inputs:
            segment.append(item)
            if isinstance(item.value, Tick):
                outputs.extend(self._conclude(segment, now))
                segment = []
        if segment:
            outputs.extend(self._conclude(segment, now))
        return outputs

    def _conclude(self, segment: list[Numbered[Input]], now: int) -> list[Output]:
        """Step the machines in a row over one segment: facts first, conclusions next, the Tick last."""
        assessed: list[AssessorOutput] = []
        for assessor in self.assessors:
            assessed.extend(assessor.step(segment, now))
        if len(self.assessors) > 1:
            assessed.sort(key=self.machines.output_order)
        if _tells_nothing(segment, assessed):
            return [*assessed]
        seq = segment[-1].seq
        concluded = self.correlator.step(_for_correlator(segment, assessed), now)
        incidents = [value for value in concluded if isinstance(value, Incident)]
        self._inquire([value for value in concluded if isinstance(value, EvidenceWanted)], seq, now)
        decided = self.decider.step(_for_decider(segment, assessed, incidents, seq), now)
        return [*assessed, *incidents, *decided]

    def _inquire(self, wanted: Sequence[EvidenceWanted], seq: int, now: int) -> None:
        """Let the assessors testify; the correlator concludes from it at its next tick."""
        if not wanted:
            return
        told: list[AssessorOutput] = []
        for assessor in self.assessors:
            told.extend(assessor.step([Numbered(seq, value) for value in wanted], now))
        told.sort(key=self.machines.output_order)
        testimonies = [Numbered(seq, value) for value in told if isinstance(value, Shifted)]
        self.correlator.step(testimonies, now)

    def snapshot(self) -> bytes:
        """Return the state of all machines."""
        parts = [*(machine.snapshot() for machine in self.assessors),
                 self.correlator.snapshot(), self.decider.snapshot()]  # fmt: skip
        head = json.dumps({"format": SNAPSHOT_FORMAT, "bytes": [len(part) for part in parts]})
        return b"\n".join((head.encode(), b"".join(parts)))

    @classmethod
    def restore(cls, machines: Machines, blob: bytes) -> "Loop":
        """Return a loop in the state of a snapshot. Raises JournalCorrupt when the format is another."""
        head, _, body = blob.partition(b"\n")
        plain = json.loads(head)
        if plain.get("format") != SNAPSHOT_FORMAT:
            raise JournalCorrupt(f"snapshot format {plain.get('format')} is not {SNAPSHOT_FORMAT}")
        ends = list(accumulate(plain["bytes"]))
        parts = [body[end - size : end] for end, size in zip(ends, plain["bytes"], strict=True)]
        loop = cls(machines, shards=len(parts) - 2)
        loop.assessors = [machines.restore_assessor(part) for part in parts[:-2]]
        loop.correlator = machines.restore_correlator(parts[-2])
        loop.decider = machines.restore_decider(parts[-1])
        return loop


def _tells_nothing(segment: Sequence[Numbered[Input]], assessed: Sequence[AssessorOutput]) -> bool:
    """Return whether only rows came, and a glance at them saw nothing: deadlines wait for the next full tick."""
    return not assessed and all(
        isinstance(item.value, _ROWS) or (isinstance(item.value, Tick) and not item.value.closing)
        for item in segment
    )


def _for_correlator(
    segment: Sequence[Numbered[Input]], assessed: Sequence[AssessorOutput]
) -> list[Numbered[CorrelatorInput]]:
    seq = segment[-1].seq
    told: list[Numbered[CorrelatorInput]] = []
    ticks: list[Numbered[CorrelatorInput]] = []
    for item in segment:
        if isinstance(item.value, Tick):
            ticks.append(Numbered(item.seq, item.value))
        elif isinstance(item.value, (InventoryChange, Configuration)):
            told.append(Numbered(item.seq, item.value))
    told.extend(Numbered(seq, value) for value in assessed if isinstance(value, (Trouble, Alarm)))
    return [*told, *ticks]


def _for_decider(
    segment: Sequence[Numbered[Input]],
    assessed: Sequence[AssessorOutput],
    incidents: Sequence[Incident],
    seq: int,
) -> list[Numbered[DeciderInput]]:
    told: list[Numbered[DeciderInput]] = []
    ticks: list[Numbered[DeciderInput]] = []
    for item in segment:
        if isinstance(item.value, Tick):
            ticks.append(Numbered(item.seq, item.value))
        elif not isinstance(item.value, (*_ROWS, ClockJump, TrainedModel)):
            told.append(Numbered(item.seq, item.value))
    told += [
        Numbered(seq, value)
        for value in assessed
        if not isinstance(value, (Notice, CommandResult, SlsReport, Shifted))
    ]
    told += [Numbered(seq, value) for value in incidents]
    return [*told, *ticks]
