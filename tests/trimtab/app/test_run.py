"""`trimtab run` as a process: on this machine's own node exporter, and on wrong input."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

pytestmark = pytest.mark.alone

TOKEN = "a-token-of-the-tests"
START_SECONDS = 40.0
CONFIG = """
format: 1
kpi_defaults: {{granularity: 1s, window: 5s}}
loop: {{cadence: 500ms}}
services:
  - id: own/service/this-machine
    uses: [provider/host/me]
    objectives:
      - {{name: memory-left, kpi: memory_available, at_least: 1.0}}
kpis:
  - {{name: memory_available, of: service, series: node_memory_MemAvailable_bytes, statistic: last, unit: bytes}}
  - {{name: answers, of: host, series: up, statistic: max, unit: ratio}}
conditions:
  - {{name: answers, of: host, kpi: answers, at_least: 1.0, symptom: unreachable}}
bindings:
  - {{match: {{__name__: up}}, object: provider/host/me}}
  - {{match: {{__name__: node_memory_MemAvailable_bytes}}, object: own/service/this-machine}}
collectors:
  - kind: prometheus
    name: node
    static: [{{targets: ["127.0.0.1:{exporter}"]}}]
    interval_seconds: 1.0
    keep: "node_memory_MemAvailable_bytes|up"
actuators:
  - {{kind: record, name: notes, path: {notes}}}
actions: {{heal: notes, migrate: notes, scale_out: notes, hand_over: notes, notify: notes}}
policies: {{profile: {profile}}}
api: {{port: {port}, tokens: [{{name: noc, token_env: TRIMTAB_TEST_TOKEN, scopes: [read, operate, metrics]}}]}}
store: {{directory: {store}}}
"""


def write_config(
    folder: Path, port: int, exporter: int, profile: str = "production", store: str = "store"
) -> Path:
    path = folder / "trimtab.yaml"
    text = CONFIG.format(
        exporter=exporter, notes=folder / "notes.jsonl", profile=profile, port=port, store=store
    )
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def running(path: Path) -> "Iterator[subprocess.Popen[bytes]]":
    log = path.with_suffix(".log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "trimtab", "run", "--config", str(path)],
        env={**os.environ, "TRIMTAB_TEST_TOKEN": TOKEN}, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            log.close()


def ask(port: int, path: str) -> httpx2.Response:
    return httpx2.get(
        f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5
    )


def until(port: int, path: str, holds: "object", seconds: float = START_SECONDS) -> httpx2.Response:
    """Ask until a predicate holds of the answer; fail with the last answer."""
    last: object = None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            answer = ask(port, path)
            if holds(answer):  # type: ignore[operator]
                return answer
            last = answer.text
        except httpx2.HTTPError as error:
            last = error
        time.sleep(0.2)
    pytest.fail(f"{path}: {last}")


def refused(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trimtab", "run", "--config", str(path)],
        env={**os.environ, "TRIMTAB_TEST_TOKEN": TOKEN}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def exporter(free_port: int) -> Iterator[int]:
    """Run Debian's own node exporter."""
    command = shutil.which("prometheus-node-exporter")
    if command is None:
        pytest.skip("apt-get install prometheus-node-exporter")
    process = subprocess.Popen(
        [command, f"--web.listen-address=127.0.0.1:{free_port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield free_port
    process.kill()
    process.wait()


@pytest.fixture
def api_port() -> int:
    """Return a free port for the API."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_this_machines_own_kpis_are_assessed(tmp_path: Path, exporter: int, api_port: int) -> None:
    path = write_config(tmp_path, api_port, exporter)
    with running(path):
        answer = until(
            api_port,
            "/api/v1/services",
            lambda a: [s["status"] for s in a.json()["items"]] == ["FULFILLED"],
        )
        (objective,) = answer.json()["items"][0]["objectives"]
        assert objective["assessment"]["value"] > 1_000_000
        assert objective["assessment"]["unit"] == "bytes"
        figures = ask(api_port, "/metrics").text
        assert "trimtab_objective_value" in figures
        for name in ("trimtab_loop_series", "trimtab_journal_size_bytes"):
            (line,) = [line for line in figures.splitlines() if line.startswith(f"{name} ")]
            assert float(line.split()[1]) > 0, line
        assert httpx2.get(f"http://127.0.0.1:{api_port}/api/v1/services").status_code == 401


def test_what_was_known_is_known_after_a_restart(
    tmp_path: Path, exporter: int, api_port: int
) -> None:
    path = write_config(tmp_path, api_port, exporter)
    with running(path) as process:
        until(api_port, "/readyz", lambda a: a.status_code == 200)
        assert httpx2.post(
            f"http://127.0.0.1:{api_port}/api/v1/loop/kill",
            headers={"Authorization": f"Bearer {TOKEN}"}, json={"reason": "a test"}, timeout=10,
        ).is_success  # fmt: skip
        process.kill()
        process.wait()
    with running(path):
        answer = until(api_port, "/api/v1/loop", lambda a: a.status_code == 200)
        assert answer.json()["loop"]["run_state"] == "killed"


def test_a_source_that_falls_silent_is_indeterminate(
    tmp_path: Path, exporter: int, api_port: int
) -> None:
    path = write_config(tmp_path, api_port, exporter)
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("seconds: 1.0", "seconds: 1.0\n    drop: 'node_.*'"), encoding="utf-8"
    )
    with running(path):
        until(api_port, "/readyz", lambda a: a.status_code == 200)
        time.sleep(8)
        (service,) = ask(api_port, "/api/v1/services").json()["items"]
        assert service["status"] == "INDETERMINATE"


def test_a_port_in_use_is_one_clear_message(tmp_path: Path, api_port: int) -> None:
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", api_port))
        holder.listen()
        ended = refused(write_config(tmp_path, api_port, 9))
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1] == (
        f"trimtab: 127.0.0.1:{api_port} can't be listened on: Address already in use;"
        " free it, or set api.port"
    )


def test_the_labs_timings_are_refused(tmp_path: Path, api_port: int) -> None:
    ended = refused(write_config(tmp_path, api_port, 9, profile="lab"))
    assert ended.returncode == 1
    assert "the profile `lab` shortens every timing" in ended.stderr


def test_check_prints_every_finding_and_the_resolved_timings(tmp_path: Path, api_port: int) -> None:
    path = write_config(tmp_path, api_port, 9)
    environ = {**os.environ, "TRIMTAB_TEST_TOKEN": TOKEN}
    command = [sys.executable, "-m", "trimtab", "check", str(path)]
    good = subprocess.run(
        [*command, "--json"], env=environ, capture_output=True, text=True, timeout=60
    )
    assert good.returncode == 0, good.stderr
    told = json.loads(good.stdout)
    assert told["findings"] == []
    assert {"heal-crashed-vnfc", "scale-overloaded-vnf"} <= {p["name"] for p in told["policies"]}
    path.write_text(path.read_text(encoding="utf-8").replace("kpi: answers", "kpi: anwsers"))
    bad = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert bad.returncode == 1
    assert f"{path}:14:" in bad.stderr
    assert "did you mean `answers`?" in bad.stderr


def test_a_full_disk_stops_the_loop_and_not_the_process(
    tmp_path: Path, exporter: int, api_port: int
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=112m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs root and mount(8): run as root")
    try:
        path = write_config(tmp_path, api_port, exporter, store=str(disk / "store"))
        with running(path):
            until(api_port, "/readyz", lambda a: a.status_code == 200)
            filler = disk / "filler"
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(bytes(120 << 20))
            answer = until(api_port, "/readyz", lambda a: a.status_code == 503, 20)
            assert "journal" in answer.text
            filler.unlink()
            until(api_port, "/readyz", lambda a: a.status_code == 200, 20)
            until(
                api_port,
                "/api/v1/services",
                lambda a: [s["status"] for s in a.json()["items"]] == ["FULFILLED"],
                20,
            )
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
