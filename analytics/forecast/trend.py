"""What a stretch of values says of where it leads: three slopes, how noisy it is, and whether it is a ramp at all.

All functions are pure and take [rows, N] values, oldest first, evenly spaced, without gaps.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# MAD of a normal distribution to its standard deviation.
MAD_TO_SIGMA = 1.4826
STEP_MARGIN = 4  # samples at either end in which a step is not told from noise


def pair_slopes(values: Floats) -> Floats:
    """Return the slope between every two values at least a third of the stretch apart, sorted: [rows, pairs]."""
    count = values.shape[1]
    first, last = np.triu_indices(count, k=max(1, count // 3))
    slopes: Floats = (values[:, last] - values[:, first]) / (last - first)
    slopes.sort(axis=1)
    return slopes


def thirds_slope(values: Floats) -> Floats:
    """Return the slope from the median of the first third to that of the last."""
    count = values.shape[1]
    third = max(1, count // 3)
    rise: Floats = np.median(values[:, -third:], axis=1) - np.median(values[:, :third], axis=1)
    slope: Floats = rise / (count - third)
    return slope


def residual_sigma(values: Floats, slope: Floats) -> tuple[Floats, Floats]:
    """Return where the line of a slope stands at the newest sample, and the robust sigma of what lies around it."""
    behind = np.arange(values.shape[1]) - (values.shape[1] - 1)
    levels = values - slope[:, None] * behind
    level = np.median(levels, axis=1)
    sigma = MAD_TO_SIGMA * np.median(np.abs(levels - level[:, None]), axis=1)
    return level, sigma


def is_step(values: Floats) -> Bools:
    """Return whether one jump between two levels fits better than a straight line (least squares, best place)."""
    count = values.shape[1]
    centred = values - values.mean(axis=1, keepdims=True)
    total = (centred**2).sum(axis=1)
    x = np.arange(count) - (count - 1) / 2
    line = total - (centred @ x) ** 2 / (x @ x)
    before = np.cumsum(centred, axis=1)[:, STEP_MARGIN - 1 : count - STEP_MARGIN]
    sizes = np.arange(STEP_MARGIN, count - STEP_MARGIN + 1)
    # Splitting centred values at s explains before^2 * (1/s + 1/(N - s)) of their squares.
    explained = (before**2 * (1 / sizes + 1 / (count - sizes))).max(axis=1)
    better: Bools = total - explained < line
    return better
