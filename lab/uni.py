"""The two ends of a service: the ingress gateway with the service's stable address, and the egress gateway.

Ingress wraps what comes to the service's address and sends it into the chain. Egress delivers customer packets to the
traffic receiver; test packets it reflects, and the answer goes straight back to the prober from the service's
address: only the forward path leads through the chain.
"""

import json
import random
import selectors
import signal
import socket
import sys
import time
from collections import OrderedDict

from lab.microhttp import HttpPort, Request, Response
from lab.sockets import ANCILLARY_BYTES, listen_socket, receive_time_ns, udp_socket
from lab.stamp_reflector import Reflector
from lab.wire import (
    BUCKETS,
    CUSTOMER_MARK,
    HEADER,
    HEADER_BYTES,
    HOP_LIMIT,
    KIND_CUSTOMER,
    KIND_PROBE,
    MAGIC,
    PACKET_LIMIT_BYTES,
)

BATCH_PACKETS = 64
FLOW_LIMIT = 4096


class Gateways:
    """Ingress and egress of one service."""

    def __init__(
        self, service: int, ports: dict[str, int], receiver: tuple[str, int], seed: int
    ) -> None:
        self._service = service
        self._receiver = receiver
        self._random = random.Random(seed)
        self._reflector = Reflector()
        self._flows: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._new_flows = [0, 0]
        self._next_hops: list[tuple[str, int]] = []
        self._loss_ratio = 0.0
        self._packets = {"ingress": 0, "delivered": 0, "reflected": 0, "dropped": 0}
        self._ingress = udp_socket(ports["ingress"])
        self._egress = udp_socket(ports["egress"])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ingress, selectors.EVENT_READ, self._take_in)
        self._selector.register(self._egress, selectors.EVENT_READ, self._let_out)
        HttpPort(self._selector, listen_socket(ports["http"]), self._handle)

    def run(self) -> None:
        """Carry packets for ever."""
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _bucket(self, source: tuple[str, int], kind: int) -> int:
        """The bucket of a flow. New flows take the next one in turn, so that few flows already reach every instance."""
        bucket = self._flows.get(source)
        if bucket is None:
            bucket = self._new_flows[kind] % BUCKETS
            self._new_flows[kind] += 1
            self._flows[source] = bucket
            if len(self._flows) > FLOW_LIMIT:
                self._flows.popitem(last=False)
        return bucket

    def _take_in(self) -> None:
        for _ in range(BATCH_PACKETS):
            try:
                packet, source = self._ingress.recvfrom(PACKET_LIMIT_BYTES)
            except BlockingIOError:
                return
            kind = KIND_CUSTOMER if packet[:4] == CUSTOMER_MARK else KIND_PROBE
            bucket = self._bucket(source, kind)
            self._packets["ingress"] += 1
            if not self._next_hops:
                self._packets["dropped"] += 1
                continue
            if self._loss_ratio and self._random.random() < self._loss_ratio:
                continue  # the link lost it
            head = HEADER.pack(
                MAGIC,
                self._service,
                bucket,
                HOP_LIMIT,
                kind,
                socket.inet_aton(source[0]),
                source[1],
            )
            self._send(self._ingress, head + packet, self._next_hops[bucket % len(self._next_hops)])

    def _let_out(self) -> None:
        for _ in range(BATCH_PACKETS):
            try:
                wrapped, ancillary, _, _ = self._egress.recvmsg(PACKET_LIMIT_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            if len(wrapped) < HEADER_BYTES or wrapped[0] != MAGIC:
                self._packets["dropped"] += 1
                continue
            _, _, _, hop_limit, kind, address, port = HEADER.unpack_from(wrapped)
            packet = wrapped[HEADER_BYTES:]
            if kind == KIND_CUSTOMER:
                self._packets["delivered"] += 1
                self._send(self._egress, packet, self._receiver)
                continue
            source = (socket.inet_ntoa(address), port)
            received_ns = receive_time_ns(ancillary, time.time_ns())
            answer = self._reflector.answer(packet, source, received_ns, hop_limit)
            if answer is not None:
                self._packets["reflected"] += 1
                self._send(self._ingress, answer, source)

    def _send(self, sock: socket.socket, packet: bytes, target: tuple[str, int]) -> None:
        try:
            sock.sendto(packet, target)
        except OSError:
            self._packets["dropped"] += 1

    def _handle(self, request: Request) -> Response | None:
        match request.method, request.path:
            case "GET", "/state":
                return Response.of_json({"packets": self._packets, "flows": len(self._flows)})
            case "PUT", "/routes":
                services = request.json()["services"]
                if not isinstance(services, dict):
                    raise ValueError("services: an object is wanted")
                route = services[str(self._service)]
                self._next_hops = [(str(host), int(port)) for host, port in route["next_hops"]]
                self._loss_ratio = float(route["loss_ratio"])
                return Response(204)
        return Response(404)


def main() -> None:
    """Run the gateways that the arguments describe."""
    wanted = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    receiver = (str(wanted["receiver"][0]), int(wanted["receiver"][1]))
    Gateways(wanted["service"], wanted["ports"], receiver, wanted["seed"]).run()


if __name__ == "__main__":
    main()
