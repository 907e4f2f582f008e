"""The Protocols between the rooms, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from trimtab.domain.action import Action, Operation
from trimtab.domain.input import Numbered
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series

InputT_contra = TypeVar("InputT_contra", contravariant=True)
OutputT = TypeVar("OutputT")


class Machine(Protocol[InputT_contra, OutputT]):
    """A deterministic state machine: no I/O, no clock, no randomness of its own."""

    def step(self, inputs: Sequence[Numbered[InputT_contra]], now: int) -> list[OutputT]:
        """Take inputs in order; return what follows from them. `now` (ns, UTC) never decreases."""
        ...

    def snapshot(self) -> bytes:
        """Return the whole state; equal states give equal bytes."""
        ...

    @classmethod
    def restore(cls, blob: bytes) -> Self:
        """Return a machine in the state of a snapshot."""
        ...


class Clock(Protocol):
    """The edge's sense of time."""

    def now_ns(self) -> int:
        """Return wall-clock time, ns UTC; may jump."""
        ...

    def monotonic_ns(self) -> int:
        """Return a time that never jumps."""
        ...


class SeriesIndex(Protocol):
    """Turns a series into its id; new ones are journaled before the batch that names them."""

    def intern(self, series: Series) -> int | None:
        """Return the id, making one if it is new; None when the cap is reached (counted as refused)."""
        ...


class GapReason(StrEnum):
    """Why a source gave nothing where something was due."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Gap:
    """Say that a source gave nothing, or not all: counted and shown, never silently filled."""

    source: str
    at_ns: int
    reason: GapReason
    detail: str


@dataclass(frozen=True, slots=True)
class ActionNews:
    """Tell that a target reported on an operation by itself (a SOL003 notification): poll it now."""

    actuator: str
    reference: str
    state: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a collector brings: rows, gaps, and what it learnt of the inventory."""

    source: str
    batch: SampleBatch | None = None
    gaps: tuple[Gap, ...] = ()
    inventory: InventoryChange | None = None
    news: tuple[ActionNews, ...] = ()
    refused: tuple[tuple[str, int], ...] = field(
        default=()
    )  # (reason, samples) that were turned away


class ReadingSink(Protocol):
    """Where collectors put their readings."""

    async def put(self, reading: Reading) -> bool:
        """Return True once the reading is durable in the journal, False when it can't be taken now.

        A push source answers 503 on False, so that its sender keeps the data; a scrape counts a gap.
        """
        ...


@runtime_checkable
class Collector(Protocol):
    """A source of readings. One class a file, `kind` its name in trimtab.yaml, nested pydantic `Config`.

    `name` is the configured instance; sources it vouches for start with `kind/name`. `run` lives until cancelled,
    catches what the world does to it, and turns that into gaps.
    """

    kind: ClassVar[str]
    name: str

    async def run(self, sink: ReadingSink) -> None:
        """Collect until cancelled."""
        ...


class SubmissionOutcome(StrEnum):
    """How a target took a request; whether it may be sent again is part of the answer."""

    ACCEPTED = "accepted"  # an operation runs: poll it
    DONE = "done"  # it is over already and succeeded
    REFUSED = "refused"  # certainly not accepted (409, 429, 503): may be sent again later
    FAILED = "failed"  # certainly not accepted, and never will be (404, 422, not supported)
    UNKNOWN = "unknown"  # the connection broke or the answer made no sense: ask with `find`


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer to one request."""

    outcome: SubmissionOutcome
    detail: str = ""
    operation: Operation | None = None
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a target knows of an action: `asked` False says that it could not be asked."""

    asked: bool
    operation: Operation | None = None
    detail: str = ""


@runtime_checkable
class Actuator(Protocol):
    """A target that can act. One class a file, `kind` its name in trimtab.yaml, nested pydantic `Config`."""

    kind: ClassVar[str]
    name: str

    async def submit(self, action: Action) -> Submission:
        """Send the action once. Never raises for what the world does; never retries what may have been accepted."""
        ...

    async def poll(self, action: Action, operation: Operation) -> Operation:
        """Return the operation as it stands now. Raises ActuatorError when the target can't be asked."""
        ...

    async def find(self, action: Action, since_ns: int) -> Found:
        """Look for an operation that this action started at or after `since_ns`, in every state."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One a value, in the order of the values: how odd it was, and what would have been normal just before it.

    `score` is 0 for normal, finite and higher the odder; `alarmed` says that it is worth telling of; `low` and `high`
    bound what was expected, NaN while too little is known to expect anything.
    """

    score: npt.NDArray[np.float64]
    alarmed: npt.NDArray[np.bool_]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Training:
    """What a verdict rests on: the model, and the values that it has learnt from."""

    model: str
    from_ns: int
    until_ns: int
    values: int


class Detector(Protocol):
    """Scores KPI values; one slot an (object, KPI). Pure: state in arrays, time is an argument.

    A slot needs no reservation: its first value makes it. `forget` empties it for another KPI to use.
    """

    name: ClassVar[str]
    bytes_per_slot: ClassVar[int]

    def update(
        self,
        slots: npt.NDArray[np.intp],
        times: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> Verdicts:
        """Take finite values at times (ns UTC), in order; a slot may occur more than once. Judge each, then learn it.

        How values are cut into calls changes nothing. Raises ValueError for NaN, and when a slot is out of range.
        """
        ...

    def forget(self, slots: npt.NDArray[np.intp]) -> None:
        """Empty slots: they are as if never used."""
        ...

    def training(self, slot: int) -> Training:
        """Tell what the verdicts of a slot rest on. Raises ValueError when it was never used."""
        ...

    def snapshot(self) -> bytes:
        """Return the whole state; equal states give equal bytes."""
        ...

    def restore(self, blob: bytes) -> None:
        """Take a state over. Raises JournalCorrupt when its format is unknown."""
        ...


class Store(Protocol):
    """A derived view: takes numbered inputs and outputs, can be rebuilt from the journal."""

    def apply(self, seq: int, now: int, values: Sequence[object]) -> None:
        """Take what one step read and wrote, in order: the first value under number `seq`, the next under `seq + 1`.

        Numbers only grow; applying one twice changes nothing.
        """
        ...

    def position(self) -> int:
        """Return the last sequence number applied, -1 when empty."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...
