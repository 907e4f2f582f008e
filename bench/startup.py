"""What it costs to ask `trimtab --help`, and to have the process idle, beside the limits that are set for both."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.comparison import ROUNDS, Comparison
from bench.peers.engines import Order, Rules, start_trimtab
from bench.peers.processes import cpu_seconds, free_port, resident_bytes

HELP_SECONDS_MAX = 0.5
IDLE_BYTES_MAX = 200_000_000
IDLE_CPU_RATIO_MAX = 0.01
IDLE_SECONDS = 5.0


def run(folder: Path) -> Iterator[Comparison]:
    """Yield calls of --help a second, idle processes a GB, and idle processes a core."""
    calls = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "trimtab", "--help"], check=True, capture_output=True)
        calls.append(1 / (time.perf_counter() - begin))
    yield Comparison(
        "trimtab --help", "calls/s", statistics.median(calls),
        f"limit of {HELP_SECONDS_MAX} s", 1 / HELP_SECONDS_MAX, (min(calls), max(calls)),
    )  # fmt: skip
    place = folder / "idle"
    place.mkdir()
    with ExitStack() as stack:
        running = start_trimtab(place, Order(0, 1.0, Rules.NONE, free_port()), stack)
        time.sleep(IDLE_SECONDS)
        begin_cpu = cpu_seconds(running.processes)
        time.sleep(IDLE_SECONDS)
        ratio = max(0.001, (cpu_seconds(running.processes) - begin_cpu) / IDLE_SECONDS)
        resident = resident_bytes(running.processes)
    found = 1e9 / resident
    yield Comparison(
        "idle process", "processes a GB", found, f"limit of {IDLE_BYTES_MAX // 10**6} MB",
        1e9 / IDLE_BYTES_MAX, (found, found),
    )  # fmt: skip
    yield Comparison(
        "idle process", "processes a core", 1 / ratio, f"limit of {IDLE_CPU_RATIO_MAX:.0%} of a core",
        1 / IDLE_CPU_RATIO_MAX, (1 / ratio, 1 / ratio),
    )  # fmt: skip
