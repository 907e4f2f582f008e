"""The topology: what depends on what, and which object an alias named when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.domain import managed_object
from trimtab.domain.managed_object import (
    Alias,
    InventoryChange,
    ManagedObject,
    ObjectKind,
    Relation,
    RelationKind,
    Topology,
    object_id,
    parse_object_id,
)

HOST_1, HOST_2 = "provider/host/host-1", "provider/host/host-2"
FW, FW_0, FW_1 = "provider/vnf/fw", "provider/vnfc/fw-0", "provider/vnfc/fw-1"
VPN = "acme/service/acme-vpn"
LINK = "provider/link/cpe-fw"


def things(*ids: str) -> tuple[ManagedObject, ...]:
    return tuple(managed_object.managed_object(text) for text in ids)


@pytest.fixture
def topology() -> Topology:
    topology = Topology()
    conflicts = topology.apply(
        InventoryChange(
            "config", 1,
            objects=things(HOST_1, HOST_2, FW, FW_0, FW_1, VPN, LINK),
            aliases=(Alias(FW_0, "vim", "uuid-0", 1),),
            relations=(
                Relation(FW_0, RelationKind.PART_OF, FW),
                Relation(FW_1, RelationKind.PART_OF, FW),
                Relation(FW_0, RelationKind.RUNS_ON, HOST_1),
                Relation(FW_1, RelationKind.RUNS_ON, HOST_2),
                Relation(VPN, RelationKind.USES, FW),
                Relation(VPN, RelationKind.USES, LINK),
            ),
        )
    )  # fmt: skip
    assert not conflicts
    return topology


def test_a_service_stands_on_all_that_can_hurt_it(topology: Topology) -> None:
    assert topology.support_of(VPN) == (VPN, LINK, FW, FW_0, FW_1, HOST_1, HOST_2)
    assert topology.support_of(HOST_1) == (HOST_1,)
    assert topology.depends_on(FW) == (FW_0, FW_1)


def test_a_move_replaces_where_something_runs(topology: Topology) -> None:
    topology.apply(
        InventoryChange("vim", 2, relations=(Relation(FW_0, RelationKind.RUNS_ON, HOST_2),))
    )
    assert topology.targets(FW_0, RelationKind.RUNS_ON) == (HOST_2,)
    assert topology.subjects(HOST_2, RelationKind.RUNS_ON) == (FW_0, FW_1)
    assert topology.subjects(HOST_1, RelationKind.RUNS_ON) == ()


def test_uses_are_added_not_replaced(topology: Topology) -> None:
    other = "provider/vnf/rtr"
    topology.apply(
        InventoryChange(
            "config", 2, things(other), relations=(Relation(VPN, RelationKind.USES, other),)
        )
    )
    assert topology.targets(VPN, RelationKind.USES) == (LINK, FW, other)


def test_an_alias_names_the_object_of_its_own_time(topology: Topology) -> None:
    topology.apply(InventoryChange("vim", 10, aliases=(Alias(FW_0, "vim", "uuid-9", 10),)))
    assert topology.resolve("vim", "uuid-0", 9) == FW_0
    assert topology.resolve("vim", "uuid-0", 10) is None
    assert topology.resolve("vim", "uuid-9", 10) == FW_0
    assert topology.resolve("vim", "uuid-9", 9) is None
    assert topology.native_ids(FW_0) == {"vim": "uuid-9"}
    assert topology.resolve("vim", "unheard-of", 1) is None


def test_two_objects_claiming_one_alias_are_told(topology: Topology) -> None:
    (conflict,) = topology.apply(
        InventoryChange("vim", 5, aliases=(Alias(FW_1, "vim", "uuid-0", 5),))
    )
    assert "uuid-0" in conflict
    assert FW_0 in conflict
    assert FW_1 in conflict
    assert topology.resolve("vim", "uuid-0", 6) == FW_0


def test_the_same_alias_again_is_no_conflict(topology: Topology) -> None:
    assert (
        topology.apply(InventoryChange("vim", 5, aliases=(Alias(FW_0, "vim", "uuid-0", 5),))) == []
    )
    assert topology.resolve("vim", "uuid-0", 2) == FW_0


def test_what_is_removed_leaves_no_trace_but_its_past(topology: Topology) -> None:
    topology.apply(InventoryChange("vim", 7, removed_object_ids=(FW_0,)))
    assert FW_0 not in topology.objects
    assert topology.support_of(VPN) == (VPN, LINK, FW, FW_1, HOST_2)
    assert topology.resolve("vim", "uuid-0", 6) == FW_0
    assert topology.resolve("vim", "uuid-0", 7) is None
    assert topology.native_ids(FW_0) == {}


def test_too_many_objects_are_refused_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed_object, "OBJECTS_MAX", 1)
    topology = Topology()
    (conflict,) = topology.apply(InventoryChange("vim", 1, objects=things(HOST_1, HOST_2)))
    assert HOST_2 in conflict
    assert topology.apply(InventoryChange("vim", 2, objects=things(HOST_1))) == []


def test_a_circle_ends() -> None:
    topology = Topology()
    topology.apply(
        InventoryChange(
            "config", 1, things(FW, FW_0),
            relations=(
                Relation(FW, RelationKind.USES, FW_0), Relation(FW_0, RelationKind.USES, FW),
            ),
        )
    )  # fmt: skip
    assert topology.support_of(FW) == (FW, FW_0)


@given(st.text("abc-", min_size=1), st.sampled_from(ObjectKind), st.text("xyz/", min_size=1))
def test_ids_split_as_they_were_joined(tenant: str, kind: ObjectKind, name: str) -> None:
    assert parse_object_id(object_id(tenant, kind, name)) == (tenant, kind, name)


@pytest.mark.parametrize("text", ["", "a", "a/service", "a//b", "/service/b", "a/thing/b"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_object_id(text)
