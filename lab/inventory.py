"""What the lab's network is made of: services, VNFs and their instances, servers, hosts.

The managers change these records; the data plane knows nothing of them. A VNFC's name is its role and stays for
life; the server behind it is replaced by a heal (new id) and moved by a migration (same id).
"""

import itertools
import random
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

ASPECT = "capacity"
# Instances of one VNF: initial plus `MAX_SCALE_LEVEL`.
MAX_SCALE_LEVEL = 3
CUSTOMER_RATE_PACKETS_PER_SECOND = 200.0
CUSTOMER_FLOWS = 32
EDGE_LICENCE_PACKETS_PER_SECOND = 1000.0
SHARED_LICENCE_PACKETS_PER_SECOND = 4000.0
# Two periods of a noisy host's duty cycle: what comes in while a VNF is stopped must fit and must be forwarded at once.
BURST_SECONDS = 0.3


class Identifiers:
    """Seeded UUIDs: the same seed gives the same network."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def new(self) -> str:
        """The next identifier."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def seed(self) -> int:
        """A seed for one process."""
        return self._random.getrandbits(31)


@dataclass(slots=True)
class Action:
    """One entry of a server's instance actions: what the VIM was asked to do, and by which request."""

    request_id: str
    action: str
    started_at: float
    finished_at: float | None = None
    result: str | None = None
    message: str | None = None


@dataclass(slots=True)
class Server:
    """A VIM's server: one VNF process on one host."""

    id: str
    name: str
    host: str
    data_port: int
    http_port: int
    licence: float
    queue_limit: int
    seed: int
    status: str = "BUILD"
    task_state: str | None = None
    pid: int | None = None
    power_state: int = 0
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    hung: bool = False
    leak: dict[str, float] | None = None
    actions: list[Action] = field(default_factory=list)


@dataclass(slots=True)
class Vnfc:
    """One instance of a VNF's component. `name` is its role."""

    name: str
    id: str
    resource_id: str
    server: Server


@dataclass(slots=True)
class Vnf:
    """A VNF instance of the VNFM. Several services may share it."""

    name: str
    kind: str
    id: str
    vnfd_id: str
    licence: float
    initial: int = 1
    state: str = "STARTED"
    etag: int = 0
    vnfcs: dict[str, Vnfc] = field(default_factory=dict)

    @property
    def queue_limit(self) -> int:
        """Packets that the queue of one instance holds, which is also the burst of its licence."""
        return int(self.licence * BURST_SECONDS)

    @property
    def scale_level(self) -> int:
        """Instances beyond the initial ones."""
        return max(0, len(self.vnfcs) - self.initial)

    def free_name(self) -> str:
        """The role name for one more instance."""
        index = next(i for i in range(len(self.vnfcs) + 1) if f"{self.name}-{i}" not in self.vnfcs)
        return f"{self.name}-{index}"


@dataclass(frozen=True, slots=True)
class Service:
    """A customer's service. `index` is its number in the packets, `chain` the names of its VNFs in order."""

    index: int
    tenant: str
    name: str
    chain: tuple[str, ...]
    ingress_port: int
    egress_port: int
    gateway_http_port: int
    receiver_port: int

    @property
    def id(self) -> str:
        """The managed object's id."""
        return f"{self.tenant}/service/{self.name}"

    @property
    def links(self) -> list[tuple[str, str, str]]:
        """(link name, from, to) along the chain; the service's own name stands for its gateways."""
        nodes = (self.name, *self.chain, self.name)
        return [(f"{a}-{b}", a, b) for a, b in itertools.pairwise(nodes)]


@dataclass(slots=True)
class HostRecord:
    """A compute host. `up` is the VIM's view, from whether the agent answers."""

    name: str
    id: str
    http_port: int
    number: int
    up: bool = True
    enabled: bool = True
    seen_at: float = 0.0


def rfc3339(seconds: float) -> str:
    """Unix time as RFC 3339 in UTC with microseconds."""
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )
