"""Samples in columns: the only shape in which telemetry volume moves."""

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import numpy.typing as npt

ROWS_PER_BATCH_MAX = 1_000_000


class SampleFlag(IntFlag):
    """Mark what is special about a row."""

    NONE = 0
    STALE = 1  # the series ended here (a Prometheus staleness marker); the value is meaningless
    SUSPECT = 2  # measured under doubt, e.g. across a clock jump; never alone a reason to act


@dataclass(frozen=True, slots=True, eq=False)
class SampleBatch:
    """Hold rows of one source: series_id int32, time_ns int64, value float64, flags uint8, read-only.

    `source` is the collector instance that vouches for the rows, e.g. `prometheus/vnf`. Values are
    finite; a collector drops NaN and infinities and counts them.
    """

    source: str
    series_id: npt.NDArray[np.int32]
    time_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        rows = len(self.series_id)
        if rows > ROWS_PER_BATCH_MAX:
            raise ValueError(f"a batch holds at most {ROWS_PER_BATCH_MAX} rows, got {rows}")
        for column in (self.series_id, self.time_ns, self.value, self.flags):
            if len(column) != rows:
                raise ValueError("the columns of a sample batch differ in length")
            column.setflags(write=False)

    def __len__(self) -> int:
        return len(self.series_id)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SampleBatch)
            and self.source == other.source
            and np.array_equal(self.series_id, other.series_id)
            and np.array_equal(self.time_ns, other.time_ns)
            and np.array_equal(self.value, other.value)
            and np.array_equal(self.flags, other.flags)
        )

    @classmethod
    def from_rows(cls, source: str, rows: list[tuple[int, int, float]]) -> "SampleBatch":
        """Build a batch from (series_id, time_ns, value) rows; for sources with few rows."""
        return cls(
            source=source,
            series_id=np.array([row[0] for row in rows], dtype=np.int32),
            time_ns=np.array([row[1] for row in rows], dtype=np.int64),
            value=np.array([row[2] for row in rows], dtype=np.float64),
            flags=np.zeros(len(rows), dtype=np.uint8),
        )

    __hash__ = None  # type: ignore[assignment]  # columns are no dictionary key

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> "SampleBatch":
        """Return the chosen rows as a batch of their own."""
        return SampleBatch(
            self.source,
            self.series_id[index].copy(),
            self.time_ns[index].copy(),
            self.value[index].copy(),
            self.flags[index].copy(),
        )
