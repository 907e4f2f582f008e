"""Gap novelty: how far a value lies from every value that its series ever took, as a share of the range it took.

A series' values are kept as occupied bins: BINS of one width, a power of two, which doubles as the range grows, so that
old bins nest in new ones. A view is one way to look at a series (as it is, its logarithm, its average): each has bins
of its own.
"""

import numpy as np
import numpy.typing as npt

from analytics.detectors.slots import Field, Floats, SlotArrays, Slots

BINS = 256
BYTES = BINS // 8
UNSET = -32_768
# Bins narrower than this share of the values' magnitude would be lost in rounding.
MANTISSA_BITS = 40
EXPONENT_MIN = -1_000
# So many rows are unpacked into bins at a time: 256 kB.
ROWS_AT_A_TIME = 1_024
_INDEX = np.arange(BINS, dtype=np.int16)


def fields(view: str) -> dict[str, Field]:
    """Return the columns of a view: the range seen, the bins' origin and width (as a power of two), and the bins."""
    return {
        f"{view}_low": Field("f8", float("nan")),
        f"{view}_high": Field("f8", float("nan")),
        f"{view}_base": Field("f8"),
        f"{view}_exponent": Field("i2", UNSET),
        f"{view}_bins": Field("u1", 0, BYTES),
    }


def novelty(state: SlotArrays, view: str, slots: Slots, values: Floats) -> Floats:
    """Return the gap between each value and the nearest one ever seen, over the range seen; then learn the value.

    0 within known territory, 0.5 for a value as far out as the range is wide. Slots are distinct.
    """
    low, high = state[f"{view}_low"], state[f"{view}_high"]
    out = np.zeros(len(slots))
    before_low, before_high = low[slots], high[slots]
    fresh = np.isnan(before_low)
    new_low, new_high = np.fmin(before_low, values), np.fmax(before_high, values)
    low[slots], high[slots] = new_low, new_high
    rows = np.flatnonzero(~fresh & (new_high > new_low))
    if not len(rows):
        return out
    own, value = slots[rows], values[rows]
    _make_room(state, view, own, value, before_low[rows])
    base = state[f"{view}_base"][own]
    width = np.ldexp(1.0, state[f"{view}_exponent"][own].astype(np.int32))
    place = np.minimum(np.floor((value - base) / width), BINS - 1.0).astype(np.int64)
    bins = state[f"{view}_bins"]
    byte, bit = place >> 3, (1 << (place & 7)).astype(np.uint8)
    taken = (bins[own, byte] & bit) != 0
    reach = new_high[rows] - new_low[rows]
    beyond = np.maximum(before_low[rows] - value, value - before_high[rows])
    inside = np.flatnonzero((beyond <= 0) & ~taken)
    gap = np.where(beyond > 0, beyond / reach, 0.0)
    apart = _nearest(bins, own[inside], place[inside])
    gap[inside] = (np.maximum(apart, 1) - 1) * width[inside] / reach[inside]
    out[rows] = gap
    missing = np.flatnonzero(~taken)
    bins[own[missing], byte[missing]] |= bit[missing]
    return out


def _nearest(
    bins: npt.NDArray[np.uint8], slots: Slots, places: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return how many bins lie between a place and the nearest occupied one."""
    found = np.empty(len(slots), dtype=np.int64)
    for begin in range(0, len(slots), ROWS_AT_A_TIME):
        part = slice(begin, begin + ROWS_AT_A_TIME)
        occupied = np.unpackbits(bins[slots[part]], axis=1, bitorder="little").astype(np.bool_)
        apart = np.abs(_INDEX - places[part, None].astype(np.int16))
        found[part] = np.where(occupied, apart, BINS).min(axis=1)
    return found


def _make_room(state: SlotArrays, view: str, slots: Slots, values: Floats, first: Floats) -> None:
    """Give bins to slots that have none yet, and wider ones to those whose bins do not reach the value."""
    exponent, base = state[f"{view}_exponent"][slots], state[f"{view}_base"][slots]
    none = exponent == UNSET
    width = np.ldexp(1.0, np.where(none, 0, exponent).astype(np.int32))
    place = np.where(none, -1.0, values - base) / width
    out = np.flatnonzero((place < 0) | (place >= BINS))
    for begin in range(0, len(out), ROWS_AT_A_TIME):
        part = out[begin : begin + ROWS_AT_A_TIME]
        _widen(state, view, slots[part], first[part])


def _widen(state: SlotArrays, view: str, slots: Slots, first: Floats) -> None:
    """Lay bins anew: the range seen takes a quarter to half of them, in the middle; old bins nest in the new ones."""
    low, high = state[f"{view}_low"][slots], state[f"{view}_high"][slots]
    old, base = state[f"{view}_exponent"][slots].astype(np.int32), state[f"{view}_base"][slots]
    # frexp: a number is less than 2 ** its exponent.
    _, span = np.frexp((high - low) * (2.0 / BINS))
    _, magnitude = np.frexp(np.maximum(np.abs(low), np.abs(high)))
    exponent = np.maximum(np.maximum(span, magnitude - MANTISSA_BITS), EXPONENT_MIN)
    exponent = np.maximum(exponent, np.where(old == UNSET, EXPONENT_MIN, old + 1)).astype(np.int32)
    width = np.ldexp(1.0, exponent)
    middle = np.floor((0.5 * low + 0.5 * high) / width)
    new_base = (middle - BINS // 2) * width
    occupied = np.unpackbits(state[f"{view}_bins"][slots], axis=1, bitorder="little")
    had_none = np.flatnonzero(old == UNSET)
    row, place = np.nonzero(occupied)
    old_width = np.ldexp(1.0, np.where(old == UNSET, 0, old))
    centre = base[row] + (place + 0.5) * old_width[row]
    row = np.concatenate((row, had_none))
    centre = np.concatenate((centre, first[had_none]))
    moved = np.floor((centre - new_base[row]) / width[row])
    fresh = np.zeros_like(occupied)
    fresh[row, np.minimum(np.maximum(moved, 0.0), BINS - 1.0).astype(np.int64)] = 1
    state[f"{view}_bins"][slots] = np.packbits(fresh, axis=1, bitorder="little")
    state[f"{view}_exponent"][slots] = exponent
    state[f"{view}_base"][slots] = new_base
