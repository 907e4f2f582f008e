"""Wrappers that measure what they wrap: a machine, an actuator. Neither side knows."""

import time
from typing import Any, ClassVar, Protocol

from trimtab.domain.action import Action, Operation
from trimtab.ports import Actuator, Found, Submission
from trimtab.telemetry.recorder import Telemetry


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
