"""A remote-write sender in a process of its own: `python -m bench.peers.sender JSON`.

It says `ready` once every series has been sent a first time, begins at a line on its standard input, and ends with a
line of JSON: what was sent, how it was answered, and when each probe crossed the bound.
"""

import http.client
import json
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

import numpy as np

from bench.peers.workload import SERIES_PER_VNFC, Request, Workload, probe_labels

TIMEOUT_SECONDS = 60.0
PROBE_CALM, PROBE_HOT = 50.0, 93.0
PROBES_BEGIN_SECONDS = 3.0
PROBES_END_SECONDS = 5.0
# Before the account begins: the series begin, their first windows close, and what follows from that is told.
WARM_ROUNDS = 5
SERIES_BEGUN_PER_SECOND = 10_000
ATTEMPTS_MAX = 100
RETRY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent: a sample of every series each `interval_seconds`, or `flat_out` rounds as fast as may be.

    `probes` series more are sent alone, each at its own phase of a second; each crosses the bound once. `churn_ratio`
    of the series are replaced by others each minute.
    """

    series: int
    interval_seconds: float = 1.0
    seconds: float = 20.0
    flat_out: int = 0
    probes: int = 0
    churn_ratio: float = 0.0
    per_vnfc: int = SERIES_PER_VNFC
    retry: bool = True  # what was answered 503 is sent again, as a sender does


@dataclass(slots=True)
class Sent:
    """What was sent between `ready` and the end, and what became of it."""

    samples: int = 0
    samples_attempted: int = 0  # with what was sent again after a 503
    requests: int = 0
    seconds: float = 0.0
    late_rounds: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    samples_acknowledged: int = 0
    series_begun: int = 0
    crossed_ns: dict[str, int] = field(default_factory=dict)
    response_seconds: list[float] = field(default_factory=list)


class Connection:
    """One connection to a receiver; what is not acknowledged is sent again when `retry` is set."""

    def __init__(self, url: str, headers: dict[str, str], *, retry: bool = False) -> None:
        parts = urlsplit(url)
        self._path = parts.path
        self._http = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS
        )
        self._retry = retry
        self._headers = {
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
            **headers,
        }
        self.answers: Counter[str] = Counter()
        self.attempts = 0

    def post(self, body: bytes) -> bool:
        """Return whether the request was acknowledged."""
        for _ in range(ATTEMPTS_MAX):
            try:
                self._http.request("POST", self._path, body, self._headers)
                response = self._http.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected):
                # A server may close what it finds idle; whoever sends then connects anew.
                self._http.close()
                self.answers["closed"] += 1
                continue
            text = response.read()
            self.answers[str(response.status)] += 1
            self.attempts += 1
            if response.status < 300:
                return True
            if not (self._retry and response.status in (429, 503)):
                sys.stderr.write(f"{response.status} {text[:200]!r}\n")
                return False
            time.sleep(RETRY_SECONDS)
        return False


class Sender:
    """Send one traffic to one receiver."""

    def __init__(self, url: str, headers: dict[str, str], traffic: Traffic) -> None:
        self.traffic = traffic
        self._connection = Connection(url, headers, retry=traffic.retry)
        self._probe_connection = Connection(url, headers, retry=True)
        self._workload = Workload(traffic.series, traffic.per_vnfc)
        self._probes = [Request.of([probe_labels(number)]) for number in range(traffic.probes)]
        self._prepared: list[list[tuple[bytes, int]]] = []
        self._began = time.monotonic()
        self._first_round = 0
        self._generation = 0
        self._next_renewed = 0
        self._renewals_owed = 0.0
        self.sent = Sent()

    def prepare(self) -> None:
        """Introduce every series, and build beforehand what is sent flat out."""
        if self.traffic.flat_out:
            first_ms = _now_ms() - 1_000 * (self.traffic.flat_out + 1)
            self._warm_up(first_ms)
            self._prepared = [
                list(self._workload.bodies(first_ms + 1_000 * (number + 1)))
                for number in range(self.traffic.flat_out)
            ]
        else:
            interval = self.traffic.interval_seconds
            self._warm_up(
                _now_ms()
            )  # what a server does at its first request is no part of any pace
            self._began = time.monotonic()
            begun = self.traffic.series / SERIES_BEGUN_PER_SECOND
            for number in range(WARM_ROUNDS + math.ceil(begun / interval)):
                self._wait_until(number * interval)
                self._warm_up(_now_ms())
                self._first_round = number + 1
        for number in range(len(self._probes)):
            self._send_probe(number, PROBE_CALM)
        self._connection.answers.clear()
        self._probe_connection.answers.clear()

    def run(self) -> Sent:
        """Send everything; return the account of it."""
        probing = threading.Thread(target=self._send_probes)
        if self._probes:
            probing.start()
        began = time.monotonic()
        for round_ in self._rounds():
            for body, samples in round_:
                self._send(body, samples)
        self.sent.seconds = time.monotonic() - began
        if self._probes:
            probing.join()
        answers = self._connection.answers + self._probe_connection.answers
        self.sent.answers = dict(sorted(answers.items()))
        return self.sent

    def _warm_up(self, time_ms: int) -> None:
        for body, _ in self._workload.bodies(time_ms):
            if not self._connection.post(body):
                raise SystemExit("the first rounds were refused")

    def _wait_until(self, seconds: float) -> bool:
        """Wait until so many seconds after the beginning of all rounds; False when that is past."""
        wait = self._began + seconds - time.monotonic()
        time.sleep(max(0.0, wait))
        return wait > 0

    def _rounds(self) -> Iterator[Iterator[tuple[bytes, int]]]:
        for prepared in self._prepared:
            yield iter(prepared)
        rounds = (
            0 if self._prepared else round(self.traffic.seconds / self.traffic.interval_seconds)
        )
        for number in range(self._first_round, self._first_round + rounds):
            if not self._wait_until(number * self.traffic.interval_seconds):
                self.sent.late_rounds += 1
            yield self._workload.bodies(_now_ms())
            self._churn()
        if rounds:
            self._wait_until((self._first_round + rounds) * self.traffic.interval_seconds)

    def _send(self, body: bytes, samples: int) -> None:
        begin, attempts = time.monotonic(), self._connection.attempts
        taken = self._connection.post(body)
        self.sent.samples_attempted += samples * (self._connection.attempts - attempts)
        self.sent.response_seconds.append(round(time.monotonic() - begin, 6))
        self.sent.samples += samples
        self.sent.requests += 1
        self.sent.samples_acknowledged += samples if taken else 0

    def _churn(self) -> None:
        """Replace whole requests' series, in turn, as many as the ratio says."""
        self._renewals_owed += (
            self.traffic.churn_ratio * len(self._workload) * self.traffic.interval_seconds / 60.0
        )
        while self._renewals_owed >= 1.0:
            self._renewals_owed -= 1.0
            if self._next_renewed == 0:
                self._generation += 1
            self.sent.series_begun += self._workload.renew(self._next_renewed, self._generation)
            self._next_renewed = (self._next_renewed + 1) % len(self._workload)

    def _send_probes(self) -> None:
        """Send each probe once a second at its phase; each crosses the bound at its own time."""
        random = np.random.default_rng(3)
        count = len(self._probes)
        span = self.traffic.seconds - PROBES_BEGIN_SECONDS - PROBES_END_SECONDS
        phases = random.random(count)
        flips = PROBES_BEGIN_SECONDS + span * (np.arange(count) + random.random(count)) / count
        beats = sorted(
            (second + phases[number], number)
            for number in range(count)
            for second in range(int(self.traffic.seconds))
        )
        began = time.monotonic()
        for at, number in beats:
            wait = began + at - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            hot = at >= flips[number]
            if hot:
                self.sent.crossed_ns.setdefault(f"probe-{number}", time.time_ns())
            self._send_probe(number, PROBE_HOT if hot else PROBE_CALM)
            self.sent.samples += 1
            self.sent.samples_acknowledged += 1

    def _send_probe(self, number: int, value: float) -> None:
        if not self._probe_connection.post(self._probes[number].body(_now_ms(), np.array([value]))):
            raise SystemExit("a probe was refused")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> int:
    """Do what the one argument says."""
    order = json.loads(sys.argv[1])
    sender = Sender(order["url"], order["headers"], Traffic(**order["traffic"]))
    sender.prepare()
    print("ready", flush=True)
    if not sys.stdin.readline():
        return 1
    print(json.dumps(asdict(sender.run())), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
