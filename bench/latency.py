"""What one durable write costs while something else runs: the limit below which no journaled latency can fall."""

import os
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path

BLOCK_BYTES = 4_096
PAUSE_SECONDS = 0.1


class SyncProbe(threading.Thread):
    """Append a block and fdatasync it, ten times a second, on the disk where the servers write; a context manager."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._end = threading.Event()
        self.seconds: list[float] = []

    def __enter__(self) -> "SyncProbe":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()

    def run(self) -> None:
        """Write until told to stop."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while not self._end.wait(PAUSE_SECONDS):
                os.write(descriptor, bytes(BLOCK_BYTES))
                begin = time.perf_counter()
                os.fdatasync(descriptor)
                self.seconds.append(time.perf_counter() - begin)
        finally:
            os.close(descriptor)


def quantiles(seconds: Sequence[float], name: str) -> dict[str, float]:
    """Return p50, p99 and the largest under names that begin with `name`; nothing for fewer than two."""
    if len(seconds) < 2:
        return {}
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        f"{name}p50_seconds": cuts[49],
        f"{name}p99_seconds": cuts[98],
        f"{name}max_seconds": max(seconds),
    }
