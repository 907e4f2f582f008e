"""The VIM's engine room: it boots, deletes and moves servers on the hosts, and watches both.

The Nova API in front of it and the VNFM behind it both work through here, on the same processes.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab.chain import Chain, ChainError
from lab.httpcall import CallError, call
from lab.inventory import Action, HostRecord, Identifiers, Server, Vnf, Vnfc
from lab.ports import PortPool

WATCH_SECONDS = 0.5
# A host that has not answered for so long is down.
HOST_DOWN_SECONDS = 1.5
BOOT_ATTEMPTS = 3
# A live migration copies the guest's memory before it switches over.
MEMORY_COPY_SECONDS = 0.3
POWER_RUNNING, POWER_SHUTDOWN = 1, 4


class ComputeError(Exception):
    """The VIM can't do it: no host, host down, or the guest did not start."""


class ComputeConflictError(ComputeError):
    """The server's state does not allow it now."""


@dataclass(slots=True)
class Migration:
    """One live migration, kept for ever."""

    number: int
    uuid: str
    server_id: str
    source: str
    destination: str | None
    status: str
    created_at: float
    updated_at: float
    request_id: str


class Compute:
    """Servers on hosts. `owner(server id)` names the VNF and the VNFC that a server belongs to."""

    def __init__(
        self, hosts: dict[str, HostRecord], ports: PortPool, ids: Identifiers, chain: Chain
    ) -> None:
        self.hosts = hosts
        self.servers: dict[str, Server] = {}
        self.deleted: dict[str, Server] = {}
        self.migrations: list[Migration] = []
        self._ports = ports
        self._ids = ids
        self._chain = chain
        self._booting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.owner: Callable[[str], tuple[Vnf, Vnfc] | None] = lambda _: None
        self.migration_fails = False

    def schedule(self, *, but: str | None = None) -> HostRecord:
        """The enabled host that is up and has the fewest guests, other than `but`. ComputeError if there is none."""
        load = dict.fromkeys(self.hosts, 0)
        for server in self.servers.values():
            load[server.host] += 1
        fit = [h for h in self.hosts.values() if h.up and h.enabled and h.name != but]
        if not fit:
            raise ComputeError("No valid host was found.")
        return min(fit, key=lambda host: (load[host.name], host.number))

    async def boot(self, name: str, licence: float, queue_limit: int, host: HostRecord) -> Server:
        """Start a new server for the role `name`."""
        server = Server(
            self._ids.new(),
            name,
            host.name,
            0,
            0,
            licence,
            queue_limit,
            self._ids.seed(),
            task_state="spawning",
        )
        action = self._act(server, "create")
        self._booting.add(server.id)
        try:
            await self._start(server, host)
            self.servers[server.id] = server
        finally:
            self._booting.discard(server.id)
        server.status, server.task_state, server.power_state = "ACTIVE", None, POWER_RUNNING
        _finish(action, server)
        return server

    async def delete(self, server: Server) -> None:
        """Stop a server and forget it. What a host that can't be asked still runs is reaped when it is back."""
        server.task_state = "deleting"
        with contextlib.suppress(CallError):
            await call("DELETE", self.hosts[server.host].http_port, f"/guests/{server.id}")
        self.servers.pop(server.id, None)
        server.status, server.task_state, server.power_state = "DELETED", None, 0
        server.updated_at = time.time()
        self.deleted[server.id] = server

    async def shut_off(self, server: Server) -> None:
        """End a server's process and keep the server. ComputeError if its host does not do it."""
        try:
            await call("POST", self.hosts[server.host].http_port, f"/guests/{server.id}/off")
        except CallError as error:
            raise ComputeError(str(error)) from error
        server.status, server.power_state = "SHUTOFF", POWER_SHUTDOWN

    def begin_migration(
        self, server: Server, destination: str | None, request_id: str
    ) -> Migration:
        """Accept a live migration; it then runs on its own. ComputeConflictError, ComputeError if it is refused."""
        if server.status != "ACTIVE" or server.task_state is not None:
            raise ComputeConflictError(
                f"Cannot 'os-migrateLive' instance {server.id} while it is in status {server.status}, "
                f"task_state {server.task_state}"
            )
        if destination is not None and destination == server.host:
            raise ComputeError("The target host can't be the same one.")
        now = time.time()
        number, identifier = len(self.migrations) + 1, self._ids.new()
        migration = Migration(
            number, identifier, server.id, server.host, destination, "queued", now, now, request_id
        )
        self.migrations.append(migration)
        server.status, server.task_state = "MIGRATING", "migrating"
        action = self._act(server, "live-migration", request_id)
        task = asyncio.create_task(
            self._run_migration(server, migration, action), name=f"migrate-{server.name}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return migration

    async def _run_migration(self, server: Server, migration: Migration, action: Action) -> None:
        result, message = "Success", None
        try:
            host = self.hosts.get(migration.destination or "") or self.schedule(but=server.host)
            migration.destination = host.name
            _move_to(migration, "preparing")
            await self._migrate(server, host, migration)
            _move_to(migration, "completed")
        except (ComputeError, ChainError, CallError) as error:
            _move_to(migration, "error")
            result, message = "Error", str(error)
        server.status = "ACTIVE" if server.power_state == POWER_RUNNING else "SHUTOFF"
        server.task_state = None
        _finish(action, server, result, message)

    async def _migrate(self, server: Server, host: HostRecord, migration: Migration) -> None:
        owner = self.owner(server.id)
        if owner is None or not host.up or self.migration_fails:
            raise ComputeError(f"the guest can't be moved to {host.name}")
        vnf, vnfc = owner
        moved = Server(
            server.id, server.name, host.name, 0, 0, server.licence, server.queue_limit, server.seed
        )
        _move_to(migration, "running")
        await asyncio.sleep(MEMORY_COPY_SECONDS)
        await self._start(moved, host)
        try:
            await self._chain.prepare(moved, vnf)
        except ChainError:
            await call("DELETE", host.http_port, f"/guests/{server.id}")
            raise
        left = Server(
            server.id,
            server.name,
            server.host,
            server.data_port,
            server.http_port,
            0.0,
            0,
            0,
            pid=server.pid,
        )
        server.host, server.pid = host.name, moved.pid
        server.data_port, server.http_port = moved.data_port, moved.http_port
        vnfc.server = server
        await self._chain.apply()
        await self._carry_over(server)
        await self._chain.drain(left)
        with contextlib.suppress(CallError):  # a source that died meanwhile took its guests along
            await call("DELETE", self.hosts[left.host].http_port, f"/guests/{left.id}")

    async def _carry_over(self, server: Server) -> None:
        # A live migration takes the guest's memory along, and with it whatever is wrong in there.
        if server.leak is not None:
            await call("PUT", server.http_port, "/leak", server.leak)
        if server.hung:
            await call("PUT", server.http_port, "/hang")

    async def _start(self, server: Server, host: HostRecord) -> None:
        if not host.up:
            raise ComputeError(f"{host.name} is down")
        detail: object = None
        for _ in range(BOOT_ATTEMPTS):
            server.data_port, server.http_port = self._ports.take(), self._ports.take()
            try:
                status, answer = await call("POST", host.http_port, "/guests", _guest_order(server))
            except CallError as error:
                raise ComputeError(str(error)) from error
            if status == 201:
                server.pid = answer["pid"]
                return
            detail = answer
        raise ComputeError(f"{host.name} did not start {server.name}: {detail}")

    async def watch(self) -> None:
        """Keep the hosts' and the servers' states as the hosts report them. Runs until cancelled."""
        while True:
            await asyncio.gather(*(self._look_at(host) for host in self.hosts.values()))
            await asyncio.sleep(WATCH_SECONDS)

    async def _look_at(self, host: HostRecord) -> None:
        try:
            _, answer = await call("GET", host.http_port, "/guests", within=1.0)
        except CallError:
            host.up = time.time() - host.seen_at < HOST_DOWN_SECONDS
            return
        host.up, host.seen_at = True, time.time()
        alive = {guest["server_id"]: guest["up"] for guest in answer["guests"]}
        for server in self.servers.values():
            if server.host == host.name and server.task_state is None:
                running = alive.get(server.id, False)
                server.power_state = POWER_RUNNING if running else POWER_SHUTDOWN
                server.status = "ACTIVE" if running else "SHUTOFF"
        for stray in [i for i in alive if self._is_stray(i, host)]:
            with contextlib.suppress(CallError):
                await call("DELETE", host.http_port, f"/guests/{stray}")

    def _is_stray(self, server_id: str, host: HostRecord) -> bool:
        """Whether a host runs a guest that was deleted or moved away while the host could not be asked."""
        server = self.servers.get(server_id)
        if server is None:
            return server_id not in self._booting
        return server.host != host.name and server.task_state is None

    def close(self) -> None:
        """Give up what still runs."""
        for task in self._tasks:
            task.cancel()

    def new_request_id(self) -> str:
        """An identifier in the form of OpenStack's request ids."""
        return f"req-{self._ids.new()}"

    def _act(self, server: Server, name: str, request_id: str | None = None) -> Action:
        action = Action(request_id or self.new_request_id(), name, time.time())
        server.actions.append(action)
        return action


def _guest_order(server: Server) -> dict[str, object]:
    return {
        "vnfc": server.name,
        "server_id": server.id,
        "data_port": server.data_port,
        "http_port": server.http_port,
        "licence": server.licence,
        "queue_limit": server.queue_limit,
        "seed": server.seed,
    }


def _move_to(migration: Migration, status: str) -> None:
    migration.status, migration.updated_at = status, time.time()


def _finish(
    action: Action, server: Server, result: str = "Success", message: str | None = None
) -> None:
    action.finished_at = server.updated_at = time.time()
    action.result, action.message = result, message
