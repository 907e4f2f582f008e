"""A real Prometheus that scraped something of Trimtab's, for the dashboards' queries.

`exposed` says what is scraped: a base URL and a token. It stands by itself here (the metrics of a scripted loop,
served on the loopback), so that the dashboards are tested without the lab; a test of the whole demo overrides it.
"""

import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from trimtab.domain.action import Action, ActionState
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.assessment import Assessment, FulfilmentStatus, Trouble
from trimtab.domain.context import Context
from trimtab.domain.decision import Decision, DecisionOutcome
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.kpi import Kpi
from trimtab.domain.policy import ActionKind
from trimtab.domain.samples import SampleBatch
from trimtab.domain.verification import Verdict, Verification
from trimtab.ports import Reading
from trimtab.telemetry import Telemetry

READY_WITHIN_SECONDS = 90.0
SCRAPES_MIN = 4


@dataclass(frozen=True)
class Exposed:
    """Where a Trimtab shows its metrics, and the token that it asks for."""

    url: str
    token: str | None = None


@dataclass(frozen=True)
class RealPrometheus:
    """A running Prometheus."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an API answer."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=10) as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        return body["data"]

    def series(self, query: str) -> list[dict[str, Any]]:
        """Return what a query yields now."""
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=query)["result"]
        return found


class ScriptedLoop:
    """A fake loop: each turn reports one heal and one frozen policy, in the words of the domain."""

    def __init__(self) -> None:
        self.telemetry = Telemetry(CollectorRegistry(), "0.0.0")
        self.telemetry.policies(["heal-crash"])
        self.turns = 0

    def turn(self) -> None:
        """Let everything happen once that a dashboard shows."""
        self.turns += 1
        name, now = f"turn-{self.turns}", time.time_ns()
        context = Context(name, None)
        self._monitoring(now)
        self.telemetry.observe(self._analysis(context, now))
        self.telemetry.observe(self._execution(context, name, now))

    def _monitoring(self, now: int) -> None:
        rows = 10
        batch = SampleBatch(
            "prometheus/vnf",
            np.zeros(rows, np.int32), np.full(rows, now), np.ones(rows), np.zeros(rows, np.uint8),
        )  # fmt: skip
        self.telemetry.reading(Reading("prometheus/vnf", batch), now)
        for machine in ("assessor", "correlator", "decider"):
            self.telemetry.step(machine, 0.001, now)
        self.telemetry.journal_appended(500)
        self.telemetry.journal_synced(0.002)
        self.telemetry.journal_size(self.turns * 500)
        self.telemetry.store_lag(2)
        self.telemetry.queue_dropped("derivation", 0)

    def _analysis(self, context: Context, now: int) -> list[Any]:
        service, vnfc = "acme/service/vpn", "provider/vnfc/fw-0"
        status = list(FulfilmentStatus)[self.turns % 3]
        delay = Assessment(
            context, service, "frame_delay_p95", "frame_delay_p95", now, status, now, 0.02, 0.04,
            "seconds", budget_left_ratio=0.9,
        )  # fmt: skip
        loss = replace(
            delay, objective="frame_loss_ratio", kpi="frame_loss_ratio", value=0.01, unit="ratio"
        )
        alarm = Alarm(
            context, f"alarm-{self.turns}", service, "frame_delay_p95", "delay",
            AlarmType.QUALITY_OF_SERVICE, "thresholdCrossed", PerceivedSeverity.MAJOR,
            AlarmState.UNACKNOWLEDGED, now, now, now, 0.1, 0.04, "seconds", "late", True,
        )  # fmt: skip
        return [
            Kpi(context, vnfc, "utilisation", now, 1, 0.5, 10, "ratio"),
            Trouble(context, vnfc, "overload", FulfilmentStatus.FULFILLED, now, now, 1.0, 0.5, 0.8),
            delay,
            loss,
            alarm,
            alarm.transition(AlarmState.CLEARED, now),
        ]

    def _execution(self, context: Context, name: str, now: int) -> list[Any]:
        incident = Incident(context, name, IncidentState.OPEN, now, now, (), (), (), ())
        action = Action(
            context, name, name, name, ActionKind.HEAL, "provider/vnfc/fw-0", "vnfm",
            ActionState.INTENDED, now, now, now,
        )  # fmt: skip
        sending = action.transition(ActionState.SENDING, now)
        accepted = sending.transition(ActionState.ACCEPTED, now)
        return [
            incident,
            Decision(
                context, name, "heal-crash", "heal.yaml:1", name, now, DecisionOutcome.ACT, 0, "", (), ()
            ),
            action,
            accepted,
            accepted.transition(ActionState.SUCCEEDED, now),
            Verification(context, name, name, name, "heal-crash", "x", now, now, Verdict.EFFECTIVE),
            replace(incident, state=IncidentState.RESOLVED),
        ]  # fmt: skip


FOLDER = Path(__file__).resolve().parent.parent.parent / "dashboards" / "json"

# What Grafana fills in, as the tests fill it in. The interval spans the whole run.
FILLED_IN = {
    "$__rate_interval": "15m",
    "$tenant": ".*",
    "$service": ".*",
    "$kpi": ".*",
}


class Board:
    """A committed dashboard and the queries in it."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.plain: dict[str, Any] = json.loads(path.read_text("utf-8"))

    def panels(self) -> list[dict[str, Any]]:
        """Return the panels that show something."""
        return [panel for panel in self.plain["panels"] if panel["type"] != "row"]

    def targets(self) -> list[tuple[str, str]]:
        """Return (where, PromQL) of every query of the panels and annotations."""
        found = [
            (f"{panel['title']} {target['refId']}", target["expr"])
            for panel in self.panels()
            for target in panel["targets"]
        ]
        annotations = self.plain["annotations"]["list"]
        return found + [(f"annotation {item['name']}", item["expr"]) for item in annotations]

    def label_values(self) -> list[tuple[str, str, str]]:
        """Return (variable, selector, label) of every variable that asks for label values."""
        found = []
        for variable in self.plain["templating"]["list"]:
            if variable["type"] == "query":
                match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
                assert match, variable
                found.append((variable["name"], match[1], match[2]))
        return found


BOARDS = [Board(path) for path in sorted(FOLDER.glob("*.json"))]


@pytest.fixture(params=BOARDS, ids=lambda board: board.name)
def board(request: pytest.FixtureRequest) -> Board:
    """Return each committed dashboard in turn."""
    found: Board = request.param
    return found


def _filled_in(expression: str) -> str:
    for name, value in FILLED_IN.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


@pytest.fixture(scope="session")
def unanswered() -> Callable[[RealPrometheus], list[str]]:
    """Return what finds every query of every dashboard for which a Prometheus has no data."""

    def ask(server: RealPrometheus) -> list[str]:
        empty = []
        for item in BOARDS:
            empty += [
                f"{where}: {query}"
                for where, query in item.targets()
                if not server.series(_filled_in(query))
            ]
            empty += [
                f"variable {name}: {selector}"
                for name, selector, label in item.label_values()
                if not server.get(
                    f"/api/v1/label/{label}/values", **{"match[]": _filled_in(selector)}
                )
            ]
        return empty

    return ask


@pytest.fixture(scope="session")
def exposed_at() -> type[Exposed]:
    """Return what a test module's own `exposed` is made with."""
    return Exposed


@pytest.fixture(scope="module")
def exposed() -> Iterator[Exposed]:
    """Serve the metrics of a scripted loop that makes one turn a scrape."""
    loop = ScriptedLoop()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            loop.turn()
            body, content_type = loop.telemetry.exposition(self.headers.get("Accept", ""))
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="exposed")
    thread.start()
    yield Exposed(f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()
    thread.join(10)


def _configuration(folder: Path, exposed: Exposed) -> Path:
    target = urllib.parse.urlsplit(exposed.url)
    scrape: dict[str, Any] = {
        "job_name": "trimtab",
        "scrape_interval": "500ms",
        "scrape_timeout": "500ms",
        "scheme": target.scheme,
        "static_configs": [{"targets": [target.netloc]}],
    }
    if exposed.token is not None:
        scrape["authorization"] = {"credentials": exposed.token}
    path = folder / "prometheus.yml"
    path.write_text(json.dumps({"scrape_configs": [scrape]}), "utf-8")  # JSON is YAML
    return path


def _await(server: RealPrometheus, query: str, enough: Callable[[float], bool]) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = last = server.series(query)
            if found and enough(float(found[0]["value"][1])):
                return
        except (urllib.error.URLError, ConnectionError) as error:
            last = error
        time.sleep(0.1)
    pytest.fail(f"Prometheus gave {last} for {query} after {READY_WITHIN_SECONDS} s")


@contextmanager
def _running(folder: Path, exposed: Exposed, port: int) -> Iterator[RealPrometheus]:
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("no prometheus: apt-get install prometheus")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={_configuration(folder, exposed)}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield RealPrometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="module")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, exposed: Exposed, module_port_of: Callable[[], int]
) -> Iterator[RealPrometheus]:
    """Return a real Prometheus that scraped `exposed` several times."""
    folder = tmp_path_factory.mktemp("prometheus")
    with _running(folder, exposed, module_port_of()) as server:
        _await(
            server,
            'count_over_time(up{job="trimtab"}[5m]) * on (job) up',
            lambda count: count >= SCRAPES_MIN,
        )
        yield server
