"""What a machine can be fed. Every input is journaled, with a sequence number, before it is stepped."""

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from trimtab.domain.action import Action, ActionResult
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment, Trouble
from trimtab.domain.command import Command, CommandResult
from trimtab.domain.configuration import Configuration
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision
from trimtab.domain.evidence import EvidenceWanted, Shifted
from trimtab.domain.incident import Incident
from trimtab.domain.kpi import Kpi
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.policy import PolicySet
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.sls import SlsReport
from trimtab.domain.trained_model import TrainedModel
from trimtab.domain.verification import Verification


@dataclass(frozen=True, slots=True)
class SeriesAdded:
    """Introduce a series under an id, before any batch that names it. Ids count up from 0."""

    series_id: int
    series: Series


@dataclass(frozen=True, slots=True)
class SeriesRetired:
    """Say that series were silent for long: they may be forgotten. One that speaks again is added anew, by its id."""

    series_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """Let time pass: windows close, holds and deadlines run out. Nothing else does that.

    With `closing` False windows stay as they are, and only what single samples tell by themselves is told.
    """

    at_ns: int
    closing: bool = True


@dataclass(frozen=True, slots=True)
class ClockJump:
    """The wall clock moved by `delta_ns` against the monotonic one at `at_ns`, the time before it did.

    Windows that hold a moment between before and after are suspect.
    """

    at_ns: int
    delta_ns: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Tell the NOC something about the loop itself: an inventory conflict, refused samples, a bad policy."""

    id: str
    at_ns: int
    subject: str
    text: str


Input: TypeAlias = (
    SeriesAdded
    | SeriesRetired
    | SampleBatch
    | Tick
    | ClockJump
    | InventoryChange
    | Configuration
    | PolicySet
    | ActionResult
    | Command
    | TrainedModel
)
AssessorOutput: TypeAlias = (
    KpiBatch | Assessment | Trouble | Alarm | Notice | CommandResult | SlsReport | Shifted
)
CorrelatorOutput: TypeAlias = Incident | EvidenceWanted
DeciderOutput: TypeAlias = Decision | Action | Verification | ControlLoop | CommandResult | Notice
Output: TypeAlias = AssessorOutput | Incident | DeciderOutput

# What the assessors step, and answer, when the correlator asks them; it never leaves the loop.
AssessorInput: TypeAlias = Input | EvidenceWanted
# What the two later machines step: the earlier machines' outputs beside the journaled inputs.
CorrelatorInput: TypeAlias = Trouble | Alarm | Tick | InventoryChange | Configuration | Shifted
DeciderInput: TypeAlias = (
    Incident
    | Trouble
    | Alarm
    | Assessment
    | Kpi
    | KpiBatch
    | Tick
    | InventoryChange
    | Configuration
    | PolicySet
    | ActionResult
    | Command
)

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Numbered(Generic[T_co]):
    """Give a value its sequence number in the journal."""

    seq: int
    value: T_co
