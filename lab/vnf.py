"""One instance of a virtual network function: a UDP forwarder with a licence, a queue and counters.

It forwards at most the licensed rate (a token bucket), queues what comes faster and drops what the queue does
not hold. It knows no health, no neighbours and no policy: its next hops are pushed to it.
"""

import json
import os
import random
import selectors
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass

from lab.exposition import MEDIA_TYPE, Exposition
from lab.microhttp import HttpPort, Request, Response
from lab.sockets import ANCILLARY_BYTES, receive_time_ns
from lab.wire import (
    BUCKET_AT,
    HEADER_BYTES,
    HOP_LIMIT_AT,
    MAGIC,
    PACKET_LIMIT_BYTES,
    SERVICE_AT,
)

BATCH_PACKETS = 64
DROP_REASONS = ("queue", "no_route", "malformed", "send")
# A leak past its limit slows every packet; it stops growing here so that it never harms the machine.
LEAK_CEILING_BYTES = 192 << 20
LEAK_STEP_SECONDS = 0.25
_IDLE_SECONDS = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_NS = 1_000_000_000


@dataclass(slots=True)
class Leak:
    """Memory grows by `rate` bytes/s; each MiB above `limit` bytes adds `delay` seconds to every packet."""

    rate_bytes_per_second: float
    limit_bytes: float
    delay_seconds_per_mib: float


@dataclass(slots=True)
class Route:
    """Where a service's packets go next: one address out of `next_hops` by bucket, over a link that may lose some."""

    next_hops: list[tuple[str, int]]
    loss_ratio: float


class Vnf:
    """The forwarder. `data` is the packet socket, `listener` the one for the exposition and for control."""

    def __init__(
        self, data: socket.socket, listener: socket.socket, rate: float, queue_limit: int, seed: int
    ) -> None:
        self._data = data
        self._rate = rate
        self._burst = float(queue_limit)
        self._queue_limit = queue_limit
        self._tokens = self._burst
        self._filled_at = time.monotonic()
        self._queue: deque[tuple[int, bytes]] = deque()
        self._routes: dict[int, Route] = {}
        self._random = random.Random(seed)
        self._received = self._forwarded = 0
        self._dropped = dict.fromkeys(DROP_REASONS, 0)
        self._delay_sum_ns = 0
        self._started = time.time()
        self._silent = self._hang = False
        self._leak: Leak | None = None
        self._hoard: list[bytearray] = []
        self._leak_due = 0.0
        self._extra_delay_ns = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(data, selectors.EVENT_READ, self._receive)
        HttpPort(self._selector, listener, self._handle)

    def run(self) -> None:
        """Forward for ever."""
        while True:
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            if self._queue:
                self._drain()
            if self._leak is not None:
                self._grow(self._leak)
            if self._hang:
                self._hang_for_ever()

    def _timeout(self) -> float:
        if self._queue:
            wait_ns = self._queue[0][0] + self._extra_delay_ns - time.time_ns()
            missing = max(0.0, 1.0 - self._tokens) / self._rate
            return min(max(missing, wait_ns / _NS, 0.0005), _IDLE_SECONDS)
        return LEAK_STEP_SECONDS if self._leak is not None else _IDLE_SECONDS

    def _receive(self) -> None:
        for _ in range(BATCH_PACKETS):
            try:
                packet, ancillary, _, _ = self._data.recvmsg(PACKET_LIMIT_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            self._received += 1
            if len(packet) < HEADER_BYTES or packet[0] != MAGIC or packet[HOP_LIMIT_AT] == 0:
                self._dropped["malformed"] += 1
            elif len(self._queue) >= self._queue_limit:
                self._dropped["queue"] += 1
            else:
                self._queue.append((receive_time_ns(ancillary, time.time_ns()), packet))
        # A burst must not wait in the kernel while tokens are there for it.
        self._drain()

    def _drain(self) -> None:
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        now_ns = time.time_ns()
        while self._queue and self._tokens >= 1.0:
            arrived_ns, packet = self._queue[0]
            if self._extra_delay_ns and now_ns - arrived_ns < self._extra_delay_ns:
                return
            self._queue.popleft()
            self._tokens -= 1.0
            self._delay_sum_ns += max(0, now_ns - arrived_ns)
            self._send(packet)

    def _send(self, packet: bytes) -> None:
        route = self._routes.get(packet[SERVICE_AT])
        if route is None or not route.next_hops:
            self._dropped["no_route"] += 1
            return
        self._forwarded += 1
        if route.loss_ratio and self._random.random() < route.loss_ratio:
            return  # the link lost it: neither end counts that
        onward = (
            packet[:HOP_LIMIT_AT] + bytes((packet[HOP_LIMIT_AT] - 1,)) + packet[HOP_LIMIT_AT + 1 :]
        )
        try:
            self._data.sendto(onward, route.next_hops[packet[BUCKET_AT] % len(route.next_hops)])
        except OSError:
            self._forwarded -= 1
            self._dropped["send"] += 1

    def _grow(self, leak: Leak) -> None:
        now = time.monotonic()
        if now < self._leak_due:
            return
        self._leak_due = now + LEAK_STEP_SECONDS
        held = sum(len(block) for block in self._hoard)
        if held < LEAK_CEILING_BYTES:
            block = bytearray(int(leak.rate_bytes_per_second * LEAK_STEP_SECONDS))
            block[::_PAGE_BYTES] = b"x" * len(range(0, len(block), _PAGE_BYTES))
            self._hoard.append(block)
        excess_mib = max(0.0, _memory_bytes() - leak.limit_bytes) / (1 << 20)
        self._extra_delay_ns = int(excess_mib * leak.delay_seconds_per_mib * _NS)

    def _hang_for_ever(self) -> None:
        # What a deadlock looks like from outside: alive, connectable, and nothing ever comes back.
        while True:
            time.sleep(3600)

    def _handle(self, request: Request) -> Response | None:
        match request.method, request.path:
            case "GET", "/metrics":
                return None if self._silent else Response(200, self._exposition(), MEDIA_TYPE)
            case "GET", "/state":
                return Response.of_json(
                    {"received": self._received, "queue_depth": len(self._queue)}
                )
            case "PUT", "/routes":
                self._routes = _routes_of(request.json())
                return Response(204)
            case "PUT", "/hang":
                self._hang = True
                return Response(202)
            case "PUT", "/silence":
                self._silent = bool(request.json()["silent"])
                return Response(204)
            case "PUT", "/leak":
                wanted = request.json()
                self._leak = Leak(
                    float(str(wanted["rate_bytes_per_second"])),
                    float(str(wanted["limit_bytes"])),
                    float(str(wanted["delay_seconds_per_mib"])),
                )
                return Response(204)
        return Response(404)

    def _exposition(self) -> bytes:
        page = Exposition()
        page.one("vnf_packets_received_total", "counter", "Packets taken in.", self._received)
        page.one(
            "vnf_packets_forwarded_total", "counter", "Packets sent to a next hop.", self._forwarded
        )
        page.family("vnf_packets_dropped_total", "counter", "Packets not forwarded, by reason.")
        for reason, count in self._dropped.items():
            page.sample("vnf_packets_dropped_total", count, reason=reason)
        page.one("vnf_queue_depth_packets", "gauge", "Packets waiting.", len(self._queue))
        page.one("vnf_queue_limit_packets", "gauge", "Packets that may wait.", self._queue_limit)
        page.one(
            "vnf_licensed_rate_packets_per_second",
            "gauge",
            "Rate that the licence allows.",
            self._rate,
        )
        page.family(
            "vnf_processing_delay_seconds",
            "summary",
            "From the kernel's receive time to the sending.",
        )
        page.sample("vnf_processing_delay_seconds_sum", self._delay_sum_ns / _NS)
        page.sample("vnf_processing_delay_seconds_count", self._forwarded)
        page.one("vnf_memory_bytes", "gauge", "Resident memory.", _memory_bytes())
        page.one("process_start_time_seconds", "gauge", "Start, Unix time.", self._started)
        return page.encode()


def _memory_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


def _routes_of(document: dict[str, object]) -> dict[int, Route]:
    routes: dict[int, Route] = {}
    services = document["services"]
    if not isinstance(services, dict):
        raise ValueError("services: an object is wanted")
    for service, route in services.items():
        hops = [(str(host), int(port)) for host, port in route["next_hops"]]
        routes[int(service)] = Route(hops, float(route["loss_ratio"]))
    return routes


def main() -> None:
    """Run one instance: its sockets come from the host agent, already bound."""
    wanted = json.loads(sys.argv[1])
    data = socket.socket(fileno=wanted["data_fd"])
    listener = socket.socket(fileno=wanted["http_fd"])
    Vnf(data, listener, wanted["licence"], wanted["queue_limit"], wanted["seed"]).run()


if __name__ == "__main__":
    main()
