"""The lab as a whole: it starts fast, tells the truth, and leaves nothing behind, however it ends."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.network import Lab, LabError, read_state
from lab.ports import PortPool, PortsExhaustedError
from lab.scenario import Fault

pytestmark = pytest.mark.alone


def test_the_state_file_holds_what_others_bind_to(lab):
    state = json.loads((lab.lab.run_dir / "lab.json").read_text(encoding="utf-8"))
    assert state == lab.state
    assert state["format"] == 1
    assert [s["id"] for s in state["services"]] == [
        "acme/service/acme-vpn",
        "globex/service/globex-internet",
    ]
    assert state["services"][0]["chain"] == ["cpe-acme", "fw", "rtr"]
    assert {v["name"]: v["kind"] for v in state["vnfs"]} == {
        "cpe-acme": "customer-edge", "cpe-globex": "customer-edge", "fw": "firewall", "rtr": "router"
    }  # fmt: skip
    assert (lab.lab.run_dir / "lab.json").stat().st_mode & 0o077 == 0, "it holds the VIM's password"
    assert not list(lab.lab.run_dir.glob("*.tmp"))


def test_the_truth_is_kept_by_second_and_counts_what_was_lost(lab):
    def last(service: int) -> dict:
        return asyncio.run(lab.lab.truth())["services"][service]

    def fine(seconds: list[dict]) -> bool:
        return (
            len(seconds) > 2
            and not seconds[-1]["lost"]
            and seconds[-1]["received"] == seconds[-1]["sent"]
        )

    lab.eventually(lambda: fine(last(1)["seconds"]))
    lost = last(1)["sla_seconds_lost"], last(0)["sla_seconds_lost"]
    second = last(1)["seconds"][-1]
    assert 150 <= second["sent"] <= 250
    assert second["p95_delay_seconds"] < 0.04
    lab.inject("crash", "cpe-globex-0")
    lab.eventually(lambda: last(1)["sla_seconds_lost"] >= lost[0] + 1)
    dead = lab.eventually(lambda: (s := last(1)["seconds"][-1])["received"] == 0 and s)
    assert dead["lost"]
    assert dead["p95_delay_seconds"] is None
    assert last(0)["sla_seconds_lost"] <= lost[1] + 1, "the other tenant is untouched"
    since = dead["t"]
    recent = asyncio.run(lab.lab.truth(since))["services"][1]["seconds"]
    assert recent
    assert min(s["t"] for s in recent) >= since


def test_the_customers_rate_can_be_set(lab):
    asyncio.run(lab.lab.set_rate("globex-internet", 50.0))
    assert lab.control.get("/status").json()["traffic"]["globex/service/globex-internet"] == 50.0
    with pytest.raises(LabError):
        asyncio.run(lab.lab.set_rate("globex-internet", -1.0))
    with pytest.raises(LabError):
        asyncio.run(lab.lab.set_rate("nobody", 1.0))
    asyncio.run(lab.lab.set_rate("globex-internet", 200.0))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_supervisor_is_ended_by(number, run_dir, tree, gone):
    lab = asyncio.run(Lab.start(run_dir))
    asyncio.run(lab.inject(Fault("noisy_host", "host-2")))
    asyncio.run(lab.inject(Fault("hang", "rtr-0")))
    pids = tree(lab.state["pid"])
    os.kill(lab.state["pid"], number)
    assert gone(pids - {lab.state["pid"]})
    asyncio.run(lab.stop())
    assert gone(pids)
    assert read_state(run_dir) is None


def test_nothing_is_left_when_the_one_who_started_it_is_killed(run_dir, tree, gone):
    script = (
        "import asyncio, sys, time; from pathlib import Path; from lab.network import Lab\n"
        "lab = asyncio.run(Lab.start(Path(sys.argv[1]))); print(lab.state['pid'], flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(run_dir)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    supervisor = int(starter.stdout.readline())
    pids = tree(supervisor)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    assert gone(pids)
    assert not (run_dir / "lab.json").exists()


def test_the_command_line_brings_up_breaks_shows_and_takes_down(run_dir, tree, gone):
    run = CliRunner()
    where = ["--run-dir", str(run_dir)]
    assert run.invoke(app, ["status", *where]).exit_code == 1
    up = subprocess.run(
        [sys.executable, "-m", "lab", "up", "--detach", *where], capture_output=True, text=True
    )
    assert up.returncode == 0, up.stderr
    assert "up: pid" in up.stdout
    state = read_state(run_dir)
    assert state is not None
    pids = tree(state["pid"])
    try:
        assert run.invoke(app, ["up", *where]).exit_code == 1
        with pytest.raises(LabError, match="runs already"):
            asyncio.run(Lab.start(run_dir))
        broken = run.invoke(app, ["fault", "link_loss", "--set", "loss_ratio=0.5", *where])
        assert "link_loss on fw-rtr on" in broken.output
        assert "cleared" in run.invoke(app, ["fault", "link_loss", "--clear", *where]).output
        assert run.invoke(app, ["fault", "meteor", *where]).exit_code == 1
        shown = run.invoke(app, ["status", *where])
        assert "fw-0" in shown.output
        assert "acme/service/acme-vpn" in shown.output
        assert json.loads(run.invoke(app, ["status", "--json", *where]).output)["faults"]
    finally:
        down = run.invoke(app, ["down", *where])
    assert down.exit_code == 0
    assert gone(pids)


def test_a_port_in_use_is_passed_over():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        # Of the system's choice: one that is free for TCP may be somebody's for UDP.
        holder.bind(("127.0.0.1", 0))
        held = holder.getsockname()[1]
        pool = PortPool(held)
        assert pool.take() > held
    with pytest.raises(PortsExhaustedError):
        PortPool(held, size=0).take()
