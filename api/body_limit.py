"""No request body beyond a limit: refused by its stated length, or once it has grown too long."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem import ApiError, error_response


class BodyLimit:
    """ASGI middleware that answers 413; a server bounds a body of stated length by that length."""

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let pass what is small enough."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        stated = headers.get("content-length", "0")
        fits = stated.isdigit() and int(stated) <= self._bytes_max
        if fits and "transfer-encoding" in headers:
            body = await self._read(receive)
            fits = body is not None
            receive = _replay(body or b"", receive)
        if fits:
            await self._app(scope, receive, send)
            return
        too_large = ApiError(413, f"a request body here may have at most {self._bytes_max} bytes")
        await error_response(scope["path"], too_large)(scope, receive, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return a body of unknown length, None once it is too long."""
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._bytes_max:
                return None
            if not message.get("more_body", False):  # the end, or the client has gone
                return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, and then what comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
