"""What is normal for a VNF's KPIs together: principal components of a window, and how far rows stray from them.

`fit` is a pure function of its window, so that a worker may run it anywhere; the model that it gives is a value, which
enters the loop as an input.
"""

from dataclasses import dataclass

import numpy as np

from analytics.detectors.slots import Floats, Times
from analytics.packing import pack, unpack
from trimtab.errors import JournalCorrupt

MODEL_FORMAT = 1
# The components kept explain so much of the window; the calmest so much of its rows are learnt from.
EXPLAINED = 0.9
CALM = 0.9
ROWS_MIN = 100
ROWS_MAX = 8_000
MEMBERS_MAX = 1_000
# Robust deviations beyond this are cut off: one wild KPI must not turn the components.
CLIP = 10.0
# A KPI that hardly moves deviates by at least this share of its median, and of its plain deviation.
MEDIAN_FLOOR = 0.01
DEVIATION_FLOOR = 0.1
ABSOLUTE_FLOOR = 1e-6
RESIDUAL_FLOOR = 0.1
# The median absolute deviation of a normal distribution is 0.67 of its standard deviation.
DEVIATIONS = 1.4826


@dataclass(frozen=True, slots=True, eq=False)
class PcaModel:
    """Components [kept, members] over robustly scaled KPIs; `residual` is the usual stray of each KPI."""

    middle: Floats
    scale: Floats
    mean: Floats
    components: Floats
    residual: Floats
    from_ns: int
    until_ns: int
    rows: int

    def strays(self, row: Floats) -> Floats:
        """Return how many times its usual stray each KPI is off what the others lead to expect, at most CLIP times.

        Signed. Absent values (NaN) are taken for the median.
        """
        scaled = (np.where(np.isnan(row), self.middle, row) - self.middle) / self.scale
        centred = np.minimum(np.maximum(scaled, -CLIP), CLIP) - self.mean
        rest = centred - (centred @ self.components.T) @ self.components
        return np.minimum(np.maximum(rest / self.residual, -CLIP), CLIP)

    def to_bytes(self) -> bytes:
        """Return the model for the journal; equal models give equal bytes."""
        return pack(
            {
                "format": MODEL_FORMAT,
                "middle": self.middle,
                "scale": self.scale,
                "mean": self.mean,
                "components": self.components,
                "residual": self.residual,
                "window": [self.from_ns, self.until_ns, self.rows],
            }
        )

    @classmethod
    def from_bytes(cls, blob: bytes) -> "PcaModel":
        """Return the model. Raises JournalCorrupt when its format is unknown."""
        state = unpack(blob)
        if state.get("format") != MODEL_FORMAT:
            raise JournalCorrupt(f"a PCA model of format {state.get('format')} is unknown")
        window = state["window"]
        arrays = (state[name] for name in ("middle", "scale", "mean", "components", "residual"))
        return cls(*arrays, *window)


def fit(times: Times, rows: Floats) -> PcaModel:
    """Learn from the last ROWS_MAX rows [rows, members] of a window; NaN for an absent value.

    Raises ValueError when there are less than ROWS_MIN rows, or more than MEMBERS_MAX members.
    """
    from sklearn.decomposition import PCA

    times, rows = times[-ROWS_MAX:], rows[-ROWS_MAX:]
    if len(rows) < ROWS_MIN or rows.shape[1] > MEMBERS_MAX:
        raise ValueError(
            f"a model needs {ROWS_MIN} rows or more of at most {MEMBERS_MAX} KPIs, got {rows.shape}"
        )
    middle, filled = _filled(rows)
    scale = _scale(filled, middle)
    scaled = np.clip((filled - middle) / scale, -CLIP, CLIP)
    unrest = np.log1p(scaled * scaled).sum(axis=1)
    calm = scaled[unrest <= np.quantile(unrest, CALM)]
    if not calm.std(axis=0).any():
        nothing: Floats = np.zeros((0, rows.shape[1]))
        components, mean, rest = nothing, calm.mean(axis=0), np.zeros_like(calm)
    else:
        learnt = PCA(EXPLAINED, svd_solver="full").fit(calm)
        # In the order that a restored model has, too: products round by how numbers lie in memory.
        components, mean = np.ascontiguousarray(learnt.components_), learnt.mean_
        centred = calm - mean
        rest = centred - (centred @ components.T) @ components
    residual = np.maximum(np.sqrt((rest**2).mean(axis=0)), RESIDUAL_FLOOR)
    return PcaModel(
        middle, scale, mean, components, residual, int(times[0]), int(times[-1]), len(rows)
    )


def _filled(rows: Floats) -> tuple[Floats, Floats]:
    absent = np.isnan(rows)
    some = np.flatnonzero(~absent.all(axis=0))
    middle = np.zeros(rows.shape[1])
    middle[some] = np.nanmedian(rows[:, some], axis=0)
    return middle, np.where(absent, middle, rows)


def _scale(rows: Floats, middle: Floats) -> Floats:
    spread = np.median(np.abs(rows - middle), axis=0) * DEVIATIONS
    floor = np.maximum(MEDIAN_FLOOR * np.abs(middle), DEVIATION_FLOOR * rows.std(axis=0))
    scale: Floats = np.maximum(np.maximum(spread, floor), ABSOLUTE_FLOOR)
    return scale
