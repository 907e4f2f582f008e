"""Sockets of loopback, with the kernel's receive time on every packet."""

import socket
import struct

# Linux: deliver the kernel's receive time with each packet (struct timespec).
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)


def udp_socket(port: int, *, receive_buffer_bytes: int = 1 << 20) -> socket.socket:
    """A non-blocking UDP socket on loopback which reports the kernel's receive times."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", port))
    return sock


def listen_socket(port: int) -> socket.socket:
    """A non-blocking listening TCP socket on loopback."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", port))
    sock.listen(32)
    return sock


def receive_time_ns(ancillary: list[tuple[int, int, bytes]], otherwise: int) -> int:
    """When the kernel took the packet in, ns UTC; `otherwise` when it does not say."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(data[: _TIMESPEC.size])
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return otherwise
