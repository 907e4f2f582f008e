"""From measured runs to the table: median and spread of each figure, ratios, and what was reached."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.peers.engines import ENGINES, TRIMTAB
from bench.peers.measure import Measured, Row
from bench.peers.rows import GOALS, Goal

# How a figure is shown: its words, and what its seconds are multiplied by.
SHOWN = {
    "cpu_seconds_per_million": ("CPU-s per million samples", 1.0),
    "bytes_per_series": ("bytes per active series", 1.0),
    "samples_per_second": ("samples/s", 1.0),
    "p50_seconds": ("p50 ms", 1_000.0),
    "p99_seconds": ("p99 ms", 1_000.0),
    "probes_heard": ("probes heard of", 1.0),
    "fdatasync_p50_seconds": ("fdatasync p50 ms beside it", 1_000.0),
    "fdatasync_p99_seconds": ("fdatasync p99 ms beside it", 1_000.0),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one engine in one row, over all rounds."""

    row: str
    engine: str
    figure: str
    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a goal was reached; `bound` is what ours had to be at most, in the figure's unit."""

    row: str
    figure: str
    peer: str
    ours: float
    bound: float
    ratio: float | None
    reached: bool


def figures_of(runs: Sequence[Measured]) -> list[Figure]:
    """Return every figure of every row and engine that was measured."""
    gathered: dict[tuple[str, str, str], list[float]] = {}
    for run in runs:
        for name, value in run.figures.items():
            gathered.setdefault((run.row, run.engine, name), []).append(value)
    return [
        Figure(*key, statistics.median(values), min(values), max(values), len(values))
        for key, values in gathered.items()
    ]


def verdicts(figures: Sequence[Figure], goals: Sequence[Goal] = GOALS) -> list[Verdict]:
    """Return what became of each goal whose figures were measured."""
    medians = {(item.row, item.engine, item.figure): item.median for item in figures}
    found = []
    for goal in goals:
        ours = medians.get((goal.row, TRIMTAB, goal.figure))
        peer = medians.get((goal.row, goal.peer, goal.figure))
        disk = medians.get((goal.row, TRIMTAB, goal.beside))
        if ours is None or (goal.peer and peer is None) or (goal.beside and disk is None):
            continue
        bound = _bound(goal, peer, disk)
        ratio = None if peer is None or ours <= 0 else peer / ours
        found.append(Verdict(goal.row, goal.figure, goal.peer, ours, bound, ratio, ours <= bound))
    return found


def _bound(goal: Goal, peer: float | None, disk: float | None) -> float:
    if disk is not None:
        return goal.limit if disk <= goal.small else goal.ratio * disk
    return goal.limit if peer is None else goal.ratio * peer


def lines(rows: Sequence[Row], figures: Sequence[Figure], absent: Sequence[str]) -> Iterator[str]:
    """Yield the table as Markdown; an engine that is not installed keeps its column, and says so."""
    yield "| figure | " + " | ".join(engine.title for engine in ENGINES) + " |"
    yield "| --- " * (len(ENGINES) + 1) + "|"
    found = {(item.row, item.engine, item.figure): item for item in figures}
    for row in rows:
        for name in row.figures:
            words, factor = SHOWN[name]
            ours = found.get((row.name, TRIMTAB, name))
            cells = []
            for engine in ENGINES:
                item = found.get((row.name, engine.name, name))
                if item is None:
                    cells.append("not installed" if engine.name in absent else "-")
                    continue
                text = _spread(item, factor)
                if ours is not None and engine.name != TRIMTAB and ours.median > 0:
                    text += f", {item.median / ours.median:.3g} x ours"
                cells.append(text)
            yield f"| {row.title}: {words} | " + " | ".join(cells) + " |"


def verdict_line(item: Verdict) -> str:
    """Return one goal's outcome as a line."""
    words, factor = SHOWN[item.figure]
    beside = f" ({item.ratio:.3g} times less than {item.peer})" if item.ratio else ""
    word = "reached" if item.reached else "NOT reached"
    return (
        f"{item.row}, {words}: {_number(item.ours * factor)}{beside},"
        f" goal at most {_number(item.bound * factor)}: {word}"
    )


def _spread(item: Figure, factor: float) -> str:
    text = _number(item.median * factor)
    if item.rounds > 1:
        text += f" ({_number(item.low * factor)} to {_number(item.high * factor)})"
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
