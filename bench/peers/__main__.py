"""`python -m bench.peers`: every row by every engine, rounds interleaved; `--json FILE` keeps all figures."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import machine
from bench.peers.engines import APT, ENGINES, Engine
from bench.peers.measure import Measured, Row, measure
from bench.peers.processes import BenchError, stop_when_told
from bench.peers.rows import ROWS, shortened
from bench.peers.table import figures_of, lines, verdict_line, verdicts

ROUNDS_DEFAULT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was chosen; 1 when no engine could be measured in some row."""
    options = _parser().parse_args(arguments)
    chosen = [row for row in ROWS if not options.only or row.name in options.only]
    rows = [shortened(row) for row in chosen] if options.quick else chosen
    engines = [item for item in ENGINES if not options.engines or item.name in options.engines]
    absent = [engine.name for engine in engines if engine.missing()]
    for engine in engines:
        if missing := engine.missing():
            print(f"{engine.title} is skipped: no {', '.join(missing)} here; {APT}", flush=True)
    facts = {
        **machine(),
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    stop_when_told()
    runs: list[Measured] = []
    failed: list[str] = []
    try:
        for number in range(options.rounds):
            for row in rows:
                for engine in engines:
                    if engine.name not in absent:
                        _one(engine, row, number, runs, failed, options.folder)
    except KeyboardInterrupt:
        failed.append("interrupted")
    figures = figures_of(runs)
    judged = verdicts(figures)
    print()
    print("\n".join(lines(rows, figures, absent)))
    print("\n".join(["", *map(verdict_line, judged), *failed]))
    if options.json:
        report = {
            "machine": facts,
            "figures": [asdict(item) for item in figures],
            "goals": [asdict(item) for item in judged],
            "absent": absent,
            "failed": failed,
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT, help="default %(default)s")
    parser.add_argument(
        "--only", type=_list_of(names), default=[], metavar="ROW,...", help=", ".join(names)
    )
    parser.add_argument(
        "--engines", type=_list_of([item.name for item in ENGINES]), default=[], metavar="NAME,...",
        help=", ".join(item.name for item in ENGINES),
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="half of each row's seconds")
    parser.add_argument("--folder", type=Path, help="where servers keep their data for the while")
    return parser


class _list_of:
    """Parse a comma-separated list of known names."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        names = text.split(",")
        if unknown := sorted(set(names) - set(self._known)):
            raise argparse.ArgumentTypeError(
                f"no such name: {', '.join(unknown)}; there are {', '.join(self._known)}"
            )
        return names


def _one(
    engine: Engine, row: Row, number: int, runs: list[Measured], failed: list[str],
    folder: Path | None,
) -> None:  # fmt: skip
    try:
        found = measure(engine, row, folder)
    except BenchError as error:
        failed.append(f"{row.name}, {engine.title}: {error}")
        print(failed[-1], flush=True)
        return
    runs.append(found)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in found.figures.items())
    print(f"round {number + 1}, {row.name}, {engine.name}: {shown}", flush=True)


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parent,
    )  # fmt: skip
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
