"""A small service over two VNFCs, and a script of samples, for the tests of the drivers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from policies.load import load_policies
from trimtab.config.load import load
from trimtab.domain.configuration import Configuration
from trimtab.domain.input import Input, SeriesAdded, Tick
from trimtab.domain.managed_object import Alias, InventoryChange, Relation, RelationKind, managed_object
from trimtab.domain.policy import PolicySet
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.time import NS_PER_SECOND

START_NS = 1_700_000_000 * NS_PER_SECOND
SERVICE = "acme/service/vpn"
VNFCS = ("provider/vnfc/fw-0", "provider/vnfc/rtr-0")
TEXT = """
format: 1
kpi_defaults: {granularity: 1s, window: 3s}
services:
  - id: acme/service/vpn
    uses: [provider/vnf/fw, provider/vnf/rtr]
    objectives:
      - {name: loss, kpi: frame_loss_ratio, at_most: 0.05, clear_after: 1s}
kpis:
  - {name: guest_up, of: vnfc, series: host_guest_up, statistic: last, unit: ratio, window: 2s}
conditions:
  - {name: process, of: vnfc, kpi: guest_up, at_least: 1.0, symptom: process-gone}
bindings:
  - {match: {__name__: probe_lost}, object: "{service}"}
  - {match: {__name__: host_guest_up}, object: "provider/vnfc/{vnfc}"}
actions: {heal: vnfm, migrate: vim, hand_over: people, scale_out: vnfm, notify: people}
actuators:
  - {kind: record, name: vnfm, path: vnfm.jsonl}
  - {kind: record, name: vim, path: vim.jsonl}
  - {kind: record, name: people, path: people.jsonl}
"""

Script = Callable[[dict[int, tuple[float, float, float]]], list[list[Input]]]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Configuration, PolicySet]:
    """What the machines are told: the configuration above, the shipped rules, the lab's timings."""
    from actuators import ACTUATORS  # noqa: PLC0415

    path = tmp_path_factory.mktemp("told") / "trimtab.yaml"
    path.write_text(TEXT, encoding="utf-8")
    configs = {kind: plugin.Config for kind, plugin in ACTUATORS.items()}
    settings = load(path, {}, configs, {})
    kpis = {kpi.name for kpi in settings.configuration.kpis}
    return settings.configuration, load_policies(["shipped"], "lab", kpis)


@pytest.fixture(scope="session")
def script(told: tuple[Configuration, PolicySet]) -> Script:
    """Return turns of inputs: a second each, with (loss, fw-0 up, rtr-0 up) by second; well where nothing is said."""
    series = [
        SeriesAdded(0, Series.of("probe_lost", {"service": SERVICE})),
        *(
            SeriesAdded(n, Series.of("host_guest_up", {"vnfc": vnfc.rsplit("/", 1)[-1]}))
            for n, vnfc in enumerate(VNFCS, 1)
        ),
    ]

    def turns(values: dict[int, tuple[float, float, float]]) -> list[list[Input]]:
        made: list[list[Input]] = [[*told, inventory(), *series, Tick(START_NS)]]
        for second in range(1, max(values, default=0) + 1):
            at = START_NS + second * NS_PER_SECOND
            readings = values.get(second, (0.0, 1.0, 1.0))
            rows = [(n, at - NS_PER_SECOND // 2, value) for n, value in enumerate(readings)]
            made.append([SampleBatch.from_rows("stamp/test", rows[:1]),
                         SampleBatch.from_rows("prometheus/test", rows[1:]), Tick(at)])  # fmt: skip
        return made

    return turns


def inventory() -> InventoryChange:
    """Two VNFs of one VNFC each on two hosts, with the aliases that actuators need."""
    objects, relations, aliases = [], [], []
    for number, vnfc in enumerate(VNFCS):
        vnf = vnfc.replace("/vnfc/", "/vnf/").removesuffix("-0")
        host = f"provider/host/host-{number}"
        objects.extend(managed_object(text) for text in (vnfc, vnf, host))
        relations.append(Relation(vnfc, RelationKind.PART_OF, vnf))
        relations.append(Relation(vnfc, RelationKind.RUNS_ON, host))
        aliases.append(Alias(vnf, "vnfm", f"vnf-{number}", 0))
        aliases.append(Alias(vnfc, "vnfm.vnfc", f"vnfc-{number}", 0))
        aliases.append(Alias(vnfc, "vim", f"server-{number}", 0))
    return InventoryChange("test", START_NS, tuple(objects), tuple(aliases), tuple(relations))


@pytest.fixture
def journal_directory(tmp_path: Path) -> Path:
    """A folder for a journal."""
    folder = tmp_path / "journal"
    folder.mkdir()
    return folder
