"""STAMP session reflector, unauthenticated mode (RFC 8762 section 4.3), with RFC 8972's session identifier.

`Reflector` makes the answer; the lab's egress gateways use it, and `python -m lab.stamp_reflector PORT` runs it on
its own. Sender and reflector share one clock here, so the S bit is set.
"""

import argparse
import select
import struct
import time
from collections import OrderedDict

from lab.sockets import ANCILLARY_BYTES, receive_time_ns, udp_socket
from lab.wire import PACKET_LIMIT_BYTES

PACKET_BYTES = 44
SESSION_LIMIT = 1024
# S bit set, NTP format, multiplier 1, scale 12: an error of 2^(12 - 32) s, about a microsecond.
ERROR_ESTIMATE = 0x8C01
_NTP_UNIX_SECONDS = 2_208_988_800
_NS = 1_000_000_000
# sequence, timestamp, error estimate, session identifier
_SENDER = struct.Struct("!I8sHH")
# ... and receive timestamp, the sender's sequence, timestamp and error estimate, MBZ 2, the sender's TTL, MBZ 3
_ANSWER = struct.Struct("!I8sHH8sI8sHxxB3x")
_NTP = struct.Struct("!II")


def ntp_timestamp(time_ns: int) -> bytes:
    """Time in ns UTC as NTP's 64 bits: seconds since 1900 and a binary fraction."""
    seconds, rest = divmod(time_ns, _NS)
    return _NTP.pack((seconds + _NTP_UNIX_SECONDS) & 0xFFFFFFFF, (rest << 32) // _NS)


class Reflector:
    """Answers test packets. Stateless: copies the sender's sequence; stateful: counts by session on its own."""

    def __init__(self, *, stateful: bool = False) -> None:
        self._stateful = stateful
        self._sessions: OrderedDict[tuple[str, int, int], int] = OrderedDict()

    def answer(
        self, packet: bytes, source: tuple[str, int], received_ns: int, hop_limit: int = 255
    ) -> bytes | None:
        """The 44-byte answer to `packet`; None if it is too short to be a test packet."""
        if len(packet) < PACKET_BYTES:
            return None
        sequence, sent, error_estimate, session = _SENDER.unpack_from(packet)
        own = self._count((*source, session)) if self._stateful else sequence
        now_ns = max(time.time_ns(), received_ns)
        return _ANSWER.pack(
            own,
            ntp_timestamp(now_ns),
            ERROR_ESTIMATE,
            session,
            ntp_timestamp(received_ns),
            sequence,
            sent,
            error_estimate,
            hop_limit,
        )

    def _count(self, session: tuple[str, int, int]) -> int:
        count = self._sessions.pop(session, 0)
        self._sessions[session] = (count + 1) & 0xFFFFFFFF
        if len(self._sessions) > SESSION_LIMIT:
            self._sessions.popitem(last=False)
        return count


def main() -> None:
    """Reflect on a port of loopback until killed."""
    parser = argparse.ArgumentParser(description="STAMP session reflector on loopback")
    parser.add_argument("port", type=int)
    parser.add_argument("--stateful", action="store_true")
    arguments = parser.parse_args()
    reflector = Reflector(stateful=arguments.stateful)
    sock = udp_socket(arguments.port)
    while True:
        select.select([sock], [], [])
        packet, ancillary, _, source = sock.recvmsg(PACKET_LIMIT_BYTES, ANCILLARY_BYTES)
        answer = reflector.answer(packet, source, receive_time_ns(ancillary, time.time_ns()))
        if answer is not None:
            sock.sendto(answer, source)


if __name__ == "__main__":
    main()
