"""Faults: each is switched on through the same means that trouble has in real life, and most can be taken back.

A fault never goes through the loop's eyes: a crash is a SIGKILL, a hang is a process that no longer returns to its
loop, a noisy host stops its guests, an overload is more customer packets.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from lab.chain import Chain
from lab.compute import Compute
from lab.httpcall import CallError, call
from lab.inventory import HostRecord, Server, Service, Vnf, rfc3339
from lab.scenario import Fault
from lab.vim import VimFaults
from lab.vnfm_operations import ManagerFaults

FAULT_LIMIT = 1_000

OVERLOAD_RATE_PACKETS_PER_SECOND = 1500.0
# Tried: 95th percentile of the delay far over the bound, and no loss. Longer stops turn it into an overload.
NOISY_STOPPED_RATIO = 0.7
NOISY_PERIOD_SECONDS = 0.15
LINK_LOSS_RATIO = 0.2
LEAK_BYTES_PER_SECOND = 2_000_000.0
LEAK_LIMIT_BYTES = 48 << 20
LEAK_DELAY_SECONDS_PER_MIB = 0.004


class FaultError(Exception):
    """There is no such fault or target, or it can't be injected now."""


class World(Protocol):
    """What faults are done to."""

    services: list[Service]
    vnfs: dict[str, Vnf]
    chain: Chain
    compute: Compute
    manager_faults: ManagerFaults
    vim_faults: VimFaults
    silent_discovery: bool

    async def set_rate(self, service: str, rate: float) -> float:
        """Set a service's customer rate; returns the one before."""

    def kill_host(self, host: HostRecord) -> None:
        """Kill a host agent and with it all its guests."""

    async def start_host(self, host: HostRecord) -> None:
        """Start a host agent again, without guests."""


Undo = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    """What can't be taken back, or need not be."""


@dataclass(slots=True)
class Injected:
    """A fault that was injected; `target` is what it really hit."""

    id: str
    kind: str
    target: str
    injected_ns: int
    undo: Undo
    parameters: dict[str, Any] = field(default_factory=dict)
    cleared_ns: int | None = None

    @property
    def lasts(self) -> bool:
        """Whether it stays on until it is cleared, and was not."""
        return self.undo is not _nothing and self.cleared_ns is None

    def document(self) -> dict[str, Any]:
        """For the control API."""
        return {
            "id": self.id,
            "kind": self.kind,
            "target": self.target,
            "parameters": self.parameters,
            "injected_at": rfc3339(self.injected_ns / 1e9),
            "injected_at_ns": self.injected_ns,
            "cleared_at": rfc3339(self.cleared_ns / 1e9) if self.cleared_ns is not None else None,
        }


def _vnf_server(world: World, name: str) -> Server:
    for vnf in world.vnfs.values():
        if name in vnf.vnfcs:
            return vnf.vnfcs[name].server
    raise FaultError(f"there is no VNFC {name!r}")


def _host(world: World, name: str) -> HostRecord:
    if name not in world.compute.hosts:
        raise FaultError(f"there is no host {name!r}; there are: {', '.join(world.compute.hosts)}")
    return world.compute.hosts[name]


async def _crash(world: World, fault: Fault) -> Undo:
    server = _vnf_server(world, fault.target)
    # SIGKILL, through the parent: only it can be sure that the pid is still this process's.
    await call("POST", world.compute.hosts[server.host].http_port, f"/guests/{server.id}/off")
    return _nothing


async def _hang(world: World, fault: Fault) -> Undo:
    server = _vnf_server(world, fault.target)
    await call("PUT", server.http_port, "/hang")
    server.hung = True
    return _nothing


async def _overload(world: World, fault: Fault) -> Undo:
    names = {service.name: service.id for service in world.services}
    service = names.get(fault.target, fault.target)
    if service not in names.values():
        raise FaultError(f"there is no service {fault.target!r}; there are: {', '.join(names)}")
    before = await world.set_rate(
        service, float(fault.parameters.get("rate", OVERLOAD_RATE_PACKETS_PER_SECOND))
    )

    async def undo() -> None:
        await world.set_rate(service, before)

    return undo


async def _noisy_host(world: World, fault: Fault) -> Undo:
    host = _host(world, fault.target)
    duty = {
        "stopped_ratio": float(fault.parameters.get("stopped_ratio", NOISY_STOPPED_RATIO)),
        "period_seconds": float(fault.parameters.get("period_seconds", NOISY_PERIOD_SECONDS)),
    }
    await call("PUT", host.http_port, "/duty", duty)

    async def undo() -> None:
        with contextlib.suppress(CallError):  # a host that died meanwhile comes back quiet
            await call("DELETE", host.http_port, "/duty")

    return undo


async def _link_loss(world: World, fault: Fault) -> Undo:
    if fault.target not in world.chain.links:
        raise FaultError(
            f"there is no link {fault.target!r}; there are: {', '.join(sorted(world.chain.links))}"
        )
    await world.chain.set_loss(
        fault.target, float(fault.parameters.get("loss_ratio", LINK_LOSS_RATIO))
    )

    async def undo() -> None:
        await world.chain.set_loss(fault.target, 0.0)

    return undo


async def _leak(world: World, fault: Fault) -> Undo:
    server = _vnf_server(world, fault.target)
    leak = {
        "rate_bytes_per_second": LEAK_BYTES_PER_SECOND,
        "limit_bytes": float(LEAK_LIMIT_BYTES),
        "delay_seconds_per_mib": LEAK_DELAY_SECONDS_PER_MIB,
    }
    leak.update({key: float(value) for key, value in fault.parameters.items() if key in leak})
    await call("PUT", server.http_port, "/leak", leak)
    server.leak = leak
    return _nothing


async def _host_death(world: World, fault: Fault) -> Undo:
    host = _host(world, fault.target)
    world.kill_host(host)

    async def undo() -> None:
        await world.start_host(host)

    return undo


async def _silent_collector(world: World, fault: Fault) -> Undo:
    if fault.target == "sd":
        world.silent_discovery = True

        async def talk_again() -> None:
            world.silent_discovery = False

        return talk_again
    if fault.target not in ("vnf", "host"):
        raise FaultError("silent_collector: the target is sd, vnf or host")
    await _silence(world, fault.target, silent=True)

    async def undo() -> None:
        await _silence(world, fault.target, silent=False)

    return undo


async def _silence(world: World, job: str, *, silent: bool) -> None:
    if job == "host":
        ports = [host.http_port for host in world.compute.hosts.values()]
    else:
        ports = [
            vnfc.server.http_port for vnf in world.vnfs.values() for vnfc in vnf.vnfcs.values()
        ]
    for port in ports:
        with contextlib.suppress(CallError):  # a dead one is silent already
            await call("PUT", port, "/silence", {"silent": silent})


def _manager_set(attribute: str) -> Callable[[World, Fault], Awaitable[Undo]]:
    async def inject(world: World, fault: Fault) -> Undo:
        if fault.target != "*" and fault.target not in world.vnfs:
            raise FaultError(
                f"there is no VNF {fault.target!r}; there are: *, {', '.join(world.vnfs)}"
            )
        names: set[str] = getattr(world.manager_faults, attribute)
        names.add(fault.target)

        async def undo() -> None:
            names.discard(fault.target)

        return undo

    return inject


async def _vnfm_refuses(world: World, fault: Fault) -> Undo:
    faults = world.manager_faults
    faults.refusal_status = int(fault.parameters.get("status", 503))
    faults.retry_after_seconds = int(fault.parameters.get("retry_after_seconds", 2))

    async def undo() -> None:
        faults.refusal_status = None

    return undo


def _switch(
    holder: Callable[[World], object], attribute: str
) -> Callable[[World, Fault], Awaitable[Undo]]:
    async def inject(world: World, _: Fault) -> Undo:
        setattr(holder(world), attribute, True)

        async def undo() -> None:
            setattr(holder(world), attribute, False)

        return undo

    return inject


INJECTORS: dict[str, Callable[[World, Fault], Awaitable[Undo]]] = {
    "crash": _crash,
    "hang": _hang,
    "overload": _overload,
    "noisy_host": _noisy_host,
    "link_loss": _link_loss,
    "leak": _leak,
    "host_death": _host_death,
    "silent_collector": _silent_collector,
    "vnfm_refuses": _vnfm_refuses,
    "vnfm_operation_fails": _manager_set("fails"),
    "vnfm_operation_hangs": _manager_set("hangs"),
    "vnfm_operation_useless": _manager_set("useless"),
    "vnfm_garbage": _switch(lambda world: world.manager_faults, "garbage"),
    "vnfm_loses_answers": _switch(lambda world: world.manager_faults, "loses_answers"),
    "vim_refuses": _switch(lambda world: world.vim_faults, "refuses"),
    "vim_migration_fails": _switch(lambda world: world.compute, "migration_fails"),
}


class Faults:
    """Injects faults into a world and keeps the record of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.all: dict[str, Injected] = {}

    async def inject(self, fault: Fault) -> Injected:
        """Inject; FaultError if there is no such fault or target, or the target does not take it."""
        if fault.kind not in INJECTORS:
            raise FaultError(f"there is no fault {fault.kind!r}; there are: {', '.join(INJECTORS)}")
        if len(self.all) >= FAULT_LIMIT:
            raise FaultError("the record of faults is full")
        if fault.target.startswith("host-of:"):
            host = _vnf_server(self._world, fault.target.removeprefix("host-of:")).host
            fault = Fault(fault.kind, host, fault.at_seconds, fault.parameters)
        for on in self.all.values():
            if on.lasts and (on.kind, on.target) == (fault.kind, fault.target):
                raise FaultError(f"{fault.kind} on {fault.target} is on already, as {on.id}")
        injected_ns = time.time_ns()
        try:
            undo = await INJECTORS[fault.kind](self._world, fault)
        except (CallError, ValueError) as error:
            raise FaultError(f"{fault.kind} on {fault.target}: {error}") from error
        identifier = f"fault-{len(self.all) + 1}"
        injected = Injected(
            identifier, fault.kind, fault.target, injected_ns, undo, fault.parameters
        )
        self.all[identifier] = injected
        return injected

    async def clear(self, identifier: str) -> Injected:
        """Take a fault back, as far as it can be; FaultError if there is none of this id."""
        injected = self.all.get(identifier)
        if injected is None:
            raise FaultError(f"there is no fault {identifier!r}")
        if injected.cleared_ns is None:
            try:
                await injected.undo()
            except CallError as error:
                raise FaultError(str(error)) from error
            injected.cleared_ns = time.time_ns()
        return injected
