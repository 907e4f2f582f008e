"""A webhook's receiver in a process of its own: `python -m bench.peers.sink PORT`.

It prints `NANOSECONDS probe-N` for every probe that a POST speaks of, whatever its shape, once for each request.
"""

import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PROBE = re.compile(rb"probe-\d+")


class Receiver(BaseHTTPRequestHandler):
    """Take whatever is posted."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Note when it came, and of which probes it speaks."""
        now = time.time_ns()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        lines = [f"{now} {probe.decode()}\n" for probe in sorted(set(_PROBE.findall(body)))]
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Say that it is up."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
