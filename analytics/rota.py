"""The rota: who may tell a change when more changed than may be told at once.

A source that falls silent turns the conditions of all that it speaks of, and its return turns them back. Each change
that is told costs objects, a row of the read model and a look by the other machines; so a round of windows tells only
so many, by key group, for then the number of shards changes nothing, and of each silent object one. Those left out are
asked again with their next window, and say nothing at all if they are what they were said to be by then.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from analytics.kpi import Bools
from trimtab.series import key_group

TOLD_PER_GROUP_MAX = 16  # of one key group in one round of windows
_PLACE_BITS = 56
_PLACES = np.uint64((1 << _PLACE_BITS) - 1)
_STRIDE = 0x9E3779B97F4A7C15  # 2**64 by the golden ratio: successive rounds begin far apart

Lots = npt.NDArray[np.uint64]


def lot(object_id: str, name: str) -> int:
    """Return the place of (object, name) in the rota: its key group, then 56 bits of a hash."""
    place = xxhash.xxh64_intdigest(f"{object_id}\n{name}".encode()) >> 64 - _PLACE_BITS
    return key_group(object_id) << _PLACE_BITS | place


def called(lots: Lots, first: Bools, round_ns: int, most: int) -> Bools:
    """Return who may speak: of each key group at most `most`, those marked `first` before the others.

    `round_ns` turns the rota, so that all come to speak in time.
    """
    turn = np.uint64(round_ns * _STRIDE & int(_PLACES))
    place = ((lots & _PLACES) + turn) & _PLACES
    group = lots >> np.uint64(_PLACE_BITS)
    order = np.lexsort((place, ~first, group))
    ordered = group[order]
    begins = np.searchsorted(ordered, ordered)
    chosen: Any = np.zeros(len(lots), dtype=np.bool_)
    chosen[order] = np.arange(len(lots)) - begins < most
    found: Bools = chosen
    return found
