"""A small service over two VNFCs, and a script of samples, for the tests of the drivers."""

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from prometheus_client import CollectorRegistry

from policies.load import load_policies
from trimtab.app.machines import machines
from trimtab.config.load import load
from trimtab.domain.action import Action, ActionResult, ActionState, Operation
from trimtab.domain.configuration import Configuration
from trimtab.domain.input import Input, SeriesAdded, Tick
from trimtab.domain.managed_object import (
    Alias,
    InventoryChange,
    Relation,
    RelationKind,
    managed_object,
)
from trimtab.domain.policy import PolicySet
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.time import NS_PER_SECOND
from trimtab.drivers import execution
from trimtab.drivers.clock import SteadyClock, SystemClock
from trimtab.drivers.derivation import Derivation
from trimtab.drivers.ledger import ActionLedger
from trimtab.drivers.live import LiveDriver
from trimtab.drivers.loop import Loop
from trimtab.drivers.recovery import recover
from trimtab.ports import Collector, Found, Reading, Submission, SubmissionOutcome
from trimtab.series import SeriesTable
from trimtab.store.journal import Journal, JournalLimits
from trimtab.store.simulated import SimulatedStorage
from trimtab.telemetry import Telemetry

T = TypeVar("T")
R = TypeVar("R")

START_NS = 1_700_000_000 * NS_PER_SECOND
SERVICE = "acme/service/vpn"
VNFCS = ("provider/vnfc/fw-0", "provider/vnfc/rtr-0")
TEXT = """
format: 1
kpi_defaults: {granularity: 1s, window: 3s}
services:
  - id: acme/service/vpn
    uses: [provider/vnf/fw, provider/vnf/rtr]
    objectives:
      - {name: loss, kpi: frame_loss_ratio, at_most: 0.05, clear_after: 1s}
kpis:
  - {name: guest_up, of: vnfc, series: host_guest_up, statistic: last, unit: ratio, window: 2s}
conditions:
  - {name: process, of: vnfc, kpi: guest_up, at_least: 1.0, symptom: process-gone}
bindings:
  - {match: {__name__: probe_lost}, object: "{service}"}
  - {match: {__name__: host_guest_up}, object: "provider/vnfc/{vnfc}"}
actions: {heal: vnfm, migrate: vim, hand_over: people, scale_out: vnfm, notify: people}
actuators:
  - {kind: record, name: vnfm, path: vnfm.jsonl}
  - {kind: record, name: vim, path: vim.jsonl}
  - {kind: record, name: people, path: people.jsonl}
"""

Script = Callable[[dict[int, tuple[float, float, float]]], list[list[Input]]]


@pytest.fixture(scope="module", autouse=True)
def no_failure_is_found_by_the_collector() -> Iterator[None]:
    """Fail a module that leaves a failed task to the garbage collector.

    Its traceback would be printed in the middle of whatever allocates next; on Python 3.11 that breaks `ast.parse`.
    """
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "never retrieved" in record.getMessage():
                found.append(record.getMessage())

    listener = Listener()
    logging.getLogger("asyncio").addHandler(listener)
    try:
        yield
        gc.collect()
    finally:
        logging.getLogger("asyncio").removeHandler(listener)
    assert not found, found


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Configuration, PolicySet]:
    """What the machines are told: the configuration above, the shipped rules, the lab's timings."""
    from actuators import ACTUATORS

    path = tmp_path_factory.mktemp("told") / "trimtab.yaml"
    path.write_text(TEXT, encoding="utf-8")
    configs = {kind: plugin.Config for kind, plugin in ACTUATORS.items()}
    settings = load(path, {}, configs, {})
    kpis = {kpi.name for kpi in settings.configuration.kpis}
    return settings.configuration, load_policies(["shipped"], "lab", kpis)


@pytest.fixture(scope="session")
def script(told: tuple[Configuration, PolicySet]) -> Script:
    """Return turns of inputs: a second each, with (loss, fw-0 up, rtr-0 up) by second; well where nothing is said."""
    series = [
        SeriesAdded(0, Series.of("probe_lost", {"service": SERVICE})),
        *(
            SeriesAdded(n, Series.of("host_guest_up", {"vnfc": vnfc.rsplit("/", 1)[-1]}))
            for n, vnfc in enumerate(VNFCS, 1)
        ),
    ]

    def turns(values: dict[int, tuple[float, float, float]]) -> list[list[Input]]:
        made: list[list[Input]] = [[*told, inventory(), *series, Tick(START_NS)]]
        for second in range(1, max(values, default=0) + 1):
            at = START_NS + second * NS_PER_SECOND
            readings = values.get(second, (0.0, 1.0, 1.0))
            rows = [(n, at - NS_PER_SECOND // 2, value) for n, value in enumerate(readings)]
            made.append([SampleBatch.from_rows("stamp/test", rows[:1]),
                         SampleBatch.from_rows("prometheus/test", rows[1:]), Tick(at)])  # fmt: skip
        return made

    return turns


def inventory() -> InventoryChange:
    """Two VNFs of one VNFC each on two hosts, with the aliases that actuators need."""
    objects, relations, aliases = [], [], []
    for number, vnfc in enumerate(VNFCS):
        vnf = vnfc.replace("/vnfc/", "/vnf/").removesuffix("-0")
        host = f"provider/host/host-{number}"
        objects.extend(managed_object(text) for text in (vnfc, vnf, host))
        relations.append(Relation(vnfc, RelationKind.PART_OF, vnf))
        relations.append(Relation(vnfc, RelationKind.RUNS_ON, host))
        aliases.append(Alias(vnf, "vnfm", f"vnf-{number}", 0))
        aliases.append(Alias(vnfc, "vnfm.vnfc", f"vnfc-{number}", 0))
        aliases.append(Alias(vnfc, "vim", f"server-{number}", 0))
    return InventoryChange("test", START_NS, tuple(objects), tuple(aliases), tuple(relations))


@pytest.fixture
def journal_directory(tmp_path: Path) -> Path:
    """A folder for a journal."""
    folder = tmp_path / "journal"
    folder.mkdir()
    return folder


LIMITS = JournalLimits(
    segment_bytes=60_000, reserve_bytes=64_000, free_bytes_min=8_000, pending_bytes_max=4_000_000
)


@dataclass(slots=True)
class SettableWall(SystemClock):
    """A fake: a machine's clocks, set by the test."""

    wall_ns: int = START_NS
    steady_ns: int = 0

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.steady_ns


@dataclass(slots=True)
class FarSide:
    """A fake: all targets in one; it outlives the loop, and remembers every request and whatever it accepted.

    `moods` says how the next requests are taken: done, accepted, refused, garbage (not accepted), lost (accepted, but
    nobody learns of it). When it is empty, `usual` holds.
    """

    usual: str = "accepted"
    moods: list[str] = field(default_factory=list)
    submits: list[Action] = field(default_factory=list)
    durable_at_submit: list[int] = field(default_factory=list)
    accepted: dict[str, int] = field(default_factory=dict)
    journal: Journal | None = None

    def submit(self, name: str, action: Action) -> Submission:
        self.submits.append(action)
        self.durable_at_submit.append(-1 if self.journal is None else self.journal.durable_seq)
        mood = self.moods.pop(0) if self.moods else self.usual
        if mood == "refused":
            return Submission(SubmissionOutcome.REFUSED, "503", retry_after_seconds=1.0)
        if mood == "garbage":
            return Submission(SubmissionOutcome.UNKNOWN, "half a JSON")
        self.accepted[action.id] = self.accepted.get(action.id, 0) + 1
        if mood == "lost":
            return Submission(SubmissionOutcome.UNKNOWN, "the connection broke")
        if mood == "done":
            return Submission(SubmissionOutcome.DONE, operation=self.operation(name, action))
        return Submission(
            SubmissionOutcome.ACCEPTED, operation=replace(self.operation(name, action), done=False)
        )

    @staticmethod
    def operation(name: str, action: Action) -> Operation:
        return Operation(name, f"op-{action.id}", "COMPLETED", done=True, succeeded=True)


@dataclass(slots=True)
class ScriptedActuator:
    """A fake: one target's side of the FarSide."""

    kind: ClassVar[str] = "scripted"
    name: str
    far: FarSide

    async def submit(self, action: Action) -> Submission:
        return self.far.submit(self.name, action)

    async def poll(self, action: Action, operation: Operation) -> Operation:
        return self.far.operation(self.name, action)

    async def find(self, action: Action, since_ns: int) -> Found:
        if action.id in self.far.accepted:
            return Found(asked=True, operation=self.far.operation(self.name, action))
        return Found(asked=True, detail="no match")

    async def close(self) -> None:
        """Have nothing to let go of."""


@dataclass(slots=True)
class World:
    """A loop in process on simulated storage, with clocks, sources and targets that the test sets; it can die."""

    told: tuple[Configuration, PolicySet]
    script: Script
    storage: SimulatedStorage
    values: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    far: FarSide = field(default_factory=FarSide)
    wall: SettableWall = field(default_factory=SettableWall)
    collectors: list[Collector] = field(default_factory=list)
    at_point: Callable[[str], None] = lambda name: None
    passed: list[str] = field(default_factory=list)
    second: int = 0
    puts: list[bool] = field(default_factory=list)
    snapshots: int = 0
    saved_seqs: list[int] = field(default_factory=list)
    divergent: int = 0
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    driver: LiveDriver = field(init=False)
    journal: Journal = field(init=False)

    def begin(self, going: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        """Start a task that dies with the world."""
        task = asyncio.create_task(going)
        self.tasks.append(task)
        return task

    def _pass(self, name: str) -> None:
        self.passed.append(name)
        self.at_point(name)

    async def start(self) -> None:
        """Open the journal, recover, and let the loop run; nothing ticks but `pass_second`."""
        self.journal = Journal.open(Path("simulated"), self.storage, LIMITS)
        self.far.journal = self.journal
        found = recover(self.journal, Loop(machines()), ActionLedger())
        self.divergent += found.divergent
        clock = SteadyClock(self.wall, floor_ns=found.last_now)
        index = SeriesTable()
        index.restore(found.series, clock.now_ns())
        self.driver = LiveDriver(
            loop=found.loop, journal=self.journal, index=index,
            clock=clock, collectors=self.collectors,
            actuators={name: ScriptedActuator(name, self.far) for name in ("vnfm", "vim", "people")},
            telemetry=Telemetry(CollectorRegistry(), "test", process=False),
            derivation=Derivation(lambda turn: None),
            snapshot=lambda driver: self.saved_seqs.append(driver.last_turn_seq),
            crash=self._pass, cadence_seconds=3_600.0, ledger=found.ledger,
            last_now=found.last_now,
        )  # fmt: skip
        await self.driver.start(self.told, found.owed)
        for item in self.script({})[0]:
            if isinstance(item, SeriesAdded):
                index.intern(item.series)
        await self.put(Reading("test", inventory=inventory()))

    async def put(self, reading: Reading) -> bool:
        """Offer a reading and take a turn; return whether it became durable."""
        offer = self.begin(self.driver.put(reading))
        await asyncio.sleep(0)
        await self.driver.tick()
        taken = await asyncio.wait_for(offer, 5)
        self.puts.append(taken)
        return taken

    async def pass_second(self, jump_seconds: int = 0, *, silent: bool = False) -> bool:
        """Let a second pass with its samples; return whether they became durable."""
        self.second += 1
        self.wall.steady_ns += NS_PER_SECOND
        self.wall.wall_ns += (1 + jump_seconds) * NS_PER_SECOND
        taken = True
        if not silent:
            now = self.driver.clock.now_ns()
            values = self.values.get(self.second, (0.0, 1.0, 1.0))
            rows = [(n, now - NS_PER_SECOND // 2, value) for n, value in enumerate(values)]
            loss = Reading("stamp/test", SampleBatch.from_rows("stamp/test", rows[:1]))
            up = Reading("prometheus/test", SampleBatch.from_rows("prometheus/test", rows[1:]))
            other = self.begin(self.driver.put(loss))
            taken = await self.put(up)
            await asyncio.wait_for(other, 5)
        else:
            await self.driver.tick()
        await self.settle()
        return taken

    async def settle(self) -> None:
        """Let what is under way go on for a while."""
        for _ in range(6):
            await asyncio.sleep(0.003)
            if self.driver._soon is not None:
                await asyncio.wait({self.driver._soon}, timeout=5)

    async def until_second(self, second: int) -> None:
        while self.second < second:
            await self.pass_second()

    async def die(self) -> None:
        """Lose power: nothing runs on, and of the storage stays what was synced, and what chance leaves."""
        self.storage.crash()
        driver = self.driver
        if driver._scheduler is not None and driver._scheduler.running:
            driver._scheduler.shutdown(wait=False)
        this = asyncio.current_task()
        tasks = [task for task in (*asyncio.all_tasks(), *self.tasks) if task is not this]
        self.tasks.clear()
        for task in tasks:
            task.cancel()
        # Also what has failed already: nobody else will ask it why.
        await asyncio.gather(*tasks, return_exceptions=True)
        driver._turning.shutdown(wait=True)
        driver.derivation.close()

    def journaled(self, kind: type[T]) -> list[T]:
        """Return all values of a kind in the journal, in order."""
        return [frame.value for frame in self.journal.read() if isinstance(frame.value, kind)]

    def states(self) -> dict[str, ActionState]:
        """Return the last state of each action by the journal."""
        return {action.id: action.state for action in self.journaled(Action)}

    def assert_each_once(self) -> None:
        """No attempt is sent twice, no action accepted twice, and SENDING was durable before each."""
        attempts = [(action.id, action.attempt) for action in self.far.submits]
        assert len(attempts) == len(set(attempts)), attempts
        assert all(times == 1 for times in self.far.accepted.values()), self.far.accepted
        sending: dict[str, list[int]] = {}
        for frame in self.journal.read():
            value = frame.value
            if isinstance(value, ActionResult) and value.state is ActionState.SENDING:
                sending.setdefault(value.action_id, []).append(frame.seq)
        for action, durable in zip(self.far.submits, self.far.durable_at_submit, strict=True):
            assert sending[action.id][action.attempt - 1] <= durable


@pytest.fixture
def new_world(
    told: tuple[Configuration, PolicySet], script: Script, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], World]:
    """Return how to make a world by its seed; the executor waits next to nothing in it."""
    monkeypatch.setattr(execution, "POLL_SECONDS_FIRST", 0.002)
    monkeypatch.setattr(execution, "POLL_SECONDS_MAX", 0.01)
    monkeypatch.setattr(execution, "COMMIT_SECONDS_MAX", 0.01)
    return lambda seed: World(told, script, SimulatedStorage(seed))


@pytest.fixture
def world(new_world: Callable[[int], World]) -> World:
    """Return a world without faults."""
    return new_world(1)
