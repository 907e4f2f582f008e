"""The event stream: resumes, resets with a snapshot, beats, is bounded, and hides what is not the caller's."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

pytestmark = pytest.mark.anyio
ACME = "acme/service/acme-vpn"
PATIENCE_SECONDS = 10.0
Follow = Callable[..., Any]


class Stream:
    """Reads server-sent events from a response."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> tuple[str, str | None, Any]:
        """Return the next event's type, id and data."""
        found: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self._lines:
                if not line and found:
                    return found.get("event", ""), found.get("id"), json.loads(found["data"])
                name, _, value = line.partition(": ")
                if name and value:
                    found[name] = value
        raise AssertionError("the stream has ended")

    async def ends(self) -> bool:
        """Read on; return True when nothing more comes because the server has ended the stream."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for _ in self._lines:
                pass
        return True

    async def next_news(self) -> tuple[str, str | None, Any]:
        """Return the next event that is no heartbeat."""
        while True:
            event = await self.next()
            if event[0] != "heartbeat":
                return event


@pytest.fixture
async def served(
    make_app: Callable[..., FastAPI], world: Any
) -> AsyncIterator[tuple[str, FastAPI]]:
    """Serve the fake loop over real HTTP: an in-process transport would wait for the stream's end."""
    app = make_app(world, subscribers_max=3)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", app
    app.state.context.subscribers.close()
    server.should_exit = True
    async with asyncio.timeout(PATIENCE_SECONDS):
        await task


@pytest.fixture
def follow(served: tuple[str, FastAPI], tokens: dict[str, str]) -> Follow:
    """Return a context that follows the stream with a credential and headers."""

    @asynccontextmanager
    async def opened(name: str = "noc", **headers: str) -> AsyncIterator[Stream]:
        given = {"Authorization": f"Bearer {tokens[name]}"}
        given |= {key.replace("_", "-"): value for key, value in headers.items()}
        async with (
            httpx2.AsyncClient(base_url=served[0], headers=given) as client,
            client.stream("GET", "/api/v1/events", timeout=PATIENCE_SECONDS) as answer,
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield Stream(answer.aiter_lines())

    return opened


async def test_news_arrive_with_their_sequence_number(follow: Follow, world: Any) -> None:
    async with follow() as stream:
        assert (await stream.next())[0] == "heartbeat"
        world.put(world.loop_state)
        name, identifier, data = await stream.next_news()
        assert (name, data["run_state"]) == ("loop", "running")
        assert identifier == str(world.stream[-1].id)


async def test_a_quiet_stream_beats(follow: Follow) -> None:
    async with follow() as stream:
        for _ in range(3):
            name, identifier, data = await stream.next()
            assert (name, identifier) == ("heartbeat", None)
            assert data["at"].endswith("Z")


async def test_a_stream_resumes_where_it_was(follow: Follow, world: Any) -> None:
    last = world.stream[-1].id
    async with follow(Last_Event_ID=str(last - 3)) as stream:
        seen = [await stream.next_news() for _ in range(3)]
    assert [int(event[1]) for event in seen] == [last - 2, last - 1, last]
    assert [event[0] for event in seen] == ["decision", "action", "notice"]


@pytest.mark.parametrize("position", ["5", "nonsense", "999999999"])
async def test_a_position_that_is_gone_gives_a_reset(
    follow: Follow, world: Any, position: str
) -> None:
    world.kept_from = 50
    async with follow(Last_Event_ID=position) as stream:
        name, identifier, data = await stream.next_news()
        assert (name, identifier) == ("reset", str(world.stream[-1].id))
        assert [s["status"] for s in data["services"]] == ["FULFILLED", "FULFILLED"]
        assert {a["id"] for a in data["open_alarms"]} == {"alarm-1", "alarm-2"}
        assert [i["id"] for i in data["open_incidents"]] == ["incident-2"]
        world.put(world.loop_state)
        assert (await stream.next_news())[0] == "loop"


async def test_a_tenant_follows_its_own_services_only(follow: Follow, world: Any) -> None:
    start = str(world.stream[0].id)
    world.put(replace(world.incident_rows["incident-1"]))
    async with follow("acme", Last_Event_ID=start) as stream:
        seen = [await stream.next_news() for _ in range(30 * 3 + 4)]
    assert {event[0] for event in seen} == {"assessment", "alarm", "incident"}
    text = json.dumps([event[2] for event in seen])
    assert "globex" not in text
    assert "fw-0" not in text
    assert "provider infrastructure" in text


async def test_seats_are_bounded_and_given_back(
    follow: Follow, served: tuple[str, FastAPI], tokens: dict[str, str]
) -> None:
    subscribers = served[1].state.context.subscribers
    headers = {"Authorization": f"Bearer {tokens['noc']}"}
    async with follow() as one, follow() as two, follow() as three:
        for stream in (one, two, three):
            await stream.next()
        async with httpx2.AsyncClient(base_url=served[0], headers=headers) as client:
            refused = await client.get("/api/v1/events")
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.headers["content-type"] == "application/problem+json"
        assert subscribers.refused == 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        while subscribers.open:  # noqa: ASYNC110 - a counter, not an event
            await asyncio.sleep(0.02)
    async with follow() as stream:
        assert (await stream.next())[0] == "heartbeat"


async def test_closing_ends_every_stream(follow: Follow, served: tuple[str, FastAPI]) -> None:
    async with follow() as stream:
        await stream.next()
        served[1].state.context.subscribers.close()
        assert await stream.ends()


async def test_signing_out_ends_the_stream(
    served: tuple[str, FastAPI], tokens: dict[str, str]
) -> None:
    sessions = served[1].state.context.sessions
    async with httpx2.AsyncClient(base_url=served[0]) as client:
        await client.post("/login", data={"token": tokens["noc"]})
        path = "/api/v1/events"
        async with client.stream("GET", path, timeout=PATIENCE_SECONDS) as answer:
            stream = Stream(answer.aiter_lines())
            assert (await stream.next())[0] == "heartbeat"
            sessions.close(client.cookies["trimtab_session"])
            assert await stream.ends()
