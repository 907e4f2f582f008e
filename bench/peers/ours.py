"""The trimtab.yaml and the policy under which Trimtab does the same work as its peers."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from bench.peers.workload import METRIC, PROBE_METRIC

if TYPE_CHECKING:
    from bench.peers.engines import Order

TOKEN_VARIABLE = "TRIMTAB_BENCH_TOKEN"
TOKEN = "bench-token-of-this-run-only"
PROBE_SYMPTOM = "probe-hot"


def configuration(order: "Order", *, port: int, directory: Path) -> str:
    """Return trimtab.yaml for an order: the same rules on every series as the peers have."""
    document: dict[str, Any] = {
        "format": 1,
        "tenants": [],
        "loop": {"cadence": "1s", "snapshot_every": "10m"},
        "store": {"directory": str(directory)},
        "api": {
            "port": port,
            "tokens": [
                {"name": "bench", "token_env": TOKEN_VARIABLE, "scopes": ["read", "ingest", "metrics"]}
            ],
        },
        "kpi_defaults": {
            "granularity": f"{order.interval_seconds:g}s",
            # Two intervals, as a sample that comes a little late would leave a window of one empty.
            "window": f"{2 * order.interval_seconds:g}s",
        },
        "kpis": list(_kpis(order)),
        "conditions": list(_conditions(order)),
        "bindings": [{"match": {"job": "vnf"}, "object": "provider/vnfc/{vnfc}"}],
        "collectors": [{"kind": "remote_write", "name": "bench"}],
        "actuators": [
            {"kind": "webhook", "name": "people", "url": f"http://127.0.0.1:{order.sink_port}/"}
        ],
        "actions": {"notify": "people", "hand_over": "people"},
        "policies": {"paths": ["policy.yaml"], "profile": "production"},
    }  # fmt: skip
    text = StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(document, text)
    return text.getvalue()


def _measures(order: "Order") -> Iterator[tuple[str, str, dict[str, str]]]:
    for number in range(order.per_vnfc):
        yield f"kpi_{number:03d}", METRIC, {"kpi": f"kpi_{number:03d}"}
    yield "probe", PROBE_METRIC, {}


def _kpis(order: "Order") -> Iterator[dict[str, Any]]:
    if order.rules == "none":
        return
    for name, series, where in _measures(order):
        kpi = {"name": name, "of": "vnfc", "series": series, "statistic": "last", "unit": "percent"}
        yield {**kpi, "where": where}
        if order.rules == "four":
            mean = {**kpi, "statistic": "mean", "where": where}
            yield {**mean, "name": f"{name}_1m", "window": "1m"}
            yield {**mean, "name": f"{name}_5m", "window": "5m"}


def _conditions(order: "Order") -> Iterator[dict[str, Any]]:
    if order.rules == "none":
        return
    for name, _, _ in _measures(order):
        symptom = PROBE_SYMPTOM if name == "probe" else "hot"
        base = {"of": "vnfc", "symptom": symptom}
        yield {**base, "name": f"{name}-threshold", "kpi": name, "at_most": 90.0}
        if order.rules == "four":
            yield {
                **base,
                "name": f"{name}-held",
                "kpi": name,
                "at_most": 95.0,
                "raise_after": "3s",
            }
            yield {**base, "name": f"{name}-burn-1m", "kpi": f"{name}_1m", "at_most": 85.0}
            yield {**base, "name": f"{name}-burn-5m", "kpi": f"{name}_5m", "at_most": 85.0}


def policy() -> str:
    """Return the policy that tells the webhook of every probe that is beyond its bound."""
    return f"""format: 1
policy: tell-of-probes
description: Tell the webhook at once.
mode: enforce
priority: 5
when: cause.symptom == "{PROBE_SYMPTOM}"
for: now
do:
  - notify: {{}}
guard: {{cooldown: notify, actions_per_hour: 1000, concurrency: 100, blast_radius: 1000, confidence: 0.0}}
verify:
  expect: target.healthy
  settle: heal
  hold: short
  within: heal
"""
