"""The live driver in process: a journal that fails at every point, clocks that jump, deaths, and what stop keeps."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from trimtab.app.readiness import readiness
from trimtab.domain.action import TERMINAL, ActionState
from trimtab.domain.input import ClockJump, Notice, Tick
from trimtab.domain.kpi import Kpi
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.policy import ActionKind, PolicySet
from trimtab.domain.samples import SampleBatch
from trimtab.drivers import crashpoint, intake
from trimtab.drivers.crashpoint import CRASH_POINTS
from trimtab.ports import Reading, ReadingSink
from trimtab.store.simulated import SimulatedCrash

NS = 1_000_000_000
A_CRASH = dict.fromkeys(range(4, 9), (0.6, 0.0, 1.0))
World = Any  # the class is conftest's
NewWorld = Callable[[int], Any]


def heals(world: World) -> list[str]:
    return [action.id for action in world.far.submits if action.kind is ActionKind.HEAL]


async def see_it_through(world: World, until_second: int = 20) -> None:
    """A crash at second 4, and well again once the heal was accepted."""
    while world.second < until_second:
        healed = bool(world.far.accepted)
        world.values[world.second + 1] = (
            (0.6, 0.0, 1.0) if world.second >= 4 and not healed else (0.0, 1.0, 1.0)
        )
        await world.pass_second()


def test_without_faults_one_heal_is_sent_and_succeeds(world: World) -> None:
    async def run() -> None:
        await world.start()
        await see_it_through(world)
        await world.driver.stop()

    asyncio.run(run())
    assert len(heals(world)) == 1
    assert set(world.states().values()) == {ActionState.SUCCEEDED}
    world.assert_each_once()
    assert all(world.puts)


def test_a_full_disk_turns_readings_away_and_the_loop_goes_on_by_itself(world: World) -> None:
    async def run() -> list[bool]:
        await world.start()
        await world.until_second(3)
        world.storage.capacity_bytes = world.storage.used_bytes()
        world.values = dict.fromkeys(range(4, 16), (0.6, 0.0, 1.0))
        taken = []
        while world.second < 12:
            taken.append(await world.pass_second())
        assert not world.driver.writable
        assert world.far.submits == []
        assert await world.driver.put(Reading("other/x")) is False
        world.storage.capacity_bytes = 1 << 40
        while world.second < 18:
            taken.append(await world.pass_second())
        assert world.driver.writable
        await world.driver.stop()
        return taken

    taken = asyncio.run(run())
    assert taken == [False] * 9 + [True] * 6
    assert len(heals(world)) == 1
    world.assert_each_once()


def test_a_disk_that_is_full_at_the_start_costs_no_configuration(world: World) -> None:
    async def run() -> None:
        world.storage.capacity_bytes = 80_000
        await world.start()
        assert not world.driver.writable
        world.storage.capacity_bytes = 1 << 40
        await world.driver.tick()
        await see_it_through(world)
        await world.driver.stop()

    asyncio.run(run())
    assert len(world.journaled(PolicySet)) == 1
    assert len(world.far.submits) <= 1


@pytest.mark.parametrize("operations", [("append",), ("create", "sync")])
@pytest.mark.parametrize(
    "point",
    [
        crashpoint.AFTER_INPUTS_JOURNALED, crashpoint.AFTER_STEP,
        crashpoint.AFTER_OUTPUTS_JOURNALED, crashpoint.BEFORE_SENDING_JOURNALED,
        crashpoint.AFTER_SENDING_JOURNALED, crashpoint.AFTER_SUBMITTED,
        crashpoint.AFTER_ACCEPTED_JOURNALED, crashpoint.BEFORE_END_JOURNALED,
    ],
)  # fmt: skip
def test_a_journal_that_fails_at_any_point_repeats_and_forgets_nothing(
    world: World, point: str, operations: tuple[str, ...]
) -> None:
    left = [3]

    def fail(name: str) -> None:
        if name == point and world.second >= 5 and left[0]:
            left[0] -= 1
            for operation in operations:
                world.storage.fail(operation, times=2)

    async def run() -> None:
        world.at_point = fail
        await world.start()
        await see_it_through(world, 32)
        assert world.driver.writable
        await world.driver.stop()

    asyncio.run(run())
    assert left[0] < 3
    assert len(heals(world)) == 1
    assert set(world.states().values()) == {ActionState.SUCCEEDED}
    world.assert_each_once()
    assert world.puts[-1]


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("point", [p for p in CRASH_POINTS if p != crashpoint.AFTER_SNAPSHOT])
def test_a_death_at_any_point_repeats_and_forgets_nothing(
    world: World, point: str, times: int
) -> None:
    passed = [0]
    dead = [False]

    def crash(name: str) -> None:
        if dead[0]:
            raise SimulatedCrash
        if name == point and world.second >= 5:
            passed[0] += 1
            if passed[0] == times:
                dead[0] = True
                raise SimulatedCrash

    async def run() -> None:
        world.at_point = crash
        await world.start()
        life = world.begin(see_it_through(world))
        while not life.done() and not dead[0]:
            await asyncio.wait({life}, timeout=0.002)
        if dead[0]:
            await world.die()
            dead[0] = False
            await world.start()
            await see_it_through(world)
        else:
            await life
        await world.driver.stop()

    asyncio.run(run())
    if times == 1 and point != crashpoint.AFTER_FOUND:
        assert passed[0]
    assert len(set(heals(world))) <= 1
    world.assert_each_once()
    assert world.divergent == 0
    states = world.states()
    assert states
    assert all(state in TERMINAL for state in states.values()), states
    if not heals(world):  # SENDING was durable, and nobody can know whether anything left: people
        assert ActionState.UNKNOWN in states.values()
        assert [action.kind for action in world.far.submits] == [ActionKind.HAND_OVER]
    else:
        assert set(states.values()) == {ActionState.SUCCEEDED}


def test_what_the_last_life_owed_is_no_state_to_take_a_snapshot_of(world: World) -> None:
    """A snapshot named by a turn that never was would be replayed from the journal's start: every input twice."""
    dead = [False]

    def crash(name: str) -> None:
        if name == crashpoint.AFTER_STEP and world.second >= 6:
            dead[0] = True
            raise SimulatedCrash

    async def run() -> None:
        world.at_point = crash
        world.values = dict.fromkeys(range(2, 9), (0.6, 0.0, 1.0))
        await world.start()
        with pytest.raises(SimulatedCrash):
            await world.until_second(7)
        await world.die()
        world.at_point = lambda name: None
        await world.start()
        assert -1 not in world.saved_seqs
        await world.driver.stop()

    asyncio.run(run())
    assert -1 not in world.saved_seqs


def test_a_lost_answer_is_looked_for_and_an_unknown_one_never_sent_again(world: World) -> None:
    world.far.moods = ["lost"]

    async def run() -> None:
        await world.start()
        await see_it_through(world)
        await world.driver.stop()

    asyncio.run(run())
    assert len(heals(world)) == 1
    assert set(world.states().values()) == {ActionState.SUCCEEDED}
    world.assert_each_once()


def test_garbage_from_the_target_ends_with_people(world: World) -> None:
    world.far.moods = ["garbage"]
    world.values = dict.fromkeys(range(4, 40), (0.6, 0.0, 1.0))

    async def run() -> None:
        await world.start()
        await world.until_second(25)
        await world.driver.stop()

    asyncio.run(run())
    assert len(heals(world)) == 1
    assert world.states()[heals(world)[0]] is ActionState.UNKNOWN
    assert [a.kind for a in world.far.submits if a.kind is not ActionKind.HEAL] == [
        ActionKind.HAND_OVER
    ]
    world.assert_each_once()


@pytest.mark.parametrize("jump_seconds", [3_600, -3_600, 40])
def test_a_jump_of_the_clock_alone_causes_no_action_and_blinds_nobody(
    world: World, jump_seconds: int
) -> None:
    async def run() -> None:
        await world.start()
        await world.until_second(6)
        await world.pass_second(jump_seconds=jump_seconds)
        await world.until_second(16)
        assert world.far.submits == []
        world.values = dict.fromkeys(range(17, 40), (0.6, 0.0, 1.0))
        await world.until_second(26)
        await world.driver.stop()

    asyncio.run(run())
    assert [jump.delta_ns for jump in world.journaled(ClockJump)] == [jump_seconds * NS]
    assert len(heals(world)) == 1, "blind after the jump"
    ticks = [tick.at_ns for tick in world.journaled(Tick)]
    assert ticks == sorted(ticks)
    world.assert_each_once()


def test_the_windows_that_a_jump_touches_are_suspect_and_no_others(world: World) -> None:
    seen: list[Kpi] = []

    async def run() -> None:
        await world.start()
        await world.until_second(6)
        observe = world.driver.telemetry.observe
        world.driver.telemetry.observe = lambda outputs: (
            seen.extend(kpi for value in outputs if isinstance(value, KpiBatch) for kpi in value.kpis()),
            observe(outputs),
        )  # fmt: skip
        await world.pass_second(jump_seconds=60)
        await world.until_second(20)
        await world.driver.stop()

    asyncio.run(run())
    (jump,) = world.journaled(ClockJump)
    before, after = jump.at_ns, jump.at_ns + jump.delta_ns
    suspect = [kpi for kpi in seen if kpi.suspect]
    assert suspect
    assert all(kpi.end_ns >= before and kpi.end_ns - kpi.window_ns < after for kpi in suspect)
    sound = [kpi for kpi in seen if not kpi.suspect and kpi.end_ns > after + 4 * NS]
    assert sound


def test_a_jump_is_told_even_if_the_journal_is_not_writable_then(world: World) -> None:
    async def run() -> None:
        await world.start()
        await world.until_second(3)
        capacity, world.storage.capacity_bytes = (
            world.storage.capacity_bytes,
            world.storage.used_bytes(),
        )
        await world.pass_second(jump_seconds=60)
        world.storage.capacity_bytes = capacity
        await world.until_second(6)
        await world.driver.stop()

    asyncio.run(run())
    assert [jump.delta_ns for jump in world.journaled(ClockJump)] == [60 * NS]


@dataclass(slots=True)
class FailingCollector:
    """A fake: a collector with a defect, which fails the first times it runs."""

    kind: ClassVar[str] = "failing"
    name: str = "failing"
    failures: int = 2
    runs: int = 0
    brought: list[bool] = field(default_factory=list)

    async def run(self, sink: ReadingSink) -> None:
        self.runs += 1
        if self.runs <= self.failures:
            raise RuntimeError("a defect")
        batch = SampleBatch.from_rows("failing/x", [(0, 1, 1.0)])
        self.brought.append(await sink.put(Reading("failing/x", batch)))
        await asyncio.Event().wait()


def test_a_turn_whose_rows_another_one_took_is_no_failure(world: World) -> None:
    """Rows come while a tick of the cadence waits for the turn before it: the tick takes them along."""

    async def run() -> tuple[bool, str]:
        await world.start()
        await world.until_second(2)
        driver = world.driver
        driver._pace.glance_ns = driver._pace.close_ns = 1 << 62
        async with driver._lock:
            tick = world.begin(driver.tick())
            await asyncio.sleep(0.01)
            rows = SampleBatch.from_rows("stamp/test", [(0, driver.clock.now_ns(), 0.0)])
            offer = world.begin(driver.put(Reading("stamp/test", rows)))
            await asyncio.sleep(0.01)
        await asyncio.wait_for(tick, 5)
        taken = await asyncio.wait_for(offer, 5)
        await asyncio.wait({driver._soon}, timeout=5)
        await driver.stop()
        return taken, driver.defect

    assert asyncio.run(run()) == (True, "")


class BrokenMachine:
    """A fake: a machine with a defect."""

    def step(self, inputs: Any, now: int) -> Any:
        raise RuntimeError("a defect")


def test_a_machine_that_raises_is_a_reason_not_to_be_ready(world: World) -> None:
    async def run() -> list[tuple[bool, str]]:
        await world.start()
        await world.until_second(2)
        said = [readiness(world.driver)]
        sound, world.driver.loop.decider = world.driver.loop.decider, BrokenMachine()
        with pytest.raises(RuntimeError, match="a defect"):
            await world.driver.tick()
        world.driver.loop.decider = sound
        said.append(readiness(world.driver))
        await world.until_second(4)
        said.append(readiness(world.driver))
        await world.driver.stop()
        return [
            (item.ready, "; ".join(check.detail for check in item.checks if not check.ok))
            for item in said
        ]

    before, broken, after = asyncio.run(run())
    assert before == (True, "")
    assert not broken[0]
    assert "RuntimeError('a defect')" in broken[1]
    assert after == broken
    assert world.driver.turns > 4


def test_a_collector_that_raises_is_started_again_and_the_noc_told(world: World) -> None:
    collector = FailingCollector()
    world.collectors = [collector]

    async def run() -> None:
        await world.start()
        world.driver.cadence_seconds = 0.01
        await world.until_second(10)
        await world.driver.stop()

    asyncio.run(run())
    assert collector.runs >= 1
    notices = [notice for notice in world.journaled(Notice) if notice.subject == "failing"]
    assert notices
    assert "a defect" in notices[0].text


def test_a_notice_does_not_drive_out_what_a_turn_owes(world: World) -> None:
    """Outputs that could not be journaled yet stay owed, whatever else happens meanwhile."""
    collector = FailingCollector(failures=1_000)

    def fail(name: str) -> None:
        if name == crashpoint.AFTER_STEP and 5 <= world.second < 8:
            world.storage.fail("append", times=1)
            world.storage.fail("create", times=4)

    async def run() -> None:
        world.at_point = fail
        world.collectors = [collector]
        await world.start()
        world.driver.cadence_seconds = 0.001
        await see_it_through(world)
        await world.driver.stop()
        await world.die()
        await world.start()
        await world.driver.stop()

    asyncio.run(run())
    assert len(heals(world)) == 1
    world.assert_each_once()
    assert world.divergent == 0, "the driver's own notices are no judgement of other code"


def test_intake_overflow_is_refused_and_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "ROWS_WAITING_MAX", 10)

    async def run() -> list[bool]:
        await world.start()
        rows = [(0, 1_700_000_000 * NS + n, 0.0) for n in range(6)]
        offers = [
            asyncio.create_task(
                world.driver.put(Reading("stamp/test", SampleBatch.from_rows("stamp/test", rows)))
            )
            for _ in range(3)
        ]
        await asyncio.sleep(0)
        await world.driver.tick()
        taken = [await offer for offer in offers]
        await world.driver.stop()
        return taken

    assert asyncio.run(run()) == [True, False, False]
    assert world.driver._intake.refused == 2


def test_stop_loses_nothing_that_was_acknowledged_and_leaves_nobody_waiting(world: World) -> None:
    async def run() -> None:
        await world.start()
        await world.until_second(3)
        batch = SampleBatch.from_rows("stamp/late", [(0, 1_700_000_003 * NS, 0.0)])
        offer = asyncio.create_task(world.driver.put(Reading("stamp/late", batch)))
        await asyncio.sleep(0)
        await world.driver.stop()
        assert await asyncio.wait_for(offer, 5) is True
        assert await asyncio.wait_for(world.driver.put(Reading("stamp/late", batch)), 5) is False
        world.journal.close()
        await world.die()
        await world.start()
        await world.driver.stop()

    asyncio.run(run())
    assert [batch.source for batch in world.journaled(SampleBatch)].count("stamp/late") == 1


def test_an_input_that_cannot_be_written_down_leaves_nobody_waiting(world: World) -> None:
    async def run() -> None:
        await world.start()
        bad = Notice("x", 1, "y", "not an input")
        object.__setattr__(bad, "at_ns", float("nan"))
        offer = world.driver._intake.offer([bad])
        with pytest.raises(ValueError, match="JSON"):
            await world.driver.tick()
        assert await asyncio.wait_for(offer, 5) is False
        assert await world.pass_second()
        await world.driver.stop()

    asyncio.run(run())
