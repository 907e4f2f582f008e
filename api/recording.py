"""Every request told to whoever keeps the figures: by its route's template, never by its path."""

import time
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_ROUTE = "none"  # refused before it was routed, or nothing there
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Recorder(Protocol):
    """Takes figures; `trimtab.telemetry.Telemetry` is one."""

    def api_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Account for a request."""
        ...

    def api_streams(self, open_streams: int) -> None:
        """Show how many event streams are open."""
        ...


class Silent:
    """Keeps nothing."""

    def api_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Keep nothing."""

    def api_streams(self, open_streams: int) -> None:
        """Keep nothing."""


class Recording:
    """ASGI middleware that times each request up to the start of its answer: an event stream has no end."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch for the answer's start."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", NO_ROUTE)
                method = scope["method"] if scope["method"] in METHODS else "other"
                seconds = time.perf_counter() - began
                self._recorder.api_request(method, route, message["status"], seconds)
            await send(message)

        await self._app(scope, receive, watched)
