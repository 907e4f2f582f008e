"""A sink that sends KPIs and assessments to whatever speaks the InfluxDB v2 write API (InfluxDB, VictoriaMetrics).

A thread of its own takes lines from a bounded queue and writes them in batches through influxdb-client's synchronous
API (its batching one has timers, hidden retries and exit hooks of its own). What can't be delivered now is tried again
with growing pauses; what the queue can't hold, or the server refuses for good, is dropped and counted. Writing a point
twice changes nothing: a point is its series and its time. Nothing here ever holds the loop up.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trimtab.errors import StoreError
from trimtab.store import line_protocol

log = logging.getLogger("trimtab.influx")

POINTS_WAITING_MAX = 100_000
POINTS_PER_WRITE_MAX = 5_000
LINGER_SECONDS = 1.0  # how long a small batch waits for more
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MAX_SECONDS = 30.0
RETRY_AFTER_MAX_SECONDS = 120.0
CLOSE_WITHIN_SECONDS = 5.0
DETAIL_CHARACTERS_MAX = 300

# Everything else below 500 says that this batch will never be taken.
_WORTH_ANOTHER_TRY = frozenset({401, 403, 404, 408, 425, 429})


class SinkMeter(Protocol):
    """Who counts; trimtab.telemetry.Telemetry does."""

    def sink_written(self, sink: str, points: int) -> None:
        """Count points that a sink took."""
        ...

    def sink_dropped(self, sink: str, points: int, reason: str) -> None:
        """Count points that never reached a sink."""
        ...

    def sink_failed(self, sink: str) -> None:
        """Count a write that failed; it may be tried again."""
        ...

    def queue(self, name: str, depth: int) -> None:
        """Show how many items wait in a queue."""
        ...


class SinkUnavailable(StoreError):
    """The server can't take the batch now; it may later. `retry_after_seconds` if it said when."""

    def __init__(self, detail: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class SinkRefused(StoreError):
    """The server will never take this batch."""


class LineWriter(Protocol):
    """Delivers lines, or raises SinkUnavailable or SinkRefused."""

    def write(self, lines: Sequence[str]) -> None:
        """Deliver a batch."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Target(Protocol):
    """Where to write, whoever holds it; the configuration's own setting fits."""

    @property
    def url(self) -> str:
        """Return the server's base URL."""
        ...

    @property
    def bucket(self) -> str:
        """Return the bucket, or for InfluxDB 1.8 `database/policy`."""
        ...

    @property
    def organisation(self) -> str:
        """Return the organisation; empty where the server knows none."""
        ...

    @property
    def token(self) -> str:
        """Return the secret; empty where none is asked for."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """Return how long one write may take."""
        ...


@dataclass(frozen=True, slots=True)
class InfluxTarget:
    """A target in one value. `token` is a secret: it comes from a file or the environment and is never shown."""

    url: str
    bucket: str
    organisation: str = ""
    token: str = ""
    timeout_seconds: float = 10.0

    def __repr__(self) -> str:
        return f"InfluxTarget({self.url!r}, bucket={self.bucket!r})"


class InfluxWriter:
    """Write through influxdb-client, nanosecond precision, compressed."""

    def __init__(self, target: Target) -> None:
        # Over a second to import: paid in the sink's thread, and only where a sink is configured.
        from influxdb_client.client.influxdb_client import InfluxDBClient
        from influxdb_client.client.write_api import SYNCHRONOUS
        from influxdb_client.rest import ApiException
        from urllib3.exceptions import HTTPError
        from urllib3.util import Retry

        self._target = target
        self._api_error: type[Exception] = ApiException
        self._transport_errors: tuple[type[Exception], ...] = (HTTPError, OSError)
        self._client = InfluxDBClient(
            url=target.url,
            token=target.token,
            org=target.organisation,
            timeout=int(target.timeout_seconds * 1_000),
            enable_gzip=True,
            retries=Retry(0, redirect=0),  # how often, and when, is ours to say
        )
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, lines: Sequence[str]) -> None:
        """Deliver a batch. Raises SinkUnavailable or SinkRefused."""
        try:
            self._api.write(bucket=self._target.bucket, record="\n".join(lines))
        except self._transport_errors as error:
            raise SinkUnavailable(_short(error)) from error
        except self._api_error as error:
            raise _verdict(error) from error

    def close(self) -> None:
        """Let go of connections."""
        self._api.close()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]


def _verdict(error: Exception) -> SinkUnavailable | SinkRefused:
    """Say whether the same batch may be taken another time, by the HTTP status."""
    status = int(getattr(error, "status", 0) or 0)
    detail = f"HTTP {status}: {_short(getattr(error, 'message', None) or error)}"
    if 400 <= status < 500 and status not in _WORTH_ANOTHER_TRY:
        return SinkRefused(detail)
    headers = getattr(error, "headers", None) or {}
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return SinkUnavailable(detail)
    return SinkUnavailable(detail, min(max(seconds, 0.0), RETRY_AFTER_MAX_SECONDS))


def _short(error: object) -> str:
    return " ".join(str(error).split())[:DETAIL_CHARACTERS_MAX]


class InfluxSink:
    """A derived view in somebody else's database: takes a step's values and forgets them once delivered.

    `open_writer` is called in the sink's thread. When the queue is full the oldest points go: what is newest is
    what a screen shows, and the journal still has everything.
    """

    def __init__(
        self,
        open_writer: Callable[[], LineWriter],
        meter: SinkMeter,
        name: str = "influx",
        points_waiting_max: int = POINTS_WAITING_MAX,
        backoff_first_seconds: float = BACKOFF_FIRST_SECONDS,
    ) -> None:
        self.name = name
        self.trouble = ""
        self._open_writer = open_writer
        self._meter = meter
        self._points_waiting_max = points_waiting_max
        self._backoff_first_seconds = backoff_first_seconds
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._position = -1
        self._close_by: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)
        self._thread.start()

    @classmethod
    def to(cls, target: Target, meter: SinkMeter) -> "InfluxSink":
        """Return a sink that writes to a target."""
        return cls(lambda: InfluxWriter(target), meter)

    def apply(self, seq: int, now: int, values: Sequence[object]) -> None:
        """Queue what a step gave out; never waits, never raises for what the server does."""
        lines = line_protocol.lines(values)
        with self._changed:
            self._position = max(self._position, seq)
            self._waiting.extend(lines)
            dropped = max(len(self._waiting) - self._points_waiting_max, 0)
            for _ in range(dropped):
                self._waiting.popleft()
            depth = len(self._waiting)
            self._changed.notify()
        self._meter.queue(self.name, depth)
        if dropped:
            self._meter.sink_dropped(self.name, dropped, "queue_full")

    def position(self) -> int:
        """Return the last sequence number taken, -1 when none was."""
        return self._position

    def close(self) -> None:
        """Deliver what waits, for CLOSE_WITHIN_SECONDS at most, and stop; what is left is dropped and counted."""
        with self._changed:
            if self._close_by is None:
                self._close_by = time.monotonic() + CLOSE_WITHIN_SECONDS
            self._changed.notify()
        # A write under way may last its own timeout; the thread is a daemon and holds nothing that must be saved.
        self._thread.join(CLOSE_WITHIN_SECONDS + 1.0)

    def _run(self) -> None:
        writer = self._open_writer()
        try:
            while batch := self._next_batch():
                self._deliver(writer, batch)
        finally:
            writer.close()
            self._drop_rest()

    def _next_batch(self) -> list[str]:
        """Wait for points, a little longer for a fuller batch; empty when closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._close_by is not None)
            self._changed.wait_for(
                lambda: len(self._waiting) >= POINTS_PER_WRITE_MAX or self._close_by is not None,
                LINGER_SECONDS,
            )
            if self._out_of_time():
                return []
            take = min(len(self._waiting), POINTS_PER_WRITE_MAX)
            return [self._waiting.popleft() for _ in range(take)]

    def _deliver(self, writer: LineWriter, batch: list[str]) -> None:
        pause = self._backoff_first_seconds
        while True:
            try:
                writer.write(batch)
            except SinkRefused as error:
                self._lose(batch, "refused", str(error))
                return
            except SinkUnavailable as error:
                self._meter.sink_failed(self.name)
                self._say(str(error))
                # Spread, so that many senders do not come back all at once.
                wait = error.retry_after_seconds or pause * random.uniform(0.5, 1.0)
                pause = min(pause * 2, BACKOFF_MAX_SECONDS)
                if not self._pause(wait):
                    self._meter.sink_dropped(self.name, len(batch), "closed")
                    return
            except Exception as error:  # a fault of ours: one batch, not the thread, pays for it
                log.exception("sink %s", self.name)
                self._lose(batch, "error", repr(error))
                return
            else:
                self._meter.sink_written(self.name, len(batch))
                self._say("")
                return

    def _lose(self, batch: list[str], reason: str, trouble: str) -> None:
        self._say(trouble)  # before the counters: whoever sees them move finds the reason
        self._meter.sink_failed(self.name)
        self._meter.sink_dropped(self.name, len(batch), reason)

    def _pause(self, seconds: float) -> bool:
        """Wait before another try; False when there is no time for one."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while (left := deadline - time.monotonic()) > 0:
                if self._out_of_time():
                    return False
                closing = self._close_by
                if closing is not None:
                    left = min(left, closing - time.monotonic())
                self._changed.wait(max(left, 0.0))
            return not self._out_of_time()

    def _out_of_time(self) -> bool:
        return self._close_by is not None and time.monotonic() >= self._close_by

    def _drop_rest(self) -> None:
        with self._changed:
            left = len(self._waiting)
            self._waiting.clear()
        if left:
            self._meter.sink_dropped(self.name, left, "closed")

    def _say(self, trouble: str) -> None:
        """Log a change for the worse or the better once, not every attempt."""
        if trouble and not self.trouble:
            log.warning("sink %s: %s", self.name, trouble)
        elif self.trouble and not trouble:
            log.info("sink %s: delivers again", self.name)
        self.trouble = trouble
