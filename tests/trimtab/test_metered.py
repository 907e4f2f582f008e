"""The wrappers measure, and change nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prometheus_client import CollectorRegistry

from trimtab.domain.action import Action, ActionState, Operation
from trimtab.domain.context import Context
from trimtab.domain.input import Tick
from trimtab.domain.policy import ActionKind
from trimtab.ports import Actuator, Found, Submission, SubmissionOutcome
from trimtab.store.journal import Journal
from trimtab.store.metered import MeteredStorage
from trimtab.store.storage import FileStorage
from trimtab.telemetry import Telemetry
from trimtab.telemetry.metered import MeteredActuator, MeteredMachine

ACTION = Action(
    Context("c", None), "action-1", "d", "i", ActionKind.HEAL, "provider/vnfc/fw-0", "vnfm",
    ActionState.INTENDED, 1, 1, 9,
)  # fmt: skip
OPERATION = Operation("vnfm", "op-1", "PROCESSING", done=False, succeeded=False)


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(CollectorRegistry(), process=False)


@pytest.fixture
def value(telemetry: Telemetry) -> Callable[..., float | None]:
    return lambda name, **labels: telemetry.registry.get_sample_value(name, labels)


class FakeMachine:
    """Gives its inputs back."""

    def step(self, inputs: Any, now: int) -> Any:
        return [*inputs, now]

    def snapshot(self) -> bytes:
        return b"state"


class FakeActuator:
    """Accepts everything."""

    kind: ClassVar[str] = "fake"
    name = "vnfm"
    closed = False

    async def submit(self, action: Action) -> Submission:
        return Submission(SubmissionOutcome.ACCEPTED, operation=OPERATION)

    async def poll(self, action: Action, operation: Operation) -> Operation:
        return operation

    async def find(self, action: Action, since_ns: int) -> Found:
        return Found(asked=True, operation=OPERATION)

    async def close(self) -> None:
        self.closed = True


def test_a_machine(telemetry: Telemetry, value: Callable[..., float | None]) -> None:
    machine = MeteredMachine(FakeMachine(), "assessor", telemetry)
    assert machine.step([1, 2], 7_000_000_000) == [1, 2, 7_000_000_000]
    assert machine.snapshot() == b"state"
    assert value("trimtab_loop_steps_total", machine="assessor") == 1
    assert value("trimtab_loop_step_duration_seconds_count", machine="assessor") == 1
    assert value("trimtab_loop_last_step_timestamp_seconds") == 7


@pytest.mark.anyio
async def test_an_actuator(telemetry: Telemetry, value: Callable[..., float | None]) -> None:
    fake = FakeActuator()
    actuator = MeteredActuator(fake, telemetry)
    assert isinstance(actuator, Actuator)
    assert (await actuator.submit(ACTION)).operation == OPERATION
    assert await actuator.poll(ACTION, OPERATION) == OPERATION
    assert (await actuator.find(ACTION, 0)).asked
    await actuator.close()
    assert fake.closed
    assert value("trimtab_actuator_requests_total", actuator="vnfm", outcome="accepted") == 1
    assert value("trimtab_actuator_request_duration_seconds_count", actuator="vnfm") == 1


def test_a_journal_on_a_measured_storage(
    tmp_path: Path, telemetry: Telemetry, value: Callable[..., float | None]
) -> None:
    journal = Journal.open(tmp_path, MeteredStorage(FileStorage(tmp_path), telemetry))
    journal.append([Tick(1)], 1)
    journal.sync()
    journal.append([Tick(2), Tick(3)], 2)
    journal.sync()
    size = journal.size_bytes
    journal.close()
    written = value("trimtab_journal_written_bytes_total")
    syncs = value("trimtab_journal_sync_duration_seconds_count")
    assert written is not None
    assert written >= size > 0
    assert syncs is not None
    assert syncs >= 2
    again = Journal.open(tmp_path)
    assert again.durable_seq == 2
    again.close()
