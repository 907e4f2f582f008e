"""One HTTP call to one of the lab's own processes, with a timeout, on asyncio's streams."""

import asyncio
import json
from typing import Any

CALL_TIMEOUT_SECONDS = 2.0
ANSWER_LIMIT_BYTES = 8 << 20


class CallError(Exception):
    """The far side could not be reached in time, or what came back is no HTTP answer."""


async def call(
    method: str, port: int, path: str, body: object = None, *, within: float = CALL_TIMEOUT_SECONDS
) -> tuple[int, Any]:
    """Call `path` on a port of loopback. Returns the status and the decoded JSON body (None if empty)."""
    try:
        async with asyncio.timeout(within):
            return await _call(method, port, path, body)
    except (OSError, ValueError, IndexError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise CallError(
            f"{method} 127.0.0.1:{port}{path}: {type(error).__name__} {error}"
        ) from error


async def _call(method: str, port: int, path: str, body: object) -> tuple[int, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=ANSWER_LIMIT_BYTES)
    try:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + payload)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])
        }
        data = await reader.readexactly(int(headers.get("content-length", "0")))
        return int(lines[0].split(" ")[1]), json.loads(data) if data else None
    finally:
        writer.close()
