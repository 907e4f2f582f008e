"""Evidence of a cause: by how much each KPI shifted, and which object that speaks against.

A shift is the median after a change less the median right before, in units of the KPI's own unrest: the spread
(quartiles apart) of its values around their running median, plus 5 % of where it stood. So a flat KPI that moves a
little does not outdo a noisy one that fell to nothing; one that is measured no more fell as far. What falls weighs
twice what rises, where nobody says which of the two is bad: traffic that a dead node no longer carries rises elsewhere.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from analytics.kpi import Floats

ROWS_BEFORE_MAX = 240
ROWS_RECENT = 8  # whose median says where a KPI stood
STEADY_MIN = 6  # of the recent rows, for one that is measured steadily
ROWS_AFTER_MAX = 10
FLOOR_RATIO = 0.05
TYPICAL_FLOOR_RATIO = (
    0.00001  # of the typical size of its kind: what stood at zero moves far by little
)
SIZE_MAX = 1.0 / FLOOR_RATIO  # that of a steady KPI which falls to nothing
RISE_WEIGHT = 0.5
# An object that depends on another with this share of its own evidence, or calls nothing in question, counts so much.
EXPLAINED_WEIGHT = 0.3
EXPLAINS_RATIO = 0.5
ASIDE_WEIGHT = 0.3
SIZE_SURE = 1.0  # a shift of so many spreads is as likely unrest as not
GONE_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Shifts:
    """What became of some KPIs: medians `before` and `after`, and `size` [KPIs] in spreads, signed, within SIZE_MAX."""

    before: Floats
    after: Floats
    size: Floats


@dataclass(frozen=True, slots=True)
class Blamed:
    """An object, how strongly the evidence speaks against it (0 and more), and how surely before all others (0..1)."""

    object_id: str
    score: float
    confidence: float


def typical_of_kind(rows: Floats, kind: np.typing.NDArray[np.int64]) -> Floats:
    """Return the typical size of each KPI's kind: the median of where those of the kind stood last.

    `kind` numbers what is of one kind and unit, 0 and up.
    """
    stood, _ = _unrest(rows[-ROWS_BEFORE_MAX:])
    found = np.zeros(int(kind.max(initial=-1)) + 1)
    for number in np.unique(kind).tolist():
        known = np.abs(stood[kind == number])
        known = known[np.isfinite(known)]
        found[number] = np.median(known) if known.size else 0.0
    typical: Floats = found[kind]
    return typical


def shifts(before: Floats, after: Floats, typical: Floats) -> Shifts:
    """Return the shifts from the rows `before` to the rows `after` [rows, KPIs]; NaN where nothing was measured.

    `typical` is the size that values of each KPI may be expected to have, 0 where nobody knows.
    """
    before, after = before[-ROWS_BEFORE_MAX:], after[:ROWS_AFTER_MAX]
    stood, spread = _unrest(before)
    came = _medians(after)
    scale = spread + FLOOR_RATIO * np.abs(stood) + TYPICAL_FLOOR_RATIO * typical
    moved = came - stood
    with np.errstate(over="ignore"):
        size = np.divide(moved, scale, out=np.zeros_like(moved), where=scale > 0)
    size = np.where(np.isnan(size), 0.0, size)
    # What was measured steadily and is no more is gone as well.
    steady = np.count_nonzero(np.isfinite(before[-ROWS_RECENT:]), axis=0) >= STEADY_MIN
    size = np.where(steady & ~np.isfinite(after).any(axis=0), -SIZE_MAX, size)
    return Shifts(stood, came, np.clip(size, -SIZE_MAX, SIZE_MAX))


def _unrest(rows: Floats) -> tuple[Floats, Floats]:
    """Return where each KPI stood last, and the quartiles' distance of its values from their running median."""
    stood = _medians(rows[-ROWS_RECENT:])
    if len(rows) <= ROWS_RECENT:
        away = rows - stood
    else:
        windows = np.lib.stride_tricks.sliding_window_view(rows, ROWS_RECENT, axis=0)[:-1]
        away = rows[ROWS_RECENT:] - _medians(windows, axis=-1)
    spread = np.zeros(rows.shape[1])
    known = np.isfinite(away).any(axis=0)
    if known.any():
        low, high = np.nanpercentile(away[:, known], (25, 75), axis=0)
        spread[known] = high - low
    lacking = ~np.isfinite(stood)
    if lacking.any():
        stood = np.where(lacking, _medians(rows), stood)
    return stood, spread


def _medians(rows: Floats, axis: int = 0) -> Floats:
    """Return medians of what is known, NaN where nothing is."""
    ordered = np.sort(rows, axis=axis)  # NaN comes last
    count = np.count_nonzero(np.isfinite(rows), axis=axis)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    if not ordered.shape[axis]:
        return np.full(count.shape, np.nan)
    ends = ordered.shape[axis] - 1
    take = [
        np.take_along_axis(ordered, np.expand_dims(np.minimum(at, ends), axis), axis=axis)
        for at in (low, high)
    ]
    found: Floats = np.squeeze((take[0] + take[1]) / 2.0, axis=axis)
    return np.where(count > 0, found, np.nan)


def weights(size: Floats, bad: np.typing.NDArray[np.int64]) -> Floats:
    """Return how much each shift weighs, 0 and more; `bad`: 1 a rise is bad, -1 a fall, 0 nobody knows."""
    known = np.maximum(bad * size, 0.0)
    unknown = np.maximum(-size, RISE_WEIGHT * size)
    weighed: Floats = np.where(bad != 0, known, unknown)
    return weighed


def most_shifted(weight: Floats, owner: np.typing.NDArray[np.int64], owners: int) -> Floats:
    """Return the evidence against each owner: its weightiest KPI, and as a tie-breaker how much of it is gone."""
    found = np.zeros(owners)
    np.maximum.at(found, owner, weight)
    gone = np.bincount(owner, weight >= SIZE_MAX / 2, owners) / np.maximum(
        np.bincount(owner, minlength=owners), 1
    )
    evidence: Floats = np.log1p(found) + GONE_WEIGHT * gone
    return evidence


def share_of(weight: float, excess: float, wanted: float) -> float:
    """Return how far an object accounts for a target's trouble, 0..1.

    `weight` is that of its shift; `excess` and `wanted` are both shifts times the requests that they concern: what is
    slow or fails in few calls explains little of what is slow or fails in many.
    """
    sure = weight / (weight + SIZE_SURE)
    return sure * (min(1.0, max(0.0, excess / wanted)) if wanted > 0 else 1.0)


def blame(
    evidence: Mapping[str, float], needs: Mapping[str, AbstractSet[str]], target: str | None = None
) -> tuple[Blamed, ...]:
    """Return the objects by how much speaks against them, the most first.

    `needs` says what each object calls or rests on. What needs something that is nearly as much to blame is explained
    by it; where a `target` suffers, what it does not need counts less.
    """
    within = _reached(needs, target) if target is not None else None
    scores: dict[str, float] = {}
    for name, weight in evidence.items():
        below = max((evidence.get(other, 0.0) for other in needs.get(name, ())), default=0.0)
        score = weight * (
            EXPLAINED_WEIGHT if below > 0 and below >= EXPLAINS_RATIO * weight else 1.0
        )
        scores[name] = score * (ASIDE_WEIGHT if within is not None and name not in within else 1.0)
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        Blamed(name, score, _confidence(score, ranked[0][1], ranked[1][1] if ranked[1:] else 0.0))
        for name, score in ranked
    )


def _confidence(score: float, best: float, second: float) -> float:
    rival = second if score == best else best
    return score / (score + rival) if score > 0 else 0.0


def _reached(needs: Mapping[str, AbstractSet[str]], target: str) -> set[str]:
    found, waiting = {target}, [target]
    while waiting:
        for name in needs.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found
