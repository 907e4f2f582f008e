"""The executor, the real SOL003 actuator and the lab's VNFM together; the process dies at each named point."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from actuators.sol003 import Sol003
from trimtab.domain.action import Action, ActionResult, ActionState
from trimtab.domain.policy import ActionKind
from trimtab.drivers import crashpoint
from trimtab.drivers.crashpoint import CRASH_POINTS
from trimtab.drivers.execution import ActionLedger, Executor

pytestmark = pytest.mark.anyio

OWN_POINTS = CRASH_POINTS[: CRASH_POINTS.index(crashpoint.AFTER_END_JOURNALED) + 1]


class Died(BaseException):
    """Stands for SIGKILL: nothing of the executor runs on after it."""


class Life:
    """One process' life over a journal (a list): it may die at a point, and tells when everything is over."""

    def __init__(self, journal: list[object], clock: Any, vnfm: Sol003, die_at: str = "") -> None:
        self.journal = journal
        self.die_at = die_at
        self.died = asyncio.Event()
        self.executor = Executor({"it": vnfm}, self.commit, clock, crash_point=self.point)

    async def commit(self, result: ActionResult) -> bool:
        if self.died.is_set():
            return False
        self.journal.append(result)
        return True

    def point(self, name: str) -> None:
        if name == self.die_at:
            self.died.set()
            raise Died(name)

    async def live(self) -> None:
        """Take up what the journal says, until nothing is left to do or the process died."""
        ledger = ActionLedger()
        for value in self.journal:
            ledger.apply(value)
        await self.executor.recover(ledger)
        for _ in range(1000):
            if self.died.is_set() or not len(self.executor):
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the executor does not come to an end")


def results(journal: list[object]) -> list[ActionState]:
    return [value.state for value in journal if isinstance(value, ActionResult)]


@pytest.fixture
async def vnfm(lab: Any, clock: Any) -> Any:
    config = Sol003.Config(api_root=lab.state["vnfm_url"], timeout_seconds=2.5)
    actuator = Sol003("it", config, clock)
    yield actuator
    await actuator.close()


def intend(action: Action) -> Action:
    return replace(action, state=ActionState.INTENDED)


@pytest.mark.parametrize(
    ("point", "answers"),
    [(point, "arrive") for point in OWN_POINTS if point != crashpoint.AFTER_FOUND]
    + [(crashpoint.AFTER_SUBMITTED, "are lost"), (crashpoint.AFTER_FOUND, "are lost")],
)
async def test_one_heal_whatever_point_the_process_dies_at(
    lab: Any, vnfm: Sol003, clock: Any, make_action: Any, point: str, answers: str
) -> None:
    if answers == "are lost":
        await lab.inject("vnfm_loses_answers")
    action = intend(make_action(target="provider/vnfc/rtr-0", native=lab.native("rtr-0")))
    journal: list[object] = [action]
    first = Life(journal, clock, vnfm, die_at=point)
    await first.live()
    assert first.died.is_set()
    second = Life(journal, clock, vnfm)
    await second.live()
    assert len(lab.occurrences(action.id)) == (
        0 if point == crashpoint.AFTER_SENDING_JOURNALED else 1
    )
    expected = (
        ActionState.UNKNOWN
        if point == crashpoint.AFTER_SENDING_JOURNALED
        else ActionState.SUCCEEDED
    )
    assert results(journal)[-1] is expected
    assert results(journal).count(ActionState.SENDING) == 1


async def test_what_is_refused_waits_and_what_is_impossible_fails(
    lab: Any, vnfm: Sol003, clock: Any, make_action: Any
) -> None:
    await lab.inject("vnfm_refuses", status=503, retry_after_seconds=3)
    native = lab.native("fw-0")
    heal = intend(make_action(native=native, identifier="heal"))
    shrink = make_action(ActionKind.SCALE_IN, "provider/vnf/fw", native, identifier="shrink")
    journal: list[object] = [heal, intend(shrink)]
    await Life(journal, clock, vnfm).live()
    ends = {value.action_id: value for value in journal if isinstance(value, ActionResult)}
    assert ends["heal"].state is ActionState.DEFERRED
    assert ends["heal"].retry_after_ns == 3_000_000_000
    assert ends["shrink"].state is ActionState.FAILED
    assert lab.occurrences("heal") == []
    assert lab.occurrences("shrink") == []
