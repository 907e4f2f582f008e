"""The chain controller: it owns the next hops of every gateway and VNF, and pushes them.

A flow belongs to one of 64 buckets, a bucket to one instance of each VNF on the way (bucket modulo the number of
instances: the VNFs keep no state of flows). It does not look after health: a dead instance keeps its buckets until
somebody heals it. An instance that leaves is first taken out of all next hops, then drained, then stopped.
"""

import asyncio
from dataclasses import dataclass

from lab.httpcall import CallError, call
from lab.inventory import Server, Service, Vnf

PUSH_PATIENCE_SECONDS = 0.5
PREPARE_SECONDS = 5.0
RETRY_SECONDS = 0.2
DRAIN_LIMIT_SECONDS = 1.0
_DRAIN_STEP_SECONDS = 0.05


class ChainError(Exception):
    """A new instance did not take its next hops in time."""


@dataclass(slots=True)
class Node:
    """A process that takes next hops: what it should have, what it has, and who is telling it."""

    port: int
    wanted: dict[str, object]
    pushed: dict[str, object] | None = None
    task: "asyncio.Task[None] | None" = None


class Chain:
    """Next hops for `services` over `vnfs`."""

    def __init__(self, services: list[Service], vnfs: dict[str, Vnf]) -> None:
        self._services = services
        self._vnfs = vnfs
        self._loss: dict[str, float] = {}
        self._nodes: dict[int, Node] = {}

    @property
    def links(self) -> dict[str, tuple[str, str]]:
        """Every link by name, with the names of its ends."""
        return {name: (a, b) for service in self._services for name, a, b in service.links}

    def losses(self) -> dict[str, float]:
        """Loss ratio by link, where there is any."""
        return dict(self._loss)

    async def set_loss(self, link: str, ratio: float) -> None:
        """Make a link lose packets; ratio 0 makes it whole."""
        if ratio > 0.0:
            self._loss[link] = ratio
        else:
            self._loss.pop(link, None)
        await self.apply()

    async def prepare(self, server: Server, vnf: Vnf) -> None:
        """Give a new instance its next hops before it gets its first packet. ChainError if it does not take them."""
        node = Node(server.http_port, self._routes(vnf.name))
        self._nodes[server.http_port] = node
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                await self._push(node)
        except TimeoutError as error:
            raise ChainError(f"{server.name} does not take its next hops") from error

    async def apply(self) -> None:
        """Bring every node to the present instances. Waits a little for the slow ones, then goes on telling them."""
        wanted = self._wanted()
        for port in self._nodes.keys() - wanted.keys():
            self._forget(port)
        for port, routes in wanted.items():
            node = self._nodes.setdefault(port, Node(port, routes))
            node.wanted = routes
            if node.pushed != routes and (node.task is None or node.task.done()):
                node.task = asyncio.create_task(self._push(node), name=f"push-{port}")
        running = [node.task for node in self._nodes.values() if node.task and not node.task.done()]
        if running:
            await asyncio.wait(running, timeout=PUSH_PATIENCE_SECONDS)

    async def drain(self, server: Server) -> None:
        """Wait until an instance that is in nobody's next hops has sent what it holds; not longer than the limit."""
        before = -1
        for _ in range(int(DRAIN_LIMIT_SECONDS / _DRAIN_STEP_SECONDS)):
            try:
                _, state = await call(
                    "GET", server.http_port, "/state", within=DRAIN_LIMIT_SECONDS / 2
                )
            except CallError:
                return  # dead or hung: nothing comes out of it any more
            if state["queue_depth"] == 0 and state["received"] == before:
                return
            before = state["received"]
            await asyncio.sleep(_DRAIN_STEP_SECONDS)

    def close(self) -> None:
        """Stop telling anybody."""
        for port in list(self._nodes):
            self._forget(port)

    def _forget(self, port: int) -> None:
        node = self._nodes.pop(port)
        if node.task is not None:
            node.task.cancel()

    async def _push(self, node: Node) -> None:
        while node.pushed != node.wanted:
            routes = node.wanted
            try:
                status, _ = await call("PUT", node.port, "/routes", {"services": routes})
            except CallError:
                status = 0
            if status == 204:
                node.pushed = routes
            else:
                await asyncio.sleep(RETRY_SECONDS)

    def _wanted(self) -> dict[int, dict[str, object]]:
        wanted = {
            service.gateway_http_port: self._routes(service.name) for service in self._services
        }
        for vnf in self._vnfs.values():
            for vnfc in vnf.vnfcs.values():
                wanted[vnfc.server.http_port] = self._routes(vnf.name)
        return wanted

    def _routes(self, node: str) -> dict[str, object]:
        routes: dict[str, object] = {}
        for service in self._services:
            for link, start, end in service.links:
                if start == node:
                    routes[str(service.index)] = {
                        "next_hops": self._addresses(service, end),
                        "loss_ratio": self._loss.get(link, 0.0),
                    }
        return routes

    def _addresses(self, service: Service, node: str) -> list[list[object]]:
        if node == service.name:
            return [["127.0.0.1", service.egress_port]]
        vnfcs = self._vnfs[node].vnfcs
        return [["127.0.0.1", vnfcs[name].server.data_port] for name in sorted(vnfcs)]
