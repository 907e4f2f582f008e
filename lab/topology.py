"""The lab's network as it starts: two tenants' services over five kinds-and-owners of VNFs on four hosts."""

from lab.inventory import (
    EDGE_LICENCE_PACKETS_PER_SECOND,
    SHARED_LICENCE_PACKETS_PER_SECOND,
    HostRecord,
    Identifiers,
    Service,
    Vnf,
)
from lab.ports import PortPool

HOSTS = ("host-1", "host-2", "host-3", "host-4")

# tenant, service, chain
SERVICES = (
    ("acme", "acme-vpn", ("cpe-acme", "fw", "rtr")),
    ("globex", "globex-internet", ("cpe-globex", "fw", "rtr")),
)

# VNF, kind, licence of one instance
VNFS = (
    ("cpe-acme", "customer-edge", EDGE_LICENCE_PACKETS_PER_SECOND),
    ("cpe-globex", "customer-edge", EDGE_LICENCE_PACKETS_PER_SECOND),
    ("fw", "firewall", SHARED_LICENCE_PACKETS_PER_SECOND),
    ("rtr", "router", SHARED_LICENCE_PACKETS_PER_SECOND),
)

# Where the first instances run. The last host is left free: there is a clean one to move to.
PLACEMENT = {
    "cpe-acme": ("host-1",),
    "cpe-globex": ("host-3",),
    "fw": ("host-2",),
    "rtr": ("host-3",),
}


def make_services(ports: PortPool) -> list[Service]:
    """The services, with ports of their own."""
    return [
        Service(index, tenant, name, chain, *(ports.take() for _ in range(4)))
        for index, (tenant, name, chain) in enumerate(SERVICES)
    ]


def make_vnfs(ids: Identifiers) -> dict[str, Vnf]:
    """The VNFs, without instances yet."""
    return {name: Vnf(name, kind, ids.new(), ids.new(), licence) for name, kind, licence in VNFS}


def make_hosts(ports: PortPool, ids: Identifiers) -> dict[str, HostRecord]:
    """The hosts, not started yet."""
    return {
        name: HostRecord(name, ids.new(), ports.take(), number) for number, name in enumerate(HOSTS)
    }
