"""One lab for the whole session, real packets through it, and the managers' real HTTP."""

import asyncio
import json
import math
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openstack
import pytest

from lab.network import Lab
from lab.scenario import make_fault

NTP_UNIX_SECONDS = 2_208_988_800


def _seconds(stamp: bytes) -> float:
    seconds, fraction = struct.unpack("!II", stamp)
    return seconds - NTP_UNIX_SECONDS + fraction / 2**32


@dataclass(frozen=True)
class Probed:
    """What a round of test packets saw."""

    sent: int
    answered: int
    p95_delay_seconds: float | None

    @property
    def fine(self) -> bool:
        return self.sent == self.answered and (self.p95_delay_seconds or 1.0) < 0.04


class LabUnderTest:
    """The lab as its users see it: control API, service discovery, expositions, SOL003, openstacksdk, STAMP."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.state = lab.state
        self.control = httpx2.Client(
            base_url=lab.state["control_url"], timeout=5.0, trust_env=False
        )
        self.vnfm = httpx2.Client(
            base_url=lab.state["vnfm_url"] + "/vnflcm/v2",
            headers={"Version": "2.3.0"},
            timeout=5.0,
            trust_env=False,
        )
        self._cloud: Any = None

    @property
    def cloud(self) -> Any:
        if self._cloud is None:
            vim = dict(self.state["vim"])
            region = vim.pop("region_name")
            self._cloud = openstack.connection.Connection(
                auth=vim, region_name=region, app_name="trimtab-lab-tests", api_timeout=10
            )
        return self._cloud

    def close(self) -> None:
        self.control.close()
        self.vnfm.close()
        if self._cloud is not None:
            self._cloud.close()

    def inject(self, kind: str, target: str | None = None, **parameters: Any) -> dict[str, Any]:
        return asyncio.run(self.lab.inject(make_fault(kind, target, parameters=parameters)))

    def clear_all(self) -> None:
        for fault in self.control.get("/faults").json()["faults"]:
            if fault["cleared_at"] is None:
                self.control.delete(f"/faults/{fault['id']}").raise_for_status()

    def vnfc(self, name: str) -> dict[str, Any]:
        """A VNFC's entry in the service discovery: its labels, and its target."""
        for group in self.control.get("/sd").json():
            if group["labels"].get("vnfc") == name:
                return {**group["labels"], "target": group["targets"][0]}
        raise KeyError(name)

    def host_target(self, name: str) -> str:
        for group in self.control.get("/sd").json():
            if group["labels"]["job"] == "host" and group["labels"]["host"] == name:
                return str(group["targets"][0])
        raise KeyError(name)

    def metrics(self, target: str, timeout: float = 2.0) -> dict[str, float]:
        page = httpx2.get(f"http://{target}/metrics", timeout=timeout, trust_env=False).text
        lines = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def instance(self, vnf: str) -> dict[str, Any]:
        wanted = next(v for v in self.state["vnfs"] if v["name"] == vnf)
        answer = self.vnfm.get(f"/vnf_instances/{wanted['vnf_instance_id']}")
        return dict(answer.raise_for_status().json())

    def operate(self, vnf: str, task: str, body: dict[str, Any]) -> httpx2.Response:
        return self.vnfm.post(f"/vnf_instances/{self.instance(vnf)['id']}/{task}", json=body)

    def occurrence(self, accepted: httpx2.Response) -> dict[str, Any]:
        """The operation that a 202 points to, once it no longer runs."""
        assert accepted.status_code == 202, accepted.text
        return self.settled(accepted.headers["Location"])

    def settled(self, location: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.vnfm.get(location).json()
            running = ("STARTING", "PROCESSING", "ROLLING_BACK")
            return found if found["operationState"] not in running else None

        return self.eventually(look, within=10.0)

    def migrate(self, vnfc: str, host: str | None = None) -> str:
        """Live-migrate with openstacksdk; returns the host that it ended on."""
        server = self.cloud.compute.get_server(self.vnfc(vnfc)["server_id"])
        self.cloud.compute.live_migrate_server(server, host=host, block_migration="auto")

        def look() -> Any:
            now = self.cloud.compute.get_server(server.id)
            return now if now.status != "MIGRATING" else None

        return str(self.eventually(look, within=10.0).compute_host)

    def eventually(self, look: Callable[[], Any], within: float = 8.0) -> Any:
        deadline = time.monotonic() + within
        while True:
            found = look()
            if found:
                return found
            assert time.monotonic() < deadline, f"not so within {within} s"
            time.sleep(0.1)

    def probe(self, service: str = "acme-vpn", seconds: float = 0.5, flows: int = 8) -> Probed:
        """A round of STAMP test packets over `flows` source ports; one-way delay from the reflector's times."""
        found = next(s for s in self.state["services"] if s["name"] == service)
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(flows)]
        for sock in socks:
            sock.connect(tuple(found["probe_address"]))
        delays: list[float] = []
        sent, end = 0, time.monotonic() + seconds
        last = end + 0.4
        while (now := time.monotonic()) < end or (len(delays) < sent and now < last):
            if now < end:
                stamp = time.time() + NTP_UNIX_SECONDS
                packet = struct.pack("!III", sent, int(stamp), int(stamp % 1 * 2**32))
                socks[sent % flows].send(packet + struct.pack("!HH28x", 0x8001, 0))
                sent += 1
            for sock in select.select(socks, [], [], 0.01)[0]:
                answer = sock.recv(100)
                delays.append(_seconds(answer[16:24]) - _seconds(answer[28:36]))
            time.sleep(0.005)
        for sock in socks:
            sock.close()
        delays.sort()
        p95 = delays[math.ceil(0.95 * len(delays)) - 1] if delays else None
        return Probed(sent, len(delays), p95)

    def is_fine(self, service: str = "acme-vpn") -> bool:
        return self.probe(service).fine

    def comes_right(self, service: str = "acme-vpn") -> None:
        """The service is fine now, or soon: this machine has other things to do, too."""
        self.eventually(lambda: self.is_fine(service))

    def put_right(self) -> None:
        """Bring the network back to how it started, for the next test."""
        self.clear_all()
        for vnf in self.state["vnfs"]:
            self._unlock(vnf["vnf_instance_id"])
            while (level := self._scale_level(vnf["name"])) > 0:
                body = {"type": "SCALE_IN", "aspectId": "capacity", "numberOfSteps": level}
                assert (
                    self.occurrence(self.operate(vnf["name"], "scale", body))["operationState"]
                    == "COMPLETED"
                )
            self._revive(vnf["name"])

    def _unlock(self, instance: str) -> None:
        query = {"filter": f"(eq,vnfInstanceId,{instance});(eq,operationState,FAILED_TEMP)"}
        for stuck in self.vnfm.get("/vnf_lcm_op_occs", params=query).json():
            self.vnfm.post(f"/vnf_lcm_op_occs/{stuck['id']}/fail").raise_for_status()

    def _scale_level(self, vnf: str) -> int:
        return int(self.instance(vnf)["instantiatedVnfInfo"]["scaleStatus"][0]["scaleLevel"])

    def _revive(self, vnf: str) -> None:
        try:
            answers = self.metrics(self.vnfc(f"{vnf}-0")["target"], timeout=0.5)
        except httpx2.HTTPError:
            answers = {}
        if not answers or answers["vnf_memory_bytes"] > 30e6:
            assert self.occurrence(self.operate(vnf, "heal", {}))["operationState"] == "COMPLETED"


def _tree(pid: int) -> set[int]:
    """A process and everything under it."""
    found = {pid}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in found:
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == pid:
                found |= _tree(int(entry.name))
    return found


def _living(pids: set[int]) -> set[int]:
    def lives(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return {pid for pid in pids if lives(pid)}


def _gone(pids: set[int], within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while _living(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _living(pids)


@pytest.fixture
def tree() -> Callable[[int], set[int]]:
    """Return what lists a process and everything under it."""
    return _tree


@pytest.fixture
def gone() -> Callable[[set[int]], bool]:
    """Return what tells whether processes have ended, or soon end."""
    return _gone


@pytest.fixture(scope="session")
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    """Start the session's lab, and stop it."""
    lab = asyncio.run(Lab.start(tmp_path_factory.mktemp("lab")))
    under_test = LabUnderTest(lab)
    yield under_test
    under_test.close()
    pids = _tree(lab.state["pid"])
    asyncio.run(lab.stop())
    assert _gone(pids)
    assert [path.name for path in lab.run_dir.iterdir()] == ["log"]


@pytest.fixture
def lab(_lab: LabUnderTest) -> Iterator[LabUnderTest]:
    """Lend the session's lab; afterwards it is put right for the next test."""
    yield _lab
    _lab.put_right()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Return a directory for a lab of one's own."""
    return tmp_path / "lab"


@pytest.fixture(scope="session")
def sol003(shared: Path) -> dict[str, Any]:
    """Return SOL003's published OpenAPI file, or skip."""
    path = shared / "specs" / "etsi" / "sol003_lifecycle_openapi.json"
    if not path.is_file():
        pytest.skip("no SOL003 OpenAPI file in ../shared")
    return dict(json.loads(path.read_text(encoding="utf-8")))
