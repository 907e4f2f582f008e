"""Starts the lab's processes, keeps the managers and the control API in its own loop, and stops everything again.

Host agents, gateways and traffic are processes of their own (VNFs are the host agents' children); the VNFM, the VIM,
the chain controller and the control API share this process. When it ends, however it ends, all the others end too.
"""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from lab import control, vim, vnfm
from lab.chain import Chain
from lab.compute import Compute
from lab.faults import Faults
from lab.httpcall import CallError, call
from lab.inventory import (
    ASPECT,
    CUSTOMER_FLOWS,
    CUSTOMER_RATE_PACKETS_PER_SECOND,
    HostRecord,
    Identifiers,
    Service,
    Vnf,
    Vnfc,
)
from lab.keystone import DOMAIN, PROJECT, REGION, USERNAME, Tokens
from lab.network import STATE_FILE, LabError
from lab.ports import PortPool
from lab.process import start_module
from lab.sockets import listen_socket
from lab.topology import PLACEMENT, make_hosts, make_services, make_vnfs
from lab.vim import VimFaults
from lab.vnfm_operations import ManagerFaults, Operations
from lab.vnfm_subscriptions import Subscriptions

STATE_FORMAT = 1
READY_SECONDS = 30.0
STOP_SECONDS = 2.0
# Longer than any client of the lab pauses between two calls.
KEEP_ALIVE_SECONDS = 60
_POLL_SECONDS = 0.02


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to the supervisor."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Network:
    """The running lab."""

    def __init__(self, run_dir: Path, seed: int, base_port: int | None) -> None:
        self.run_dir = run_dir
        self._logs = run_dir / "log"
        self._ports = PortPool(base_port)
        self._ids = Identifiers(seed)
        self._control_port, self._vnfm_port, self._vim_port = (self._ports.take() for _ in range(3))
        self.services: list[Service] = make_services(self._ports)
        self.vnfs: dict[str, Vnf] = make_vnfs(self._ids)
        self.chain = Chain(self.services, self.vnfs)
        self.compute = Compute(
            make_hosts(self._ports, self._ids), self._ports, self._ids, self.chain
        )
        self.compute.owner = self._owner
        self.manager_faults = ManagerFaults()
        self.vim_faults = VimFaults()
        self.silent_discovery = False
        self._operations = Operations(
            self.vnfs, self.compute, self.chain, self._ids, self.manager_faults
        )
        self._traffic_port = self._ports.take()
        self._rates = {service.id: CUSTOMER_RATE_PACKETS_PER_SECOND for service in self.services}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._servers: list[_Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._password = secrets.token_urlsafe(12)
        self._subscriptions: Subscriptions | None = None
        self._started_at = time.time()

    async def start(self) -> None:
        """Start everything, then write the state file. LabError if it does not come up in time."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for host in self.compute.hosts.values():
            self._spawn_host(host)
        for service in self.services:
            self._spawn_gateways(service)
        self._spawn_traffic()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._await_processes()
                await asyncio.gather(*(self._boot(vnf) for vnf in self.vnfs.values()))
                await self.chain.apply()
                for service in self.services:
                    await self.set_rate(service.id, self._rates[service.id])
                await self._serve()
        except TimeoutError as error:
            raise LabError(
                f"the lab did not come up within {READY_SECONDS:.0f} s; see {self._logs}"
            ) from error
        self._tasks.append(asyncio.create_task(self.compute.watch(), name="watch"))
        self._write_state()

    async def stop(self) -> None:
        """Stop everything and remove the state file."""
        (self.run_dir / STATE_FILE).unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        self._operations.close()
        self.compute.close()
        self.chain.close()
        if self._subscriptions is not None:
            await self._subscriptions.close()
        for server in self._servers:
            server.should_exit = server.force_exit = True
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()

    async def set_rate(self, service: str, rate: float) -> float:
        """Set a service's customer rate; returns the one before. CallError if the traffic does not take it."""
        status, answer = await call(
            "PUT", self._traffic_port, "/rate", {"service": service, "rate": rate}
        )
        if status != 204:
            raise CallError(f"traffic: {answer}")
        before, self._rates[service] = self._rates[service], rate
        return before

    def kill_host(self, host: HostRecord) -> None:
        """Kill a host agent; the kernel kills its guests."""
        process = self._processes.pop(host.name, None)
        if process is not None:
            process.kill()
            process.wait()

    async def start_host(self, host: HostRecord) -> None:
        """Start a host agent again, without guests."""
        if host.name not in self._processes:
            self._spawn_host(host)
            await self._answers(host.http_port, "/guests")

    async def truth(self, since: int) -> dict[str, Any]:
        """The traffic receiver's account."""
        _, answer = await call("GET", self._traffic_port, f"/truth/{since}")
        return dict(answer)

    def status(self) -> dict[str, Any]:
        """What runs where, now."""
        vnfcs = [
            {
                "name": vnfc.name,
                "vnf": vnf.name,
                "host": vnfc.server.host,
                "server_id": vnfc.server.id,
                "status": vnfc.server.status,
                "pid": vnfc.server.pid,
            }
            for vnf in self.vnfs.values()
            for vnfc in vnf.vnfcs.values()
        ]
        return {
            "pid": os.getpid(),
            "started_at": self._started_at,
            "hosts": [
                {"name": h.name, "up": h.up, "enabled": h.enabled}
                for h in self.compute.hosts.values()
            ],
            "vnfcs": vnfcs,
            "links": [{"name": n, "from": a, "to": b} for n, (a, b) in self.chain.links.items()],
            "link_losses": self.chain.losses(),
            "traffic": self._rates,
            "processes": {name: process.pid for name, process in self._processes.items()},
        }

    def _owner(self, server_id: str) -> tuple[Vnf, Vnfc] | None:
        for vnf in self.vnfs.values():
            for vnfc in vnf.vnfcs.values():
                if vnfc.server.id == server_id:
                    return vnf, vnfc
        return None

    def _spawn(self, name: str, module: str, settings: dict[str, Any]) -> None:
        with open(self._logs / f"{name}.log", "ab") as log:
            self._processes[name] = start_module(module, [json.dumps(settings)], log=log)

    def _spawn_host(self, host: HostRecord) -> None:
        settings = {
            "name": host.name,
            "http_port": host.http_port,
            "log_directory": str(self._logs.resolve()),
        }
        self._spawn(host.name, "lab.host", settings)

    def _spawn_gateways(self, service: Service) -> None:
        ports = {
            "ingress": service.ingress_port,
            "egress": service.egress_port,
            "http": service.gateway_http_port,
        }
        settings = {
            "service": service.index,
            "ports": ports,
            "receiver": ["127.0.0.1", service.receiver_port],
            "seed": self._ids.seed(),
        }
        self._spawn(f"gateways-{service.name}", "lab.uni", settings)

    def _spawn_traffic(self) -> None:
        services = [
            {
                "id": service.id,
                "address": ["127.0.0.1", service.ingress_port],
                "receiver_port": service.receiver_port,
                "rate": 0.0,
                "flows": CUSTOMER_FLOWS,
            }
            for service in self.services
        ]
        self._spawn(
            "traffic", "lab.traffic", {"services": services, "http_port": self._traffic_port}
        )

    async def _await_processes(self) -> None:
        waits = [self._answers(host.http_port, "/guests") for host in self.compute.hosts.values()]
        waits += [self._answers(service.gateway_http_port, "/state") for service in self.services]
        waits.append(self._answers(self._traffic_port, "/truth/0"))
        await asyncio.gather(*waits)

    async def _answers(self, port: int, path: str) -> None:
        while True:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise LabError(f"{name} ended at its start; see {self._logs / name}.log")
            with contextlib.suppress(CallError):
                await call("GET", port, path)
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _boot(self, vnf: Vnf) -> None:
        for index in range(vnf.initial):
            await self._operations.add(vnf, host=self.compute.hosts[PLACEMENT[vnf.name][index]])

    async def _serve(self) -> None:
        vnfm_root = f"http://127.0.0.1:{self._vnfm_port}"
        self._subscriptions = Subscriptions(self._ids, vnfm_root)
        manager = vnfm.Manager(self.vnfs, self._operations, self._subscriptions, vnfm_root)
        vim_root = f"http://127.0.0.1:{self._vim_port}"
        tokens = Tokens(self._password, f"{vim_root}/identity", f"{vim_root}/compute/v2.1")
        apps = {
            self._control_port: control.create_app(self, Faults(self)),
            self._vnfm_port: vnfm.create_app(manager),
            self._vim_port: vim.create_app(self.compute, tokens, self.vim_faults),
        }
        for port, app in apps.items():
            settings = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                loop="asyncio",
                timeout_graceful_shutdown=1,
            )
            server = _Server(settings)
            self._servers.append(server)
            self._tasks.append(
                asyncio.create_task(
                    server.serve(sockets=[listen_socket(port)]), name=f"http-{port}"
                )
            )
        for port in apps:
            await self._answers(port, "/")

    def _write_state(self) -> None:
        path = self.run_dir / STATE_FILE
        temporary = path.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(self._state(), indent=2) + "\n", encoding="utf-8")
            os.chmod(temporary, 0o600)
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _state(self) -> dict[str, Any]:
        return {
            "format": STATE_FORMAT,
            "pid": os.getpid(),
            "control_url": f"http://127.0.0.1:{self._control_port}",
            "sd_url": f"http://127.0.0.1:{self._control_port}/sd",
            "vnfm_url": f"http://127.0.0.1:{self._vnfm_port}",
            "vim": {
                "auth_url": f"http://127.0.0.1:{self._vim_port}/identity/v3",
                "username": USERNAME,
                "password": self._password,
                "project_name": PROJECT,
                "user_domain_name": DOMAIN,
                "project_domain_name": DOMAIN,
                "region_name": REGION,
            },
            "services": [
                {
                    "id": service.id,
                    "tenant": service.tenant,
                    "name": service.name,
                    "chain": list(service.chain),
                    "probe_address": ["127.0.0.1", service.ingress_port],
                }
                for service in self.services
            ],
            "hosts": list(self.compute.hosts),
            "vnfs": [
                {"name": vnf.name, "kind": vnf.kind, "vnf_instance_id": vnf.id, "aspect": ASPECT}
                for vnf in self.vnfs.values()
            ],
            "links": [{"name": n, "from": a, "to": b} for n, (a, b) in self.chain.links.items()],
        }


async def supervise(
    run_dir: Path, seed: int, base_port: int | None, *, lifeline: bool = False
) -> None:
    """Run the lab until SIGINT or SIGTERM, or with `lifeline` until standard input ends. LabError if it can't start."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    if lifeline:
        os.set_blocking(sys.stdin.fileno(), False)
        loop.add_reader(sys.stdin.fileno(), ended.set)
    network = Network(run_dir, seed, base_port)
    starting = asyncio.create_task(network.start(), name="start")
    waiting = asyncio.create_task(ended.wait(), name="end")
    try:
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await waiting
    finally:
        starting.cancel()
        waiting.cancel()
        if lifeline:
            loop.remove_reader(sys.stdin.fileno())
        await network.stop()


def main() -> None:
    """Run the lab that the arguments describe; exit 1 with one line if it can't start."""
    parser = argparse.ArgumentParser(description="the lab's supervisor")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base-port", type=int)
    parser.add_argument("--lifeline", action="store_true", help="end when standard input ends")
    arguments = parser.parse_args()
    try:
        asyncio.run(
            supervise(
                arguments.run_dir, arguments.seed, arguments.base_port, lifeline=arguments.lifeline
            )
        )
    except (LabError, OSError) as error:
        sys.exit(f"lab: {error}")


if __name__ == "__main__":
    main()
