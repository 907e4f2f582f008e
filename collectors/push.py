"""The little ASGI that push receivers need: a bounded body in, a short answer out."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from trimtab.errors import CollectorError

Message = MutableMapping[str, Any]
AsgiReceive = Callable[[], Awaitable[Message]]
AsgiSend = Callable[[Message], Awaitable[None]]

BODY_TIMEOUT_SECONDS = 30.0
PLAIN_TEXT = "text/plain; charset=utf-8"
_GZIP = 16 + zlib.MAX_WBITS


class BodyTooLarge(CollectorError):
    """Report a body over the limit."""


class BodyIncomplete(CollectorError):
    """Report a sender that went away, or took too long, before its body was whole."""


class MalformedRequest(CollectorError):
    """Report bytes that are no request of their protocol; nothing of them may be used."""


class RequestTooLarge(CollectorError):
    """Report a request that exceeds a limit of ours."""


async def read_body(receive: AsgiReceive, bytes_max: int) -> bytes:
    """Return a request's body. Raises BodyTooLarge or BodyIncomplete."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise BodyIncomplete("the sender went away")
                part = message.get("body", b"")
                size += len(part)
                if size > bytes_max:
                    raise BodyTooLarge(f"a body of more than {bytes_max} bytes")
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise BodyIncomplete(f"the body took longer than {BODY_TIMEOUT_SECONDS:g} s") from None


def unpack_gzip(body: bytes, bytes_max: int) -> bytes:
    """Undo gzip. Raises MalformedRequest, or RequestTooLarge before anything large is made."""
    unpacking = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacking.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise MalformedRequest(f"damaged gzip: {error}") from None
    if len(unpacked) > bytes_max:
        raise RequestTooLarge(f"more than {bytes_max} bytes unpacked")
    if not unpacking.eof or unpacking.unused_data:
        raise MalformedRequest("gzip cut off, or something behind it")
    return unpacked


async def answer(
    send: AsgiSend,
    status: int,
    content: str | bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
    content_type: str = PLAIN_TEXT,
) -> None:
    """Send a short answer, a text in plain words unless told otherwise."""
    body = content.encode() if isinstance(content, str) else content
    lines = [(key.encode(), value.encode()) for key, value in headers]
    if body:
        lines.append((b"content-type", content_type.encode()))
    if status != 204:
        lines.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


def header(scope: Message, name: str) -> str:
    """Return a request header in lower case, an empty text when there is none."""
    wanted = name.encode()
    for key, value in scope["headers"]:
        if key.lower() == wanted:
            text: str = value.decode("latin-1")
            return text.strip().lower()
    return ""


def path_below(scope: Message) -> str:
    """Return the path below the prefix under which the receiver is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).rstrip("/")
