"""A small world to feed the machines with: inputs by hand, and the lab's network as a table (a fake, named so)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from analytics.assessor import Assessor
from analytics.correlator import Correlator
from trimtab.domain import codec
from trimtab.domain.assessment import Trouble
from trimtab.domain.configuration import BindingRule, Configuration
from trimtab.domain.incident import Incident
from trimtab.domain.input import Input, Numbered, SeriesAdded, Tick
from trimtab.domain.kpi import KpiDefinition, LabelMatcher, Statistic
from trimtab.domain.kpi_batch import spell_out
from trimtab.domain.managed_object import (
    InventoryChange,
    ObjectKind,
    Relation,
    RelationKind,
    managed_object,
)
from trimtab.domain.samples import SampleBatch, SampleFlag
from trimtab.domain.series import Series
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND as S

T0 = 1_700_000_000 * S
SERVICE, VNFC, HOST, VNF = ObjectKind.SERVICE, ObjectKind.VNFC, ObjectKind.HOST, ObjectKind.VNF


@dataclass
class Feed:
    """Number inputs, intern series, and step one assessor with them."""

    machine: Assessor = field(default_factory=Assessor)
    seq: int = 0
    ids: dict[Series, int] = field(default_factory=dict)
    inputs: list[Numbered[Input]] = field(default_factory=list)

    def number(self, *values: Input) -> list[Numbered[Input]]:
        numbered = []
        for value in values:
            self.seq += 1
            numbered.append(Numbered(self.seq, value))
        self.inputs += numbered
        return numbered

    def step(self, *values: Input) -> list[Any]:
        numbered = self.number(*values)
        now = max(
            (item.value.at_ns for item in numbered if isinstance(item.value, Tick)), default=0
        )
        return spell_out(self.machine.step(numbered, now))

    def rows(
        self, source: str, rows: Iterable[tuple[Series, int, float]], flag: int = SampleFlag.NONE
    ) -> list[Input]:
        """Return SeriesAdded for what is new, then one batch."""
        found: list[Input] = []
        columns = []
        for series, time_ns, value in rows:
            if series not in self.ids:
                self.ids[series] = len(self.ids)
                found.append(SeriesAdded(self.ids[series], series))
            columns.append((self.ids[series], time_ns, value))
        batch = SampleBatch.from_rows(source, columns)
        flags = batch.flags.copy()
        flags[:] = int(flag)
        return [*found, replace(batch, flags=flags)]


def simple(
    kpis: Sequence[KpiDefinition],
    objectives: Sequence[ServiceLevelObjective] = (),
    **changes: Any,
) -> Configuration:
    """Return a configuration in which label `obj` names the object, as `tenant/kind/name`."""
    plain = {
        "hash": "h", "services": (), "bindings": (BindingRule((), "{obj}"),),
        "inventory": InventoryChange("configuration", 0),
    }  # fmt: skip
    return Configuration(kpis=tuple(kpis), objectives=tuple(objectives), **{**plain, **changes})


def _kpi(
    name: str, kind: ObjectKind, series: str, statistic: Statistic, **more: Any
) -> KpiDefinition:
    return KpiDefinition(name, kind, series, statistic, more.pop("unit", "ratio"), **more)


def _objective(
    name: str, kind: ObjectKind, kpi: str, comparator: Comparator, bound: float, **more: Any
) -> ServiceLevelObjective:
    return ServiceLevelObjective(name, kind, kpi, comparator, bound, **more)


CHAINS = {"acme/service/acme-vpn": "cpe-acme", "globex/service/globex-internet": "cpe-globex"}
PLACES = {"cpe-acme-0": "host-1", "fw-0": "host-1", "cpe-globex-0": "host-2", "rtr-0": "host-2"}


def lab_configuration() -> Configuration:
    """Return the lab's network, KPIs and objectives, as its default configuration has them."""
    at_most, at_least = Comparator.AT_MOST, Comparator.AT_LEAST
    kpis = (
        _kpi("frame_delay_p95", SERVICE, "probe_delay_seconds", Statistic.PERCENTILE,
             unit="seconds", percentile=95.0),
        _kpi("frame_loss_ratio", SERVICE, "probe_lost", Statistic.MEAN),
        _kpi("guest_up", VNFC, "host_guest_up", Statistic.LAST, window_ns=2 * S),
        _kpi("reachable", VNFC, "up", Statistic.MIN, window_ns=2 * S),
        _kpi("reachable", HOST, "up", Statistic.MIN, window_ns=2 * S),
        _kpi("pressure_stall", HOST, "host_pressure_stall_ratio", Statistic.MEAN, window_ns=3 * S),
        _kpi("drop_ratio", VNFC, "vnf_packets_dropped_total", Statistic.RATIO,
             divisor_series="vnf_packets_received_total"),
    )  # fmt: skip
    objectives = (
        _objective("delay", SERVICE, "frame_delay_p95", at_most, 0.040, hysteresis=0.005),
        _objective("loss", SERVICE, "frame_loss_ratio", at_most, 0.05),
        _objective("guest-up", VNFC, "guest_up", at_least, 1.0, symptom="process-gone"),
        _objective("reachable", VNFC, "reachable", at_least, 1.0, symptom="unreachable"),
        _objective("host-reachable", HOST, "reachable", at_least, 1.0, symptom="unreachable"),
        _objective("pressure", HOST, "pressure_stall", at_most, 0.3, symptom="pressure"),
        _objective("drops", VNFC, "drop_ratio", at_most, 0.05, symptom="overload"),
    )
    relations = []
    objects = []
    for vnfc, host in PLACES.items():
        vnf = vnfc.removesuffix("-0")
        objects += [f"provider/vnfc/{vnfc}", f"provider/vnf/{vnf}"]
        relations += [
            Relation(f"provider/vnfc/{vnfc}", RelationKind.RUNS_ON, f"provider/host/{host}"),
            Relation(f"provider/vnfc/{vnfc}", RelationKind.PART_OF, f"provider/vnf/{vnf}"),
        ]
    objects += ["provider/host/host-1", "provider/host/host-2", *CHAINS]
    services = tuple(
        Service(name, name.split("/")[0], name.split("/")[2],
                tuple(f"provider/vnf/{vnf}" for vnf in (cpe, "fw", "rtr")), 3_600 * S)
        for name, cpe in CHAINS.items()
    )  # fmt: skip
    return Configuration(
        "lab", services, objectives, kpis,
        (
            BindingRule((LabelMatcher("job", "host"),), "provider/host/{host}"),
            BindingRule((LabelMatcher("job", "vnf"),), "provider/vnfc/{vnfc}"),
            BindingRule((LabelMatcher("__name__", "probe_.*", regex=True),), "{service}"),
        ),
        InventoryChange("configuration", 0, tuple(managed_object(name) for name in objects), (),
                        tuple(relations)),
    )  # fmt: skip


@dataclass
class FakeLab:
    """Tell second by second what the lab's collectors would read; faults are switched on by name.

    `gone` VNFCs (crashed), `hung` ones, `busy` ones (drop half), `noisy` and `dead` hosts, `lossy` links, and
    `silent` collectors. No packets, no processes: only what a correct collector would say of them.
    """

    feed: Feed
    gone: set[str] = field(default_factory=set)
    hung: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    noisy: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    lossy: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    places: dict[str, str] = field(default_factory=lambda: dict(PLACES))
    received: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, float] = field(default_factory=dict)

    def stopped(self, vnfc: str) -> bool:
        return vnfc in self.gone | self.hung or self.places[vnfc] in self.dead

    def scrape(self, at: int) -> list[Input]:
        rows: list[tuple[Series, int, float]] = []

        def add(name: str, value: float, **labels: str) -> None:
            rows.append((Series.of(name, labels), at, value))

        for host in ("host-1", "host-2"):
            alive = host not in self.dead
            add("up", float(alive), job="host", host=host)
            if alive:
                add("host_pressure_stall_ratio", 0.7 if host in self.noisy else 0.02,
                    job="host", host=host)  # fmt: skip
        for vnfc, host in self.places.items():
            if host not in self.dead:
                up = float(vnfc not in self.gone)
                rows.append((Series.of("host_guest_up", {"job": "vnf", "vnfc": vnfc}), at, up))
            add("up", float(not self.stopped(vnfc)), job="vnf", vnfc=vnfc)
            if not self.stopped(vnfc):
                self.received[vnfc] = self.received.get(vnfc, 0.0) + 200
                self.dropped[vnfc] = self.dropped.get(vnfc, 0.0) + 100 * (vnfc in self.busy)
                add("vnf_packets_received_total", self.received[vnfc], job="vnf", vnfc=vnfc)
                add("vnf_packets_dropped_total", self.dropped[vnfc], job="vnf", vnfc=vnfc)
        return self.feed.rows("prometheus/lab", rows)

    def probe(self, at: int) -> list[Input]:
        rows = []
        for service, cpe in CHAINS.items():
            chain = [f"{vnf}-0" for vnf in (cpe, "fw", "rtr")]
            broken = any(self.stopped(vnfc) for vnfc in chain)
            slow = any(self.places[vnfc] in self.noisy for vnfc in chain)
            drops = any(vnfc in self.busy for vnfc in chain) or service in self.lossy
            for probe in range(20):
                sent = at - S + probe * S // 20
                lost = broken or (drops and probe % 2 == 0)
                labels = {"service": service, "flow": str(probe % 8)}
                rows.append((Series.of("probe_lost", labels), sent, float(lost)))
                if not lost:
                    delay = 0.055 if slow else 0.004
                    rows.append((Series.of("probe_delay_seconds", labels), sent, delay))
        return self.feed.rows("stamp/probes", rows)

    def second(self, at: int) -> list[Input]:
        """Return all inputs of the second that ends at a time, its tick included."""
        inputs: list[Input] = []
        if "prometheus" not in self.silent:
            inputs += self.scrape(at - S // 10)
        if "stamp" not in self.silent:
            inputs += self.probe(at)
        return [*inputs, Tick(at)]


@dataclass
class Analysis:
    """Assessor and correlator in a row, as the loop steps them."""

    feed: Feed
    correlator: Correlator = field(default_factory=Correlator)
    outputs: list[Any] = field(default_factory=list)
    incidents: dict[str, Incident] = field(default_factory=dict)
    history: list[Incident] = field(default_factory=list)
    seq: int = 0

    def step(self, inputs: Sequence[Input]) -> None:
        assessed = self.feed.step(*inputs)
        facts = [item for item in inputs if isinstance(item, Configuration | InventoryChange)]
        ticks = [item for item in inputs if isinstance(item, Tick)]
        troubles = [item for item in assessed if isinstance(item, Trouble)]
        self.seq += 1
        numbered = [Numbered(self.seq, item) for item in (*facts, *troubles, *ticks)]
        concluded = self.correlator.step(numbered, self.feed.seq)
        found = [item for item in concluded if isinstance(item, Incident)]
        wanted = [Numbered(self.seq, item) for item in concluded if item not in found]
        told = [Numbered(self.seq, item) for item in self.feed.machine.step(wanted, self.feed.seq)]
        self.correlator.step(told, self.feed.seq)
        self.outputs += [*assessed, *found]
        self.history += found
        self.incidents.update({item.id: item for item in found})

    def open(self) -> list[Incident]:
        return [item for item in self.incidents.values() if item.state.value == "open"]


@dataclass
class World:
    """The lab, watched: let seconds pass, switch faults, look at the incidents."""

    lab: FakeLab
    analysis: Analysis
    at: int = T0

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.at += S
            self.analysis.step(self.lab.second(self.at))

    def incident(self) -> Incident:
        (only,) = self.analysis.open()
        return only


@pytest.fixture
def feed() -> Feed:
    """Return an assessor with its inputs counted."""
    return Feed()


@pytest.fixture(scope="session")
def new_feed() -> type[Feed]:
    """Return how to make an assessor with its inputs counted."""
    return Feed


@pytest.fixture(scope="session")
def configure() -> Callable[..., Configuration]:
    """Return how to make a small configuration."""
    return simple


@pytest.fixture
def lab_config() -> Configuration:
    """Return the lab's configuration."""
    return lab_configuration()


@pytest.fixture
def world() -> World:
    """Return the fake lab after ten quiet seconds."""
    feed = Feed()
    made = World(FakeLab(feed), Analysis(feed))
    made.analysis.step([lab_configuration(), Tick(T0)])
    made.run(10)
    return made


@pytest.fixture
def encoded() -> Callable[[Iterable[Any]], list[bytes]]:
    """Return how outputs are compared: by their canonical bytes."""
    return lambda values: [codec.encode(value) for value in values]
