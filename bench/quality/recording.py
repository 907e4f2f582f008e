"""A recording: what was measured, and, apart from it, what is known to have been wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class RecordingError(Exception):
    """A recording can't be read; the text names file, line and mend."""


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """One KPI of one managed object."""

    object: str
    kpi: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.object} {self.kpi}"


@dataclass(frozen=True, slots=True)
class Question:
    """Something is known to be wrong from `begin_ns` to `end_ns`, seen at `series` where that is known: why?"""

    begin_ns: int
    end_ns: int
    series: SeriesKey | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """`source` has `relation` to `target`: `calls`, `runs_on`, `part_of` or `connects`."""

    source: str
    relation: str
    target: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The kind of each object by its name, and how objects hang together."""

    kinds: dict[str, str]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What was wrong, by the record: the rows `first` to `last` that show it, and the objects that are to blame."""

    kind: str
    first: int
    last: int
    objects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known: rows that may be judged, rows that are anomalous, stretches to be found, faults with causes.

    `windows` are inclusive (first, last) rows, as the Numenta benchmark scores them.
    """

    judged: Mask
    anomalous: Mask | None = None
    windows: tuple[tuple[int, int], ...] | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """Values [rows, series] at `times` (ns UTC, growing); NaN where nothing was measured.

    `interval_ns` is how far apart samples are meant to be. `questions` belong to the recording, they are no labels.
    """

    name: str
    dataset: str
    series: tuple[SeriesKey, ...]
    times: Times
    values: Floats
    interval_ns: int
    questions: tuple[Question, ...] = ()
    topology: Topology | None = None
    labels: Labels | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.times), len(self.series)):
            raise RecordingError(
                f"{self.name}: values are {self.values.shape}, but there are {len(self.times)} times and "
                f"{len(self.series)} series"
            )
        if np.any(np.diff(self.times) < 0):
            raise RecordingError(f"{self.name}: times go backwards; sort the rows by time")

    @property
    def objects(self) -> tuple[str, ...]:
        """Return the objects that have series, each once, in the order of the columns."""
        return tuple(dict.fromkeys(key.object for key in self.series))

    def unlabelled(self) -> "Recording":
        """Return the recording as a stranger sees it: who judges it must not know the answers."""
        return replace(self, labels=None)

    def until(self, rows: int) -> "Recording":
        """Return the unlabelled recording as it stood after its first `rows` rows."""
        seen = self.times[rows - 1] if rows else -1
        return replace(
            self,
            times=self.times[:rows],
            values=self.values[:rows],
            labels=None,
            questions=tuple(each for each in self.questions if each.end_ns <= seen),
        )


@dataclass(frozen=True, slots=True)
class Span:
    """A run of true rows, `first` to `last` inclusive."""

    first: int
    last: int


def spans(mask: Mask) -> Iterator[Span]:
    """Yield the runs of true rows of a mask, in order."""
    edges = np.diff(np.concatenate(([0], mask.astype(np.int8), [0])))
    for first, after in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        yield Span(int(first), int(after) - 1)
