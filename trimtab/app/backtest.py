"""`trimtab replay`: a recording through the loop in record mode, and what came of it against the known faults."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trimtab.app.machines import machines
from trimtab.app.settings import load_settings
from trimtab.config.document import read_document, validate
from trimtab.domain.time import NS_PER_SECOND, rfc3339
from trimtab.drivers.clock import SystemClock
from trimtab.drivers.loop import Loop
from trimtab.drivers.recording import Recording, RecordingMapping, read_recording
from trimtab.drivers.replay import Replay
from trimtab.drivers.review import TOP_CAUSES, FaultReview, KindReview, Review, by_kind
from trimtab.errors import ConfigurationError, Finding
from trimtab.store.journal import Journal

SYNC_EVERY_TURNS = 256
PROGRESS_EVERY_TURNS = 100
COLUMNS_WITHOUT_TERMINAL = 100
WOULD_HAVE_SHOWN_MAX = 4


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

    @property
    def false_alarms_per_day(self) -> float:
        """Return how many alarms a recorded day were raised where no fault, nor its after-effects, were."""
        days = self.recording.span_seconds / 86_400
        return self.review.false_alarms(self.recording) / days if days else 0.0


def replay_recording(
    directory: Path, mapping_path: Path, json_path: Path | None, journal_path: Path | None
) -> int:
    """Run the command; return its exit code."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = COLUMNS_WITHOUT_TERMINAL
    mapping = read_mapping(mapping_path)
    recording = read_recording(mapping, directory)
    known = recording.known
    console.print(
        f"{escape(mapping.name)}: {len(recording.value):,} samples of {len(recording.series)} series over"
        f" {recording.span_seconds / 86_400:.1f} days, {len(known.faults)} known faults"
    )
    for name, reason in mapping.left_out.items():
        console.print(f"  left out {escape(name)}: {escape(reason)}")
    if known.unclear:
        console.print(
            f"  left out {len(known.unclear)} faults: their own record says that they were not carried out"
        )
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
    turns = 0
    with _journal(journal_path) as journal, _progress(console) as bar:
        task = bar.add_task("replaying", total=recording.span_seconds)
        first = (settings.configuration, settings.policies)
        started = clock.monotonic_ns()
        for turn in Replay(Loop(machines()), journal, recording, first).turns():
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


@contextmanager
def _journal(path: Path | None) -> Iterator[Journal]:
    """Open a new journal at `path`, or one that is gone afterwards."""
    with ExitStack() as stack:
        if path is None:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trimtab-replay-")))
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            finding = Finding(
                str(path), 1, 1, "the journal's folder is not empty", "give a new one"
            )
            raise ConfigurationError((finding,))
        journal = Journal.open(path)
        stack.callback(journal.close)
        yield journal


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


def facts(outcome: ReplayOutcome) -> dict[str, Any]:
    """Return the outcome as JSON types."""
    review, recording = outcome.review, outcome.recording
    faults = review.faults(recording)
    return {
        "format": 2,
        "recording": recording.name,
        "turns": outcome.turns,
        "span_seconds": recording.span_seconds,
        "wall_seconds": outcome.wall_seconds,
        "times_real_time": outcome.times_real_time,
        "alarms": len(review.alarms),
        "false_alarms": review.false_alarms(recording),
        "false_alarms_per_day": outcome.false_alarms_per_day,
        "unclear_faults": len(recording.known.unclear),
        "kinds": [_kind_facts(item) for item in by_kind(faults)],
        "faults": [_fault_facts(item) for item in faults],
        "decisions": dict(Counter(f"{d.policy}: {d.outcome}" for d in review.decisions)),
        "actions": [
            {
                "kind": action.kind,
                "target": action.target_id,
                "at": rfc3339(action.created_at_ns),
                "carried_out": False,
                "verdict": review.verdict(action),
            }
            for action in review.actions.values()
        ],
        "verdicts": dict(Counter(review.verdict(action) for action in review.actions.values())),
    }


def _kind_facts(item: KindReview) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "runs": item.runs,
        "noticed": item.noticed,
        "already_open": item.already_open,
        "delay_median_seconds": item.delay_median_seconds,
        "delay_worst_seconds": item.delay_worst_seconds,
        "placed": item.placed,
        "cause_first": item.cause_first,
        f"cause_in_top_{TOP_CAUSES}": item.cause_in_top,
        "would_have": dict(item.would_have),
    }


def _fault_facts(item: FaultReview) -> dict[str, Any]:
    return {
        "kind": item.fault.kind,
        "place": item.fault.place,
        "detail": item.fault.detail,
        "start": rfc3339(item.fault.start_ns),
        "end": rfc3339(item.fault.end_ns),
        "noticed": item.noticed,
        "noticed_at": None if item.noticed_at_ns is None else rfc3339(item.noticed_at_ns),
        "already_open": item.already_open,
        "delay_seconds": item.delay_seconds,
        "noticed_on": item.noticed_on,
        "cause": item.cause,
        "cause_rank": item.cause_rank,
        "decisions": list(item.decisions),
        "actions": [
            {"kind": action.kind, "target": action.target_id, "verdict": verdict}
            for action, verdict in zip(item.actions, item.verdicts, strict=True)
        ],
    }


def _print(console: Console, outcome: ReplayOutcome) -> None:
    review, recording = outcome.review, outcome.recording
    kinds = by_kind(review.faults(recording))
    if kinds:
        _print_kinds(console, kinds)
    console.print(
        f"{len(review.alarms)} alarms, {review.false_alarms(recording)} of them where no fault was:"
        f" {outcome.false_alarms_per_day:.1f} a day"
    )
    acting = Counter(f"{action.kind.value}" for action in review.actions.values())
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(acting.items())) or "none"
    console.print(f"actions recorded, none carried out: {told}")
    for name, count in sorted(
        Counter(f"{item.policy}: {item.outcome}" for item in review.decisions).items()
    ):
        console.print(f"  decided {name}  {count}")
    console.print(
        f"{outcome.turns} turns in {outcome.wall_seconds:.1f} s:"
        f" {outcome.times_real_time:,.0f} times real time, journal on"
    )


def _print_kinds(console: Console, kinds: list[KindReview]) -> None:
    table = Table(title="Known faults, and what the loop made of them")
    table.add_column("fault", no_wrap=True)
    for heading in (
        "runs",
        "noticed",
        "delay: median",
        "worst",
        "cause: first",
        f"top {TOP_CAUSES}",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in kinds:
        table.add_row(
            item.kind,
            str(item.runs),
            f"{item.noticed} ({item.noticed / item.runs:.0%})",
            _seconds(item.delay_median_seconds),
            _seconds(item.delay_worst_seconds),
            f"{item.cause_first} of {item.placed}" if item.placed else "-",
            str(item.cause_in_top) if item.placed else "-",
        )
    console.print(table)
    console.print("What the policies would have done:")
    for item in kinds:
        for text, count in item.would_have[:WOULD_HAVE_SHOWN_MAX]:
            console.print(f"  {item.kind}  {count} x {text}")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"
