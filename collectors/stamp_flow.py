"""One STAMP flow: a socket of its own, what it has sent, and what came of it."""

import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from collectors.stamp_packet import (
    Answer,
    decode_answer,
    decode_ns,
    encode_ns,
    encode_packet,
    error_ns,
    is_synchronised,
)

DATAGRAM_BYTES_MAX = 2_048
RESOLVED_KEPT = 512
SEQUENCE_MODULUS = 2**32
# Between the kernel's time of arrival and our monotonic measure: more says that the wall clock has jumped.
JUMP_TOLERANCE_NS = 20_000_000
_SO_TIMESTAMPNS = 35  # Linux; not among the names of the socket module
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
Count = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stamping:
    """How we write times and what we claim about our clock."""

    estimate: int
    ptp: bool
    utc_offset_seconds: int


@dataclass(frozen=True, slots=True)
class Probe:
    """One packet that was sent: the loop's time, the wall clock's (T1), and one that never jumps."""

    at_ns: int
    wall_ns: int
    monotonic_ns: int
    timestamp: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a probe. `delay_ns` is None when it was lost, or when its delay can't be trusted.

    `one_way` tells forward delay from round trip; `reflector_sequence` is what the reflector counted.
    """

    sequence: int
    at_ns: int
    lost: bool
    delay_ns: int | None = None
    one_way: bool = False
    reflector_sequence: int = 0


@dataclass(slots=True)
class Flow:
    """Send probes from one source port, and match the answers.

    Sockets are not connected, so that an ICMP error of one probe is not taken for the failure to send the next.
    """

    sock: socket.socket
    peer: tuple[str, int]
    ssid: int
    timeout_ns: int
    stamping: Stamping
    count: Count
    _next: int = field(default=0, init=False)
    _pending: OrderedDict[int, Probe] = field(default_factory=OrderedDict, init=False)
    _resolved: OrderedDict[int, bool] = field(default_factory=OrderedDict, init=False)
    outcomes: list[Outcome] = field(default_factory=list, init=False)

    def send(self, at_ns: int) -> None:
        """Send one probe. Raises OSError when it could not be sent; then nothing was counted."""
        stamping = self.stamping
        wall_ns = time.time_ns()
        timestamp = encode_ns(
            wall_ns, ptp=stamping.ptp, utc_offset_seconds=stamping.utc_offset_seconds
        )
        packet = encode_packet(self._next, timestamp, stamping.estimate, self.ssid)
        monotonic_ns = time.monotonic_ns()
        self.sock.sendto(packet, self.peer)
        self._pending[self._next] = Probe(at_ns, wall_ns, monotonic_ns, timestamp)
        self._next = (self._next + 1) % SEQUENCE_MODULUS

    def drain(self) -> None:
        """Take every answer that waits in the socket."""
        while True:
            try:
                packet, ancillary, _, sender = self.sock.recvmsg(
                    DATAGRAM_BYTES_MAX, _ANCILLARY_BYTES
                )
            except (BlockingIOError, InterruptedError):
                return
            except (
                OSError
            ):  # an error that the network reported on an earlier packet; it is gone now
                self.count("network_errors")
                continue
            arrived_ns = time.time_ns()
            for _level, kind, data in ancillary:
                if kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(data)
                    arrived_ns = seconds * 1_000_000_000 + nanoseconds
            answer = decode_answer(packet)
            if answer is None or sender[:2] != self.peer or answer.ssid not in (0, self.ssid):
                self.count("foreign")
                continue
            self._match(answer, arrived_ns)

    def _match(self, answer: Answer, arrived_ns: int) -> None:
        probe = self._pending.get(answer.sender_sequence)
        if probe is None:
            answered = self._resolved.get(answer.sender_sequence)
            self.count("foreign" if answered is None else "duplicate" if answered else "late")
            return
        if answer.sender_timestamp != probe.timestamp:
            self.count("foreign")
            return
        if arrived_ns - probe.wall_ns > self.timeout_ns:
            self.count("late")
            self._resolve(
                answer.sender_sequence, Outcome(answer.sender_sequence, probe.at_ns, True)
            )
            return
        if answer.sender_sequence != next(iter(self._pending)):
            self.count("reordered")
        delay_ns, one_way = self._delay(answer, probe, arrived_ns)
        self._resolve(
            answer.sender_sequence,
            Outcome(answer.sender_sequence, probe.at_ns, False, delay_ns, one_way, answer.sequence),
        )

    def _delay(self, answer: Answer, probe: Probe, arrived_ns: int) -> tuple[int | None, bool]:
        """Return the delay, one-way if both clocks follow UTC; None when it is suspect (counted)."""
        offset = self.stamping.utc_offset_seconds
        t1, t4 = probe.wall_ns, arrived_ns
        t2 = decode_ns(answer.received, answer.error_estimate, t1, utc_offset_seconds=offset)
        t3 = decode_ns(answer.sent, answer.error_estimate, t1, utc_offset_seconds=offset)
        one_way = is_synchronised(self.stamping.estimate) and is_synchronised(answer.error_estimate)
        elapsed = time.monotonic_ns() - probe.monotonic_ns
        if not 0 <= t4 - t1 <= elapsed + JUMP_TOLERANCE_NS:
            self.count("suspect_clock_jump")
            return None, one_way
        errors = error_ns(self.stamping.estimate) + error_ns(answer.error_estimate)
        delay = t2 - t1 if one_way else (t4 - t1) - (t3 - t2)
        if delay < 0 or t3 < t2:
            self.count("suspect_negative")
            return None, one_way
        if one_way and t2 - t4 > errors:
            self.count("suspect_future")
            return None, one_way
        return delay, one_way

    def expire(self) -> None:
        """Take for lost what has waited longer than the timeout; call `drain` before."""
        now = time.monotonic_ns()
        while self._pending:
            sequence, probe = next(iter(self._pending.items()))
            if now - probe.monotonic_ns <= self.timeout_ns:
                return
            self._resolve(sequence, Outcome(sequence, probe.at_ns, True))

    def _resolve(self, sequence: int, outcome: Outcome) -> None:
        del self._pending[sequence]
        self._resolved[sequence] = not outcome.lost
        if len(self._resolved) > RESOLVED_KEPT:
            self._resolved.popitem(last=False)
        self.outcomes.append(outcome)

    def take(self) -> list[Outcome]:
        """Return the outcomes since the last call."""
        taken, self.outcomes = self.outcomes, []
        return taken


def open_socket(family: int) -> socket.socket:
    """Return a non-blocking UDP socket whose packets carry the kernel's time of arrival. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind(("", 0) if family == socket.AF_INET else ("::", 0))
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        sock.close()
        raise
    return sock
