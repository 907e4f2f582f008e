"""The loop as the demo runs it: a child process with its own configuration, watched from outside like any other."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.config.lab import TOKEN_VARIABLE, VIM_PASSWORD_VARIABLE

STOP_TIMEOUT_SECONDS = 20.0
LOG_TAIL_BYTES = 4_000
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What the loop process has cost so far: CPU seconds, and its largest resident set in bytes."""

    cpu_seconds: float
    memory_bytes_max: int


class LoopProcess:
    """Start, stop, kill and measure one loop process."""

    def __init__(self, configuration: Path, log_path: Path, secrets: Mapping[str, str]) -> None:
        self.configuration = configuration
        self.log_path = log_path
        self._secrets = dict(secrets)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the process; its output goes to the log file."""
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "trimtab", "run", "--config", str(self.configuration), "--lab",
                stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **self._secrets, **(environment or {})},
                preexec_fn=_die_with_parent,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        """Return whether the process lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Return the process's id; 0 before it was started."""
        return self._process.pid if self._process else 0

    async def stop(self) -> None:
        """Ask it to stop, then insist."""
        if self._process is None or self._process.returncode is not None:
            return
        self.ask_to_stop()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_SECONDS)
        except TimeoutError:
            await self.kill()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and wait for nothing."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def wait(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        return await self._process.wait() if self._process else 0

    def usage(self) -> ProcessUsage:
        """Read what it has cost from /proc; zeros once it is gone."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        except OSError:
            return ProcessUsage(0.0, 0)
        fields = stat.rsplit(")", 1)[1].split()
        ticks = int(fields[11]) + int(fields[12])
        peak = next(
            (line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB"
        )
        return ProcessUsage(ticks / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) * 1_024)

    def log_tail(self) -> str:
        """Return the end of what it wrote."""
        try:
            return self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""


def secrets_of(token: str, state: Mapping[str, Any]) -> dict[str, str]:
    """Return what the lab's configuration expects in the environment."""
    return {TOKEN_VARIABLE: token, VIM_PASSWORD_VARIABLE: str(state["vim"]["password"])}


def _die_with_parent() -> None:
    """Have the kernel end the loop should the demo be killed: no process may be left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
