"""What every registered actuator holds to, whatever its target does to it.

The targets here are fakes on a socket: they answer what comes before the acting request as a target would, and treat
the acting request itself as the test says.
"""

import asyncio
import importlib
import inspect
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from actuators import ACTUATORS
from trimtab.domain.action import Action, ActionState, Operation
from trimtab.domain.context import Context
from trimtab.domain.policy import ActionKind
from trimtab.errors import ActuatorError
from trimtab.ports import Actuator, Submission, SubmissionOutcome

pytestmark = pytest.mark.anyio

TIMEOUT_SECONDS = 10.0
# Where the test is about a timeout: a short one, and on a machine that is too busy for it, longer ones.
WAITS_SECONDS = (0.6, 3.0, 15.0)
BOUND_SECONDS = 120.0  # generous: two cores, shared
VNF = "0d3e6a52-vnf"
VNFC = "0d3e6a52-vnfc"
SERVER = "0d3e6a52-server"


class RealClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What to do with a request: an HTTP answer, or something that is none."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    instead: str = ""  # hang, close, noise, cut, endless

    def wire(self) -> bytes:
        headers = {"Content-Length": str(len(self.body)), "Connection": "close", **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} X\r\n{lines}\r\n".encode() + self.body


def as_json(body: object, status: int = 200, **headers: str) -> Answer:
    return Answer(
        status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    )


class FakeTarget:
    """A socket that answers preliminaries by `friendly`, and acting requests by `acting`."""

    def __init__(self, friendly: Callable[[Request, str], Answer | None]) -> None:
        self.friendly = friendly
        self.acting = Answer(500)
        self.everything: Answer | None = None
        self.acted: list[Request] = []
        self.writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await self.server.wait_closed()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            pairs = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Request(method, path, headers, body)
            answer = self.friendly(request, self.url)
            if answer is None:
                self.acted.append(request)
                answer = self.acting
            await self._give(self.everything or answer, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away: what these tests are about
        finally:
            writer.close()
            self.writers.discard(writer)

    async def _give(
        self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if answer.instead == "hang":
            await reader.read()
        elif answer.instead == "noise":
            writer.write(b"\x00\xff this is no HTTP \r\n\r\n")
        elif answer.instead == "cut":
            writer.write(b"HTTP/1.1 202 X\r\nContent-Length: 100\r\nLocation: /x/y\r\n\r\n{")
        elif answer.instead == "endless":
            writer.write(b"HTTP/1.1 202 X\r\nLocation: /x/y\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()
        elif answer.instead != "close":
            writer.write(answer.wire())
            await writer.drain()


# One harness a kind: how to make one, an action for it, and a target that is friendly until it is asked to act.


def sol003_friendly(request: Request, url: str) -> Answer | None:
    if request.method == "POST":
        return None
    if request.path.startswith(f"/vnflcm/v2/vnf_instances/{VNF}"):
        links = {name: {"href": "x"} for name in ("heal", "scale")}
        return as_json({"id": VNF, "instantiationState": "INSTANTIATED", "_links": links})
    return as_json([])


def nova_friendly(request: Request, url: str) -> Answer | None:
    path = request.path
    if path.endswith("/action"):
        return None
    if path.endswith("/auth/tokens"):
        endpoint = {
            "interface": "public",
            "region": "r",
            "region_id": "r",
            "url": f"{url}/compute/v2.1",
            "id": "e",
        }
        catalog = [{"type": "compute", "name": "nova", "id": "s", "endpoints": [endpoint]}]
        token = {
            "expires_at": "2999-01-01T00:00:00.000000Z", "issued_at": "2000-01-01T00:00:00.000000Z",
            "methods": ["password"], "catalog": catalog, "roles": [],
            "project": {"id": "p", "name": "p", "domain": {"id": "d", "name": "Default"}},
            "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "Default"}},
        }  # fmt: skip
        return as_json({"token": token}, 201, **{"X-Subject-Token": "t"})
    if "/migrations" in path or "/os-migrations" in path:
        return as_json({"migrations": []})
    if f"/servers/{SERVER}" in path:
        return as_json({"server": {"id": SERVER, "status": "ACTIVE", "OS-EXT-SRV-ATTR:host": "h1"}})
    if "/compute" in path:
        version = {"id": "v2.1", "status": "CURRENT", "version": "2.90", "min_version": "2.1",
                   "links": [{"rel": "self", "href": f"{url}/compute/v2.1/"}]}  # fmt: skip
        return as_json({"version": version})
    identity = {
        "id": "v3.14",
        "status": "stable",
        "links": [{"rel": "self", "href": f"{url}/identity/v3/"}],
    }
    return as_json({"version": identity})


def webhook_friendly(request: Request, url: str) -> Answer | None:
    return None if request.method == "POST" else Answer(404)


@dataclass
class Harness:
    kind: ActionKind
    target_id: str
    native_ids: tuple[tuple[str, str], ...]
    settings: Callable[[str, Path], dict[str, Any]]
    friendly: Callable[[Request, str], Answer | None]
    acceptance: Answer
    networked: bool = True


def openstack_settings(url: str, folder: Path) -> dict[str, Any]:
    (folder / "password").write_text("secret")
    auth = {"auth_url": f"{url}/identity/v3", "username": "u", "project_name": "p",
            "password_file": str(folder / "password")}  # fmt: skip
    return {"auth": auth, "region_name": "r"}


HARNESSES = {
    "openstack": Harness(
        ActionKind.MIGRATE, "provider/vnfc/fw-0", (("vim", SERVER),), openstack_settings,
        nova_friendly, Answer(202),
    ),
    "record": Harness(
        ActionKind.HEAL, "provider/vnfc/fw-0", (),
        lambda url, folder: {"path": str(folder / "actions.jsonl")}, webhook_friendly, Answer(), False,
    ),
    "sol003": Harness(
        ActionKind.HEAL, "provider/vnfc/fw-0", (("vnfm", VNF), ("vnfm.vnfc", VNFC)),
        lambda url, folder: {"api_root": url}, sol003_friendly,
        Answer(202, headers={"Location": "/vnflcm/v2/vnf_lcm_op_occs/1"}),
    ),
    "webhook": Harness(
        ActionKind.HAND_OVER, "provider/vnfc/fw-0", (),
        lambda url, folder: {"url": f"{url}/hook", "status_url": f"{url}/hook/{{id}}"},
        webhook_friendly, Answer(200),
    ),
}  # fmt: skip
NETWORKED = [kind for kind, harness in HARNESSES.items() if harness.networked]


def an_action(harness: Harness, identifier: str = "action-1") -> Action:
    now = time.time_ns()
    return Action(
        context=Context(identifier), id=identifier, decision_id="decision-1", incident_id="incident-1",
        kind=harness.kind, target_id=harness.target_id, actuator="it", state=ActionState.SENDING,
        created_at_ns=now, changed_at_ns=now, deadline_ns=now + 60_000_000_000, native_ids=harness.native_ids,
    )  # fmt: skip


@dataclass
class Stage:
    """An actuator, its fake target and an action for it."""

    actuator: Actuator
    target: FakeTarget
    action: Action
    harness: Harness
    make: Callable[[float], Actuator]

    async def kept_waiting(self) -> Submission:
        """Submit to a target that keeps us waiting, until the acting request itself was what timed out."""
        for seconds in WAITS_SECONDS:
            self.target.acted.clear()
            async with asyncio.timeout(BOUND_SECONDS):
                submission = await self.make(seconds).submit(self.action)
            if self.target.acted:
                break
        return submission


@pytest.fixture(scope="module", autouse=True)
def _sdk() -> None:
    """Import the SDK before the clock runs: it takes seconds."""
    importlib.import_module("openstack")


@pytest.fixture
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    harness = HARNESSES[request.param]
    target = FakeTarget(harness.friendly)
    await target.start()
    chosen = ACTUATORS[request.param]
    made: list[Actuator] = []

    def make(seconds: float) -> Actuator:
        settings = harness.settings(target.url, tmp_path)
        if harness.networked:
            settings["timeout_seconds"] = seconds
        made.append(chosen("it", chosen.Config.model_validate(settings), RealClock()))
        return made[-1]

    yield Stage(make(TIMEOUT_SECONDS), target, an_action(harness), harness, make)
    for actuator in made:
        await actuator.close()
    await target.stop()


every = pytest.mark.parametrize("stage", sorted(HARNESSES), indirect=True)
networked = pytest.mark.parametrize("stage", NETWORKED, indirect=True)


def test_every_registered_actuator_is_under_contract() -> None:
    assert set(ACTUATORS) == set(HARNESSES)


@pytest.mark.parametrize("kind", sorted(ACTUATORS))
def test_the_registry_tells_the_truth(kind: str) -> None:
    chosen = ACTUATORS[kind]
    assert chosen.kind == kind
    assert list(inspect.signature(chosen).parameters)[:3] == ["name", "config", "clock"]


@pytest.mark.parametrize("kind", sorted(ACTUATORS))
def test_a_config_is_strict(kind: str, tmp_path: Path) -> None:
    config = ACTUATORS[kind].Config
    good = HARNESSES[kind].settings("http://127.0.0.1:1", tmp_path)
    config.model_validate(good)
    with pytest.raises(ValidationError, match="Extra inputs"):
        config.model_validate({**good, "retries": 3})
    with pytest.raises(ValidationError):
        config.model_validate({})
    for name, value in good.items():
        if isinstance(value, str):
            with pytest.raises(ValidationError):
                config.model_validate({**good, name: 7})


def test_importing_actuators_costs_no_sdk() -> None:
    import subprocess
    import sys

    code = "import sys, actuators; print(sorted(m for m in ('openstack', 'keystoneauth1') if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr


@every
async def test_it_is_an_actuator(stage: Stage) -> None:
    assert isinstance(stage.actuator, Actuator)
    assert stage.actuator.name == "it"


@every
async def test_what_is_taken_is_accepted_or_done_and_sent_once(stage: Stage) -> None:
    stage.target.acting = stage.harness.acceptance
    submission = await stage.actuator.submit(stage.action)
    assert submission.outcome in (SubmissionOutcome.ACCEPTED, SubmissionOutcome.DONE)
    assert submission.operation is not None
    assert submission.operation.actuator == "it"
    assert submission.operation.done == (submission.outcome is SubmissionOutcome.DONE)
    assert len(stage.target.acted) == (1 if stage.harness.networked else 0)


@networked
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(409), SubmissionOutcome.REFUSED),
        (Answer(429, headers={"Retry-After": "7"}), SubmissionOutcome.REFUSED),
        (Answer(503, headers={"Retry-After": "7"}), SubmissionOutcome.REFUSED),
        (Answer(400), SubmissionOutcome.FAILED),
        (Answer(403), SubmissionOutcome.FAILED),
        (Answer(404), SubmissionOutcome.FAILED),
        (Answer(422), SubmissionOutcome.FAILED),
        (Answer(500), SubmissionOutcome.UNKNOWN),
        (Answer(502), SubmissionOutcome.UNKNOWN),
        (Answer(504), SubmissionOutcome.UNKNOWN),
        (Answer(instead="hang"), SubmissionOutcome.UNKNOWN),
        (Answer(instead="close"), SubmissionOutcome.UNKNOWN),
        (Answer(instead="noise"), SubmissionOutcome.UNKNOWN),
        (Answer(instead="cut"), SubmissionOutcome.UNKNOWN),
        (Answer(instead="endless"), SubmissionOutcome.UNKNOWN),
    ],
    ids=lambda value: f"{value.status}{value.instead}" if isinstance(value, Answer) else "",
)
async def test_each_refusal_and_each_doubt_has_its_name(
    stage: Stage, answer: Answer, outcome: SubmissionOutcome
) -> None:
    stage.target.acting = answer
    if answer.instead in ("hang", "endless"):
        submission = await stage.kept_waiting()
    else:
        submission = await stage.actuator.submit(stage.action)
    assert submission.outcome is outcome, submission
    assert submission.detail
    assert len(stage.target.acted) == 1, "sent more than once"
    if "Retry-After" in answer.headers:
        assert submission.retry_after_seconds == 7.0


@networked
async def test_nobody_listens(stage: Stage) -> None:
    await stage.target.stop()
    async with asyncio.timeout(BOUND_SECONDS):
        submission = await stage.actuator.submit(stage.action)
        found = await stage.actuator.find(stage.action, time.time_ns())
    assert submission.outcome is SubmissionOutcome.REFUSED
    assert not found.asked
    assert found.operation is None
    assert found.detail


@networked
@pytest.mark.parametrize("instead", ["hang", "close", "noise", "cut", "endless", "garbage"])
async def test_a_target_that_makes_no_sense_from_the_start(stage: Stage, instead: str) -> None:
    garbage = Answer(200, b'{"id": [ <html>', {"Content-Type": "application/json"})
    stage.target.everything = garbage if instead == "garbage" else Answer(instead=instead)
    actuator = stage.make(WAITS_SECONDS[0]) if instead in ("hang", "endless") else stage.actuator
    async with asyncio.timeout(BOUND_SECONDS):
        submission = await actuator.submit(stage.action)
        found = await actuator.find(stage.action, time.time_ns())
    assert submission.outcome is not SubmissionOutcome.ACCEPTED
    assert len(stage.target.acted) <= 1
    if actuator.kind == "webhook":
        return  # its first request is the acting one, and its receiver answers by the status alone
    assert stage.target.acted == []
    assert submission.outcome is SubmissionOutcome.REFUSED, "nothing was sent: nothing is in doubt"
    assert not found.asked
    assert found.operation is None


@networked
async def test_a_poll_that_cannot_ask_says_so(stage: Stage) -> None:
    stage.target.acting = stage.harness.acceptance
    submission = await stage.actuator.submit(stage.action)
    operation = submission.operation
    assert operation is not None
    if operation.done:
        assert await stage.actuator.poll(stage.action, operation) == operation
        return
    await stage.target.stop()
    async with asyncio.timeout(BOUND_SECONDS):
        with pytest.raises(ActuatorError):
            await stage.actuator.poll(stage.action, operation)
        with pytest.raises(ActuatorError):
            await stage.actuator.poll(stage.action, Operation("it", "nonsense", "", False, False))


@every
async def test_what_was_never_sent_is_not_found(stage: Stage) -> None:
    found = await stage.actuator.find(stage.action, time.time_ns())
    assert found.operation is None
    assert found.asked


@every
async def test_an_unknown_kind_of_action_or_target_fails_without_a_request(stage: Stage) -> None:
    bare = an_action(
        Harness(ActionKind.NOTIFY, "provider/vnf/x", (), dict, webhook_friendly, Answer())
    )
    if stage.actuator.kind in ("webhook", "record"):
        return  # these take it: they only tell
    submission = await stage.actuator.submit(bare)
    assert submission.outcome is SubmissionOutcome.FAILED
    assert stage.target.acted == []


@networked
async def test_the_event_loop_goes_on_while_a_target_hangs(stage: Stage) -> None:
    stage.target.acting = Answer(instead="hang")
    submitting = asyncio.create_task(stage.kept_waiting())
    ticks = 0
    while not submitting.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert (await submitting).outcome is SubmissionOutcome.UNKNOWN
    assert ticks >= 5


@every
async def test_close_leaves_nothing_and_may_be_repeated(stage: Stage) -> None:
    mine = asyncio.current_task()
    stage.target.acting = stage.harness.acceptance
    await stage.actuator.submit(stage.action)
    await stage.actuator.close()
    await stage.actuator.close()
    assert [t for t in threading.enumerate() if t.name.startswith("openstack it")] == []
    for _ in range(100):
        left = [t for t in asyncio.all_tasks() if t is not mine and "_serve" in repr(t.get_coro())]
        if not left:
            break
        await asyncio.sleep(0.01)
    assert left == [], "the target still has a connection of ours"
