"""Three collectors against the lab: its discovery and expositions, its chains, its VNF manager."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from collectors.prometheus import PrometheusCollector
from collectors.sol003 import Sol003Collector
from collectors.stamp import StampCollector
from lab.network import Lab
from trimtab.domain.managed_object import ObjectKind

pytestmark = [pytest.mark.anyio, pytest.mark.alone]
DROPPED = ["instance", "host", "vnfc_instance_id", "server_id", "vnf_instance_id"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    found = asyncio.run(Lab.start(tmp_path_factory.mktemp("lab")))
    yield found
    asyncio.run(found.stop())


async def test_its_instances_and_hosts_are_scraped(
    lab: Lab, journal, clock, running, until
) -> None:
    config = PrometheusCollector.Config.model_validate(
        {
            "http": [lab.state["sd_url"]],
            "interval_seconds": 0.5,
            "timeout_seconds": 2.0,
            "drop_labels": DROPPED,
            "keep": "vnf_.*|host_.*|process_start_time_seconds",
            "inventory": [
                {
                    "match": {"job": "vnf"},
                    "object": "provider/vnfc/{vnfc}",
                    "part_of": "provider/vnf/{vnf}",
                    "runs_on": "provider/host/{host}",
                    "aliases": {
                        "object": {"vnfm.vnfc": "{vnfc_instance_id}", "vim": "{server_id}"},
                        "part_of": {"vnfm": "{vnf_instance_id}"},
                    },
                },
                {"match": {"job": "host"}, "object": "provider/host/{host}"},
            ],
        }
    )
    scrape = PrometheusCollector("lab", config, journal, clock)
    hosts = {host["name"] if isinstance(host, dict) else host for host in lab.state["hosts"]}
    vnfs = {vnf["name"]: vnf["vnf_instance_id"] for vnf in lab.state["vnfs"]}
    async with running(scrape, journal):
        await until(lambda: len(journal.values("vnf_packets_received_total")) >= 3 * len(vnfs))
        await until(lambda: journal.values("host_pressure_stall_ratio"))
    change = journal.inventory()[0]
    by_kind: dict[ObjectKind, set[str]] = {}
    for item in change.objects:
        by_kind.setdefault(item.kind, set()).add(item.name)
    assert by_kind[ObjectKind.HOST] == hosts
    assert by_kind[ObjectKind.VNF] == set(vnfs)
    assert len(by_kind[ObjectKind.VNFC]) >= len(vnfs)
    aliases = {(a.object_id, a.source): a.native_id for a in change.aliases}
    for name, native in vnfs.items():
        assert aliases[f"provider/vnf/{name}", "vnfm"] == native
    assert set(journal.values("up")) == {1.0}
    guests = {series.label("vnfc") for series, _, _ in journal.rows("host_guest_up")}
    assert guests == by_kind[ObjectKind.VNFC]
    assert journal.all_finite()
    assert not journal.gaps()


async def test_its_services_are_probed_through_their_chains(
    lab: Lab, journal, clock, running, until
) -> None:
    sessions = [
        {"service": service["id"], "address": "{}:{}".format(*service["probe_address"])}
        for service in lab.state["services"]
    ]
    config = StampCollector.Config.model_validate(
        {"sessions": sessions, "clock_synchronised": True}
    )
    probing = StampCollector("lab", config, journal, clock)
    async with running(probing, journal):
        await until(lambda: len(journal.values("probe_delay_seconds")) >= 40 * len(sessions))
    delays = journal.rows("probe_delay_seconds")
    assert {series.label("service") for series, _, _ in delays} == {s["service"] for s in sessions}
    assert {series.label("direction") for series, _, _ in delays} == {"forward"}
    assert {series.label("flow") for series, _, _ in delays} == {str(n) for n in range(8)}
    assert all(0 <= value < 1 for _, _, value in delays)
    lost = journal.values("probe_lost")
    assert sum(lost) / len(lost) < 0.2


async def test_its_vnf_manager_tells_of_an_operation(
    lab: Lab, journal, clock, running, until, served
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    root = lab.state["vnfm_url"]
    config = Sol003Collector.Config(
        api_root=root, callback_url=f"http://127.0.0.1:{port}/callback", actuator="vnfm"
    )
    collector = Sol003Collector("lab", config, journal, clock)
    headers = {"version": "2.3.0"}
    subscriptions = f"{root}/vnflcm/v2/subscriptions"
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=10) as client:

        async def listed() -> list[Any]:
            return list((await client.get(subscriptions)).json())

        async with served(collector.asgi, port):
            async with running(collector, journal):
                await until(lambda: collector.stats().last_success_ns)
                assert len(await listed()) == 1
                vnf = lab.state["vnfs"][0]["vnf_instance_id"]
                body = {"cause": "test", "additionalParams": {"trimtabActionId": "test"}}
                accepted = await client.post(
                    f"{root}/vnflcm/v2/vnf_instances/{vnf}/heal", json=body
                )
                assert accepted.status_code == 202
                await until(journal.news)
            assert not await listed()
    assert [(n.actuator, n.reference, n.state) for n in journal.news()] == [
        ("vnfm", accepted.headers["location"], "COMPLETED")
    ]
    assert not journal.gaps()
