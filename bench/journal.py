"""What the journal costs over the least that durability costs: the same bytes, written and synced by hand."""

import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from bench.comparison import Comparison, compare
from trimtab.domain.input import Input, Output, Tick
from trimtab.domain.samples import SampleBatch
from trimtab.domain.time import NS_PER_SECOND
from trimtab.store.frame import encode_frame
from trimtab.store.journal import Journal

STEPS = 100
ROWS_PER_STEP = 1_000
START_NS = 1_700_000_000 * NS_PER_SECOND


def _steps() -> list[list[Input | Output]]:
    generator = np.random.default_rng(1)
    steps: list[list[Input | Output]] = []
    for step in range(STEPS):
        now = START_NS + step * NS_PER_SECOND
        batch = SampleBatch(
            "prometheus/bench",
            np.arange(ROWS_PER_STEP, dtype=np.int32),
            np.full(ROWS_PER_STEP, now, np.int64),
            generator.random(ROWS_PER_STEP),
            np.zeros(ROWS_PER_STEP, np.uint8),
        )
        steps.append([batch, Tick(now)])
    return steps


def _journal(folder: Path, steps: list[list[Input | Output]]) -> None:
    journal = Journal.open(folder)
    try:
        for number, values in enumerate(steps):
            journal.append(values, START_NS + number)
            journal.sync()
    finally:
        journal.close()
        shutil.rmtree(folder)


def _by_hand(path: Path, blobs: list[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for blob in blobs:
            os.write(descriptor, blob)
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
        path.unlink()


def run(folder: Path) -> Iterator[Comparison]:
    """Yield steps a second, each step one group commit of ROWS_PER_STEP samples."""
    steps = _steps()
    numbers = count()
    blobs = [
        b"".join(encode_frame(next(numbers), START_NS, value) for value in values)
        for values in steps
    ]
    yield compare(
        f"journal, {ROWS_PER_STEP} samples a group commit",
        "commits/s",
        STEPS,
        lambda: _journal(folder / "journal", steps),
        "write + fdatasync of the same bytes",
        lambda: _by_hand(folder / "by_hand", blobs),
    )
