"""What was said and how it scored: as JSON for machines, as a plain table for people."""

from collections.abc import Sequence
from typing import Any

from bench.quality.part import BreachWarning, RaisedAlarm, RankedCauses, Said, Scores
from bench.quality.recording import Recording
from trimtab.domain.time import rfc3339

DIGITS = 6


def as_json(
    pairs: Sequence[tuple[Recording, Said]],
    scores: Scores,
    seconds: float,
    faults: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the document that --json writes; times are RFC 3339, UTC, rows count from 0."""
    return {
        "format": 1,
        "seconds": round(seconds, 1),
        "recordings": [_recording(recording, said) for recording, said in pairs],
        "scores": scores,
        "unreadable": list(faults),
    }


def _recording(recording: Recording, said: Said) -> dict[str, Any]:
    return {
        "name": recording.name,
        "dataset": recording.dataset,
        "rows": len(recording.times),
        "series": len(recording.series),
        "alarms": [_alarm(each) for each in said.alarms],
        "causes": [_causes(each) for each in said.causes],
        "warnings": [_warning(each) for each in said.warnings],
        "row_scores": []
        if said.row_scores is None
        else [
            [at, round(float(each), DIGITS)] for at, each in enumerate(said.row_scores) if each > 0
        ],
    }


def _alarm(alarm: RaisedAlarm) -> dict[str, Any]:
    return {
        "time": rfc3339(alarm.time_ns),
        "row": alarm.row,
        "series": str(alarm.series),
        "score": round(alarm.score, DIGITS),
    }


def _causes(causes: RankedCauses) -> dict[str, Any]:
    ranked = [
        {
            "object": each.object,
            "score": round(each.score, DIGITS),
            "confidence": round(each.confidence, DIGITS),
        }
        for each in causes.ranked
    ]
    return {"time": rfc3339(causes.time_ns), "ranked": ranked}


def _warning(warning: BreachWarning) -> dict[str, Any]:
    return {
        "time": rfc3339(warning.time_ns),
        "series": str(warning.series),
        "breach_at": rfc3339(warning.breach_ns),
        "low": rfc3339(warning.low_ns),
        "high": rfc3339(warning.high_ns),
    }


def as_table(scores: Scores) -> str:
    """Return metrics by data sets; the columns are as wide as they need to be."""
    datasets = sorted({dataset for values in scores.values() for dataset in values})
    if not datasets:
        return "no labels: nothing to score"
    lines = [["metric", *datasets]]
    for metric, values in sorted(scores.items()):
        if values:
            cells = [f"{values[each]:.3f}" if each in values else "-" for each in datasets]
            lines.append([metric, *cells])
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
