"""A host agent: starts, stops and reaps the VNF processes placed on it, and reports. It never restarts one.

A degraded host stops its guests for a part of every period (SIGSTOP, SIGCONT), as a noisy neighbour would. Its
canary is stopped with them, so the pressure that the host reports is measured and not declared.
"""

import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass

from lab.exposition import MEDIA_TYPE, Exposition
from lab.microhttp import HttpPort, Request, Response
from lab.process import die_with_parent, start_module
from lab.sockets import listen_socket, udp_socket

GUEST_LIMIT = 32
PRESSURE_WINDOW_SECONDS = 2.0
CANARY_SLEEP_SECONDS = 0.01
CANARY_REPORT_SECONDS = 0.25
# A sleep is never exact: only a delay longer than this counts as a lost wake-up.
CANARY_TOLERANCE_SECONDS = 0.002
STOP_GRACE_SECONDS = 0.5
_IDLE_SECONDS = 0.25
_REPORT = struct.Struct("@dd")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Guest:
    """A VNF process of this host. `exit_code` is None while it lives."""

    vnfc: str
    server_id: str
    process: "subprocess.Popen[bytes]"
    cpu_seconds: float = 0.0

    @property
    def up(self) -> bool:
        """Whether the process is there, stopped or not."""
        return self.process.returncode is None


@dataclass(slots=True)
class Duty:
    """The guests are stopped for `stopped_ratio` of each `period_seconds`."""

    stopped_ratio: float
    period_seconds: float
    stopped: bool = False
    switch_at: float = 0.0


class Canary:
    """A child process that sleeps, wakes and reports how much later than asked."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            die_with_parent(parent)
            _sing(writer)
        os.close(writer)
        os.set_blocking(reader, False)
        self.reader = reader
        self._reports: deque[tuple[float, float, float]] = deque(maxlen=256)
        self._heard_at = time.monotonic()

    def read(self) -> None:
        """Take in the reports that have come."""
        try:
            data = os.read(self.reader, _REPORT.size * 64)
        except BlockingIOError:
            return
        self._heard_at = time.monotonic()
        for elapsed, late in _REPORT.iter_unpack(data[: len(data) // _REPORT.size * _REPORT.size]):
            self._reports.append((self._heard_at, elapsed, late))

    def stall_ratio(self) -> float:
        """The part of the last `PRESSURE_WINDOW_SECONDS` in which the canary should have run and did not."""
        now = time.monotonic()
        while self._reports and self._reports[0][0] < now - PRESSURE_WINDOW_SECONDS:
            self._reports.popleft()
        unheard = max(0.0, now - self._heard_at - 2 * CANARY_REPORT_SECONDS)
        elapsed = sum(report[1] for report in self._reports) + unheard
        late = sum(report[2] for report in self._reports) + unheard
        return min(1.0, late / elapsed) if elapsed > 0 else 0.0


def _sing(writer: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    began = time.monotonic()
    late = 0.0
    while True:
        before = time.monotonic()
        time.sleep(CANARY_SLEEP_SECONDS)
        now = time.monotonic()
        delay = now - before - CANARY_SLEEP_SECONDS
        if delay > CANARY_TOLERANCE_SECONDS:
            late += delay
        if now - began >= CANARY_REPORT_SECONDS:
            try:
                os.write(writer, _REPORT.pack(now - began, late))
            except OSError:
                os._exit(0)
            began, late = now, 0.0


class Host:
    """The agent of one host."""

    def __init__(self, name: str, http_port: int, log_directory: str) -> None:
        self._name = name
        self._log_directory = log_directory
        self._guests: dict[str, Guest] = {}
        self._duty: Duty | None = None
        self._silent = self._leaving = False
        self._started = time.time()
        self._canary = Canary()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._canary.reader, selectors.EVENT_READ, self._canary.read)
        HttpPort(self._selector, listen_socket(http_port), self._handle)

    def leave(self) -> None:
        """Make `run` end after the round that it is in."""
        self._leaving = True

    def run(self) -> None:
        """Serve until told to leave, then stop every guest."""
        while not self._leaving:
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            self._reap()
            if self._duty is not None and time.monotonic() >= self._duty.switch_at:
                self._switch(self._duty)
        self._signal_all(signal.SIGKILL)
        for guest in self._guests.values():
            guest.process.wait()

    def _timeout(self) -> float:
        if self._duty is None:
            return _IDLE_SECONDS
        return max(0.0, min(_IDLE_SECONDS, self._duty.switch_at - time.monotonic()))

    def _reap(self) -> None:
        for guest in self._guests.values():
            guest.process.poll()

    def _switch(self, duty: Duty) -> None:
        duty.stopped = not duty.stopped
        share = duty.stopped_ratio if duty.stopped else 1.0 - duty.stopped_ratio
        duty.switch_at = time.monotonic() + share * duty.period_seconds
        self._signal_all(signal.SIGSTOP if duty.stopped else signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for guest in self._guests.values():
            if guest.up:
                guest.process.send_signal(number)
        os.kill(self._canary.pid, number)

    def _handle(self, request: Request) -> Response | None:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["metrics"]:
                return None if self._silent else Response(200, self._exposition(), MEDIA_TYPE)
            case "GET", ["guests"]:
                return Response.of_json(
                    {"guests": [_guest_document(g) for g in self._guests.values()]}
                )
            case "POST", ["guests"]:
                return self._start(request.json())
            case "DELETE", ["guests", server_id]:
                return self._stop(server_id)
            case "POST", ["guests", server_id, "off"]:
                self._guests[server_id].process.kill()
                return Response(204)
            case "PUT", ["duty"]:
                wanted = request.json()
                self._set_duty(
                    Duty(float(str(wanted["stopped_ratio"])), float(str(wanted["period_seconds"])))
                )
                return Response(204)
            case "DELETE", ["duty"]:
                self._set_duty(None)
                return Response(204)
            case "PUT", ["silence"]:
                self._silent = bool(request.json()["silent"])
                return Response(204)
        return Response(404)

    def _start(self, wanted: dict[str, object]) -> Response:
        vnfc, server_id = str(wanted["vnfc"]), str(wanted["server_id"])
        if server_id in self._guests or len(self._guests) >= GUEST_LIMIT:
            return Response.of_json(
                {"detail": "the guest is here already, or the host is full"}, 409
            )
        try:
            data = udp_socket(int(str(wanted["data_port"])))
            listener = listen_socket(int(str(wanted["http_port"])))
        except OSError as error:
            return Response.of_json({"detail": f"port in use: {error}"}, 409)
        with data, listener, open(f"{self._log_directory}/{vnfc}.log", "ab") as log:
            settings = {
                "name": vnfc,
                "data_fd": data.fileno(),
                "http_fd": listener.fileno(),
                "licence": wanted["licence"],
                "queue_limit": wanted["queue_limit"],
                "seed": wanted["seed"],
            }
            process = start_module(
                "lab.vnf",
                [json.dumps(settings)],
                log=log,
                pass_fds=(data.fileno(), listener.fileno()),
            )
        self._guests[server_id] = Guest(vnfc, server_id, process)
        if self._duty is not None and self._duty.stopped:
            process.send_signal(signal.SIGSTOP)
        return Response.of_json({"pid": process.pid}, 201)

    def _stop(self, server_id: str) -> Response:
        guest = self._guests.pop(server_id, None)
        if guest is None:
            return Response(404)
        guest.process.kill()
        try:
            guest.process.wait(STOP_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return Response.of_json({"detail": "the guest does not end"}, 500)
        return Response(204)

    def _set_duty(self, duty: Duty | None) -> None:
        self._duty = duty
        self._signal_all(signal.SIGCONT)

    def _exposition(self) -> bytes:
        page = Exposition()
        page.one(
            "host_pressure_stall_ratio",
            "gauge",
            "Part of the last 2 s in which a runnable process of this host did not run.",
            self._canary.stall_ratio(),
        )
        page.one("host_guests", "gauge", "Guests placed here.", len(self._guests))
        page.family("host_guest_up", "gauge", "1 while the guest's process lives.")
        for guest in self._guests.values():
            page.sample("host_guest_up", int(guest.up), vnfc=guest.vnfc)
        page.family("host_guest_cpu_seconds_total", "counter", "Processor time of the guest.")
        for guest in self._guests.values():
            page.sample("host_guest_cpu_seconds_total", _cpu_seconds(guest), vnfc=guest.vnfc)
        page.one("process_start_time_seconds", "gauge", "Start, Unix time.", self._started)
        return page.encode()


def _cpu_seconds(guest: Guest) -> float:
    try:
        with open(f"/proc/{guest.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        guest.cpu_seconds = (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, ValueError):
        return guest.cpu_seconds  # gone: what it had used stays
    return guest.cpu_seconds


def _guest_document(guest: Guest) -> dict[str, object]:
    return {
        "vnfc": guest.vnfc,
        "server_id": guest.server_id,
        "pid": guest.process.pid,
        "up": guest.up,
        "exit_code": guest.process.returncode,
    }


def main() -> None:
    """Run the agent that the arguments describe."""
    wanted = json.loads(sys.argv[1])
    host = Host(wanted["name"], wanted["http_port"], wanted["log_directory"])
    signal.signal(signal.SIGTERM, lambda *_: host.leave())
    host.run()


if __name__ == "__main__":
    main()
