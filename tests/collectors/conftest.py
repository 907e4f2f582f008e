"""A journal in memory, and small servers to collect from."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvicorn

from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.samples import SampleFlag
from trimtab.domain.series import Series
from trimtab.ports import ActionNews, Gap, Reading

PATIENCE_SECONDS = 10.0


@dataclass
class RealClock:
    """This machine's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@dataclass
class MemoryJournal:
    """Stands in for series index and journal: takes every reading, or refuses while `full`."""

    full: bool = False
    series_max: int = 1_000_000
    known: dict[Series, int] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    refused: list[Reading] = field(default_factory=list)

    def intern(self, series: Series) -> int | None:
        if series not in self.known and len(self.known) >= self.series_max:
            return None
        return self.known.setdefault(series, len(self.known))

    async def put(self, reading: Reading) -> bool:
        await asyncio.sleep(0)
        (self.refused if self.full else self.readings).append(reading)
        return not self.full

    def rows(
        self, name: str | None = None, *, stale: bool = False
    ) -> list[tuple[Series, int, float]]:
        """Return (series, time, value) of all rows, or of one metric; stale ones only if asked."""
        by_id = {number: series for series, number in self.known.items()}
        return [
            (by_id[int(i)], int(t), float(v))
            for reading in self.readings
            if (batch := reading.batch) is not None
            for i, t, v, f in zip(batch.series_id, batch.time_ns, batch.value, batch.flags, strict=True)
            if bool(f & SampleFlag.STALE) is stale and (name is None or by_id[int(i)].name == name)
        ]  # fmt: skip

    def values(self, name: str, *, stale: bool = False) -> list[float]:
        return [value for _, _, value in self.rows(name, stale=stale)]

    def gaps(self) -> list[Gap]:
        return [gap for reading in self.readings for gap in reading.gaps]

    def inventory(self) -> list[InventoryChange]:
        return [r.inventory for r in self.readings if r.inventory is not None]

    def news(self) -> list[ActionNews]:
        return [news for reading in self.readings for news in reading.news]

    def counted(self) -> dict[str, int]:
        totals: dict[str, int] = {}
        for reading in self.readings:
            for reason, count in reading.refused:
                totals[reason] = totals.get(reason, 0) + count
        return totals

    def all_finite(self) -> bool:
        return all(
            bool(np.isfinite(r.batch.value).all()) and not r.batch.value.flags.writeable
            for r in self.readings
            if r.batch is not None
        )


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    """Wait until something is so, with the patience of a loaded machine."""

    async def wait(true: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def running() -> Callable[..., Any]:
    """Run a collector for the length of a block, and end it as the driver does: by cancelling."""

    @asynccontextmanager
    async def run(collector: Any, sink: MemoryJournal) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(collector.run(sink))
        try:
            yield task
        finally:
            task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(outcome, Exception):
                raise outcome

    return run


@dataclass
class Page:
    """What a small server answers next."""

    body: bytes = b""
    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/plain"})
    length: int | None = None  # announced; None: the true one, -1: none at all
    delay_seconds: float = 0.0
    asked: int = 0
    answered: int = 0  # counted in the same breath as the body is read
    request: str = ""
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


async def _answer(page: Page, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        page.request = (await reader.readuntil(b"\r\n\r\n")).decode()
        page.asked += 1
        await asyncio.sleep(page.delay_seconds)
        length = len(page.body) if page.length is None else page.length
        lines = [f"HTTP/1.1 {page.status}", "connection: close"]
        lines += [f"{key}: {value}" for key, value in page.headers.items()]
        lines += [f"content-length: {length}"] if length >= 0 else []
        writer.write("\r\n".join([*lines, "", ""]).encode() + page.body)
        page.answered += 1
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@pytest.fixture
def serve() -> Callable[..., Any]:
    """Serve a page over real HTTP for the length of a block; what it holds may be changed meanwhile."""

    @asynccontextmanager
    async def server(body: str | bytes = b"", port: int = 0) -> AsyncIterator[Page]:
        page = Page(body if isinstance(body, bytes) else body.encode())
        listener = await asyncio.start_server(lambda r, w: _answer(page, r, w), "127.0.0.1", port)
        page.port = listener.sockets[0].getsockname()[1]
        try:
            yield page
        finally:
            listener.close()

    return server


@pytest.fixture
def served() -> Callable[..., Any]:
    """Serve an ASGI application over real HTTP for the length of a block."""

    @asynccontextmanager
    async def server(app: Any, port: int) -> AsyncIterator[None]:
        config = uvicorn.Config(
            app, host="127.0.0.1", port=port, log_level="error", lifespan="off", interface="asgi3"
        )
        running = uvicorn.Server(config)
        task = asyncio.create_task(running._serve())
        try:
            while not running.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            yield
        finally:
            running.should_exit = True
            await task

    return server
