"""The wrappers measure, and change nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
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
from trimtab.telemetry.metered import MeteredActuator, MeteredApp, MeteredMachine

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


@pytest.mark.anyio
async def test_an_application(telemetry: Telemetry, value: Callable[..., float | None]) -> None:
    app = FastAPI()
    seen: list[float | None] = []

    @app.get("/services/{name}")
    async def service(name: str) -> str:
        if name == "broken":
            raise RuntimeError("a bug")
        return name

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def lines() -> Any:
            seen.append(value("trimtab_api_streams"))
            yield "data: 1\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    app.add_middleware(MeteredApp, telemetry=telemetry)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://trimtab") as client:
        for path in ("/services/a", "/services/b", "/services/broken", "/events", "/nothing"):
            await client.get(path)
    route = {"method": "GET", "route": "/services/{name}"}
    assert value("trimtab_api_requests_total", **route, status="200") == 2
    assert value("trimtab_api_requests_total", **route, status="500") == 1
    assert value("trimtab_api_request_duration_seconds_count", route="/services/{name}") == 3
    nowhere = {"method": "GET", "route": "unrouted", "status": "404"}
    assert value("trimtab_api_requests_total", **nowhere) == 1
    assert seen == [1]
    assert value("trimtab_api_streams") == 0
    assert value("trimtab_api_request_duration_seconds_count", route="/events") is None


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
