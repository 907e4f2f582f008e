"""The chart as it is before any script has run: a polyline over the same span, with the bound."""

from dataclasses import dataclass

WIDTH = 300
HEIGHT = 80
HEADROOM = 1.15


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Polylines in a box of WIDTH x HEIGHT (one for each unbroken run), and where the bound lies."""

    runs: tuple[str, ...]
    bound_y: float
    width: int = WIDTH
    height: int = HEIGHT


def sparkline(
    points: list[tuple[int, float | None]], bound: float, start_ns: int, end_ns: int
) -> Sparkline:
    """Draw values against a bound. An absent value breaks the line: a gap is shown as a gap."""
    known = [value for _, value in points if value is not None]
    low, high = min([bound, *known]), max([bound, *known])
    floor = (
        min(0.0, low) if low < 0.5 * high or low <= 0 else low - (high - low or abs(high)) * 0.15
    )
    top = high + (high - floor or 1.0) * (HEADROOM - 1)

    def y_of(value: float) -> float:
        return round(HEIGHT * (1 - (value - floor) / ((top - floor) or 1.0)), 1)

    runs: list[list[str]] = [[]]
    for at_ns, value in points:
        if value is None:
            runs.append([])
            continue
        x = round(WIDTH * (at_ns - start_ns) / max(1, end_ns - start_ns), 1)
        runs[-1].append(f"{x},{y_of(value)}")
    return Sparkline(tuple(" ".join(run) for run in runs if run), y_of(bound))
