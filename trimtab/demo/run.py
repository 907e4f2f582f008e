"""Run the demo: lab up, loop up, one fault after the other, the facts, everything down again."""

import asyncio
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.network import Lab, LabError
from lab.scenario import DEFAULT_TARGETS, Fault, Scenario, ScenarioError, load, make_fault
from trimtab.config.lab import lab_configuration
from trimtab.demo.client import LoopClient
from trimtab.demo.follow import FaultRow, follow, observe
from trimtab.demo.loop_process import LoopProcess, ProcessUsage, secrets_of
from trimtab.demo.report import Reporter
from trimtab.domain.time import rfc3339
from trimtab.drivers.clock import SystemClock
from trimtab.errors import TrimtabError

READY_TIMEOUT_SECONDS = 60.0
FAULT_TIMEOUT_SECONDS = 90.0
QUIET_TIMEOUT_SECONDS = 45.0
QUIET_SECONDS = 1.0
SETTLE_SECONDS = 3.0  # between two faults that were named one by one
PROGRESS_SECONDS = 0.5
HOST = "127.0.0.1"
INTERRUPTED = 130
LASTING = frozenset(
    {"overload", "noisy_host", "link_loss", "leak", "host_death", "silent_collector"}
)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `trimtab demo` was asked for."""

    hold: bool = False
    json_path: Path | None = None
    token: str = ""
    seconds: float | None = None
    faults: str = "default"
    seed: int = 0
    port: int = 0
    compare: bool = False
    directory: Path | None = None


@dataclass(slots=True)
class Demo:
    """One run with the loop (`with_loop`), or the same script without it."""

    options: DemoOptions
    reporter: Reporter
    directory: Path
    with_loop: bool = True
    rows: list[FaultRow] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)
    usage: ProcessUsage = field(default_factory=lambda: ProcessUsage(0.0, 0))
    seconds: float = 0.0
    holding: bool = False
    schedule: list[float] = field(default_factory=list)  # how long each fault lasted, in seconds
    _clock: SystemClock = field(default_factory=SystemClock)

    async def run(
        self, stop: asyncio.Event | None = None, finish: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Run the script, which fills in `rows` and `services`; then `finish`, then hold until `stop` if asked to."""
        scenario = scenario_of(self.options.faults)
        async with AsyncExitStack() as stack:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.reporter.say(
                "Starting the lab: real VNF processes, hosts, a VNFM, a VIM and customer traffic ..."
            )
            lab = await Lab.start(self.directory / "lab", seed=self.options.seed)
            stack.push_async_callback(lab.stop)
            client, loop = await self._start_loop(lab, stack)
            started = self._clock.monotonic_ns()
            if client is not None:
                await self._quiet(client)
            for number, fault in enumerate(scenario.faults, 1):
                await self._one(lab, client, number, fault, scenario)
            if client is not None:
                await self._quiet(client)
            self.seconds = (self._clock.monotonic_ns() - started) / 1e9
            await self._account(lab, client)
            if loop is not None:
                self.usage = loop.usage()
            if finish is not None:
                await finish()
            if stop is not None and self.options.hold:
                self.holding = True
                self.reporter.say("Holding. Ctrl-C ends it.", "bold")
                await stop.wait()

    async def _start_loop(
        self, lab: Lab, stack: AsyncExitStack
    ) -> tuple[LoopClient | None, LoopProcess | None]:
        if not self.with_loop:
            return None, None
        token = self.options.token or secrets.token_urlsafe(18)
        port = self.options.port or free_port()
        configuration = self.directory / "trimtab.yaml"
        text = lab_configuration(lab.state, port=port, directory=self.directory / "store")
        configuration.write_text(text, encoding="utf-8")
        loop = LoopProcess(configuration, self.directory / "loop.log", secrets_of(token, lab.state))
        await loop.start()
        stack.push_async_callback(loop.stop)
        client = LoopClient(f"http://{HOST}:{port}", token)
        stack.push_async_callback(client.close)
        ready = asyncio.create_task(client.until_ready(READY_TIMEOUT_SECONDS))
        gone = asyncio.create_task(loop.wait())
        await asyncio.wait({ready, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not ready.done():
            ready.cancel()
            raise TrimtabError(f"the loop ended at once:\n{loop.log_tail()}")
        await ready
        self.reporter.say(f"Console   {client.base_url}/   token {token}", "bold")
        return client, loop

    async def _one(
        self, lab: Lab, client: LoopClient | None, number: int, fault: Fault, scenario: Scenario
    ) -> None:
        await asyncio.sleep(scenario.settle_seconds)
        lost_before = _lost(await lab.truth())
        row = FaultRow(fault.kind, fault.target, rfc3339(self._clock.now_ns()))
        self.rows.append(row)
        injected = await lab.inject(fault)
        self.reporter.say(f"Fault {number}: {fault.kind} on {injected['target']}", "bold")
        row.target = str(injected["target"])
        begun = self._clock.monotonic_ns()
        if client is None:
            await asyncio.sleep(self.schedule[number - 1])
        else:
            await self._watch(client, number, row)
            self.schedule.append((self._clock.monotonic_ns() - begun) / 1e9)
        if fault.kind in LASTING:
            await lab.clear(str(injected["id"]))
        if client is not None:
            await self._quiet(client)
        row.sla_seconds_lost = _lost(await lab.truth()) - lost_before

    async def _watch(self, client: LoopClient, number: int, row: FaultRow) -> None:
        limit = self.options.seconds or FAULT_TIMEOUT_SECONDS
        following = asyncio.create_task(follow(client, row, limit))
        try:
            while not following.done():
                await asyncio.wait({following}, timeout=PROGRESS_SECONDS)
                self.reporter.progress(number, row)
            await following
        finally:
            following.cancel()
        if row.outcome == "timeout" and not await client.all_fulfilled():
            await observe(client, row)
        self.reporter.say(f"  [{number}] {row.outcome}: {row.reason or ''}".rstrip(": "))

    async def _quiet(self, client: LoopClient) -> None:
        """Wait until every service is fulfilled and no incident is open, or long enough."""
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_TIMEOUT_SECONDS):
                calm = 0.0
                while calm < QUIET_SECONDS:
                    await asyncio.sleep(PROGRESS_SECONDS)
                    still = await client.list("incidents", state="open", limit=1)
                    calm = (
                        calm + PROGRESS_SECONDS
                        if await client.all_fulfilled() and not still
                        else 0.0
                    )

    async def _account(self, lab: Lab, client: LoopClient | None) -> None:
        truth = await lab.truth()
        observed = (
            {} if client is None else {s["id"]: s["status"] for s in await client.list("services")}
        )
        self.services = [
            {
                "id": service["id"],
                "status": observed.get(service["id"], "NOT_OBSERVED"),
                "sla_seconds_lost": service["sla_seconds_lost"],
            }
            for service in truth["services"]
        ]

    @property
    def good(self) -> bool:
        """Return whether each fault ended EFFECTIVE and every service is fulfilled."""
        return (
            bool(self.rows)
            and all(row.verdict == "EFFECTIVE" and row.recovered_at for row in self.rows)
            and all(service["status"] == "FULFILLED" for service in self.services)
        )

    def facts(self) -> dict[str, Any]:
        """Return the run's facts for machines."""
        return {
            "format": 1,
            "faults": [row.plain() for row in self.rows],
            "services": self.services,
            "seconds": round(self.seconds, 3),
            "loop": {
                "cpu_seconds": self.usage.cpu_seconds,
                "memory_bytes_max": self.usage.memory_bytes_max,
            },
        }


def scenario_of(faults: str) -> Scenario:
    """Return the script that `--faults` names. Raises TrimtabError when there is none."""
    kinds = faults.split(",")
    try:
        if len(kinds) > 1 or kinds[0] in DEFAULT_TARGETS:
            return Scenario(SETTLE_SECONDS, tuple(make_fault(kind, None) for kind in kinds))
        return load(faults)
    except ScenarioError as error:
        known = ", ".join(DEFAULT_TARGETS)
        raise TrimtabError(
            f"--faults: {error}\ngive a scenario's name or file, or kinds of fault: {known}"
        ) from error


async def run_demo(options: DemoOptions, stop: asyncio.Event) -> int:
    """Run the demo; return its exit code: 0 when every fault ended EFFECTIVE and every service is fulfilled."""
    if options.json_path is not None and not options.json_path.parent.is_dir():
        raise TrimtabError(f"--json: there is no folder {options.json_path.parent}; make it first")
    reporter = Reporter()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="trimtab-demo-"))
    try:
        demo = Demo(options, reporter, directory / "with-loop")
        work = asyncio.create_task(_whole(demo, directory, stop))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if work.done() or demo.holding:
            await work
            return 0 if demo.good else 1
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        reporter.say("Stopped; nothing is left running.")
        return INTERRUPTED
    except LabError as error:
        raise TrimtabError(f"the lab failed: {error}") from error
    finally:
        if options.directory is None:
            shutil.rmtree(directory, ignore_errors=True)


async def _whole(demo: Demo, directory: Path, stop: asyncio.Event) -> None:
    """Run with the loop, and without it beside when asked; tell the facts before holding."""

    async def finish() -> None:
        if demo.options.compare:
            await _compare(demo, directory / "without-loop")
        demo.reporter.table(demo.rows, demo.services)
        if demo.options.json_path is not None:
            write_json(demo.options.json_path, demo.facts())

    await demo.run(stop, finish)


async def _compare(demo: Demo, directory: Path) -> None:
    demo.reporter.say("The same script without the loop ...", "bold")
    without = Demo(demo.options, demo.reporter, directory, with_loop=False)
    without.schedule = list(demo.schedule)
    await without.run()
    lost = {service["id"]: service["sla_seconds_lost"] for service in without.services}
    for service in demo.services:
        service["sla_seconds_lost_without_loop"] = lost.get(service["id"])
    for row, other in zip(demo.rows, without.rows, strict=True):
        row.sla_seconds_lost_without_loop = other.sla_seconds_lost


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write the facts so that a reader sees all of them or none."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _lost(truth: Mapping[str, Any]) -> float:
    return float(sum(service["sla_seconds_lost"] for service in truth["services"]))


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
