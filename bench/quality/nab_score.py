"""The score of the Numenta Anomaly Benchmark, from its published definition (Lavin and Ahmad 2015, section III).

A detection within a labelled window earns a sigmoid of its place in it, more the earlier, only the earliest of a window
counts; a missed window costs; a detection outside costs, less right after a window. One threshold serves all files; it
is the one that scores best. The result is scaled so that saying nothing is 0 and perfection 100.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.quality.recording import Floats

# The first rows of a file are for learning: 15 %, but of no more than 5,000.
PROBATION_SHARE = 0.15
PROBATION_ROWS_MAX = 5_000
SLOPE = 5.0
# So many widths after a window, a detection is as false as any.
FALLEN = 3.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What a hit earns, a miss costs, and a false alarm costs."""

    hit: float
    miss: float
    false_alarm: float


PROFILES = {
    "standard": Profile(1.0, 1.0, 0.11),
    "low_fp": Profile(1.0, 1.0, 0.22),
    "low_fn": Profile(1.0, 2.0, 0.11),
}


@dataclass(frozen=True, slots=True)
class ScoredFile:
    """A detector's scores of a file's rows, and the file's windows as inclusive rows."""

    scores: Floats
    windows: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class NabScore:
    """0 for silence, 100 for perfection; and the threshold that gave it."""

    score: float
    threshold: float


def sigmoid(place: Floats) -> Floats:
    """Return 1 far before place 0, 0 at it, -1 far behind it."""
    return np.where(
        place > FALLEN, -1.0, 2.0 / (1.0 + np.exp(SLOPE * np.minimum(place, FALLEN))) - 1.0
    )


def score(
    files: Sequence[ScoredFile], profile: Profile, threshold: float | None = None
) -> NabScore:
    """Return the score of all files at `threshold`, or at the best one (the highest of equals)."""
    gains, scores = [np.zeros(0)], [np.zeros(0)]
    windows = reachable = 0
    for file in files:
        kept, gain, reached = _gains(file, profile)
        scores.append(kept)
        gains.append(gain)
        windows += len(file.windows)
        reachable += reached
    pooled, gained = np.concatenate(scores), np.concatenate(gains)
    order = np.argsort(-pooled, kind="stable")
    pooled, total = pooled[order], np.cumsum(gained[order])
    # A threshold takes in all rows that are equal to it.
    ends = (
        np.flatnonzero(np.append(np.diff(pooled) != 0, True))
        if len(pooled)
        else np.zeros(0, np.intp)
    )
    totals = np.concatenate(([0.0], total[ends]))
    levels = np.concatenate(([np.inf], pooled[ends]))
    null = -profile.miss * reachable
    best = int(np.argmax(totals)) if threshold is None else int((levels >= threshold).sum()) - 1
    perfect = windows * profile.hit - null
    value = 100.0 * float(totals[best]) / perfect if perfect else 0.0
    return NabScore(value, float(levels[best]) if threshold is None else threshold)


def _gains(file: ScoredFile, profile: Profile) -> tuple[Floats, Floats, int]:
    """Return the judged rows' scores, what a threshold that falls to each row's gains by it, and the windows reached.

    Within a window, rows gain in the order of falling scores: each only what it earns beyond those above it.
    """
    rows = len(file.scores)
    learning = int(min(np.floor(PROBATION_SHARE * rows), PROBATION_SHARE * PROBATION_ROWS_MAX))
    gain = np.full(rows, -profile.false_alarm)
    reached = 0
    for number, (first, last) in enumerate(file.windows):
        width = last - first + 1
        place = np.arange(first, last + 1)
        earned = profile.hit * sigmoid(-(last - place + 1) / width) / sigmoid(np.array(-1.0))
        begin = max(first, learning)
        gain[first : last + 1] = 0.0
        if begin <= last:
            reached += 1
            falling = begin + np.argsort(-file.scores[begin : last + 1], kind="stable")
            best = np.maximum.accumulate(np.concatenate(([-profile.miss], earned[falling - first])))
            gain[falling] = np.diff(best)
        until = file.windows[number + 1][0] if number + 1 < len(file.windows) else rows
        after = np.arange(last + 1, until)
        gain[last + 1 : until] = profile.false_alarm * sigmoid((after - last) / (width - 1))
    return file.scores[learning:], gain[learning:], reached
