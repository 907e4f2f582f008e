"""The servers that are compared, each as it would be run for this work, tuned for speed where that can be tuned.

Prometheus and vmalert evaluate as often as samples come; Alertmanager neither groups nor waits.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bench.peers.ours import TOKEN, TOKEN_VARIABLE, configuration, policy
from bench.peers.processes import Process, free_port
from bench.peers.workload import METRIC, PROBE_METRIC

INGEST_PATH = "/ingest/bench/api/v1/write"
APT = "apt-get install prometheus prometheus-alertmanager victoria-metrics"


class Rules(StrEnum):
    """Say what is evaluated: nothing, one threshold, or four rules on every series."""

    NONE = "none"
    THRESHOLD = "threshold"
    FOUR = "four"


@dataclass(frozen=True, slots=True)
class Order:
    """What an engine is to do: how many series come how often, under which rules, alerting to which port."""

    series: int
    interval_seconds: float
    rules: Rules
    sink_port: int
    per_vnfc: int = 10


@dataclass(slots=True)
class Running:
    """A started engine: its servers, where to write, and how long it took until it answered."""

    processes: list[Process]
    url: str
    start_seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    port: int = 0


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine by name; `programs` are what it needs on the PATH."""

    name: str
    title: str
    programs: tuple[str, ...]
    start: Callable[[Path, Order, ExitStack], Running]

    def missing(self) -> list[str]:
        """Return which programs are not there."""
        return [name for name in self.programs if shutil.which(name) is None]


def _alert_rules(order: Order) -> str:
    """Return the rules in the format that Prometheus and vmalert share."""
    metric = f'{{__name__=~"{METRIC}|{PROBE_METRIC}"}}'
    rules = [("Threshold", f"{metric} > 90", 0)]
    if order.rules is Rules.FOUR:
        mean = f"avg_over_time({metric}[%s])"
        rules += [
            ("Held", f"{metric} > 95", 3),
            ("Burn", f"{mean % '1m'} > 85 and {mean % '5m'} > 85", 0),
            ("Z", f"abs({metric} - {mean % '1m'}) > 6 * stddev_over_time({metric}[1m])", 0),
        ]
    if order.rules is Rules.NONE:
        return "groups: []\n"
    lines = [f"groups:\n- name: bench\n  interval: {order.interval_seconds:g}s\n  rules:\n"]
    for name, expression, held in rules:
        lines.append(f"  - alert: {name}\n    expr: '{expression}'\n    for: {held}s\n")
    return "".join(lines)


def _alertmanager(folder: Path, order: Order, stack: ExitStack) -> tuple[Process, int]:
    port = free_port()
    (folder / "alertmanager.yml").write_text(
        "route: {receiver: sink, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}\n"
        "receivers:\n- name: sink\n  webhook_configs:\n"
        f"  - {{url: 'http://127.0.0.1:{order.sink_port}/', send_resolved: false, max_alerts: 0}}\n",
        "utf-8",
    )
    process = stack.enter_context(
        Process(
            ["prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml",
             f"--storage.path={folder}/alertmanager", f"--web.listen-address=127.0.0.1:{port}",
             "--cluster.listen-address=", "--log.level=error"],
            folder / "alertmanager.log",
        )
    )  # fmt: skip
    process.wait_until_up(port, "/-/ready")
    return process, port


def start_prometheus(folder: Path, order: Order, stack: ExitStack) -> Running:
    """Start Prometheus as a remote-write receiver with Alertmanager behind it."""
    alertmanager, alert_port = _alertmanager(folder, order, stack)
    (folder / "rules.yml").write_text(_alert_rules(order), "utf-8")
    (folder / "prometheus.yml").write_text(
        f"global: {{evaluation_interval: {order.interval_seconds:g}s, scrape_interval: 1h}}\n"
        f"rule_files: ['{folder}/rules.yml']\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alert_port}']}}]}}]}}\n",
        "utf-8",
    )
    port = free_port()
    server = stack.enter_context(
        Process(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
             f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
             "--rules.alert.resend-delay=30s", "--log.level=error"],
            folder / "prometheus.log",
        )
    )  # fmt: skip
    seconds = server.wait_until_up(port, "/-/ready")
    return Running([server, alertmanager], f"http://127.0.0.1:{port}/api/v1/write", seconds)


def start_victoria(folder: Path, order: Order, stack: ExitStack) -> Running:
    """Start VictoriaMetrics, vmalert where there are rules, and Alertmanager."""
    alertmanager, alert_port = _alertmanager(folder, order, stack)
    (folder / "rules.yml").write_text(_alert_rules(order), "utf-8")
    port, vmalert_port = free_port(), free_port()
    server = stack.enter_context(
        Process(
            ["victoria-metrics", f"-storageDataPath={folder}/victoria", f"-httpListenAddr=127.0.0.1:{port}",
             "-search.latencyOffset=0s", "-search.cacheTimestampOffset=0s",
             "-search.maxUniqueTimeseries=3000000", "-search.maxSamplesPerQuery=2000000000",
             "-search.maxQueryDuration=120s", "-search.maxSeries=3000000", "-loggerLevel=ERROR",
             "-retentionPeriod=1d"],
            folder / "victoria.log",
        )
    )  # fmt: skip
    seconds = server.wait_until_up(port, "/health")
    processes = [server, alertmanager]
    if order.rules is not Rules.NONE:
        vmalert = stack.enter_context(
            Process(
                ["vmalert", f"-datasource.url=http://127.0.0.1:{port}",
                 f"-notifier.url=http://127.0.0.1:{alert_port}", f"-rule={folder}/rules.yml",
                 f"-evaluationInterval={order.interval_seconds:g}s",
                 f"-httpListenAddr=127.0.0.1:{vmalert_port}", "-loggerLevel=ERROR"],
                folder / "vmalert.log",
            )
        )  # fmt: skip
        vmalert.wait_until_up(vmalert_port, "/health")
        processes.append(vmalert)
    return Running(processes, f"http://127.0.0.1:{port}/api/v1/write", seconds)


def start_trimtab(folder: Path, order: Order, stack: ExitStack) -> Running:
    """Start `trimtab run`: journal, machines, read model, history and API in one process."""
    port = free_port()
    text = configuration(order, port=port, directory=folder / "trimtab")
    (folder / "trimtab.yaml").write_text(text, "utf-8")
    (folder / "policy.yaml").write_text(policy(), "utf-8")
    server = stack.enter_context(
        Process(
            [sys.executable, "-m", "trimtab", "run", "--config", str(folder / "trimtab.yaml")],
            folder / "trimtab.log",
            {TOKEN_VARIABLE: TOKEN},
        )
    )
    seconds = server.wait_until_up(port, "/healthz")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return Running([server], f"http://127.0.0.1:{port}{INGEST_PATH}", seconds, headers, port)


TRIMTAB = "trimtab"
ENGINES = (
    Engine(TRIMTAB, "Trimtab", (), start_trimtab),
    Engine("prometheus", "Prometheus + Alertmanager",
           ("prometheus", "prometheus-alertmanager"), start_prometheus),
    Engine("victoria", "VictoriaMetrics + vmalert",
           ("victoria-metrics", "vmalert", "prometheus-alertmanager"), start_victoria),
)  # fmt: skip
