"""Wrappers that measure what they wrap: a machine, an actuator, the HTTP application. Neither side knows."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar, Protocol

from trimtab.domain.action import Action, Operation
from trimtab.ports import Actuator, Found, Submission
from trimtab.telemetry.recorder import Telemetry

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

UNROUTED = "unrouted"
STREAM_TYPE = b"text/event-stream"


class _Stepped(Protocol):
    def step(self, inputs: Any, now: int) -> Any: ...

    def snapshot(self) -> bytes: ...


class MeteredMachine:
    """A machine whose steps are counted and timed; `machine` is the one inside."""

    def __init__(self, machine: _Stepped, name: str, telemetry: Telemetry) -> None:
        self.machine = machine
        self._name = name
        self._telemetry = telemetry

    def step(self, inputs: Any, now: int) -> Any:
        """Step the machine inside."""
        begin = time.perf_counter()
        outputs = self.machine.step(inputs, now)
        self._telemetry.step(self._name, time.perf_counter() - begin, now)
        return outputs

    def snapshot(self) -> bytes:
        """Return the snapshot of the machine inside."""
        return self.machine.snapshot()


class MeteredActuator:
    """An actuator whose requests are counted by outcome, and timed."""

    kind: ClassVar[str] = "metered"

    def __init__(self, actuator: Actuator, telemetry: Telemetry) -> None:
        self.actuator = actuator
        self.name = actuator.name
        self._telemetry = telemetry

    async def submit(self, action: Action) -> Submission:
        """Send once, by the actuator inside."""
        begin = time.perf_counter()
        submission = await self.actuator.submit(action)
        seconds = time.perf_counter() - begin
        self._telemetry.actuator_request(self.name, submission.outcome, seconds)
        return submission

    async def poll(self, action: Action, operation: Operation) -> Operation:
        """Ask the actuator inside. Raises ActuatorError as it does."""
        return await self.actuator.poll(action, operation)

    async def find(self, action: Action, since_ns: int) -> Found:
        """Ask the actuator inside."""
        return await self.actuator.find(action, since_ns)

    async def close(self) -> None:
        """Close the actuator inside."""
        await self.actuator.close()


class MeteredApp:
    """ASGI middleware: requests by route template and status, their duration, and the event streams open now."""

    def __init__(self, app: Asgi, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry
        self._streams = 0
        telemetry.api_streams(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and account for it when it is over."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        status, streaming = 500, False  # what the server answers when the application breaks

        async def watched(message: Message) -> None:
            nonlocal status, streaming
            if message["type"] == "http.response.start":
                status = message["status"]
                kinds = [value for name, value in message["headers"] if name == b"content-type"]
                if kinds and kinds[0].startswith(STREAM_TYPE):
                    streaming = True
                    self._open_streams(1)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", UNROUTED)
            # A stream lasts as long as its reader likes: that is no duration of a request.
            seconds = None if streaming else time.perf_counter() - begin
            self._telemetry.api_request(scope["method"], route, status, seconds)
            if streaming:
                self._open_streams(-1)

    def _open_streams(self, more: int) -> None:
        self._streams += more
        self._telemetry.api_streams(self._streams)
