"""A lab for those that need a real VNFM and VIM; a scripted HTTP server for what a lab does not do."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from lab.network import Lab
from lab.scenario import make_fault
from trimtab.domain.action import Action, ActionState
from trimtab.domain.context import Context
from trimtab.domain.policy import ActionKind

POLL_SECONDS = 0.05


class RealClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def make_action() -> Callable[..., Action]:
    """Return a maker of actions: kind, target, native ids, parameters as keywords."""

    def make(
        kind: ActionKind = ActionKind.HEAL,
        target: str = "provider/vnfc/fw-0",
        native: dict[str, str] | None = None,
        identifier: str = "",
        **parameters: str,
    ) -> Action:
        now = time.time_ns()
        identifier = identifier or f"action-{now}"
        return Action(
            context=Context(identifier), id=identifier, decision_id="decision-1",
            incident_id="incident-1", kind=kind, target_id=target, actuator="it",
            state=ActionState.SENDING, created_at_ns=now, changed_at_ns=now,
            deadline_ns=now + 60_000_000_000, parameters=tuple(parameters.items()),
            native_ids=tuple((native or {}).items()),
        )  # fmt: skip

    return make


@dataclass
class Asked:
    """A request that the scripted server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """A fake server: answers by (method, path without query), each with a list of (status, headers, body) in turn.

    The last answer of a list stays. Whatever is not in the script gets 404.
    """

    script: dict[tuple[str, str], list[tuple[int, dict[str, str], Any]]] = field(
        default_factory=dict
    )
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def on(
        self, method: str, path: str, status: int, body: Any = None, **headers: str
    ) -> "Scripted":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.script.setdefault((method, path), []).append((status, named, body))
        return self

    def posts(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "POST"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.asked.append(Asked(method, path, headers, body))
        exact = self.script.get((method, path))
        answers = exact or self.script.get((method, path.partition("?")[0]), [(404, {}, None)])
        status, more, content = answers.pop(0) if len(answers) > 1 else answers[0]
        payload = b"" if content is None else json.dumps(content).encode()
        lines = {"Content-Length": str(len(payload)), "Content-Type": "application/json", **more}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{text}Connection: close\r\n\r\n".encode() + payload)
        await writer.drain()
        writer.close()


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    server = Scripted()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield server
    listening.close()
    await listening.wait_closed()


class LabTarget:
    """The lab as an actuator's target, and what the far side's own records say."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.state = lab.state
        self.vnfm = httpx2.Client(
            base_url=f"{lab.state['vnfm_url']}/vnflcm/v2", headers={"Version": "2.3.0"},
            timeout=10, trust_env=False,
        )  # fmt: skip

    def labels(self, vnfc: str) -> dict[str, str]:
        groups = httpx2.get(self.state["sd_url"], timeout=10, trust_env=False).json()
        return next(g["labels"] for g in groups if g["labels"].get("vnfc") == vnfc)

    def native(self, vnfc: str) -> dict[str, str]:
        """The aliases of a VNFC and its VNF, as the inventory would have them."""
        labels = self.labels(vnfc)
        return {
            "vnfm": labels["vnf_instance_id"],
            "vnfm.vnfc": labels["vnfc_instance_id"],
            "vim": labels["server_id"],
        }

    def occurrences(self, action_id: str = "") -> list[dict[str, Any]]:
        """The VNFM's own record: every operation, or those that echo an action."""
        found = self.vnfm.get("/vnf_lcm_op_occs").json()
        return [
            item for item in found
            if not action_id
            or item["operationParams"].get("additionalParams", {}).get("trimtabActionId") == action_id
        ]  # fmt: skip

    def scale_level(self, vnf_id: str) -> int:
        info = self.vnfm.get(f"/vnf_instances/{vnf_id}").json()["instantiatedVnfInfo"]
        return int(info["scaleStatus"][0]["scaleLevel"])

    async def inject(self, kind: str, target: str | None = None, **parameters: Any) -> None:
        await self.lab.inject(make_fault(kind, target, parameters=parameters))

    def put_right(self) -> None:
        """Take back every fault, unlock and end every operation."""
        for fault in asyncio.run(self.lab.faults()):
            if fault["cleared_at"] is None:
                asyncio.run(self.lab.clear(fault["id"]))
        for item in self.occurrences():
            if item["operationState"] == "FAILED_TEMP":
                self.vnfm.post(f"/vnf_lcm_op_occs/{item['id']}/fail")
        until = time.monotonic() + 20
        while any(
            item["operationState"] in ("STARTING", "PROCESSING", "ROLLING_BACK")
            for item in self.occurrences()
        ):
            assert time.monotonic() < until, "the VNFM does not come to rest"
            time.sleep(POLL_SECONDS)


@pytest.fixture(scope="session")
def _lab_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabTarget]:
    lab = asyncio.run(Lab.start(tmp_path_factory.mktemp("lab")))
    target = LabTarget(lab)
    os.environ["ACTUATORS_LAB_PASSWORD"] = lab.state["vim"]["password"]
    yield target
    target.vnfm.close()
    del os.environ["ACTUATORS_LAB_PASSWORD"]
    asyncio.run(lab.stop())


@pytest.fixture
def lab(_lab_of_the_session: LabTarget) -> Iterator[LabTarget]:
    """Lend the session's lab; afterwards it is put right for the next test."""
    yield _lab_of_the_session
    _lab_of_the_session.put_right()


@pytest.fixture
def end_of() -> Callable[..., Any]:
    """Return a coroutine that polls an operation to its end, within bounds."""

    async def follow(actuator: Any, action: Action, operation: Any, seconds: float = 20.0) -> Any:
        async with asyncio.timeout(seconds):
            while not operation.done:
                await asyncio.sleep(POLL_SECONDS)
                operation = await actuator.poll(action, operation)
        return operation

    return follow
