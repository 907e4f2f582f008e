"""The sums of `analytics.panes`, compiled; without bounds that could be left: rows and places are the callers' own."""

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def sums(panes: Any, rows: Any, newest: Any, found: Any) -> None:
    """Add up the panes of each row, from the oldest to the newest."""
    width = panes.shape[1]
    for at in range(len(rows)):
        row, place = rows[at], newest[at] + 1
        if place == width:
            place = 0
        total = panes[row, place]
        for _ in range(width - 1):
            place += 1
            if place == width:
                place = 0
            total += panes[row, place]
        found[at] = total


@njit(cache=True, nogil=True)
def newest_values(panes: Any, counts: Any, rows: Any, newest: Any, found: Any) -> None:
    """Take the newest pane of each row that has samples, or else its newest pane."""
    width = panes.shape[1]
    for at in range(len(rows)):
        row, place = rows[at], newest[at]
        for _ in range(width):
            if counts[row, place] > 0:
                break
            place = width - 1 if place == 0 else place - 1
        found[at] = panes[row, place]


def warm() -> None:
    """Compile, so that no turn need wait for it."""
    place = np.zeros(1, dtype=np.int64)
    panes, found = np.zeros((1, 2)), np.zeros(1)
    sums(panes, place, place, found)
    newest_values(panes, np.zeros((1, 2), dtype=np.int32), place, place, found)
