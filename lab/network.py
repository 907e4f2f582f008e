"""The lab from outside: start one, talk to it, stop it. For the demo, the tests and the command line."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.httpcall import CALL_TIMEOUT_SECONDS, CallError, call
from lab.scenario import Fault

STATE_FILE = "lab.json"
START_SECONDS = 40.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_root = Path(__file__).resolve().parent.parent


class LabError(Exception):
    """The lab does not start, does not run, or refuses what it was asked."""


def read_state(run_dir: Path) -> dict[str, Any] | None:
    """What `lab.json` says, if a lab that lives wrote it."""
    try:
        state = json.loads((run_dir / STATE_FILE).read_text(encoding="utf-8"))
        return dict(state) if _lives(int(state["pid"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Lab:
    """A running lab. One that was started here ends with this process; one that was attached to does not."""

    def __init__(
        self, run_dir: Path, state: dict[str, Any], process: "subprocess.Popen[bytes] | None"
    ) -> None:
        self.run_dir = run_dir
        self.state = state
        self._process = process
        self._control_port = urlsplit(state["control_url"]).port or 0

    @classmethod
    async def start(cls, run_dir: Path, seed: int = 1, base_port: int | None = None) -> "Lab":
        """Start a lab and wait until customer packets flow. LabError with a reason if it does not come up."""
        if read_state(run_dir) is not None:
            raise LabError(f"a lab runs already in {run_dir}")
        process = start_supervisor(run_dir, seed, base_port, lifeline=True)
        try:
            return cls(run_dir, await await_state(run_dir, process), process)
        except BaseException:
            _end(process)
            raise

    @classmethod
    def attach(cls, run_dir: Path) -> "Lab":
        """The lab that runs in a directory; LabError if there is none."""
        state = read_state(run_dir)
        if state is None:
            raise LabError(f"no lab runs in {run_dir}")
        return cls(run_dir, state, None)

    async def inject(self, fault: Fault) -> dict[str, Any]:
        """Inject a fault. The answer has its id, the target that was hit, and `injected_at`."""
        body = {**fault.parameters, "kind": fault.kind, "target": fault.target}
        return await self._call("POST", "/faults", body)

    async def clear(self, identifier: str) -> dict[str, Any]:
        """Take a fault back."""
        return await self._call("DELETE", f"/faults/{identifier}")

    async def faults(self) -> list[dict[str, Any]]:
        """All faults that were injected."""
        return list((await self._call("GET", "/faults"))["faults"])

    async def truth(self, since: int = 0) -> dict[str, Any]:
        """What the customers really got, seconds from `since` (Unix time) on."""
        return await self._call("GET", f"/truth?since={since}")

    async def status(self) -> dict[str, Any]:
        """What runs where."""
        return await self._call("GET", "/status")

    async def set_rate(self, service: str, rate: float) -> None:
        """Set a service's customer rate in packets/s."""
        await self._call("POST", "/traffic", {"service": service, "rate": rate})

    async def stop(self) -> None:
        """Stop the lab and wait until nothing of it is left."""
        if self._process is not None:
            await asyncio.to_thread(_end, self._process)
            (self.run_dir / STATE_FILE).unlink(missing_ok=True)
            return
        pid = int(self.state["pid"])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while read_state(self.run_dir) is not None or _lives(pid):
            if time.monotonic() > deadline:
                raise LabError(f"the lab (pid {pid}) does not end")
            await asyncio.sleep(_POLL_SECONDS)

    async def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            status, answer = await call(
                method, self._control_port, path, body, within=2 * CALL_TIMEOUT_SECONDS
            )
        except CallError as error:
            raise LabError(str(error)) from error
        if status >= 400:
            raise LabError(str(answer.get("detail", answer)))
        return dict(answer)


def start_supervisor(
    run_dir: Path, seed: int, base_port: int | None, *, lifeline: bool
) -> "subprocess.Popen[bytes]":
    """Start the supervisor in a session of its own. With `lifeline` it ends when the pipe to it closes."""
    command = [
        sys.executable,
        "-m",
        "lab.supervisor",
        "--run-dir",
        str(run_dir.resolve()),
        "--seed",
        str(seed),
    ]
    if base_port is not None:
        command += ["--base-port", str(base_port)]
    if lifeline:
        command.append("--lifeline")
    logs = run_dir / "log"
    logs.mkdir(parents=True, exist_ok=True)
    (run_dir / STATE_FILE).unlink(missing_ok=True)
    with open(logs / "supervisor.log", "wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=_root,
            start_new_session=True,
        )


async def await_state(run_dir: Path, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """Wait for the state file of a supervisor that was just started; LabError with its reason if it ends instead."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = read_state(run_dir)
        if state is not None:
            return state
        if process.poll() is not None:
            last = (run_dir / "log" / "supervisor.log").read_text(
                encoding="utf-8", errors="replace"
            )
            raise LabError(last.strip().rpartition("\n")[2] or "the lab ended at its start")
        await asyncio.sleep(_POLL_SECONDS)
    raise LabError(f"the lab did not come up within {START_SECONDS:.0f} s")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet reaped does not."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
            != "Z"
        )
    except OSError:
        return False
