"""How much faster than real time the three machines turn: one second of a network's telemetry after another."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.comparison import ROUNDS, Comparison
from trimtab.app.machines import machines
from trimtab.domain.configuration import BindingRule, Configuration
from trimtab.domain.input import Input, Numbered, SeriesAdded, Tick
from trimtab.domain.kpi import KpiDefinition, LabelMatcher, Statistic
from trimtab.domain.managed_object import (
    InventoryChange,
    ManagedObject,
    ObjectKind,
    Relation,
    RelationKind,
    managed_object,
)
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND
from trimtab.drivers.loop import Loop

SERVICES = 50
VNFCS_PER_SERVICE = 4
PROBES_PER_SECOND = 20
SECONDS = 60
START_NS = 1_700_000_000 * NS_PER_SECOND
SOURCE = "prometheus/bench"


def _service(number: int) -> str:
    return f"t{number % 7}/service/s{number}"


def _vnf(number: int) -> str:
    return f"provider/vnf/v{number}"


def _vnfc(number: int, part: int) -> str:
    return f"provider/vnfc/v{number}-{part}"


def _inventory() -> InventoryChange:
    objects: list[ManagedObject] = []
    relations: list[Relation] = []
    for number in range(SERVICES):
        objects += [managed_object(_service(number)), managed_object(_vnf(number))]
        relations.append(Relation(_service(number), RelationKind.USES, _vnf(number)))
        for part in range(VNFCS_PER_SERVICE):
            objects.append(managed_object(_vnfc(number, part)))
            relations.append(Relation(_vnfc(number, part), RelationKind.PART_OF, _vnf(number)))
    return InventoryChange("bench", START_NS, tuple(objects), (), tuple(relations))


def configuration() -> Configuration:
    """Return a network of SERVICES services, each over one VNF of VNFCS_PER_SERVICE parts."""
    kpis = (
        KpiDefinition("delay", ObjectKind.SERVICE, "delay", Statistic.PERCENTILE, "seconds", percentile=95.0),
        KpiDefinition("load", ObjectKind.VNFC, "load", Statistic.MEAN, "ratio"),
    )  # fmt: skip
    objectives = (
        ServiceLevelObjective("delay", ObjectKind.SERVICE, "delay", Comparator.AT_MOST, 0.04),
        ServiceLevelObjective(
            "load", ObjectKind.VNFC, "load", Comparator.AT_MOST, 0.9, symptom="overload"
        ),
    )
    bindings = (
        BindingRule((LabelMatcher("__name__", "delay"),), "{object}"),
        BindingRule((LabelMatcher("__name__", "load"),), "{object}"),
    )
    services = tuple(
        Service(_service(number), f"t{number % 7}", f"s{number}", uses=(_vnf(number),))
        for number in range(SERVICES)
    )
    return Configuration("bench", services, objectives, kpis, bindings, _inventory())


def _series() -> list[SeriesAdded]:
    names = [("delay", _service(number)) for number in range(SERVICES)]
    names += [
        ("load", _vnfc(number, part))
        for number in range(SERVICES)
        for part in range(VNFCS_PER_SERVICE)
    ]
    return [
        SeriesAdded(series_id, Series(name, (("object", object_id),)))
        for series_id, (name, object_id) in enumerate(names)
    ]


def steps() -> list[tuple[list[Numbered[Input]], int]]:
    """Return a step a second: probes of every service, one load of every VNFC, one service in turn too slow."""
    generator = np.random.default_rng(1)
    vnfcs = SERVICES * VNFCS_PER_SERVICE
    ids = np.concatenate(
        [
            np.repeat(np.arange(SERVICES), PROBES_PER_SECOND),
            np.arange(SERVICES, SERVICES + vnfcs),
        ]
    ).astype(np.int32)
    offsets = np.concatenate(
        [
            np.tile(np.arange(PROBES_PER_SECOND) * (NS_PER_SECOND // PROBES_PER_SECOND), SERVICES),
            np.zeros(vnfcs, np.int64),
        ]
    )
    found: list[tuple[list[Numbered[Input]], int]] = []
    seq = 0
    first: list[Input] = [configuration(), *_series()]
    for second in range(SECONDS):
        begin = START_NS + second * NS_PER_SECOND
        value = generator.uniform(0.005, 0.03, len(ids))
        value[ids == second // 10 % SERVICES] = 0.08
        batch = SampleBatch(SOURCE, ids, begin + offsets, value, np.zeros(len(ids), np.uint8))
        now = begin + NS_PER_SECOND
        values: list[Input] = [*first, batch, Tick(now)]
        first = []
        found.append(([Numbered(seq + place, item) for place, item in enumerate(values)], now))
        seq += len(values)
    return found


def turn_all(work: list[tuple[list[Numbered[Input]], int]]) -> int:
    """Turn a new loop over all steps; returns how many outputs came."""
    loop = Loop(machines())
    return sum(len(loop.step(inputs, now)) for inputs, now in work)


def run(folder: Path) -> Iterator[Comparison]:
    """Yield how many seconds of telemetry the loop takes in one second."""
    work = steps()
    rates = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        turn_all(work)
        rates.append(SECONDS / (time.perf_counter() - begin))
    objects = SERVICES * (VNFCS_PER_SERVICE + 1)
    samples = SERVICES * (PROBES_PER_SECOND + VNFCS_PER_SERVICE)
    yield Comparison(
        f"loop, {objects} assessed objects, {samples:,} samples/s",
        "x real time",
        statistics.median(rates),
        "real time",
        1.0,
        (min(rates), max(rates)),
    )
