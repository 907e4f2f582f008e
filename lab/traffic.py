"""Customer traffic, and the ground truth: what the customers really got, second by second.

The truth is kept here, by the receiver, and by nothing that the loop measures or says. A packet belongs to the second
in which it was sent. A second is lost when more than 5 % of it did not arrive, when the 95th percentile of its
delay is over 40 ms, or when nothing arrived.
"""

import json
import math
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from lab.microhttp import HttpPort, Request, Response
from lab.sockets import ANCILLARY_BYTES, listen_socket, receive_time_ns, udp_socket
from lab.wire import CUSTOMER, CUSTOMER_BYTES, CUSTOMER_MARK, PACKET_LIMIT_BYTES, customer_packet

LOSS_BOUND_RATIO = 0.05
DELAY_BOUND_SECONDS = 0.040
DELAY_PERCENTILE = 0.95
# A second is judged when its last packets have had this long to arrive; later ones are lost to the customer.
GRACE_SECONDS = 1
HISTORY_SECONDS = 1800
RATE_LIMIT_PACKETS_PER_SECOND = 20_000.0
# After a pause of its own the sender does not make up for more than this: it is not a burst generator.
CATCH_UP_SECONDS = 0.1
FLOW_LIMIT = 256
BATCH_PACKETS = 256
# Packets go out in small groups: each wake-up of a process costs more than a packet.
_TICK_SECONDS = 0.010
_NS = 1_000_000_000


@dataclass(slots=True)
class Second:
    """What was sent in one second, and the delays (ns) of what arrived of it."""

    sent: int = 0
    delays_ns: list[int] = field(default_factory=list)


def judge(second: Second) -> tuple[float | None, bool]:
    """The 95th percentile of the delay in seconds (None if nothing arrived), and whether the second is lost."""
    received = len(second.delays_ns)
    if second.sent == 0:
        return None, False
    if received == 0:
        return None, True
    rank = math.ceil(DELAY_PERCENTILE * received) - 1
    p95 = sorted(second.delays_ns)[rank] / _NS
    lost_packets = second.sent - received
    return p95, lost_packets > LOSS_BOUND_RATIO * second.sent or p95 > DELAY_BOUND_SECONDS


class Service:
    """Sender and receiver of one service."""

    def __init__(self, wanted: dict[str, object]) -> None:
        self.id = str(wanted["id"])
        self.rate = float(str(wanted["rate"]))
        address = wanted["address"]
        if not isinstance(address, list):
            raise ValueError("address: [host, port] is wanted")
        self._target = (str(address[0]), int(address[1]))
        flows = min(int(str(wanted["flows"])), FLOW_LIMIT)
        self._senders = [udp_socket(0, receive_buffer_bytes=4096) for _ in range(flows)]
        self.receiver = udp_socket(int(str(wanted["receiver_port"])))
        self._sequence = 0
        self._due = time.monotonic()
        self._open: dict[int, Second] = {}
        self._history: deque[dict[str, Any]] = deque(maxlen=HISTORY_SECONDS)
        self.seconds_lost = 0
        self.sent = self.received = self.late = 0

    def send_due(self, now: float) -> None:
        """Send what is due at the monotonic time `now`."""
        if self.rate <= 0.0:
            self._due = now
            return
        self._due = max(self._due, now - CATCH_UP_SECONDS)
        while self._due <= now:
            sent_ns = time.time_ns()
            flow = self._sequence % len(self._senders)
            packet = customer_packet(flow, self._sequence, sent_ns)
            self._sequence += 1
            self._due += 1.0 / self.rate
            self.sent += 1
            self._open.setdefault(sent_ns // _NS, Second()).sent += 1
            try:
                self._senders[flow].sendto(packet, self._target)
            except OSError:
                continue  # it was offered and did not get through: the customer lost it

    def receive(self) -> None:
        """Take in what has arrived."""
        for _ in range(BATCH_PACKETS):
            try:
                packet, ancillary, _, _ = self.receiver.recvmsg(PACKET_LIMIT_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            if len(packet) != CUSTOMER_BYTES or packet[:4] != CUSTOMER_MARK:
                continue
            sent_ns = CUSTOMER.unpack_from(packet)[3]
            second = self._open.get(sent_ns // _NS)
            if second is None:
                self.late += 1
                continue
            self.received += 1
            second.delays_ns.append(max(0, receive_time_ns(ancillary, time.time_ns()) - sent_ns))

    def close_seconds(self, now_ns: int) -> None:
        """Judge the seconds that have had their grace."""
        newest = now_ns // _NS - 1 - GRACE_SECONDS
        for start in sorted(second for second in self._open if second <= newest):
            second = self._open.pop(start)
            p95, lost = judge(second)
            self.seconds_lost += lost
            self._history.append(
                {
                    "t": start,
                    "sent": second.sent,
                    "received": len(second.delays_ns),
                    "p95_delay_seconds": p95,
                    "lost": lost,
                }
            )

    def document(self, since: int = 0) -> dict[str, object]:
        """The truth about this service, its seconds from `since` (Unix time) on."""
        return {
            "id": self.id,
            "sla_seconds_lost": self.seconds_lost,
            "rate_packets_per_second": self.rate,
            "sent": self.sent,
            "received": self.received,
            "late": self.late,
            "seconds": [s for s in self._history if s["t"] >= since],
        }


class Traffic:
    """All services' senders and receivers in one loop."""

    def __init__(self, services: list[Service], listener: socket.socket) -> None:
        self._services = {service.id: service for service in services}
        self._selector = selectors.DefaultSelector()
        for service in services:
            self._selector.register(service.receiver, selectors.EVENT_READ, service.receive)
        HttpPort(self._selector, listener, self._handle)

    def run(self) -> None:
        """Send and receive for ever."""
        due = time.monotonic()
        while True:
            for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                key.data()
            now = time.monotonic()
            if now >= due:
                for service in self._services.values():
                    service.send_due(now)
                    service.close_seconds(time.time_ns())
                due = max(due + _TICK_SECONDS, now)

    def _handle(self, request: Request) -> Response | None:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["truth", since]:
                services = [service.document(int(since)) for service in self._services.values()]
                return Response.of_json({"services": services})
            case "PUT", ["rate"]:
                wanted = request.json()
                rate = float(str(wanted["rate"]))
                if not 0.0 <= rate <= RATE_LIMIT_PACKETS_PER_SECOND:
                    raise ValueError(f"rate: 0 to {RATE_LIMIT_PACKETS_PER_SECOND} packets/s")
                self._services[str(wanted["service"])].rate = rate
                return Response(204)
        return Response(404)


def main() -> None:
    """Run the traffic that the arguments describe."""
    wanted = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Traffic([Service(s) for s in wanted["services"]], listen_socket(wanted["http_port"])).run()


if __name__ == "__main__":
    main()
