"""`trimtab replay`: a recording through the loop in record mode, and what came of it against the known faults."""

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trimtab.app.machines import machines
from trimtab.app.settings import load_settings
from trimtab.config.document import read_document, validate
from trimtab.domain.time import NS_PER_SECOND, rfc3339
from trimtab.drivers.clock import SystemClock
from trimtab.drivers.loop import Loop
from trimtab.drivers.recording import Recording, RecordingMapping, read_recording
from trimtab.drivers.replay import FaultReview, Replay, Review
from trimtab.errors import ConfigurationError, Finding
from trimtab.store.journal import Journal

SYNC_EVERY_TURNS = 256
PROGRESS_EVERY_TURNS = 100


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What a replay brought: the recording's review, and how fast it went."""

    recording: Recording
    review: Review
    turns: int
    wall_seconds: float

    @property
    def times_real_time(self) -> float:
        """Return how many recorded seconds went by in one."""
        return self.recording.span_seconds / self.wall_seconds


def replay_recording(
    directory: Path, mapping_path: Path, json_path: Path | None, journal_path: Path | None
) -> int:
    """Run the command; return its exit code."""
    console = Console(highlight=False)
    mapping = read_mapping(mapping_path)
    recording = read_recording(mapping, directory)
    console.print(
        f"{mapping.name}: {len(recording.value):,} samples of {len(recording.series)} series over"
        f" {recording.span_seconds / 86_400:.1f} days, {len(recording.faults)} known faults"
    )
    for name, reason in mapping.left_out.items():
        console.print(f"  left out {name}: {reason}")
    outcome = run_replay(
        recording, mapping_path.parent / mapping.configuration, journal_path, console
    )
    _print(console, outcome)
    if json_path is not None:
        json_path.write_text(json.dumps(facts(outcome), indent=2) + "\n", encoding="utf-8")
    return 0


def read_mapping(path: Path) -> RecordingMapping:
    """Read a mapping file. Raises ConfigurationError with every finding's place."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        finding = Finding(str(path), 1, 1, f"can't be read: {error}", "give a mapping file")
        raise ConfigurationError((finding,)) from error
    found = validate(RecordingMapping, read_document(text, str(path)))
    if isinstance(found, list):
        raise ConfigurationError(tuple(found))
    return found


def run_replay(
    recording: Recording, configuration: Path, journal_path: Path | None, console: Console
) -> ReplayOutcome:
    """Turn the loop over the recording, journal on; shows a progress bar in a terminal."""
    settings = load_settings(configuration)
    clock = SystemClock()
    review = Review()
    with ExitStack() as stack:
        if journal_path is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="trimtab-replay-"))
            journal_path = Path(folder)
        journal_path.mkdir(parents=True, exist_ok=True)
        if any(journal_path.iterdir()):
            raise ConfigurationError(
                (
                    Finding(
                        str(journal_path),
                        1,
                        1,
                        "the journal's folder is not empty",
                        "give a new one",
                    ),
                )
            )
        journal = Journal.open(journal_path)
        stack.callback(journal.close)
        replay = Replay(
            Loop(machines()), journal, recording, (settings.configuration, settings.policies)
        )
        bar = stack.enter_context(
            Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
                TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
            )
        )  # fmt: skip
        task = bar.add_task("replaying", total=recording.span_seconds)
        started = clock.monotonic_ns()
        turns = 0
        for turn in replay.turns():
            review.take(turn)
            turns += 1
            if turns % SYNC_EVERY_TURNS == 0:
                journal.sync()
            if turns % PROGRESS_EVERY_TURNS == 0:
                done = (turn.now - int(recording.time_ns[0])) / NS_PER_SECOND
                bar.update(task, completed=done)
        journal.sync()
        wall = (clock.monotonic_ns() - started) / NS_PER_SECOND
    return ReplayOutcome(recording, review, turns, wall)


def facts(outcome: ReplayOutcome) -> dict[str, Any]:
    """Return the outcome as JSON types."""
    review, recording = outcome.review, outcome.recording
    return {
        "format": 1,
        "recording": recording.name,
        "turns": outcome.turns,
        "wall_seconds": outcome.wall_seconds,
        "times_real_time": outcome.times_real_time,
        "alarms": len(review.alarms),
        "false_alarms": review.false_alarms(recording),
        "faults": [_plain(item) for item in review.faults(recording)],
        "decisions": dict(Counter(f"{d.policy}: {d.outcome}" for d in review.decisions)),
        "actions": [
            {"kind": a.kind, "target": a.target_id, "at": rfc3339(a.created_at_ns)}
            for a in review.actions.values()
        ],
        "verdicts": dict(Counter(str(v.verdict) for v in review.verifications)),
    }


def _plain(item: FaultReview) -> dict[str, Any]:
    return {
        "kind": item.fault.kind,
        "place": item.fault.place,
        "detail": item.fault.detail,
        "start": rfc3339(item.fault.start_ns),
        "noticed_at": None if item.noticed_at_ns is None else rfc3339(item.noticed_at_ns),
        "delay_seconds": item.delay_seconds,
        "noticed_on": item.noticed_on,
        "cause": item.cause,
        "cause_rank": item.cause_rank,
        "decisions": list(item.decisions),
    }


def _print(console: Console, outcome: ReplayOutcome) -> None:
    review, recording = outcome.review, outcome.recording
    faults = review.faults(recording)
    table = Table(title="Known faults, and what the loop made of them")
    for heading in (
        "fault",
        "runs",
        "noticed",
        "delay median",
        "worst",
        "cause at rank 1",
        "would have",
    ):
        table.add_column(heading, overflow="fold")
    for kind in dict.fromkeys(item.fault.kind for item in faults):
        table.add_row(*_row(kind, [item for item in faults if item.fault.kind == kind]))
    console.print(table)
    console.print(
        f"{len(review.alarms)} alarms, {review.false_alarms(recording)} of them where no fault is labelled;"
        f" {len(review.actions)} actions recorded, none carried out"
    )
    for name, count in sorted(
        Counter(f"{d.policy}: {d.outcome}" for d in review.decisions).items()
    ):
        console.print(f"  {name}  {count}")
    console.print(
        f"{outcome.turns} turns in {outcome.wall_seconds:.1f} s: {outcome.times_real_time:,.0f} times real time,"
        " journal on"
    )


def _row(kind: str, items: Sequence[FaultReview]) -> list[str]:
    delays = [item.delay_seconds for item in items if item.delay_seconds is not None]
    placed = [item for item in items if item.fault.place]
    first = sum(item.cause_rank == 1 for item in placed)
    decided = Counter(text for item in items for text in item.decisions).most_common(2)
    return [
        kind,
        str(len(items)),
        f"{len(delays)} ({len(delays) / len(items):.0%})",
        f"{median(delays):.0f} s" if delays else "-",
        f"{max(delays):.0f} s" if delays else "-",
        f"{first} of {len(placed)}" if placed else "-",
        "; ".join(f"{text} ({count})" for text, count in decided) or "-",
    ]
