"""SOL003 notifications, against a fake VNF manager; tests/collectors/test_against_lab.py has the lab's."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collectors.sol003 import Sol003Collector

pytestmark = pytest.mark.anyio
ROOT = "/vnflcm/v2/subscriptions"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # spares reading certificates


class FakeManager:
    """A fake VNF manager: keeps subscriptions, and tests the callback as SOL003 has it."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.requests: list[Request] = []
        self.broken: Response | None = None
        self.location = ROOT + "/{id}"
        methods = {"POST": self.subscribe, "GET": self.show, "DELETE": self.unsubscribe}
        self.app = Starlette(
            routes=[
                Route(ROOT, methods["POST"], methods=["POST"]),
                Route(ROOT + "/{id}", methods["GET"], methods=["GET"]),
                Route(ROOT + "/{id}", methods["DELETE"], methods=["DELETE"]),
            ]
        )

    async def subscribe(self, request: Request) -> Response:
        self.requests.append(request)
        if self.broken is not None:
            return self.broken
        body = await request.json()
        async with httpx2.AsyncClient(trust_env=False, verify=NO_TLS) as client:
            tested = await client.get(body["callbackUri"])
        if tested.status_code != 204:
            return JSONResponse({"status": 422, "detail": "callback"}, 422)
        number = f"s{len(self.subscriptions) + len(self.deleted)}"
        self.subscriptions[number] = body
        return JSONResponse({"id": number}, 201, {"location": self.location.format(id=number)})

    async def show(self, request: Request) -> Response:
        known = self.subscriptions.get(request.path_params["id"])
        return JSONResponse(known, 200) if known else Response(status_code=404)

    async def unsubscribe(self, request: Request) -> Response:
        self.deleted.append(request.path_params["id"])
        self.subscriptions.pop(request.path_params["id"], None)
        return Response(status_code=204)


def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def wired(journal, clock, served, running):
    """Return a block in which a fake manager, the callback and the collector run."""

    @asynccontextmanager
    async def block(
        manager: FakeManager, **settings: Any
    ) -> AsyncIterator[tuple[Sol003Collector, str]]:
        theirs, ours = port(), port()
        callback = f"http://127.0.0.1:{ours}/callback"
        config = Sol003Collector.Config.model_validate(
            {
                "api_root": f"http://127.0.0.1:{theirs}",
                "callback_url": callback,
                "actuator": "vnfm",
                "check_seconds": 0.1,
                "retry_seconds": 0.1,
                **settings,
            }
        )
        collector = Sol003Collector("test", config, journal, clock)
        async with (
            served(manager.app, theirs),
            served(collector.asgi, ours),
            running(collector, journal),
        ):
            yield collector, callback

    return block


def notification(identifier: str = "n1", **change: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "notificationType": "VnfLcmOperationOccurrenceNotification",
        "subscriptionId": "s0",
        "timeStamp": "2026-01-01T00:00:00Z",
        "notificationStatus": "RESULT",
        "operationState": "COMPLETED",
        "vnfInstanceId": "v1",
        "operation": "HEAL",
        "isAutomaticInvocation": False,
        "vnfLcmOpOccId": "op1",
        **change,
    }


async def post(url: str, document: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, verify=NO_TLS) as client:
        if isinstance(document, bytes):
            return await client.post(url, content=document)
        return await client.post(url, json=document)


async def test_it_subscribes_looks_after_it_and_leaves_nothing_behind(
    wired, until, tmp_path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("our-token\n")
    manager = FakeManager()
    settings = {
        "callback": {"username": "vnfm", "secret_file": str(secret)},
        "credentials": {"kind": "bearer", "secret_file": str(secret)},
    }
    async with wired(manager, **settings):
        await until(lambda: manager.subscriptions)
        body = manager.subscriptions["s0"]
        manager.subscriptions.clear()  # the VNFM forgets
        await until(lambda: manager.subscriptions)
    assert manager.requests[0].headers["authorization"] == "Bearer our-token"
    assert manager.requests[0].headers["version"] == "2.3.0"
    assert body["authentication"]["paramsBasic"] == {"userName": "vnfm", "password": "our-token"}
    assert body["filter"]["notificationTypes"] == ["VnfLcmOperationOccurrenceNotification"]
    assert len(manager.requests) == 2
    assert manager.deleted
    assert not manager.subscriptions


async def test_a_notification_is_passed_on_once(journal, wired, until) -> None:
    manager = FakeManager()
    async with wired(manager) as (collector, callback):
        link = {"vnfLcmOpOcc": {"href": "http://other.example/vnflcm/v2/vnf_lcm_op_occs/op2"}}
        first = await post(callback, notification())
        again = await post(callback, notification(subscriptionId="s9"))
        second = await post(callback, notification("n2", vnfLcmOpOccId="op2", _links=link))
        other = await post(
            callback, notification("n3", notificationType="VnfIdentifierCreationNotification")
        )
    assert [r.status_code for r in (first, again, second, other)] == [204] * 4
    root = collector._root
    assert [(news.actuator, news.reference, news.state) for news in journal.news()] == [
        ("vnfm", f"{root}/vnf_lcm_op_occs/op1", "COMPLETED"),
        ("vnfm", f"{root}/vnf_lcm_op_occs/op2", "COMPLETED"),
    ]
    counts = dict(collector.stats().other)
    assert (counts["duplicate"], counts["ignored"]) == (1, 1)


async def test_garbage_is_refused_and_counted(journal, wired) -> None:
    garbage = [
        b"", b"{", b"[]", b"[" * 100_000, b"\xff", {"id": "x"},
        notification(vnfLcmOpOccId=5), notification("x" * 600),
    ]  # fmt: skip
    async with wired(FakeManager()) as (collector, callback):
        answers = [(await post(callback, document)).status_code for document in garbage]
        too_long = await post(callback, b" " * 2_000_000)
    assert answers == [400] * len(garbage)
    assert too_long.status_code == 413
    assert not journal.news()
    assert dict(collector.stats().gaps) == {"malformed": len(garbage)}


async def test_what_the_journal_refuses_may_come_again(journal, wired) -> None:
    async with wired(FakeManager()) as (_, callback):
        journal.full = True
        refused = await post(callback, notification())
        journal.full = False
        taken = await post(callback, notification())
    assert (refused.status_code, taken.status_code) == (503, 204)
    assert refused.headers["retry-after"]
    assert len(journal.news()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Response("no", 500),
        Response("created, but where?", 201),
        Response(b"x" * 2_000_000, 201, {"location": "/x"}),
        JSONResponse({"status": 422, "detail": "callback test failed"}, 422),
    ],
)
async def test_a_manager_that_will_not_subscribe_us_is_a_gap(journal, wired, until, answer) -> None:
    manager = FakeManager()
    manager.broken = answer
    async with wired(manager):
        await until(lambda: len(journal.gaps()) >= 2)
        manager.broken = None
        await until(lambda: manager.subscriptions)
    assert {gap.reason for gap in journal.gaps()} == {"unreachable"}


async def test_a_manager_that_is_not_there_and_a_secret_that_is_not(
    journal, clock, running, until
) -> None:
    config = Sol003Collector.Config.model_validate(
        {
            "api_root": f"http://127.0.0.1:{port()}", "callback_url": "http://127.0.0.1:1/x",
            "actuator": "vnfm", "retry_seconds": 0.1,
            "credentials": {"kind": "basic", "username": "u", "secret_env": "NOT_THERE_AT_ALL"},
        }
    )  # fmt: skip
    async with running(Sol003Collector("test", config, journal, clock), journal):
        await until(lambda: len(journal.gaps()) >= 2)
    assert "NOT_THERE_AT_ALL" in journal.gaps()[0].detail
    await asyncio.sleep(0)
