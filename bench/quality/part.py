"""What a part of the bench is: it says something about recordings, and can be scored where there are labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.quality.recording import Floats, Recording, SeriesKey

Scores = dict[str, dict[str, float]]
"""metric -> data set -> value."""


@dataclass(frozen=True, slots=True)
class RaisedAlarm:
    """An anomaly that was told of at row `row`, whose time is `time_ns`."""

    time_ns: int
    row: int
    series: SeriesKey
    score: float


@dataclass(frozen=True, slots=True)
class RankedObject:
    """One place of a ranking of causes."""

    object: str
    score: float
    confidence: float


@dataclass(frozen=True, slots=True)
class RankedCauses:
    """What is held to be the cause, best first, as said at `time_ns`."""

    time_ns: int
    ranked: tuple[RankedObject, ...]


@dataclass(frozen=True, slots=True)
class BreachWarning:
    """A breach that is foreseen for `breach_ns`, somewhere from `low_ns` to `high_ns`, as said at `time_ns`."""

    time_ns: int
    series: SeriesKey
    breach_ns: int
    low_ns: int
    high_ns: int


@dataclass(frozen=True, slots=True)
class Said:
    """All that was said of a recording. `row_scores` [rows] is how odd each row was, 0 for not at all."""

    alarms: tuple[RaisedAlarm, ...] = ()
    row_scores: Floats | None = field(default=None, repr=False)
    causes: tuple[RankedCauses, ...] = ()
    warnings: tuple[BreachWarning, ...] = ()
    # CPU seconds that the detector of KPIs took, and for how many values.
    detector_seconds: float = 0.0
    detector_values: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """`say` adds to what was said of an unlabelled recording; `score` holds that against the labels.

    What is said at a time follows from the rows up to that time. Recordings without labels are left out by `score`.
    """

    say: Callable[[Recording, Said], Said]
    score: Callable[[Sequence[tuple[Recording, Said]]], Scores]
