"""Recovery: from a journal to the loop as it was, whatever the process died of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from trimtab.domain import codec
from trimtab.domain.input import Input, Notice, Numbered, Output, SeriesAdded, SeriesRetired
from trimtab.drivers.execution import ActionLedger
from trimtab.drivers.loop import Loop
from trimtab.drivers.turn import AUTHORITATIVE, Turn, turns
from trimtab.store.frame import Frame
from trimtab.store.journal import Journal


@dataclass(slots=True)
class Recovered:
    """What a journal leads to.

    `owed` are outputs that the last turn decided but had no time to journal; nothing of them has left. `divergent`
    counts turns in which this code judges otherwise than the code that wrote the journal did: what is written stands.
    """

    loop: Loop
    ledger: ActionLedger
    series: list[SeriesAdded | SeriesRetired] = field(default_factory=list)
    last_now: int = 0
    turns: int = 0
    divergent: int = 0
    owed: list[Output] = field(default_factory=list)


def recover(
    journal: Journal,
    loop: Loop,
    ledger: ActionLedger,
    *,
    from_seq: int = 0,
    derive: Callable[[Turn], None] = lambda turn: None,
) -> Recovered:
    """Step everything that the journal holds from `from_seq` on; `derive` feeds the stores that follow from it."""
    found = Recovered(loop, ledger)
    for inputs, written in turns(journal.read(from_seq)):
        found.owed = []
        if not inputs:
            continue
        turn, missing = _again(found, inputs, written)
        found.owed = missing
        found.turns += 1
        found.last_now = max(found.last_now, turn.now)
        derive(turn)
    return found


def _again(
    found: Recovered, inputs: Sequence[Frame], written: Sequence[Frame]
) -> tuple[Turn, list[Output]]:
    numbered = [Numbered(frame.seq, cast(Input, frame.value)) for frame in inputs]
    now = inputs[-1].now
    found.series.extend(
        item.value for item in numbered if isinstance(item.value, (SeriesAdded, SeriesRetired))
    )
    judged = found.loop.step(numbered, now)
    follows: list[Any] = [value for value in judged if not isinstance(value, AUTHORITATIVE)]
    expected: list[Any] = [value for value in judged if isinstance(value, AUTHORITATIVE)]
    stands: list[Any] = [frame.value for frame in written]
    missing: list[Any] = []
    written_down, due = _bytes(stands), _bytes(expected)
    if written_down == due[: len(stands)]:
        missing = expected[len(stands) :]
    elif written_down[: len(due)] != due or not _notices(stands[len(due) :]):
        found.divergent += 1
    for item in numbered:
        found.ledger.apply(item.value)
    for value in stands:
        found.ledger.apply(value)
    return Turn(numbered[-1].seq, now, tuple(item.value for item in numbered),
                (*follows, *stands, *missing)), missing  # fmt: skip


def _notices(values: Sequence[Any]) -> bool:
    """Return whether these are the driver's own words to the NOC, which no machine says."""
    return all(isinstance(value, Notice) for value in values)


def _bytes(values: Sequence[Any]) -> list[bytes]:
    return [codec.encode(value) for value in values]
