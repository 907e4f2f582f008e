"""The rows of the table: traffic, rules, and what is to be reached beside which peer."""

from dataclasses import dataclass, replace

from bench.peers.engines import Rules
from bench.peers.measure import Row
from bench.peers.sender import Traffic

CPU = "cpu_seconds_per_million"
BYTES = "bytes_per_series"
QUICK = 0.5  # share of the seconds that a quick run takes


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of a row that is to be at most `ratio` times a peer's, or at most `limit`.

    With `beside`, that figure of our own run takes the peer's place; `limit` then holds where it is at most `small`.
    """

    row: str
    figure: str
    peer: str = ""
    ratio: float = 0.0
    limit: float = 0.0
    beside: str = ""
    small: float = 0.0


ROWS = (
    Row("threshold-10k", "10k series at 1 s, threshold", Traffic(10_000, 1.0, 20.0),
        Rules.THRESHOLD, (CPU,)),
    Row("threshold-100k", "100k series at 5 s, threshold", Traffic(100_000, 5.0, 25.0),
        Rules.THRESHOLD, (CPU,)),
    Row("four-10k", "10k series at 1 s, four rules", Traffic(10_000, 1.0, 25.0),
        Rules.FOUR, (CPU,)),
    Row("four-100k", "100k series at 5 s, four rules", Traffic(100_000, 5.0, 30.0),
        Rules.FOUR, (CPU, BYTES)),
    Row("ingest", "100k series, ingest only, flat out, one connection",
        Traffic(100_000, 1.0, flat_out=10), Rules.NONE, (CPU, "samples_per_second")),
    Row("latency", "sample to webhook, 10k series at 1 s, threshold", Traffic(10_000, 1.0, 40.0, probes=60),
        Rules.THRESHOLD, ("p50_seconds", "p99_seconds", "probes_heard",
                          "fdatasync_p50_seconds", "fdatasync_p99_seconds")),
)  # fmt: skip

GOALS = (
    Goal("threshold-10k", CPU, "prometheus", 1 / 20),
    Goal("threshold-100k", CPU, "prometheus", 1 / 20),
    Goal("four-10k", CPU, "prometheus", 1 / 40),
    Goal("four-100k", CPU, "prometheus", 1 / 40),
    Goal("four-100k", BYTES, limit=1_000.0),
    Goal("ingest", CPU, "victoria", 1 / 3),
    Goal(
        "latency",
        "p50_seconds",
        ratio=2.0,
        limit=0.005,
        beside="fdatasync_p50_seconds",
        small=0.001,
    ),
    Goal(
        "latency",
        "p99_seconds",
        ratio=3.0,
        limit=0.025,
        beside="fdatasync_p99_seconds",
        small=0.004,
    ),
)


def shortened(row: Row) -> Row:
    """Return a row with less of the same traffic."""
    traffic = row.traffic
    rounds = max(2, round(traffic.seconds * QUICK / traffic.interval_seconds))
    return replace(
        row,
        traffic=replace(
            traffic,
            seconds=max(rounds * traffic.interval_seconds, 12.0 if traffic.probes else 0.0),
            flat_out=max(1, traffic.flat_out // 2) if traffic.flat_out else 0,
            probes=traffic.probes // 2,
        ),
    )
