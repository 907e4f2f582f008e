"""Drift: where has the level of a KPI changed for good? ADWIN (Bifet and Gavalda 2007), as river has it.

A pure function of a window, for what is asked of few KPIs at a time: whether a model that was learnt from a window
still fits, and since when it does not. Not for every sample of every series.
"""

from typing import Any

import numpy as np

from analytics.detectors.slots import Floats

VALUES_MAX = 10_000
VALUES_MIN = 30
# The chance of seeing a drift where there is none, for each value looked at.
DELTA = 0.002
# Values are counted in parts of their usual spread; one wild value must not look like a new level.
CLIP = 5.0
DEVIATIONS = 1.4826
RELATIVE_FLOOR = 1e-3
ABSOLUTE_FLOOR = 1e-9


def drifts(values: Floats) -> list[int]:
    """Return at which of the values, in order, a change of level became certain; of the last VALUES_MAX, NaN left out.

    Places count from the start of `values`.
    """
    from river import drift

    first = max(0, len(values) - VALUES_MAX)
    places = first + np.flatnonzero(np.isfinite(values[first:]))
    if len(places) < VALUES_MIN:
        return []
    known = values[places]
    middle = float(np.median(known))
    spread = float(np.median(np.abs(known - middle))) * DEVIATIONS
    scale = max(spread, RELATIVE_FLOOR * abs(middle), ABSOLUTE_FLOOR)
    window: Any = drift.ADWIN(delta=DELTA)  # type: ignore[no-untyped-call]
    found = []
    for place, value in zip(
        places.tolist(), np.clip((known - middle) / scale, -CLIP, CLIP).tolist(), strict=True
    ):
        window.update(value)
        if window.drift_detected:
            found.append(place)
    return found


def level_since(values: Floats, rows_min: int) -> int:
    """Return from which row on the KPIs of a window [rows, KPIs] are on the level that they have now; 0: all along.

    That of the last drift of any of them which leaves `rows_min` rows to learn from.
    """
    rows = len(values)
    found = [place for column in values.T for place in drifts(column) if rows - place >= rows_min]
    return max(found, default=0)
