"""What every registered collector must keep to, whatever it collects."""

import asyncio
import json
import os
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from collectors import COLLECTORS
from trimtab.domain.samples import ROWS_PER_BATCH_MAX
from trimtab.domain.series import LABEL_VALUE_BYTES_MAX, LABELS_PER_SERIES_MAX, Series
from trimtab.ports import Collector, Reading

pytestmark = pytest.mark.anyio
PATIENCE_SECONDS = 10.0
GARBAGE_SEED = 20_260_101


class Clock:
    """This machine's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@dataclass
class Journal:
    """Stands in for series index and journal."""

    full: bool = False
    known: dict[Series, int] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    rows_refused: int = 0
    refusals: int = 0

    def intern(self, series: Series) -> int | None:
        return self.known.setdefault(series, len(self.known))

    async def put(self, reading: Reading) -> bool:
        await asyncio.sleep(0)
        if self.full:
            self.refusals += 1
            self.rows_refused += len(reading.batch) if reading.batch is not None else 0
            return False
        self.readings.append(reading)
        return True

    def rows(self) -> int:
        return sum(len(r.batch) for r in self.readings if r.batch is not None)


@dataclass
class World:
    """A source for one kind of collector: `config` points at it; `act` makes a pushing one push."""

    config: dict[str, Any]
    act: Callable[[Any], Any] | None = None
    gives_rows: bool = True


Answers = Callable[[bytes], list[bytes]]


@asynccontextmanager
async def tcp(answer: Callable[[], bytes]) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def udp(answers: Answers) -> AsyncIterator[int]:
    class Peer(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            for each in answers(data):
                self.transport.sendto(each, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def http(body: bytes, status: str = "200 OK", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nconnection: close\r\n{extra}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def garbage(random_bytes: random.Random) -> bytes:
    """One of many ways to be wrong: raw bytes, or a well-formed answer with nonsense in it."""
    noise = random_bytes.randbytes(random_bytes.randint(0, 400))
    return random_bytes.choice(
        [noise, http(noise), http(b"a{" + noise), http(noise, extra="content-encoding: gzip\r\n")]
    )


@asynccontextmanager
async def scraped(good: bool) -> AsyncIterator[World]:
    noise = random.Random(GARBAGE_SEED)
    page = http(b'a{x="1"} 1\nb +Inf\nc NaN\nd{long="' + b"x" * 5_000 + b'"} 1\n')
    async with tcp(lambda: page if good else garbage(noise)) as port:
        yield World(
            {
                "static": [{"targets": [f"127.0.0.1:{port}"]}],
                "http": [] if good else [f"http://127.0.0.1:{port}/sd"],
                "interval_seconds": 0.1,
                "refresh_seconds": 0.1,
            }
        )


@asynccontextmanager
async def probed(good: bool) -> AsyncIterator[World]:
    noise = random.Random(GARBAGE_SEED)

    def reflect(packet: bytes) -> list[bytes]:
        if not good:
            wrong = bytearray(packet[:16] + packet[4:12] + packet[:14] + bytes(6))
            wrong[noise.randrange(44)] = noise.randrange(256)
            return [noise.randbytes(noise.randint(0, 60)), bytes(wrong)]
        now = int((time.time() + 2_208_988_800) * 2**32).to_bytes(8, "big")
        return [packet[:4] + now + b"\x80\x01" + packet[14:16] + now + packet[:14] + bytes(6)]

    async with udp(reflect) as port:
        session = {
            "service": "acme/service/vpn",
            "address": f"127.0.0.1:{port}",
            "timeout_seconds": 0.1,
        }
        yield World({"sessions": [session | {"rate_per_second": 100.0}], "flush_seconds": 0.1})


async def call(app: Any, method: str, body: bytes, headers: dict[str, str]) -> int:
    """Make one ASGI request; return the status."""
    answered: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        answered.extend([message["status"]] if message["type"] == "http.response.start" else [])

    pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "", "root_path": "", "headers": pairs}
    await app(scope, receive, send)
    return answered[0]


@asynccontextmanager
async def pushed(good: bool) -> AsyncIterator[World]:
    noise = random.Random(GARBAGE_SEED)
    headers = {"content-encoding": "snappy", "content-type": "application/x-protobuf"}
    stamp = (1_700_000_000_000).to_bytes(8, "little")
    varint = bytes(
        [0x80 | (int.from_bytes(stamp, "little") >> 7 * i) & 0x7F for i in range(5)]
    ) + bytes([int.from_bytes(stamp, "little") >> 35])
    sample = b"\x09" + np.float64(1.5).tobytes() + b"\x10" + varint
    series = b"\x0a\x0d\x0a\x08__name__\x12\x01a" + b"\x12" + bytes([len(sample)]) + sample
    request = b"\x0a" + bytes([len(series)]) + series

    async def act(collector: Any) -> None:
        body = request if good else noise.randbytes(noise.randint(0, 300))
        packed = bytes(cramjam.snappy.compress_raw(body))
        await call(
            collector.asgi, "POST", packed if noise.random() < 0.9 or good else body, headers
        )

    yield World({}, act)


@asynccontextmanager
async def pushed_lines(good: bool) -> AsyncIterator[World]:
    noise = random.Random(GARBAGE_SEED)

    async def act(collector: Any) -> None:
        body = noise.randbytes(noise.randint(1, 300))
        headers = {} if good or noise.random() < 0.5 else {"content-encoding": "gzip"}
        if good:
            body = b'a,x=1 value=1.5,b=2i,text="no" 1700000000000000000\n'
        await call(collector.asgi, "POST", body, headers)

    yield World({}, act)


@asynccontextmanager
async def exported(good: bool) -> AsyncIterator[World]:
    noise = random.Random(GARBAGE_SEED)
    point = {"timeUnixNano": "1700000000000000000", "asDouble": 1.5}
    metric = {"name": "a", "gauge": {"dataPoints": [point]}}
    request = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}

    async def act(collector: Any) -> None:
        body = json.dumps(request).encode() if good else noise.randbytes(noise.randint(1, 300))
        kind = "json" if good or noise.random() < 0.5 else "x-protobuf"
        await call(collector.asgi, "POST", body, {"content-type": f"application/{kind}"})

    yield World({}, act)


@asynccontextmanager
async def notified(good: bool) -> AsyncIterator[World]:
    noise = random.Random(GARBAGE_SEED)
    created = http(b"{}", "201 Created", "location: /vnflcm/v2/subscriptions/1\r\n")

    async def act(collector: Any) -> None:
        document = {
            "id": str(noise.random()), "notificationType": "VnfLcmOperationOccurrenceNotification",
            "vnfLcmOpOccId": "op", "operationState": "COMPLETED",
        }  # fmt: skip
        body = json.dumps(document).encode() if good else noise.randbytes(noise.randint(0, 300))
        await call(collector.asgi, "POST", body, {})

    async with tcp(lambda: created if good else garbage(noise)) as port:
        yield World(
            {
                "api_root": f"http://127.0.0.1:{port}",
                "callback_url": "http://127.0.0.1:9/callback",
                "actuator": "vnfm",
                "check_seconds": 0.1,
                "retry_seconds": 0.1,
            },
            act,
            gives_rows=False,
        )


WORLDS = {
    "influx": pushed_lines,
    "otlp": exported,
    "prometheus": scraped,
    "remote_write": pushed,
    "sol003": notified,
    "stamp": probed,
}
every = pytest.mark.parametrize("kind", sorted(COLLECTORS))


def made(kind: str, world: World, journal: Journal) -> Any:
    cls: Any = COLLECTORS[kind]
    return cls("site", cls.Config.model_validate(world.config), journal, Clock())


@asynccontextmanager
async def running(
    collector: Any, world: World, journal: Journal
) -> AsyncIterator[asyncio.Task[None]]:
    """Run it, have its source push if it pushes, and cancel it in the end."""

    async def keep_pushing() -> None:
        while world.act is not None:
            await world.act(collector)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(collector.run(journal))
    pushing = asyncio.create_task(keep_pushing())
    try:
        yield task
    finally:
        pushing.cancel()
        task.cancel()
        await asyncio.wait([task, pushing], timeout=PATIENCE_SECONDS)


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def sockets() -> int:
    """Count this process's open sockets."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(entry).startswith("socket:")
        except OSError:  # it was the listing's own
            continue
    return found


def test_every_collector_has_its_contract() -> None:
    assert set(COLLECTORS) == set(WORLDS)


@every
def test_it_says_what_it_is(kind: str) -> None:
    cls: Any = COLLECTORS[kind]
    assert cls.kind == kind
    assert re.fullmatch(r"[a-z][a-z0-9_]*", kind)
    assert cls.__doc__
    assert issubclass(cls.Config, BaseModel)
    assert cls.Config.__doc__


@every
async def test_it_is_a_collector_with_a_name_and_figures(kind: str) -> None:
    async with WORLDS[kind](True) as world:
        collector = made(kind, world, Journal())
    assert isinstance(collector, Collector)
    assert collector.name == "site"
    assert collector.stats().samples == 0
    assert collector.stats().last_success_ns is None


@every
async def test_its_settings_refuse_what_they_do_not_know(kind: str) -> None:
    async with WORLDS[kind](True) as world:
        with pytest.raises(ValidationError, match="no_such_setting"):
            COLLECTORS[kind].Config.model_validate(world.config | {"no_such_setting": 1})  # type: ignore[attr-defined]


@every
@pytest.mark.parametrize("good", [True, False])
async def test_it_ends_soon_and_leaves_nothing_running(kind: str, good: bool) -> None:
    async with WORLDS[kind](good) as world:
        journal = Journal()
        await asyncio.sleep(0.05)
        tasks, before = len(asyncio.all_tasks()), sockets()
        collector = made(kind, world, journal)
        task = asyncio.create_task(collector.run(journal))
        await asyncio.sleep(0.3)
        assert not task.done()
        task.cancel()
        began = time.monotonic()
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        assert time.monotonic() - began < 2.0
        assert task.cancelled()
        await until(lambda: len(asyncio.all_tasks()) <= tasks and sockets() <= before)


@every
async def test_all_that_it_gives_is_sound(kind: str) -> None:
    journal = Journal()
    async with WORLDS[kind](True) as world:
        collector = made(kind, world, journal)
        async with running(collector, world, journal):
            await until(lambda: len(journal.readings) >= 3)
            await until(lambda: journal.rows() >= 3 or not world.gives_rows)
    for reading in journal.readings:
        assert reading.source.startswith(f"{kind}/site")
        assert all(gap.source.startswith(f"{kind}/site") for gap in reading.gaps)
        batch = reading.batch
        if batch is None:
            continue
        assert batch.source == reading.source
        assert 0 < len(batch) <= ROWS_PER_BATCH_MAX
        dtypes = (batch.series_id.dtype, batch.time_ns.dtype, batch.value.dtype, batch.flags.dtype)
        assert dtypes == (np.int32, np.int64, np.float64, np.uint8)
        columns = (batch.series_id, batch.time_ns, batch.value, batch.flags)
        assert not any(column.flags.writeable for column in columns)
        assert np.isfinite(batch.value).all()
        assert ((batch.series_id >= 0) & (batch.series_id < len(journal.known))).all()
    for series in journal.known:
        assert list(series.labels) == sorted(series.labels)
        assert len(series.labels) <= LABELS_PER_SERIES_MAX
        assert all(len(v.encode()) <= LABEL_VALUE_BYTES_MAX for _, v in series.labels)
    stats = collector.stats()
    assert stats.samples == journal.rows()
    assert stats.last_success_ns is not None


@every
async def test_garbage_never_ends_it(kind: str) -> None:
    journal = Journal()
    async with WORLDS[kind](False) as world:
        collector = made(kind, world, journal)
        async with running(collector, world, journal) as task:
            await asyncio.sleep(0.6)
            assert not task.done(), task.exception()
    figures = collector.stats()
    assert sum(dict(figures.gaps).values()) + sum(dict(figures.other).values()) > 0


@every
async def test_what_the_journal_refuses_is_counted_and_told(kind: str) -> None:
    journal = Journal(full=True)
    async with WORLDS[kind](True) as world:
        collector = made(kind, world, journal)
        async with running(collector, world, journal):
            if not world.gives_rows:
                await until(lambda: journal.refusals)
                return
            await until(lambda: journal.rows_refused)
            assert collector.stats().samples == 0
            journal.full = False
            await until(lambda: journal.readings)
            told = dict(collector.stats().refused)["not_durable"]
    assert told == journal.rows_refused
    assert "refused" in {gap.reason for reading in journal.readings for gap in reading.gaps}
