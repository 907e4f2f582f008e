"""`python -m bench.quality --data DIR --json OUT`: what Trimtab says of recordings, and how right it is."""

import argparse
import json
import sys
import time
from pathlib import Path

from analytics.detectors.kpi_anomaly_compiled import warm
from bench.quality import alarms, causes, warnings
from bench.quality.layouts import LAYOUTS, recordings
from bench.quality.part import Part, Said, Scores
from bench.quality.recording import Recording
from bench.quality.report import as_json, as_table

# In this order: a later part may go by what an earlier one said.
PARTS: dict[str, Part] = {
    "alarms": Part(alarms.say, alarms.score_alarms),
    "causes": Part(causes.say, causes.score),
    "warnings": Part(warnings.say, warnings.score),
}


FAULTS_SHOWN_MAX = 20


def main(arguments: list[str] | None = None) -> int:
    """Let each part have its say on every recording, score what has labels.

    Return 1 when some file could not be read (the others are), 2 when nothing could.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds recordings")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what was said here")
    parser.add_argument(
        "--only",
        default="",
        metavar="NAMES",
        help=f"parts ({', '.join(PARTS)}) and data sets (by layout: {', '.join(LAYOUTS)}), by commas",
    )
    options = parser.parse_args(arguments)
    wanted = [name for name in options.only.split(",") if name]
    parts = [name for name in PARTS if name in wanted] or list(PARTS)
    datasets = [name for name in wanted if name not in PARTS]
    if not options.data.is_dir():
        print(f"{options.data} is no directory", file=sys.stderr)
        return 2
    # What compiling takes is no part of what a value takes.
    warm()
    begin = time.perf_counter()
    faults: list[str] = []
    pairs = _said(options.data, parts, datasets, faults)
    for fault in faults[:FAULTS_SHOWN_MAX]:
        print(fault, file=sys.stderr)
    if len(faults) > FAULTS_SHOWN_MAX:
        print(f"and {len(faults) - FAULTS_SHOWN_MAX} more like these", file=sys.stderr)
    if not pairs:
        print(
            f"{options.data}: no recording in a layout that is known; see --help", file=sys.stderr
        )
        return 2
    scores = _scores(pairs, parts)
    if options.json:
        document = as_json(pairs, scores, time.perf_counter() - begin, faults)
        options.json.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")
    print(as_table(scores))
    return 1 if faults else 0


def _said(
    folder: Path, parts: list[str], datasets: list[str], faults: list[str]
) -> list[tuple[Recording, Said]]:
    pairs = []
    for recording in recordings(folder, faults.append):
        if datasets and recording.dataset not in datasets:
            continue
        said = Said()
        for name in parts:
            said = PARTS[name].say(recording.unlabelled(), said)
        pairs.append((recording, said))
        _progress(f"{len(pairs)} {recording.name}: {len(said.alarms)} alarms")
    if pairs:
        _progress(f"{len(pairs)} recordings\n")
    return pairs


def _scores(pairs: list[tuple[Recording, Said]], parts: list[str]) -> Scores:
    found: Scores = {}
    for name in parts:
        for metric, values in PARTS[name].score(pairs).items():
            if values:
                found[metric] = values
    return found


def _progress(text: str) -> None:
    """Keep one line up to date where there is a terminal; elsewhere stay silent."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
