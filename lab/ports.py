"""Ports of loopback, handed out in turn: one that was given up does not soon come back under another name."""

import random
import socket

FIRST_PORT = 20_000
# Below the range from which the kernel takes the ports of outgoing connections.
LAST_PORT = 32_000
RANGE_PORTS = 2_000


class PortsExhaustedError(Exception):
    """No port of the range is free."""


class PortPool:
    """Hands out ports that are free for both TCP and UDP at that moment."""

    def __init__(self, base: int | None = None, size: int = RANGE_PORTS) -> None:
        self._first = random.randrange(FIRST_PORT, LAST_PORT - size) if base is None else base
        self._last = self._first + size
        self._next = self._first

    def take(self) -> int:
        """The next free port."""
        for _ in range(self._last - self._first):
            port = self._next
            self._next = self._next + 1 if self._next < self._last else self._first
            if _is_free(port):
                return port
        raise PortsExhaustedError(f"no free port from {self._first} to {self._last}")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
