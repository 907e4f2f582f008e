"""One turn of the loop: make the inputs durable, step the machines, make the outputs durable."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trimtab.domain.action import Action, ActionState
from trimtab.domain.alarm import Alarm
from trimtab.domain.command import CommandResult
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident
from trimtab.domain.input import Input, Notice, Numbered, Output
from trimtab.domain.sls import SlsReport
from trimtab.domain.verification import Verification
from trimtab.drivers.crashpoint import (
    AFTER_INPUTS_JOURNALED,
    AFTER_OUTPUTS_JOURNALED,
    AFTER_STEP,
    CrashPoint,
    pass_by,
)
from trimtab.drivers.loop import Loop
from trimtab.errors import JournalUnwritable
from trimtab.store.frame import Frame
from trimtab.store.journal import Journal

log = logging.getLogger("trimtab.live")

# What the world may have been told of. Kpis, assessments and troubles are numerous and follow from a replay.
AUTHORITATIVE = (
    Alarm, Incident, Decision, Action, Verification, ControlLoop, CommandResult, Notice, SlsReport,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn read and wrote. `seq` is that of its last input and names the turn."""

    seq: int
    now: int
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    def authoritative(self) -> list[Output]:
        """Return the outputs that are journaled."""
        return [value for value in self.outputs if isinstance(value, AUTHORITATIVE)]

    def intended(self) -> list[Action]:
        """Return the actions to be sent."""
        return [
            value
            for value in self.outputs
            if isinstance(value, Action) and value.state is ActionState.INTENDED
        ]


def take_turn(
    journal: Journal,
    loop: Loop,
    inputs: Sequence[Input],
    now: int,
    *,
    reserve: bool = False,
    durable: bool = True,
    crash: CrashPoint = pass_by,
) -> Turn:
    """Journal the inputs, then step. Raises JournalUnwritable with nothing stepped.

    `durable` False leaves the sync to the journal's owner: for a replay, of which nothing leaves for the world.
    """
    seqs = journal.append(inputs, now, reserve=reserve)
    if durable:
        _sync_or_withdraw(journal, seqs[0])
    crash(AFTER_INPUTS_JOURNALED)
    numbered = [Numbered(seq, value) for seq, value in zip(seqs, inputs, strict=True)]
    outputs = loop.step(numbered, now)
    crash(AFTER_STEP)
    return Turn(seqs[-1], now, tuple(inputs), tuple(outputs))


def journal_outputs(
    journal: Journal, turn: Turn, *, durable: bool = True, crash: CrashPoint = pass_by
) -> None:
    """Write a turn's authoritative outputs; sync them when one asks for something of the world.

    The next turn's sync covers the rest, and a crash before that finds them again by stepping the same inputs.
    Raises JournalUnwritable; the caller keeps the turn and tries again before anything of it leaves.
    """
    outputs = turn.authoritative()
    if not outputs:
        return
    seqs = journal.append(outputs, turn.now, reserve=True)
    if not durable:
        return
    if turn.intended() or any(isinstance(value, CommandResult) for value in outputs):
        _sync_or_withdraw(journal, seqs[0])
        crash(AFTER_OUTPUTS_JOURNALED)


def _sync_or_withdraw(journal: Journal, first_seq: int) -> None:
    """Sync; should that fail, take back what the caller will offer again or turn away."""
    try:
        journal.sync()
    except JournalUnwritable:
        journal.withdraw(first_seq)
        raise


def turns(frames: Iterable[Frame]) -> Iterator[tuple[list[Frame], list[Frame]]]:
    """Group a journal's frames into turns: (input frames, the output frames that follow them).

    The inputs of one turn share their `now`, and a crash may have cut off the last turn's outputs.
    """
    inputs: list[Frame] = []
    outputs: list[Frame] = []
    for frame in frames:
        if not frame.is_output and inputs and (outputs or frame.now != inputs[-1].now):
            yield inputs, outputs
            inputs, outputs = [], []
        (outputs if frame.is_output else inputs).append(frame)
    if inputs or outputs:
        yield inputs, outputs


def report_failure(task: asyncio.Task[None]) -> None:
    """Say now why a turn that nobody waits for failed, not whenever its task happens to be collected."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a turn out of cadence failed", exc_info=error)
