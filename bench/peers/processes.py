"""Processes that a bench starts: none outlives it, and each is accounted for with all that it starts."""

import http.client
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
# Below the ports that the kernel hands to clients, or one of those might be in the way.
PORTS = range(20_000, 31_000)
_TICKS = os.sysconf("SC_CLK_TCK")
# util-linux: whoever is killed takes its servers along.
TIED = ("setpriv", "--pdeathsig", "KILL")


class BenchError(Exception):
    """Report why a measurement can't be had."""


def stop_when_told() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that it stops its servers and takes its folders away."""
    signal.signal(signal.SIGTERM, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def free_port() -> int:
    """Return a loopback port that nobody has."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Process:
    """One process, its output in a file; a context manager that stops it."""

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = Path(arguments[0]).name
        self.log = log
        self.began = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*TIED, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Return its id."""
        return self._process.pid

    def check(self) -> None:
        """Raise BenchError when it has ended."""
        if self._process.poll() is not None:
            tail = self.log.read_text("utf-8", "replace")[-500:]
            raise BenchError(f"{self.name} ended with {self._process.returncode}: {tail}")

    def wait_until_up(self, port: int, path: str) -> float:
        """Wait until its own port answers anything but 503; return how long after the start that was."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            self.check()
            if listens(self.pid, port) and _answers(port, path):
                return time.monotonic() - self.began
            time.sleep(0.02)
        raise BenchError(f"{self.name} did not answer on port {port} in time")

    def stop(self) -> None:
        """Ask it to stop, then insist, and take along what it started."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nothing was left of its session


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status != 503
    except OSError:
        return False
    finally:
        connection.close()


def listens(pid: int, port: int) -> bool:
    """Return whether the process itself listens there: nothing may be sent to a server that is not ours."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    try:
        names = os.listdir(f"/proc/{pid}/fd")
        return any(os.readlink(f"/proc/{pid}/fd/{name}") in inodes for name in names)
    except OSError:
        return False


def tree(pid: int) -> list[int]:
    """Return a process and all its living descendants."""
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        found.append(parent)
        try:
            tasks = os.listdir(f"/proc/{parent}/task")
            for task in tasks:
                children = Path(f"/proc/{parent}/task/{task}/children").read_text("ascii")
                waiting.extend(int(child) for child in children.split())
        except OSError:
            continue
    return found


def cpu_seconds(processes: Sequence[Process]) -> float:
    """Return user and system time of processes with their descendants, those that have ended included."""
    ticks = 0
    for process in processes:
        for pid in tree(process.pid):
            try:
                stat = Path(f"/proc/{pid}/stat").read_text("ascii")
            except OSError:
                continue
            ticks += sum(int(field) for field in stat.rsplit(")", 1)[1].split()[11:15])
    return ticks / _TICKS


def resident_bytes(processes: Sequence[Process]) -> int:
    """Return what processes with their descendants hold in memory."""
    total = 0
    for process in processes:
        for pid in tree(process.pid):
            try:
                status = Path(f"/proc/{pid}/status").read_text("ascii")
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1_024
    return total
