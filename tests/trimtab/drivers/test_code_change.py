"""A compacted journal and new code: what the Decider holds locked stays locked, and nothing is done twice."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trimtab.app import standing
from trimtab.app.machines import machines
from trimtab.app.standing import Standing
from trimtab.domain.action import ActionState
from trimtab.domain.samples import SampleBatch
from trimtab.drivers.recovery import Recovered
from trimtab.ports import Reading
from trimtab.store.snapshots import Snapshots

World = Any  # the class is conftest's


@dataclass(slots=True)
class AllDerived:
    """A fake: derived stores that have everything."""

    journal: Any

    def position(self) -> int:
        return int(self.journal.durable_seq)

    def apply(self, turn: object) -> None:
        """Keep nothing."""


def standing_of(world: World, folder: Path, code: str) -> Standing:
    return Standing(Snapshots(folder), world.journal, AllDerived(world.journal), code, machines())


async def to_an_unknown_outcome(world: World) -> None:
    """A crash whose heal is lost on the way: its target stays locked; then enough samples for some segments."""
    await world.start()
    assert world.journal.first_seq == 0
    world.far.moods = ["garbage"]
    for _ in range(20):
        world.values[world.second + 1] = (0.6, 0.0, 1.0) if world.second >= 4 else (0.0, 1.0, 1.0)
        await world.pass_second()
    for number in range(8):
        rows = [(0, world.driver.clock.now_ns() - n, 0.0) for n in range(2_000)]
        assert await world.put(Reading(f"bulk/{number}", SampleBatch.from_rows("bulk", rows)))


@pytest.mark.parametrize("readable", [True, False])
def test_what_was_locked_before_the_horizon_is_locked_after_new_code(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    readable: bool,
) -> None:
    monkeypatch.setattr(standing, "JOURNAL_BYTES_MAX", 0)

    async def run() -> tuple[bytes, Recovered]:
        await to_an_unknown_outcome(world)
        index = world.driver.index
        await asyncio.to_thread(standing_of(world, tmp_path, "old").save, world.driver, index)
        assert world.journal.first_seq > 0
        before = world.driver.loop.decider.snapshot()
        if not readable:
            monkeypatch.setattr("trimtab.drivers.loop.SNAPSHOT_FORMAT", 99)
        found = await asyncio.to_thread(standing_of(world, tmp_path, "new").recover)
        await world.driver.stop()
        return before, found

    before, found = asyncio.run(run())
    assert ActionState.UNKNOWN in world.states().values()
    assert json.loads(before)["locks"]
    assert (found.loop.decider.snapshot() == before) is readable
    assert ("look for targets that were locked" in caplog.text) is not readable
    assert found.divergent == 0 or not readable
