"""A soak of the real process: `python -m bench.soak`. Memory is to stay flat, and nothing may be lost uncounted.

Series come by remote write, one sample of each every 15 s; every minute 1 % of them end and others begin. At the end
what was sent is held against the process's own counters: sent = taken + refused, to the sample.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.machine import machine
from bench.peers.engines import Order, Rules, Running, start_trimtab
from bench.peers.measure import Sending
from bench.peers.processes import (
    Process,
    cpu_seconds,
    free_port,
    resident_bytes,
    stop_when_told,
)
from bench.peers.sender import Traffic

LOOK_SECONDS = 5.0
PER_VNFC = 100
OBJECTS_MAX = 10_000
FLAT_BYTES_PER_MINUTE_RATIO = 0.01  # of what is resident: less growth than that is flat
_COUNTED = (
    "trimtab_ingest_samples_total",
    "trimtab_ingest_samples_refused_total",
    "trimtab_ingest_samples_unused_total",
)


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of it. `growth_bytes_per_minute` is the slope over the second half, by Theil and Sen."""

    series: int
    minutes: float
    sent: int
    attempted: int
    taken: int
    refused: int
    unused: dict[str, int]
    series_begun: int
    late_rounds: int
    cpu_seconds_per_million: float
    resident_bytes: int
    bytes_per_series: float
    growth_bytes_per_minute: float

    @property
    def complete(self) -> bool:
        """Return whether every sample that was sent, each time it was, is accounted for."""
        return self.attempted == self.taken + self.refused

    @property
    def flat(self) -> bool:
        """Return whether memory stayed as it was."""
        return self.growth_bytes_per_minute <= FLAT_BYTES_PER_MINUTE_RATIO * self.resident_bytes


class Watch(threading.Thread):
    """Note the resident bytes every LOOK_SECONDS."""

    def __init__(self, processes: list[Process]) -> None:
        super().__init__(daemon=True)
        self._processes = processes
        self._end = threading.Event()
        self.seen: list[tuple[float, int]] = []

    def run(self) -> None:
        """Look until told to stop."""
        while not self._end.wait(LOOK_SECONDS):
            self.seen.append((time.monotonic(), resident_bytes(self._processes)))

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        self.join()


def slope_per_minute(seen: Sequence[tuple[float, int]]) -> float:
    """Return the median of the slopes between all pairs; 0 for fewer than two."""
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0]) * 60.0
        for place, earlier in enumerate(seen)
        for later in seen[place + 1 :]
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) if slopes else 0.0


def counters(running: Running) -> dict[str, dict[str, int]]:
    """Return the process's own account: each counter by its label."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.port}/metrics", headers=dict(running.headers)
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        text = response.read().decode()
    found: dict[str, dict[str, int]] = {name: {} for name in _COUNTED}
    for line in text.splitlines():
        name, brace, rest = line.partition("{")
        if brace and name in found:
            labels, _, value = rest.rpartition(" ")
            found[name][labels] = round(float(value))
    return found


def soak(series: int, minutes: float, interval_seconds: float, rules: Rules) -> Soaked:
    """Run it. Raises BenchError when the process does not last."""
    per_vnfc = max(10, min(PER_VNFC, series // 100), -(-series // OBJECTS_MAX))
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-soak-")))
        order = Order(series, interval_seconds, rules, free_port(), per_vnfc)
        running = start_trimtab(place, order, stack)
        idle = resident_bytes(running.processes)
        traffic = Traffic(
            series,
            interval_seconds,
            minutes * 60.0,
            churn_ratio=0.01,
            per_vnfc=per_vnfc,
            retry=True,
        )
        sending = Sending(running.url, dict(running.headers), traffic)
        stack.callback(sending.close)
        before = counters(running)
        watch = Watch(running.processes)
        watch.start()
        begin = cpu_seconds(running.processes)
        account = sending.run()
        spent = cpu_seconds(running.processes) - begin
        watch.stop()
        running.processes[0].check()
        after = counters(running)
        resident = resident_bytes(running.processes)
    taken, refused, _ = (
        sum(after[name].values()) - sum(before[name].values()) for name in _COUNTED
    )
    return Soaked(
        series, minutes, account["samples"], account["samples_attempted"], taken, refused,
        after[_COUNTED[2]], account["series_begun"], account["late_rounds"],
        spent / max(1, taken) * 1e6, resident, (resident - idle) / series,
        slope_per_minute(watch.seen[len(watch.seen) // 2 :]),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, print, and with `--json FILE` keep the figures; 1 when a sample is missing or memory grows."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--series", type=int, default=1_000_000, help="default %(default)s")
    parser.add_argument("--minutes", type=float, default=10.0, help="default %(default)s")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds; default %(default)s")
    parser.add_argument("--rules", type=Rules, default=Rules.THRESHOLD, choices=list(Rules))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    options = parser.parse_args(arguments)
    stop_when_told()
    facts = machine()
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    found = soak(options.series, options.minutes, options.interval, options.rules)
    for name, value in asdict(found).items():
        print(f"{name}: {value}")
    print(f"every sample accounted for: {found.complete}; memory flat: {found.flat}")
    if options.json:
        report = {"machine": facts, **asdict(found), "complete": found.complete, "flat": found.flat}
        options.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0 if found.complete and found.flat else 1


if __name__ == "__main__":
    sys.exit(main())
