"""A very small HTTP/1.1 server on a selector, for processes that must start fast and stay small.

It knows what the lab needs: a method, a path, a body by Content-Length, keep-alive. It is not for the Internet.
"""

import json
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

CONNECTION_LIMIT = 64
REQUEST_LIMIT_BYTES = 256 * 1024
_RECEIVE_BYTES = 65536

_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 400: "Bad Request",
            404: "Not Found", 409: "Conflict", 413: "Content Too Large", 500: "Internal Server Error"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """Method, path without the query, and the raw body."""

    method: str
    path: str
    body: bytes

    def json(self) -> dict[str, object]:
        """The body as a JSON object; ValueError otherwise."""
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise ValueError("the body is not a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Response:
    """Status, body and media type of an answer."""

    status: int
    body: bytes = b""
    media_type: str = "application/json"

    @classmethod
    def of_json(cls, value: object, status: int = 200) -> "Response":
        """An answer with `value` as JSON."""
        return cls(status, json.dumps(value).encode())


Handler = Callable[[Request], Response | None]
"""Answers a request. None means: never answer (the connection stays open)."""


class HttpPort:
    """Serves one listening socket from somebody else's selector loop.

    The loop calls the selector key's `data` for every ready socket; this class registers itself in that way.
    """

    def __init__(
        self, selector: selectors.BaseSelector, listener: socket.socket, handler: Handler
    ) -> None:
        self._selector = selector
        self._listener = listener
        self._handler = handler
        self._buffers: dict[socket.socket, bytearray] = {}
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._buffers) >= CONNECTION_LIMIT:
            connection.close()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffers[connection] = bytearray()
        self._selector.register(
            connection, selectors.EVENT_READ, lambda: self._readable(connection)
        )

    def _close(self, connection: socket.socket) -> None:
        if self._buffers.pop(connection, None) is not None:
            self._selector.unregister(connection)
            connection.close()

    def _readable(self, connection: socket.socket) -> None:
        buffer = self._buffers[connection]
        try:
            data = connection.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or len(buffer) + len(data) > REQUEST_LIMIT_BYTES:
            self._close(connection)
            return
        buffer += data
        while connection in self._buffers and self._serve_one(connection, buffer):
            pass

    def _serve_one(self, connection: socket.socket, buffer: bytearray) -> bool:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
        headers = {
            k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])
        }
        words = lines[0].split(" ")
        length_text = headers.get("content-length", "0")
        if len(words) != 3 or not length_text.isdigit():
            self._close(connection)
            return False
        total = end + 4 + int(length_text)
        if len(buffer) < total:
            return False
        request = Request(words[0], words[1].partition("?")[0], bytes(buffer[end + 4 : total]))
        del buffer[:total]
        self._answer(connection, request, close=headers.get("connection", "").lower() == "close")
        return True

    def _answer(self, connection: socket.socket, request: Request, *, close: bool) -> None:
        try:
            response = self._handler(request)
        except (KeyError, TypeError, ValueError) as error:
            response = Response.of_json({"detail": f"{type(error).__name__}: {error}"}, 400)
        if response is None:
            return
        head = (
            f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}\r\n"
            f"Content-Type: {response.media_type}\r\nContent-Length: {len(response.body)}\r\n"
            f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n"
        )
        try:
            connection.setblocking(True)
            connection.settimeout(1.0)
            connection.sendall(head.encode("latin-1") + response.body)
            connection.setblocking(False)
        except OSError:
            close = True
        if close:
            self._close(connection)
