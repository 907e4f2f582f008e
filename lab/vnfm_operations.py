"""The VNFM's engine: lifecycle operations, their states, and what each does to the network.

States and tasks are ETSI SOL003 clause 5.6.2's: FAILED_TEMP is stable and locks the VNF until somebody retries, rolls
back or fails the operation. Every operation that was ever accepted stays on record.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.chain import Chain, ChainError
from lab.compute import Compute, ComputeError
from lab.httpcall import CallError
from lab.inventory import MAX_SCALE_LEVEL, HostRecord, Identifiers, Server, Vnf, Vnfc

# A VNFM asks for a grant before it acts.
GRANT_SECONDS = 0.1
HANG_LIMIT_STEPS = 36_000  # an hour: longer than any script
OPERATION_LIMIT = 100_000

TERMINAL = frozenset({"COMPLETED", "FAILED", "ROLLED_BACK"})


class OperationConflictError(Exception):
    """The state of the VNF or of the operation does not allow this task (409)."""


class OperationInvalidError(Exception):
    """The request can never be done as it stands (400)."""


@dataclass(slots=True)
class Change:
    """One VNFC that an operation touched: ADDED, REMOVED or MODIFIED."""

    vnfc_resource_id: str
    kind: str
    server_id: str


@dataclass(slots=True)
class Operation:
    """One lifecycle operation occurrence."""

    id: str
    vnf: Vnf
    kind: str
    params: dict[str, object]
    started_at: float
    state: str = "STARTING"
    state_entered_at: float = 0.0
    error: str | None = None
    cancel_mode: str | None = None
    performing: bool = False
    changes: list[Change] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that its state allows."""
        if self.state == "FAILED_TEMP":
            return ("retry", "rollback", "fail")
        return ("cancel",) if self.state not in TERMINAL else ()


@dataclass(slots=True)
class ManagerFaults:
    """What the fault injector has switched on. Each holds VNF names, or "*" for all."""

    fails: set[str] = field(default_factory=set)
    hangs: set[str] = field(default_factory=set)
    useless: set[str] = field(default_factory=set)
    refusal_status: int | None = None
    retry_after_seconds: int = 2
    garbage: bool = False
    loses_answers: bool = False

    def hits(self, which: set[str], vnf: Vnf) -> bool:
        """Whether one of the sets applies to a VNF."""
        return "*" in which or vnf.name in which


class Operations:
    """All operations on `vnfs`. `changed` is called after each change of an operation's state."""

    def __init__(
        self,
        vnfs: dict[str, Vnf],
        compute: Compute,
        chain: Chain,
        ids: Identifiers,
        faults: ManagerFaults,
    ) -> None:
        self._vnfs = vnfs
        self._compute = compute
        self._chain = chain
        self._ids = ids
        self.faults = faults
        self.all: dict[str, Operation] = {}
        self.changed: Callable[[Operation], None] = lambda _: None

    def running(self, vnf: Vnf) -> Operation | None:
        """The operation that locks a VNF, if there is one."""
        for operation in reversed(self.all.values()):
            if operation.vnf is vnf and operation.state not in TERMINAL:
                return operation
        return None

    def begin(self, vnf: Vnf, kind: str, params: dict[str, object]) -> Operation:
        """Accept an operation. OperationConflictError while another one has not come to its end."""
        busy = self.running(vnf)
        if busy is not None:
            raise OperationConflictError(
                f"{busy.kind} {busy.id} of this VNF is in state {busy.state}"
            )
        if len(self.all) >= OPERATION_LIMIT:
            raise OperationConflictError("the record of operations is full")
        now = time.time()
        operation = Operation(self._ids.new(), vnf, kind, params, now, state_entered_at=now)
        self.all[operation.id] = operation
        self.changed(operation)
        operation.task = asyncio.create_task(
            self._run(operation, GRANT_SECONDS), name=f"{kind}-{vnf.name}"
        )
        return operation

    def retry(self, operation: Operation) -> None:
        """FAILED_TEMP -> PROCESSING."""
        self._demand(operation, "retry")
        operation.error = operation.cancel_mode = None
        operation.task = asyncio.create_task(
            self._run(operation, 0.0), name=f"retry-{operation.vnf.name}"
        )

    def rollback(self, operation: Operation) -> None:
        """FAILED_TEMP -> ROLLING_BACK -> ROLLED_BACK."""
        self._demand(operation, "rollback")
        self._enter(operation, "ROLLING_BACK")
        operation.task = asyncio.create_task(
            self._roll_back(operation), name=f"rollback-{operation.vnf.name}"
        )

    def fail(self, operation: Operation) -> None:
        """FAILED_TEMP -> FAILED."""
        self._demand(operation, "fail")
        self._enter(operation, "FAILED")

    def cancel(self, operation: Operation, mode: str) -> None:
        """STARTING -> ROLLED_BACK, PROCESSING or ROLLING_BACK -> FAILED_TEMP."""
        self._demand(operation, "cancel")
        operation.cancel_mode = mode
        if operation.performing:
            return  # a step that touches processes is not torn apart: the operation ends after it
        if operation.task is not None:
            operation.task.cancel()
        operation.error = "cancelled"
        self._enter(operation, "ROLLED_BACK" if operation.state == "STARTING" else "FAILED_TEMP")

    def close(self) -> None:
        """Give up what still runs."""
        for operation in self.all.values():
            if operation.task is not None:
                operation.task.cancel()

    def _demand(self, operation: Operation, task: str) -> None:
        if task not in operation.tasks:
            raise OperationConflictError(f"{task} is not possible in state {operation.state}")

    def _enter(self, operation: Operation, state: str) -> None:
        operation.state = state
        operation.state_entered_at = time.time()
        operation.vnf.etag += 1
        self.changed(operation)

    async def _run(self, operation: Operation, grant_seconds: float) -> None:
        await asyncio.sleep(grant_seconds)
        self._enter(operation, "PROCESSING")
        vnf = operation.vnf
        await self._hang_while_told(vnf)
        operation.performing = True
        try:
            if self.faults.hits(self.faults.fails, vnf):
                raise ComputeError("injected: the operation fails")
            if not self.faults.hits(self.faults.useless, vnf):
                await self._perform(operation)
        except (ComputeError, ChainError, CallError) as error:
            operation.error = str(error)
        finally:
            operation.performing = False
        if operation.cancel_mode is not None and operation.error is None:
            operation.error = "cancelled"
        self._enter(operation, "COMPLETED" if operation.error is None else "FAILED_TEMP")

    async def _hang_while_told(self, vnf: Vnf) -> None:
        for _ in range(HANG_LIMIT_STEPS):
            if not self.faults.hits(self.faults.hangs, vnf):
                return
            await asyncio.sleep(GRANT_SECONDS)

    async def _roll_back(self, operation: Operation) -> None:
        # What was replaced stays replaced; instances that a failed scale-out added are taken away again.
        added = {c.vnfc_resource_id for c in operation.changes if c.kind == "ADDED"}
        try:
            for vnfc in [v for v in operation.vnf.vnfcs.values() if v.resource_id in added]:
                if operation.kind == "SCALE":
                    await self._remove(operation, vnfc)
        except (ComputeError, CallError) as error:
            operation.error = str(error)
            self._enter(operation, "FAILED_TEMP")
            return
        self._enter(operation, "ROLLED_BACK")

    async def _perform(self, operation: Operation) -> None:
        match operation.kind:
            case "SCALE":
                await self._scale(operation)
            case "HEAL":
                for vnfc in self._to_heal(operation):
                    await self._replace(operation, vnfc)
            case "OPERATE":
                await self._operate(operation)

    async def _scale(self, operation: Operation) -> None:
        steps = operation.params.get("numberOfSteps", 1)
        if not isinstance(steps, int):
            raise ComputeError("numberOfSteps is no integer")
        for _ in range(steps):
            if operation.params["type"] == "SCALE_OUT":
                await self.add(operation.vnf, operation)
            else:
                names = sorted(operation.vnf.vnfcs)
                await self._remove(operation, operation.vnf.vnfcs[names[-1]])

    def _to_heal(self, operation: Operation) -> list[Vnfc]:
        """The VNFCs that were named (SOL002's vnfcInstanceId), else those whose server does not run, else all."""
        vnfcs = list(operation.vnf.vnfcs.values())
        named = named_vnfcs(operation.params)
        if named:
            return [v for v in vnfcs if v.id in named or v.resource_id in named or v.name in named]
        return [v for v in vnfcs if v.server.status != "ACTIVE"] or vnfcs

    async def _replace(self, operation: Operation, vnfc: Vnfc) -> None:
        """A new server for the same role: started and in the chain before the old one goes."""
        old = vnfc.server
        if old.task_state is not None:
            raise ComputeError(f"server {old.id} is busy: {old.task_state}")
        host = self._compute.hosts[old.host]
        try:
            if not host.enabled:
                raise ComputeError(f"{host.name} is disabled")
            new = await self._boot(operation.vnf, vnfc.name, host)
        except ComputeError:
            new = await self._boot(operation.vnf, vnfc.name, self._compute.schedule(but=host.name))
        operation.changes.append(Change(vnfc.resource_id, "REMOVED", old.id))
        vnfc.server, vnfc.id, vnfc.resource_id = new, self._ids.new(), self._ids.new()
        operation.changes.append(Change(vnfc.resource_id, "ADDED", new.id))
        await self._chain.apply()
        await self._chain.drain(old)
        await self._compute.delete(old)

    async def _boot(self, vnf: Vnf, name: str, host: HostRecord) -> Server:
        server = await self._compute.boot(name, vnf.licence, vnf.queue_limit, host)
        try:
            await self._chain.prepare(server, vnf)
        except (ChainError, asyncio.CancelledError):
            await self._compute.delete(server)
            raise
        return server

    async def add(
        self, vnf: Vnf, operation: Operation | None = None, host: HostRecord | None = None
    ) -> None:
        """One more instance, started, and then taken into the chain."""
        name = vnf.free_name()
        server = await self._boot(vnf, name, host or self._compute.schedule())
        vnfc = Vnfc(name, self._ids.new(), self._ids.new(), server)
        vnf.vnfcs[name] = vnfc
        if operation is not None:
            operation.changes.append(Change(vnfc.resource_id, "ADDED", server.id))
            await self._chain.apply()

    async def _remove(self, operation: Operation, vnfc: Vnfc) -> None:
        del operation.vnf.vnfcs[vnfc.name]
        operation.changes.append(Change(vnfc.resource_id, "REMOVED", vnfc.server.id))
        await self._chain.apply()
        await self._chain.drain(vnfc.server)
        await self._compute.delete(vnfc.server)

    async def _operate(self, operation: Operation) -> None:
        vnf = operation.vnf
        wanted = str(operation.params["changeStateTo"])
        if wanted == "STARTED" and vnf.state == "STOPPED":
            for vnfc in vnf.vnfcs.values():
                await self._replace(operation, vnfc)
        elif wanted == "STOPPED":
            for vnfc in vnf.vnfcs.values():
                await self._compute.shut_off(vnfc.server)
                operation.changes.append(Change(vnfc.resource_id, "MODIFIED", vnfc.server.id))
        vnf.state = wanted


def check_scale(vnf: Vnf, kind: str, steps: int) -> None:
    """OperationInvalidError if a scale by `steps` leaves the range of levels."""
    level = vnf.scale_level + (steps if kind == "SCALE_OUT" else -steps)
    if steps < 1 or not 0 <= level <= MAX_SCALE_LEVEL:
        raise OperationInvalidError(
            f"scale level {level} is out of range: 0 to {MAX_SCALE_LEVEL}, now {vnf.scale_level}"
        )


def named_vnfcs(params: dict[str, Any]) -> list[str]:
    """The VNFCs that a heal names: SOL002's vnfcInstanceId, also accepted among the additional parameters."""
    extra = params.get("additionalParams")
    named = params.get("vnfcInstanceId") or (
        extra.get("vnfcInstanceId") if isinstance(extra, dict) else None
    )
    if isinstance(named, str):
        return [named]
    return [str(name) for name in named] if isinstance(named, list) else []
