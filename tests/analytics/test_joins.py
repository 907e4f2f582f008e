"""KPIs of wholes over the series of their parts, as the topology has it at the time."""

from typing import Any

from analytics.assessor import Assessor
from trimtab.domain.configuration import BindingRule, Configuration
from trimtab.domain.input import Tick
from trimtab.domain.kpi import KpiDefinition, LabelMatcher, Statistic
from trimtab.domain.kpi_batch import spell_out
from trimtab.domain.managed_object import (
    Alias,
    InventoryChange,
    ObjectKind,
    Relation,
    RelationKind,
    managed_object,
)
from trimtab.domain.samples import SampleFlag
from trimtab.domain.series import Series
from trimtab.domain.service import Service
from trimtab.domain.time import NS_PER_SECOND as S

T0 = 1_700_000_000 * S
VNFC, VNF = ObjectKind.VNFC, ObjectKind.VNF
SERVICE, FIREWALL, ROUTER = "acme/service/s", "p/vnf/fw", "p/vnf/rtr"
PARTS = {"p/vnfc/fw-0": FIREWALL, "p/vnfc/fw-1": FIREWALL, "p/vnfc/rtr-0": ROUTER}
LOAD = {name: Series.of("load", {"obj": name}) for name in PARTS}


def part_of(*names: str) -> tuple[Relation, ...]:
    return tuple(Relation(name, RelationKind.PART_OF, PARTS[name]) for name in names)


def configuration(*extra: KpiDefinition) -> Configuration:
    def kpi(name: str, kind: ObjectKind, statistic: Statistic) -> KpiDefinition:
        return KpiDefinition(name, kind, "load", statistic, "x", window_ns=S, over=VNFC)

    return Configuration(
        "h", (Service(SERVICE, "acme", "s", (FIREWALL, ROUTER)),), (),
        (
            kpi("load_max", VNF, Statistic.MAX), kpi("load_mean", ObjectKind.SERVICE, Statistic.MEAN),
            *extra,
        ),
        (
            BindingRule((LabelMatcher("uuid", ".+", regex=True),), "{uuid}", "vim"),
            BindingRule((), "{obj}"),
        ),
        InventoryChange(
            "configuration", T0, tuple(managed_object(name) for name in (*PARTS, *PARTS.values(), SERVICE)),
            (), part_of(*PARTS),
        ),
    )  # fmt: skip


class Network:
    """Tell the load of some VNFCs second by second."""

    def __init__(self, feed: Any, *extra: KpiDefinition) -> None:
        self.feed, self.at = feed, T0
        feed.step(configuration(*extra), Tick(T0))

    def say(self, seconds: int, flag: int = 0, *facts: Any, **loads: float) -> dict[Any, Any]:
        """Return the newest value of each KPI by (object, KPI)."""
        found: dict[Any, Any] = {}
        self.feed.step(*facts, Tick(self.at))
        for _ in range(seconds):
            self.at += S
            series = {name: LOAD[f"p/vnfc/{name.replace('_', '-')}"] for name in loads}
            rows = [(series[name], self.at - S // 2, value) for name, value in loads.items()]
            outputs = self.feed.step(*self.feed.rows("src/a", rows, flag), Tick(self.at))
            found |= {
                (item.object_id, item.name): item.value
                for item in spell_out(outputs)
                if hasattr(item, "name") and item.value is not None
            }
        return found


def test_a_whole_reads_its_parts_and_a_service_its_chain(feed: Any) -> None:
    found = Network(feed).say(5, fw_0=1.0, fw_1=3.0, rtr_0=8.0)
    assert found == {
        (FIREWALL, "load_max"): 3.0, (ROUTER, "load_max"): 8.0, (SERVICE, "load_mean"): 4.0,
    }  # fmt: skip


def test_a_part_that_also_has_a_kpi_of_its_own_feeds_both(feed: Any) -> None:
    own = KpiDefinition("load", VNFC, "load", Statistic.LAST, "x", window_ns=S)
    found = Network(feed, own).say(5, fw_0=1.0, fw_1=3.0)
    assert found["p/vnfc/fw-1", "load"] == 3.0
    assert found[FIREWALL, "load_max"] == 3.0


def test_parts_come_and_go_with_the_topology(feed: Any) -> None:
    network = Network(feed)
    loads = {"fw_0": 1.0, "fw_1": 3.0, "rtr_0": 8.0}
    network.say(5, **loads)
    gone = InventoryChange("vnfm", T0, removed_object_ids=("p/vnfc/fw-1",))
    assert network.say(6, 0, gone, **loads)[FIREWALL, "load_max"] == 1.0
    fw_1 = (managed_object("p/vnfc/fw-1"),)
    back = InventoryChange("vnfm", T0, fw_1, relations=part_of("p/vnfc/fw-1"))
    assert network.say(6, 0, back, **loads)[FIREWALL, "load_max"] == 3.0


def test_what_is_joined_outlives_a_restart_and_a_series_that_ends_is_freed(feed: Any) -> None:
    network = Network(feed)
    loads = {"fw_0": 1.0, "fw_1": 3.0, "rtr_0": 8.0}
    network.say(5, **loads)
    feed.machine = Assessor.restore(feed.machine.snapshot())
    before = feed.machine.counts()["slots"]
    assert before == 6  # each part feeds its VNF and the service
    assert network.say(5, **loads)[FIREWALL, "load_max"] == 3.0
    assert feed.machine.counts()["slots"] == before
    network.say(1, int(SampleFlag.STALE), fw_1=0.0)
    del loads["fw_1"]
    assert network.say(30, **loads)[FIREWALL, "load_max"] == 1.0
    assert feed.machine.counts()["slots"] == before - 2
    assert feed.machine.counts()["unbound"] == 0


def test_a_series_known_by_an_alias_feeds_what_its_object_is_part_of_now(feed: Any) -> None:
    network = Network(feed)
    LOAD["p/vnfc/by-alias"] = Series.of("load", {"uuid": "u1"})
    claim = InventoryChange("vim", T0, aliases=(Alias("p/vnfc/rtr-0", "vim", "u1", T0),))
    assert network.say(6, 0, claim, by_alias=5.0) == {
        (ROUTER, "load_max"): 5.0, (SERVICE, "load_mean"): 5.0,
    }  # fmt: skip
