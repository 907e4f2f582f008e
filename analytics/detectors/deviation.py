"""Robust z: how far a value lies from its own exponentially weighted mean, in mean absolute deviations."""

import numpy as np

from analytics.detectors.slots import Field, Floats, SlotArrays, Slots

# About the last fifty values weigh in; so many must have been seen before anything is called odd.
WEIGHT = 0.02
WARM_UP = 20
# A value so many deviations off changes mean and deviation no more than one that far off would.
CLIP = 2.0
# A flat series must not explode on the first step: deviations are at least this share of the mean.
RELATIVE_FLOOR = 1e-3
ABSOLUTE_FLOOR = 1e-9
# The mean absolute deviation of a normal distribution is 0.8 of its standard deviation.
DEVIATIONS = 1.2533141373155003
DEVIATIONS_MAX = 1e3
# Beyond this, differences and squares of doubles could overflow.
VALUE_MAX = 1e150
# Below this, a share of a value could vanish.
VALUE_MIN = 1e-150
SEEN_MAX = 250

FIELDS = {
    "seen": Field("u1"),
    "mean": Field("f8"),
    "deviation": Field("f8"),
}


def bounded(values: Floats) -> Floats:
    """Return values as the detectors can reckon with them: at most +-VALUE_MAX, and 0 below VALUE_MIN.

    Raises ValueError for NaN: an absent value is left out.
    """
    if np.isnan(values).any():
        raise ValueError("NaN is no value of a KPI; leave absent values out")
    held = np.minimum(np.maximum(values, -VALUE_MAX), VALUE_MAX)
    return np.where(np.abs(held) < VALUE_MIN, 0.0, held)


def deviate(state: SlotArrays, slots: Slots, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return each value's signed distance from its mean in standard deviations, the mean and the scale; learn it.

    The distance is 0 while a slot warms up. Slots are distinct, values within +-VALUE_MAX. Counts the value as seen.
    """
    seen, mean, deviation = state["seen"][slots], state["mean"][slots], state["deviation"][slots]
    off = values - mean
    scale = np.maximum(
        np.maximum(deviation * DEVIATIONS, RELATIVE_FLOOR * np.abs(mean)), ABSOLUTE_FLOOR
    )
    warm = seen >= WARM_UP
    distance = np.where(
        warm, np.minimum(np.maximum(off / scale, -DEVIATIONS_MAX), DEVIATIONS_MAX), 0.0
    )
    bound = CLIP * scale
    held = np.where(warm, np.minimum(np.maximum(off, -bound), bound), off)
    # While warming up a plain average learns faster than an exponential one.
    weight = np.maximum(WEIGHT, 1.0 / (seen + 1.0))
    spread = np.where(seen == 0, 0.0, np.abs(held))
    state["mean"][slots] = mean + weight * held
    state["deviation"][slots] = deviation + weight * (spread - deviation)
    state["seen"][slots] = np.minimum(seen, SEEN_MAX - 1) + 1
    return distance, mean, scale
