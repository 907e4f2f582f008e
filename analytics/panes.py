"""Panes: a window is a ring of them, one a granularity period, added up from the oldest to the newest.

In that order always, in numpy and compiled: floating point sums depend on it, and equal inputs are to give equal bits.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.kpi import Floats, Ints
from analytics.rows import Indices
from trimtab.compiled import compiled_allowed

# Below so many numbers, compiled code costs more to call than it saves.
COMPILED_FROM = 4_096


def window_sums(panes: npt.NDArray[Any], rows: Indices, newest: Ints) -> Floats:
    """Return the sums of all panes of some rows of a table [rows, panes]; `newest` is where each ring ends."""
    width = panes.shape[1]
    if width > 1 and len(rows) * width >= COMPILED_FROM and compiled_allowed():
        from analytics import panes_compiled

        found = np.empty(len(rows), dtype=np.float64)
        panes_compiled.sums(panes, rows, newest, found)
        return found
    total: Floats = panes[rows, (newest + 1) % width]
    for place in range(2, width + 1):
        total = total + panes[rows, (newest + place) % width]
    return total


def newest_values(panes: Floats, counts: npt.NDArray[Any], rows: Indices, newest: Ints) -> Floats:
    """Return the newest pane that any sample came into; of a window without one, whatever its newest pane holds."""
    width = panes.shape[1]
    if width == 1:
        return np.asarray(panes[rows, 0])
    if len(rows) * width >= COMPILED_FROM and compiled_allowed():
        from analytics import panes_compiled

        found = np.empty(len(rows), dtype=np.float64)
        panes_compiled.newest_values(panes, counts, rows, newest, found)
        return found
    back = (newest[:, None] - np.arange(width)) % width
    some = np.take_along_axis(counts[rows], back, axis=1) > 0
    return np.asarray(panes[rows, back[np.arange(len(rows)), some.argmax(axis=1)]])
