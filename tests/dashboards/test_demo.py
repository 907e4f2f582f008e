"""Every query of every dashboard, on a real Prometheus that watched the whole demo: lab, fault, heal, verification."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN = "dashboards-of-the-demo"
HOLDS_WITHIN_SECONDS = 180.0
STOPS_WITHIN_SECONDS = 30.0
SCRAPES_AFTER_SECONDS = 2.0


@dataclass
class Demo:
    """A running `trimtab demo --hold` and what it has printed."""

    process: subprocess.Popen[str]
    port: int
    printed: list[str]
    lines: "queue.Queue[str | None]"

    def wait_until(self, beginning: str) -> None:
        """Return once a line begins like that; fail with all that was printed when none does in time."""
        deadline = time.monotonic() + HOLDS_WITHIN_SECONDS
        while time.monotonic() < deadline:
            try:
                line = self.lines.get(timeout=1.0)
            except queue.Empty:
                continue
            if line is None:
                break
            self.printed.append(line)
            if line.startswith(beginning):
                return
        pytest.fail(f"the demo never said {beginning!r}:\n{''.join(self.printed)}")


def _read(stream: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


@pytest.fixture(scope="module")
def demo(module_port_of: Callable[[], int]) -> Iterator[Demo]:
    port = module_port_of()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "trimtab", "demo", "--hold", "--faults", "crash",
            "--token", TOKEN, "--port", str(port),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, lines))
    reader.start()
    try:
        yield Demo(process, port, [], lines)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOPS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOPS_WITHIN_SECONDS)
        reader.join(STOPS_WITHIN_SECONDS)
        process.stdout.close()


@pytest.fixture(scope="module")
def exposed(demo: Demo, exposed_at: Callable[[str, str | None], Any]) -> Any:
    """Have Prometheus scrape the demo from its first moment, so that it sees every counter rise from zero."""
    return exposed_at(f"http://127.0.0.1:{demo.port}", TOKEN)


def test_every_query_finds_data_in_a_demo(
    demo: Demo, prometheus: Any, unanswered: Callable[[Any], list[str]]
) -> None:
    demo.wait_until("Holding")
    time.sleep(SCRAPES_AFTER_SECONDS)
    assert unanswered(prometheus) == []
