"""What one core does: remote-write bytes to assessed state, in process, beside reading those bytes from memory.

The collector's own ASGI application takes the bodies; what it hands over is journaled (or not) and stepped with a tick
a round. Rates are samples a CPU second; the limit is the bandwidth at which this core reads memory, over the bytes that
a sample has when unpacked.
"""

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.comparison import Comparison
from bench.peers.engines import Order, Rules
from bench.peers.ours import TOKEN, TOKEN_VARIABLE, configuration, policy
from bench.peers.workload import Workload
from collectors.push import AsgiReceive, Message
from collectors.remote_write import RemoteWriteCollector
from trimtab.app.machines import machines
from trimtab.app.settings import AppSettings, load_settings
from trimtab.domain.input import Input, Numbered, Tick
from trimtab.domain.time import NS_PER_MILLISECOND, NS_PER_SECOND
from trimtab.drivers.clock import SteadyClock, SystemClock
from trimtab.drivers.loop import Loop
from trimtab.drivers.turn import journal_outputs, take_turn
from trimtab.ports import Reading
from trimtab.series import SeriesTable
from trimtab.store.journal import Journal

SERIES = 1_000_000
PER_VNFC = 100
INTERVAL_NS = 15 * NS_PER_SECOND
WARM_ROUNDS = 4
ROUNDS = 3
ARRAY_BYTES = 256 * 1024 * 1024
_SCOPE: Message = {
    "type": "http", "method": "POST", "path": "/api/v1/write", "root_path": "",
    "headers": [(b"content-encoding", b"snappy"), (b"content-type", b"application/x-protobuf")],
}  # fmt: skip


class Core:
    """A collector and a loop without a process around them; a sink that keeps what it is handed."""

    def __init__(self, folder: Path, settings: AppSettings) -> None:
        self._index = SeriesTable()
        self._collector = RemoteWriteCollector(
            "bench", RemoteWriteCollector.Config(), self._index, SteadyClock(SystemClock())
        )
        self._folder = folder
        self._journal: Journal | None = None
        self._loop = Loop(machines())
        self._first: list[Input] = [settings.configuration, settings.policies]
        self._taken: list[Input] = []
        self._seq = 0
        self.cpu_seconds = 0.0

    async def put(self, reading: Reading) -> bool:
        """Keep a reading's rows (ports.ReadingSink)."""
        if reading.batch is not None:
            self._taken.append(reading.batch)
        return True

    def journal(self, wanted: bool) -> None:
        """Switch the journal on or off."""
        if self._journal is not None:
            self._journal.close()
            shutil.rmtree(self._folder)
        self._journal = Journal.open(self._folder) if wanted else None

    async def round(self, bodies: list[bytes], at_ns: int) -> None:
        """Take a round of bodies and conclude; only this is accounted for."""
        receiving = asyncio.create_task(self._collector.run(self))
        await asyncio.sleep(0)
        begin = time.process_time()
        for body in bodies:
            await self._collector.asgi(_SCOPE, _receiver(body), _answered)
        inputs: list[Input] = [*self._first, *self._index.take_added(), *self._taken, Tick(at_ns)]
        self._first, self._taken = [], []
        if self._journal is not None:
            turn = take_turn(self._journal, self._loop, inputs, at_ns)
            journal_outputs(self._journal, turn)
        else:
            numbered = [Numbered(self._seq + place, value) for place, value in enumerate(inputs)]
            self._seq += len(inputs)
            self._loop.step(numbered, at_ns)
        self.cpu_seconds = time.process_time() - begin
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


def _receiver(body: bytes) -> AsgiReceive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _answered(message: Message) -> None:
    if message["type"] == "http.response.start" and message["status"] >= 300:
        raise ValueError(f"the collector answered {message['status']}")


def memory_bytes_per_second() -> float:
    """Return at which rate one core reads an array that no cache holds; the best of some tries."""
    array = np.ones(ARRAY_BYTES // 8, np.int64)
    rates = []
    for _ in range(3):
        begin = time.process_time()
        array.max()
        rates.append(ARRAY_BYTES / (time.process_time() - begin))
    return max(rates)


async def measure(folder: Path, series: int) -> tuple[list[float], list[float], float]:
    """Return samples a CPU second of each round, journal off and on, and the bytes of a sample when unpacked."""
    os.environ[TOKEN_VARIABLE] = TOKEN
    order = Order(series, INTERVAL_NS / NS_PER_SECOND, Rules.THRESHOLD, 1, PER_VNFC)
    (folder / "trimtab.yaml").write_text(
        configuration(order, port=1, directory=folder / "store"), "utf-8"
    )
    (folder / "policy.yaml").write_text(policy(), "utf-8")
    core = Core(folder / "journal", load_settings(folder / "trimtab.yaml"))
    workload = Workload(series, PER_VNFC)
    start_ns = time.time_ns() - (WARM_ROUNDS + 2 * ROUNDS) * INTERVAL_NS
    rates: dict[bool, list[float]] = {False: [], True: []}
    for number in range(WARM_ROUNDS + 2 * ROUNDS):
        at_ns = start_ns + number * INTERVAL_NS
        bodies = [body for body, _ in workload.bodies(at_ns // NS_PER_MILLISECOND)]
        measured = number - WARM_ROUNDS
        if measured in (0, ROUNDS):
            core.journal(measured == ROUNDS)
        await core.round(bodies, at_ns + NS_PER_SECOND)
        if measured >= 0:
            rates[measured >= ROUNDS].append(series / core.cpu_seconds)
    core.journal(False)
    return rates[False], rates[True], workload.raw_bytes / series


def run(folder: Path) -> Iterator[Comparison]:
    """Yield samples a CPU second, the journal off and on, beside the limit that memory sets."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        off, on, size = asyncio.run(measure(Path(place), SERIES))
    limit = memory_bytes_per_second() / size
    for rates, words in ((off, "off"), (on, "on")):
        yield Comparison(
            f"one core, {SERIES:,} series, remote write to assessed state, journal {words}",
            "samples a CPU second", statistics.median(rates),
            f"reading {size:.0f} bytes a sample from memory", limit, (min(rates), max(rates)),
        )  # fmt: skip
