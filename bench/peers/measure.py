"""Measure one engine under one row's traffic."""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.latency import SyncProbe, quantiles
from bench.peers.engines import Engine, Order, Rules
from bench.peers.processes import (
    TIED,
    BenchError,
    Process,
    cpu_seconds,
    free_port,
    resident_bytes,
)
from bench.peers.sender import Traffic

SETTLE_SECONDS = 2.0
WEBHOOKS_SETTLE_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what is sent under which rules, and which figures are taken."""

    name: str
    title: str
    traffic: Traffic
    rules: Rules
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one run, by name; all of them plain numbers."""

    engine: str
    row: str
    figures: dict[str, float]
    answers: dict[str, int]


class Sending:
    """The sender's process: `prepare`d when made, `run` once."""

    def __init__(self, url: str, headers: dict[str, str], traffic: Traffic) -> None:
        order = {"url": url, "headers": headers, "traffic": asdict(traffic)}
        self._process = subprocess.Popen(
            [*TIED, sys.executable, "-m", "bench.peers.sender", json.dumps(order)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._expect("ready")

    def run(self) -> dict[str, Any]:
        """Send, and return the sender's account."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        account: dict[str, Any] = json.loads(self._line())
        self._process.wait()
        return account

    def close(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _expect(self, word: str) -> None:
        line = self._line()
        if line != word:
            raise BenchError(f"the sender said {line!r} where {word!r} was expected")

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            self.close()
            raise BenchError("the sender ended early")
        return line


def measure(engine: Engine, row: Row, folder: Path | None = None) -> Measured:
    """Start the engine in a folder of its own, send, and account. Raises BenchError."""
    with ExitStack() as stack:
        place = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-peer-", dir=folder))
        )
        sink_port = free_port()
        sink_log = place / "sink.log"
        sink = stack.enter_context(
            Process([sys.executable, "-m", "bench.peers.sink", str(sink_port)], sink_log)
        )
        sink.wait_until_up(sink_port, "/")
        traffic = row.traffic
        order = Order(
            traffic.series, traffic.interval_seconds, row.rules, sink_port, traffic.per_vnfc
        )
        running = engine.start(place, order, stack)
        idle_bytes = resident_bytes(running.processes)
        sending = Sending(running.url, dict(running.headers), traffic)
        stack.callback(sending.close)
        begin = cpu_seconds(running.processes)
        disk = SyncProbe(place / "synced")
        with disk if traffic.probes else nullcontext():
            account = sending.run()
        time.sleep(SETTLE_SECONDS)
        cpu = cpu_seconds(running.processes) - begin
        for process in running.processes:
            process.check()
        held_bytes = resident_bytes(running.processes)
        figures = {
            "cpu_seconds_per_million": cpu / account["samples_acknowledged"] * 1e6,
            "bytes_per_series": (held_bytes - idle_bytes) / traffic.series,
            "samples_per_second": account["samples_acknowledged"] / account["seconds"],
            "late_rounds": float(account["late_rounds"]),
            "idle_bytes": float(idle_bytes),
            "start_seconds": running.start_seconds,
        }
        if traffic.probes:
            time.sleep(WEBHOOKS_SETTLE_SECONDS)
            figures |= latencies(account["crossed_ns"], sink_log)
            figures |= quantiles(disk.seconds, "fdatasync_")
        return Measured(engine.name, row.name, figures, account["answers"])


def latencies(crossed_ns: dict[str, int], sink_log: Path) -> dict[str, float]:
    """Return how long after a probe's first hot sample the webhook heard of it, in seconds."""
    heard: dict[str, int] = {}
    for line in sink_log.read_text("utf-8").splitlines():
        at, _, probe = line.partition(" ")
        if probe in crossed_ns and int(at) >= crossed_ns[probe]:
            heard.setdefault(probe, int(at))
    waited = sorted((heard[probe] - crossed_ns[probe]) / 1e9 for probe in heard)
    figures = {"probes": float(len(crossed_ns)), "probes_heard": float(len(waited))}
    return figures | quantiles(waited, "")
