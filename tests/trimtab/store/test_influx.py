"""The InfluxDB v2 sink: its lines, its patience, and a real VictoriaMetrics at the other end."""

import gzip
import json
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.domain.assessment import Assessment, FulfilmentStatus
from trimtab.domain.context import Context
from trimtab.domain.kpi import Kpi
from trimtab.domain.time import NS_PER_SECOND
from trimtab.store import influx, line_protocol
from trimtab.store.influx import InfluxSink, InfluxTarget, SinkRefused, SinkUnavailable

CONTEXT = Context("context-1", None)
KPI = Kpi(CONTEXT, "provider/vnfc/fw-0", "utilisation", 7, 5, 0.5, 10, "ratio")
ASSESSMENT = Assessment(
    CONTEXT, "acme/service/vpn", "delay", "frame_delay_p95", 7, FulfilmentStatus.NOT_FULFILLED, 1, 0.05,
    0.04, "seconds", budget_left_ratio=0.5,
)  # fmt: skip


class Meter:
    """Count what the sink reports."""

    def __init__(self) -> None:
        self.written = 0
        self.failed = 0
        self.dropped: Counter[str] = Counter()
        self.depth = 0

    def sink_written(self, sink: str, points: int) -> None:
        self.written += points

    def sink_dropped(self, sink: str, points: int, reason: str) -> None:
        self.dropped[reason] += points

    def sink_failed(self, sink: str) -> None:
        self.failed += 1

    def queue(self, name: str, depth: int) -> None:
        self.depth = depth


class FakeWriter:
    """A writer that answers by script: each entry is an exception to raise, or None to take the batch."""

    def __init__(self, script: Sequence[Exception | None] = ()) -> None:
        self.script = list(script)
        self.batches: list[list[str]] = []
        self.attempts = 0
        self.closed = False
        self.may_go = threading.Event()
        self.may_go.set()

    def write(self, lines: Sequence[str]) -> None:
        self.may_go.wait(10)
        self.attempts += 1
        answer = self.script.pop(0) if self.script else None
        if answer is not None:
            raise answer
        self.batches.append(list(lines))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def sink_to(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., InfluxSink]]:
    monkeypatch.setattr(influx, "LINGER_SECONDS", 0.01)
    opened = []

    def start(writer: Any, **limits: Any) -> InfluxSink:
        sink = InfluxSink(lambda: writer, meter, backoff_first_seconds=0.01, **limits)
        opened.append(sink)
        return sink

    yield start
    for sink in opened:
        sink.close()


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_kpi_as_a_line() -> None:
    assert line_protocol.lines([KPI]) == [
        "trimtab_kpi,kind=vnfc,kpi=utilisation,object=provider/vnfc/fw-0,tenant=provider,unit=ratio"
        " value=0.5,samples=10i,suspect=false 7"
    ]


def test_an_assessment_as_a_line() -> None:
    assert line_protocol.lines([ASSESSMENT]) == [
        "trimtab_assessment,kind=service,kpi=frame_delay_p95,object=acme/service/vpn,objective=delay,"
        "tenant=acme,unit=seconds observed=0i,compliance=-1i,value=0.05,bound=0.04,"
        "budget_left_ratio=0.5,suspect=false 7"
    ]


def test_what_is_absent_has_no_field_and_a_kpi_without_value_no_line() -> None:
    unknown = replace(
        ASSESSMENT, value=None, budget_left_ratio=None, observed=FulfilmentStatus.INDETERMINATE
    )
    assert line_protocol.lines([replace(KPI, value=None), "something else"]) == []
    (line,) = line_protocol.lines([unknown])
    assert "observed=-1i" in line
    assert " value=" not in line
    assert ",value=" not in line
    assert "budget" not in line


def test_a_whole_number_stays_a_float() -> None:
    (line,) = line_protocol.lines([replace(ASSESSMENT, bound=1)])
    assert "bound=1.0," in line


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_tags_are_escaped_as_influxdb_client_does(text: str) -> None:
    from influxdb_client.client.write.point import Point

    theirs = Point("m").tag("t", text).field("f", 1).time(7).to_line_protocol()
    assert f"m,t={line_protocol.tag_value(text)} f=1i 7" == theirs


def test_a_line_break_does_not_start_a_point() -> None:
    assert "\n" not in line_protocol.tag_value("a\nb,c=d e\\")


def test_batches_are_bounded(
    sink_to: Callable[..., InfluxSink], meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influx, "POINTS_PER_WRITE_MAX", 100)
    writer = FakeWriter()
    sink = sink_to(writer)
    sink.apply(3, 0, [KPI] * 250)
    assert eventually(lambda: meter.written == 250)
    assert [len(batch) for batch in writer.batches] == [100, 100, 50]
    assert sink.position() == 3
    sink.close()
    assert writer.closed
    assert not meter.dropped


def test_it_tries_again_until_it_is_taken(sink_to: Callable[..., InfluxSink], meter: Meter) -> None:
    writer = FakeWriter([SinkUnavailable("down"), SinkUnavailable("busy", 0.02), None])
    sink = sink_to(writer)
    sink.apply(1, 0, [KPI, ASSESSMENT])
    assert eventually(lambda: meter.written == 2)
    assert (meter.failed, writer.attempts) == (2, 3)
    assert sink.trouble == ""
    assert not meter.dropped


def test_a_refused_batch_is_dropped_and_the_next_one_goes(
    sink_to: Callable[..., InfluxSink], meter: Meter
) -> None:
    writer = FakeWriter([SinkRefused("field type conflict")])
    sink = sink_to(writer)
    sink.apply(1, 0, [KPI])
    assert eventually(lambda: meter.dropped["refused"] == 1)
    assert "conflict" in sink.trouble
    sink.apply(2, 0, [ASSESSMENT])
    assert eventually(lambda: meter.written == 1)


def test_a_fault_of_ours_costs_a_batch_and_not_the_thread(
    sink_to: Callable[..., InfluxSink], meter: Meter
) -> None:
    sink = sink_to(FakeWriter([RuntimeError("a bug")]))
    sink.apply(1, 0, [KPI])
    assert eventually(lambda: meter.dropped["error"] == 1)
    sink.apply(2, 0, [KPI])
    assert eventually(lambda: meter.written == 1)


def test_a_full_queue_loses_the_oldest_and_counts_them(
    sink_to: Callable[..., InfluxSink], meter: Meter
) -> None:
    writer = FakeWriter()
    writer.may_go.clear()
    sink = sink_to(writer, points_waiting_max=10)
    sink.apply(1, 0, [replace(KPI, end_ns=-1)])
    assert eventually(lambda: not sink._waiting)  # the writer's hands are full
    sink.apply(2, 0, [replace(KPI, end_ns=time_ns) for time_ns in range(25)])
    assert meter.dropped["queue_full"] == 15
    assert meter.depth == 10
    writer.may_go.set()
    assert eventually(lambda: meter.written == 11)
    times = [int(line.rsplit(" ", 1)[1]) for batch in writer.batches for line in batch]
    assert times == [-1, *range(15, 25)]


def test_closing_gives_up_in_time_and_counts_what_is_lost(
    sink_to: Callable[..., InfluxSink], meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influx, "CLOSE_WITHIN_SECONDS", 0.2)
    writer = FakeWriter([SinkUnavailable("down", 60.0)] * 100)
    sink = sink_to(writer)
    sink.apply(1, 0, [KPI])
    assert eventually(lambda: writer.attempts == 1)
    sink.apply(2, 0, [KPI, KPI])
    begin = time.monotonic()
    sink.close()
    assert time.monotonic() - begin < 5
    assert meter.dropped["closed"] == 3
    assert writer.closed


def test_closing_delivers_what_waits(sink_to: Callable[..., InfluxSink], meter: Meter) -> None:
    writer = FakeWriter([SinkUnavailable("down")])
    sink = sink_to(writer)
    sink.apply(1, 0, [KPI] * 7)
    sink.close()
    assert meter.written == 7


def test_the_token_is_never_shown() -> None:
    assert "hush" not in repr(InfluxTarget("http://localhost:1", "b", token="hush"))


@pytest.fixture
def answering() -> Iterator[tuple[str, list[Any], list[tuple[int, dict[str, str]]]]]:
    """A fake server: takes what is posted and answers from a list, 204 when that is empty."""
    posted: list[Any] = []
    answers: list[tuple[int, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.path, dict(self.headers), body))
            status, headers = answers.pop(0) if answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", posted, answers
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.parametrize(
    "status, raised",
    [
        (400, SinkRefused),
        (413, SinkRefused),
        (401, SinkUnavailable),
        (404, SinkUnavailable),
        (429, SinkUnavailable),
        (500, SinkUnavailable),
        (503, SinkUnavailable),
    ],
)
def test_what_a_status_means(answering: Any, status: int, raised: type[Exception]) -> None:
    url, _, answers = answering
    writer = influx.InfluxWriter(InfluxTarget(url, "bucket"))
    answers.append((status, {"Retry-After": "7"}))
    try:
        with pytest.raises(raised, match=str(status)) as caught:
            writer.write(["m f=1 1"])
    finally:
        writer.close()
    if isinstance(caught.value, SinkUnavailable):
        assert caught.value.retry_after_seconds == 7


def test_what_is_sent(answering: Any) -> None:
    url, posted, _ = answering
    writer = influx.InfluxWriter(InfluxTarget(url, "assurance", "site", "hush"))
    writer.write(["m f=1 1", "m f=2 2"])
    writer.close()
    ((path, headers, body),) = posted
    parts = urllib.parse.urlsplit(path)
    assert parts.path == "/api/v2/write"
    query = urllib.parse.parse_qs(parts.query)
    assert (query["bucket"], query["org"], query["precision"]) == (["assurance"], ["site"], ["ns"])
    assert headers["Authorization"] == "Token hush"
    assert gzip.decompress(body) == b"m f=1 1\nm f=2 2"


def test_nobody_listens(free_port: int) -> None:
    writer = influx.InfluxWriter(InfluxTarget(f"http://127.0.0.1:{free_port}", "b"))
    with pytest.raises(SinkUnavailable, match="refused"):
        writer.write(["m f=1 1"])
    writer.close()


@pytest.fixture
def victoria(tmp_path: Path, free_port: int) -> Iterator[str]:
    binary = shutil.which("victoria-metrics")
    if binary is None:
        pytest.skip("no victoria-metrics: apt-get install victoria-metrics")
    url = f"http://127.0.0.1:{free_port}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"-httpListenAddr=127.0.0.1:{free_port}",
                f"-storageDataPath={tmp_path / 'data'}",
                "-search.latencyOffset=0s",
                "-memory.allowedBytes=128MB",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield url
    finally:
        process.terminate()
        process.wait(20)


def listens(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def exported(url: str, selector: str) -> list[Any]:
    query = urllib.parse.urlencode({"match[]": selector})
    with urllib.request.urlopen(f"{url}/api/v1/export?{query}", timeout=10) as answer:
        return [json.loads(line) for line in answer.read().splitlines()]


def test_a_real_victoriametrics_has_the_points_even_if_it_comes_up_later(
    victoria: str, meter: Meter
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        sink = InfluxSink.to(InfluxTarget(victoria, "assurance", token="unused"), meter)
        now = time.time_ns() // NS_PER_SECOND * NS_PER_SECOND
        for age in range(3):
            end = now - age * NS_PER_SECOND
            sink.apply(age, now, [replace(KPI, end_ns=end), replace(ASSESSMENT, end_ns=end)])
        assert eventually(lambda: meter.written == 6, 20)
        sink.close()
    assert listens(victoria)
    assert not [str(warning.message) for warning in caught]
    found: list[Any] = []

    def arrived() -> bool:
        # VictoriaMetrics shows new points once it has flushed them; it can be told to do so now.
        urllib.request.urlopen(f"{victoria}/internal/force_flush", timeout=10).close()
        found[:] = exported(victoria, "trimtab_kpi_value")
        return bool(found) and len(found[0]["values"]) == 3

    assert eventually(arrived, 20)
    (series,) = found
    assert series["values"] == [0.5, 0.5, 0.5]
    assert series["timestamps"][-1] == now // 1_000_000
    assert series["metric"]["object"] == "provider/vnfc/fw-0"
    (observed,) = exported(victoria, "trimtab_assessment_observed")
    assert observed["metric"]["tenant"] == "acme"
    assert set(observed["values"]) == {0}
