"""The live driver in seeded worlds: bad samples, storage and targets, deaths and jumps together (DESIGN section 6)."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from trimtab.app.machines import machines
from trimtab.domain import codec
from trimtab.domain.action import TERMINAL, Action, ActionState
from trimtab.domain.alarm import Alarm, AlarmState
from trimtab.domain.input import Input, Numbered, Output, SeriesAdded
from trimtab.domain.policy import ActionKind
from trimtab.domain.samples import SampleBatch
from trimtab.domain.time import NS_PER_SECOND
from trimtab.domain.verification import Verification
from trimtab.drivers.loop import Loop
from trimtab.drivers.turn import AUTHORITATIVE, turns
from trimtab.ports import Reading
from trimtab.store.simulated import SimulatedCrash

SEEDS = 12
STORM_SECONDS = 24
END_SECONDS = 70
World = Any  # the class is conftest's


class Storm:
    """Draw from one seed what befalls a world, second by second."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.dead = False
        self.deaths = 0
        self.kill_at = 0
        self.delayed: list[SampleBatch] = []
        world.at_point = self.at_point
        world.far.usual = self.random.choice(("accepted", "done"))
        world.far.moods = [
            self.random.choice(("accepted", "done", "refused", "garbage", "lost")) for _ in range(3)
        ]

    def at_point(self, name: str) -> None:
        """Die at whichever point comes when the time is up, and stay dead."""
        self.kill_at -= 1
        if self.kill_at == 0:
            self.dead = True
        if self.dead:
            raise SimulatedCrash

    def weather(self) -> None:
        """Arrange the next second's faults."""
        world, chance = self.world, self.random.random
        hurt = chance() < 0.6
        world.values[world.second + 1] = (
            0.6 if hurt else 0.0,
            0.0 if hurt and chance() < 0.9 else 1.0,
            1.0,
        )
        if chance() < 0.15:
            world.storage.fail(self.random.choice(("append", "sync", "create", "rename")), times=3)
        if chance() < 0.1:
            world.storage.capacity_bytes = world.storage.used_bytes() + self.random.randint(
                0, 90_000
            )
        elif chance() < 0.5:
            world.storage.capacity_bytes = 1 << 40
        if chance() < 0.12:
            self.kill_at = self.random.randint(1, 12)
        if chance() < 0.06:
            world.storage.crash_after(self.random.randint(0, 20))

    async def second(self) -> None:
        """Let a second pass; rows come twice, late and out of order."""
        world, chance = self.world, self.random.random
        now = world.driver.clock.now_ns()
        rows = [
            (n, now - NS_PER_SECOND // 2, v)
            for n, v in enumerate(world.values.get(world.second, (0.0, 1.0, 1.0)))
        ]
        if chance() < 0.3:
            self.delayed.append(SampleBatch.from_rows("prometheus/test", rows[1:][::-1]))
        if self.delayed and chance() < 0.3:
            late = self.delayed.pop(self.random.randrange(len(self.delayed)))
            await world.put(Reading("prometheus/test", late))
        jump = self.random.choice((-90, 30, 90)) if chance() < 0.04 else 0
        await world.pass_second(jump_seconds=jump, silent=chance() < 0.1)

    async def live(self, until: int, step: Callable[[], None]) -> None:
        """Pass seconds, dying and rising again as it comes."""
        world = self.world
        while world.second < until:
            step()
            going = world.begin(self.second() if until <= STORM_SECONDS else world.pass_second())
            while not going.done() and not self.dead:
                await asyncio.wait({going}, timeout=0.002)
            failed = going.done() and isinstance(going.exception(), SimulatedCrash)
            if self.dead or failed:
                await self.rise()
            else:
                going.result()

    async def rise(self) -> None:
        """Die for good, and start again from what the storage kept."""
        self.deaths += 1
        await self.world.die()
        self.dead, self.kill_at = False, 0
        self.world.storage.capacity_bytes = 1 << 40
        await self.world.start()


async def weather_it(world: World, seed: int) -> Storm:
    storm = Storm(world, seed)
    await world.start()
    await storm.live(STORM_SECONDS, storm.weather)

    def calm() -> None:
        storm.kill_at = 0
        world.storage.crash_after(None)
        world.storage.capacity_bytes = 1 << 40
        world.values = {}

    await storm.live(END_SECONDS, calm)
    await world.driver.stop()
    return storm


def replayed(world: World) -> tuple[list[bytes], list[bytes]]:
    """Return the outputs that the journal holds, and those that stepping its inputs anew gives."""
    loop = Loop(machines())
    written: list[bytes] = []
    again: list[bytes] = []
    for inputs, outputs in turns(world.journal.read()):
        numbered: list[Numbered[Input]] = [Numbered(frame.seq, frame.value) for frame in inputs]  # type: ignore[arg-type]
        now = inputs[-1].now
        judged: list[Output] = loop.step(numbered, now)
        again += [codec.encode(value) for value in judged if isinstance(value, AUTHORITATIVE)]
        written += [codec.encode(frame.value) for frame in outputs]
    return written, again


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_seed_breaks_an_invariant(new_world: Callable[[int], Any], seed: int) -> None:
    world = new_world(seed)
    asyncio.run(weather_it(world, seed))
    world.assert_each_once()  # 1
    actions = world.journaled(Action)
    _one_at_a_time(actions)  # 3
    states = {action.id: action.state for action in actions}
    assert all(state in TERMINAL for state in states.values()), states  # 5: none forgotten
    succeeded = {
        action.id for action in actions
        if action.state is ActionState.SUCCEEDED and action.kind is not ActionKind.HAND_OVER
    }  # fmt: skip
    verdicts = {item.action_id: item.verdict for item in world.journaled(Verification)}
    assert succeeded <= verdicts.keys()
    assert all(verdicts[name] is not None for name in succeeded), verdicts
    for action in actions:  # 5: and doubt ends with people
        if action.state is ActionState.UNKNOWN and action.kind is not ActionKind.HAND_OVER:
            told = [item for item in actions if item.kind is ActionKind.HAND_OVER]
            assert [item for item in told if item.incident_id == action.incident_id]
    last = {alarm.id: alarm for alarm in world.journaled(Alarm)}
    assert all(
        alarm.state is AlarmState.CLEARED for alarm in last.values()
    )  # 6: all is well by now
    written, again = replayed(world)
    assert written == again  # 7
    assert world.divergent == 0
    numbers = [item.series_id for item in world.journaled(SeriesAdded)]
    assert numbers == sorted(set(numbers))
    assert world.puts[-1]


def _one_at_a_time(actions: list[Action]) -> None:
    """No target has two actions under way at once."""
    open_on: dict[str, str] = {}
    for action in actions:
        if action.kind is ActionKind.HAND_OVER:
            continue
        if action.state in TERMINAL:
            if open_on.get(action.target_id) == action.id:
                del open_on[action.target_id]
        else:
            assert open_on.setdefault(action.target_id, action.id) == action.id


def test_the_same_seed_meets_the_same_fate(new_world: Callable[[int], Any]) -> None:
    """What a seed draws does not depend on how fast this machine is, as long as nothing dies."""
    first, second = Storm(new_world(3), 3), Storm(new_world(3), 3)
    drawn = []
    for storm in (first, second):
        for _ in range(5):
            storm.weather()
            storm.world.second += 1
        drawn.append(storm.world.values)
    assert drawn[0] == drawn[1]
