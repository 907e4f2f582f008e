"""The demo as a newcomer runs it: a process, real packets, a file of facts, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

RUN_SECONDS = 150


def start_demo(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "trimtab", "demo", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of all processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def until_no_process_of(folder: Path, seconds: float = 15.0) -> list[str]:
    until = time.monotonic() + seconds
    while time.monotonic() < until and processes_of(folder):
        time.sleep(0.2)
    return processes_of(folder)


def test_heal_and_migrate_are_verified_and_told_to_machines(tmp_path: Path) -> None:
    facts_path = tmp_path / "facts.json"
    demo = start_demo(
        "--faults",
        "crash,noisy_host",
        "--json",
        str(facts_path),
        "--directory",
        str(tmp_path / "run"),
    )
    output, _ = demo.communicate(timeout=RUN_SECONDS)
    assert demo.returncode == 0, output
    facts = json.loads(facts_path.read_text(encoding="utf-8"))
    rows = [(row["kind"], row["target"], row["verdict"]) for row in facts["faults"]]
    assert rows == [("crash", "fw-0", "EFFECTIVE"), ("noisy_host", "host-2", "EFFECTIVE")]
    for row in facts["faults"]:
        order = [row["injected_at"], row["detected_at"], row["acted_at"], row["verified_at"]]
        assert order == sorted(order)
        assert row["recovered_at"] > row["injected_at"]
    assert "process-gone" in facts["faults"][0]["cause"]
    assert {service["status"] for service in facts["services"]} == {"FULFILLED"}
    assert all(service["sla_seconds_lost"] >= 0 for service in facts["services"])
    assert until_no_process_of(tmp_path / "run") == []


@pytest.mark.parametrize("after_seconds", [1.0, 8.0])
def test_interrupted_at_any_moment_nothing_stays(tmp_path: Path, after_seconds: float) -> None:
    facts_path = tmp_path / "facts.json"
    demo = start_demo("--json", str(facts_path), "--directory", str(tmp_path / "run"))
    time.sleep(after_seconds)
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does it: to every process of the group
    output, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130, output
    assert until_no_process_of(tmp_path / "run") == []
    assert not facts_path.exists()
    assert list(tmp_path.glob(".facts.json*")) == []
