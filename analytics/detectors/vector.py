"""The KPIs of one VNF (host, service) together: many small oddities at once are a large one.

A row's score adds up how surprising each KPI is (its robust z) and, once there is a model, how far each strays from
what the others lead to expect. What falls from a recent peak is a recovery, not a new fault: it counts for less, by
the share of the peak that is left.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analytics.detectors.pca_model import PcaModel
from analytics.detectors.slots import Floats
from analytics.packing import pack, unpack
from trimtab.errors import JournalCorrupt

# So many rows back, a peak is remembered.
PEAK_ROWS = 5
# A stray of so many times the usual weighs as much as a z of 1.
STRAY_WEIGHT = 0.05
TINY = 1e-9
SNAPSHOT_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class VectorVerdicts:
    """How odd each row is [rows], 0 for normal, and what each member adds [rows, members], recoveries discounted."""

    scores: Floats
    shares: Floats


class VectorDetector:
    """Score rows of one object's KPIs by what the detector of each KPI says of it. Snapshots hold the model, too."""

    name: ClassVar[str] = "vector"

    def __init__(self, members: int) -> None:
        self._members = members
        self._latest = np.full((1, members), np.nan)
        # What the last PEAK_ROWS rows held, the oldest first.
        self._sizes = np.zeros((PEAK_ROWS, members))
        self._strays = np.zeros((PEAK_ROWS, members))
        self._sums = np.zeros((PEAK_ROWS, 1))
        self.model: PcaModel | None = None

    def adopt(self, model: PcaModel) -> None:
        """Judge by a model from now on. Raises ValueError when it is of other members."""
        if len(model.middle) != self._members:
            raise ValueError(f"a model of {len(model.middle)} KPIs does not fit {self._members}")
        self.model = model

    def update(self, deviations: Floats, values: Floats) -> VectorVerdicts:
        """Judge rows in order: the KPIs' robust z and their values, both [rows, members].

        An absent value (NaN) keeps what its KPI was last thought of. How rows are cut into calls changes nothing.
        """
        if not len(values):
            return VectorVerdicts(np.zeros(0), np.zeros((0, self._members)))
        absent = np.isnan(values)
        sizes = _carried(np.abs(deviations), absent, self._sizes[-1:])
        latest = _carried(values, absent, self._latest)
        self._latest = latest[-1:].copy()
        self._sizes, lasting = _lasting(self._sizes, sizes)
        shares = np.log1p(lasting**2)
        if self.model is not None:
            # Row by row: a product of matrices rounds by how many rows it has.
            strays = np.abs(np.array([self.model.strays(row) for row in latest]))
            self._strays, lasting = _lasting(self._strays, strays)
            shares = shares + STRAY_WEIGHT * lasting**2
        # Row by row as well: each row is added up alike, whatever its neighbours.
        sums = np.array([[row.sum()] for row in shares])
        self._sums, scores = _lasting(self._sums, sums)
        return VectorVerdicts(scores[:, 0], shares)

    def snapshot(self) -> bytes:
        """Return the whole state; equal states give equal bytes."""
        return pack(
            {
                "format": SNAPSHOT_FORMAT,
                "members": self._members,
                "latest": self._latest,
                "sizes": self._sizes,
                "strays": self._strays,
                "sums": self._sums,
                "model": None
                if self.model is None
                else np.frombuffer(self.model.to_bytes(), dtype=np.uint8),
            }
        )

    @classmethod
    def restore(cls, blob: bytes) -> "VectorDetector":
        """Return the detector in the state of a snapshot. Raises JournalCorrupt when its format is unknown."""
        state = unpack(blob)
        if state.get("format") != SNAPSHOT_FORMAT:
            raise JournalCorrupt(f"a vector snapshot of format {state.get('format')} is unknown")
        found = cls(state["members"])
        found._latest, found._sums = state["latest"], state["sums"]
        found._sizes, found._strays = state["sizes"], state["strays"]
        if state["model"] is not None:
            found.model = PcaModel.from_bytes(state["model"].tobytes())
        return found


def _carried(
    rows: Floats, absent: np.ndarray[tuple[int, int], np.dtype[np.bool_]], before: Floats
) -> Floats:
    """Return rows in which an absent value is that of the row above it; `before` is above the first."""
    stacked = np.concatenate((before, rows))
    known = np.concatenate((np.ones((1, rows.shape[1]), dtype=np.bool_), ~absent))
    at = np.where(known, np.arange(len(stacked))[:, None], 0)
    return np.take_along_axis(stacked, np.maximum.accumulate(at, axis=0), axis=0)[1:]


def _lasting(before: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Return the rows to remember, and each value times the share that it is of its recent peak."""
    stacked = np.concatenate((before, rows))
    peak = rows
    for back in range(PEAK_ROWS):
        peak = np.maximum(peak, stacked[back : back + len(rows)])
    return stacked[-PEAK_ROWS:], rows * (rows / np.maximum(peak, TINY))
