"""Heads without end are refused by the real server, whichever part of them does not end; all else is served."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from trimtab.app.bounded_http import HEAD_BYTES_MAX, BoundedHttp

pytestmark = pytest.mark.anyio

PIECE = b"x" * 8_192
TAKEN_MAX = 100 * HEAD_BYTES_MAX  # kernel buffers, and one read more


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with how many bytes came."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    body = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    config = uvicorn.Config(echo, http=BoundedHttp, port=0, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells it by a flag
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        await task


async def say(port: int, begin: bytes, pieces: Iterable[bytes]) -> tuple[bytes, int]:
    """Return what was answered, and how much was sent until then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = len(begin)
    try:
        writer.write(begin)
        for piece in pieces:
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
            await asyncio.sleep(0)
            if reader.at_eof():
                break
        answer = await reader.read(1_000)
    except ConnectionError:
        answer = await reader.read(1_000) if not reader.exception() else b""
    finally:
        writer.close()
    return answer, sent


def endless() -> Iterable[bytes]:
    return (PIECE for _ in range(10 * TAKEN_MAX // len(PIECE)))


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: ",
        b"GET / HTTP/1.1\r\nhost: a\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: ",
    ],
    ids=["path", "header", "header name", "chunk extension", "trailer"],
)
async def test_a_head_without_end_is_refused(begin: bytes) -> None:
    async with serving() as port:
        answer, sent = await say(port, begin, endless())
    assert sent < TAKEN_MAX
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


async def test_many_small_headers_are_refused() -> None:
    headers = [b"n%d: %s\r\n" % (number, b"v" * 100) for number in range(1_000)]
    async with serving() as port:
        answer, _ = await say(port, b"GET / HTTP/1.1\r\nhost: a\r\n", [b"".join(headers)])
    assert answer.startswith(b"HTTP/1.1 400")


async def test_long_bodies_and_many_requests_are_served() -> None:
    body = b"y" * (20 * HEAD_BYTES_MAX)
    head = b"POST / HTTP/1.1\r\nhost: a\r\nx: %s\r\ncontent-length: %d\r\n\r\n"
    async with serving() as port:
        answer, _ = await say(port, head % (b"z" * (HEAD_BYTES_MAX // 2), len(body)), [body])
        assert b"\r\n%d\r\n" % len(body) in answer
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(5):
            writer.write(head % (b"z" * (HEAD_BYTES_MAX // 2), 2) + b"ab")
            found = await reader.readuntil(b"\r\n\r\n") + await reader.read(100)
            assert found.startswith(b"HTTP/1.1 200")
        writer.close()
