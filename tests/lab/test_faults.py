"""Each fault truly hurts, and the right action, through the managers' own HTTP, truly helps."""

import httpx2
import pytest

from lab.network import LabError

pytestmark = pytest.mark.alone


def test_a_crash_stops_the_service_until_the_vnf_is_healed(lab):
    before = lab.vnfc("fw-0")
    lab.comes_right()
    lab.inject("crash", "fw-0")
    hurt = lab.probe()
    assert hurt.answered < hurt.sent / 10
    with pytest.raises(httpx2.ConnectError):
        lab.metrics(lab.vnfc("fw-0")["target"])
    up = 'host_guest_up{vnfc="fw-0"}'
    lab.eventually(lambda: lab.metrics(lab.host_target(before["host"]))[up] == 0.0)
    assert lab.vnfc("fw-0") == before, "a dead VNFC stays in the inventory"

    healed = lab.occurrence(lab.operate("fw", "heal", {"cause": "crash"}))

    assert healed["operationState"] == "COMPLETED"
    after = lab.vnfc("fw-0")
    assert after["server_id"] != before["server_id"]
    assert after["vnfc_instance_id"] != before["vnfc_instance_id"]
    assert after["host"] == before["host"]
    lab.comes_right()


def test_nobody_but_the_manager_restarts_a_crashed_vnf(lab):
    lab.inject("crash", "cpe-globex-0")
    for _ in range(2):
        assert lab.probe("globex-internet").answered == 0
    lab.comes_right("acme-vpn")


def test_a_hang_answers_nothing_though_the_process_lives_until_it_is_healed(lab):
    before = lab.vnfc("rtr-0")
    lab.inject("hang", "rtr-0")
    assert lab.probe().answered == 0
    with pytest.raises(httpx2.ReadTimeout):
        lab.metrics(before["target"], timeout=0.5)
    assert lab.metrics(lab.host_target(before["host"]))['host_guest_up{vnfc="rtr-0"}'] == 1.0

    healed = lab.occurrence(
        lab.operate(
            "rtr", "heal", {"vnfcInstanceId": [before["vnfc_instance_id"]], "cause": "hang"}
        )
    )

    assert healed["operationState"] == "COMPLETED"
    lab.comes_right()


def test_a_hang_travels_with_a_live_migration(lab):
    lab.inject("hang", "rtr-0")
    lab.migrate("rtr-0")
    assert lab.probe().answered == 0


def test_an_overload_is_cured_by_a_scale_out_and_by_nothing_less(lab):
    lab.inject("overload", "acme-vpn")
    target = lab.vnfc("cpe-acme-0")["target"]
    lab.eventually(lambda: lab.metrics(target)['vnf_packets_dropped_total{reason="queue"}'] > 0)
    hurt = lab.probe()
    assert hurt.answered < hurt.sent
    assert hurt.p95_delay_seconds is None or hurt.p95_delay_seconds > 0.04
    lab.comes_right("globex-internet")
    assert lab.occurrence(lab.operate("cpe-acme", "heal", {}))["operationState"] == "COMPLETED"
    lab.eventually(lambda: not lab.is_fine())  # the new instance has its burst first

    body = {"type": "SCALE_OUT", "aspectId": "capacity", "numberOfSteps": 1}
    scaled = lab.occurrence(lab.operate("cpe-acme", "scale", body))

    assert scaled["operationState"] == "COMPLETED"
    lab.eventually(lab.is_fine)
    rates = [lab.metrics(lab.vnfc(f"cpe-acme-{i}")["target"]) for i in (0, 1)]
    assert all(rate["vnf_packets_forwarded_total"] > 0 for rate in rates), (
        "every instance carries flows"
    )
    status = lab.instance("cpe-acme")["instantiatedVnfInfo"]["scaleStatus"]
    assert status == [{"aspectId": "capacity", "scaleLevel": 1}]


def test_a_scale_in_drains_before_it_removes(lab):
    body = {"type": "SCALE_OUT", "aspectId": "capacity"}
    assert lab.occurrence(lab.operate("cpe-acme", "scale", body))["operationState"] == "COMPLETED"
    accepted = lab.operate("cpe-acme", "scale", {**body, "type": "SCALE_IN"})
    seen = lab.probe(seconds=1.2)
    assert lab.occurrence(accepted)["operationState"] == "COMPLETED"
    assert seen.answered == seen.sent
    with pytest.raises(KeyError):
        lab.vnfc("cpe-acme-1")


def test_a_noisy_host_delays_without_loss_and_a_migration_cures_it(lab):
    fault = lab.inject("noisy_host", "host-of:fw-0")
    noisy = fault["target"]
    assert noisy == lab.vnfc("fw-0")["host"]
    hurt = lab.probe(seconds=1.5)
    assert hurt.answered == hurt.sent
    assert hurt.p95_delay_seconds > 0.04
    pressure = "host_pressure_stall_ratio"
    lab.eventually(lambda: lab.metrics(lab.host_target(noisy))[pressure] > 0.5)
    server = lab.vnfc("fw-0")["server_id"]
    assert lab.occurrence(lab.operate("fw", "heal", {}))["operationState"] == "COMPLETED"
    assert not lab.is_fine(), "a heal stays on the host, so it does not help"

    moved_to = lab.migrate("fw-0")

    assert moved_to not in (noisy, None)
    assert lab.vnfc("fw-0")["host"] == moved_to
    assert lab.vnfc("fw-0")["server_id"] != server  # by the heal; the migration keeps it:
    lab.eventually(lab.is_fine)
    assert lab.metrics(lab.host_target(noisy))[pressure] > 0.5, (
        "the fault stays until it is removed"
    )


def test_a_link_that_loses_packets_is_cured_by_no_action(lab):
    lab.inject("link_loss", "fw-rtr", loss_ratio=0.3)
    assert lab.occurrence(lab.operate("fw", "heal", {}))["operationState"] == "COMPLETED"
    hurt = lab.probe(seconds=1.5)
    assert 0.1 < 1.0 - hurt.answered / hurt.sent < 0.5
    drops = [
        value
        for name, value in lab.metrics(lab.vnfc("fw-0")["target"]).items()
        if "dropped" in name
    ]
    assert sum(drops) == 0.0, "a link's loss shows in nobody's counters"
    lab.clear_all()
    lab.comes_right()


def test_a_leak_grows_then_slows_until_healed(lab):
    target = lab.vnfc("cpe-globex-0")["target"]
    start = lab.metrics(target)["vnf_memory_bytes"]
    lab.inject("leak", "cpe-globex-0", rate_bytes_per_second=20e6, limit_bytes=start + 10e6)
    lab.eventually(lambda: lab.metrics(target)["vnf_memory_bytes"] > start + 5e6)
    lab.eventually(lambda: (lab.probe("globex-internet").p95_delay_seconds or 0.0) > 0.04)

    assert lab.occurrence(lab.operate("cpe-globex", "heal", {}))["operationState"] == "COMPLETED"

    lab.comes_right("globex-internet")
    assert lab.metrics(lab.vnfc("cpe-globex-0")["target"])["vnf_memory_bytes"] < start + 5e6


def test_a_dead_host_takes_its_guests_along_and_a_heal_goes_elsewhere(lab):
    dead = lab.vnfc("fw-0")["host"]
    lab.inject("host_death", dead)
    assert lab.probe().answered == 0
    with pytest.raises(httpx2.ConnectError):
        lab.metrics(lab.host_target(dead))

    def reported_down():
        return [h.state for h in lab.cloud.compute.hypervisors(details=True) if h.name == dead] == [
            "down"
        ]

    lab.eventually(reported_down)
    assert [s.status for s in lab.cloud.compute.servers(details=True) if s.name == "fw-0"]

    lost = [v["name"] for v in lab.state["vnfs"] if lab.vnfc(f"{v['name']}-0")["host"] == dead]
    for vnf in lost:
        assert lab.occurrence(lab.operate(vnf, "heal", {}))["operationState"] == "COMPLETED"

    assert "fw" in lost
    assert lab.vnfc("fw-0")["host"] != dead
    lab.comes_right()
    lab.clear_all()
    lab.eventually(lambda: not reported_down())


def test_the_silence_of_the_service_discovery_hurts_no_customer(lab):
    lab.inject("silent_collector", "sd")
    with pytest.raises(httpx2.ReadTimeout):
        lab.control.get("/sd", timeout=0.5)
    lab.comes_right()
    lab.clear_all()
    assert len(lab.control.get("/sd").json()) == 8


@pytest.mark.parametrize("job", ["vnf", "host"])
def test_the_silence_of_a_jobs_expositions_hurts_no_customer(lab, job):
    lab.inject("silent_collector", job)
    groups = [g for g in lab.control.get("/sd").json() if g["labels"]["job"] == job]
    assert len(groups) == 4
    for group in groups:
        with pytest.raises(httpx2.ReadTimeout):
            lab.metrics(group["targets"][0], timeout=0.2)
    lab.comes_right()
    lab.clear_all()
    assert lab.metrics(groups[0]["targets"][0])


def test_faults_are_on_record_and_unknown_ones_are_refused(lab):
    fault = lab.inject("link_loss")
    listed = {f["id"]: f for f in lab.control.get("/faults").json()["faults"]}
    assert listed[fault["id"]]["cleared_at"] is None
    with pytest.raises(LabError, match="already"):
        lab.inject("link_loss")
    cleared = lab.control.delete(f"/faults/{fault['id']}").json()
    assert cleared["cleared_at"] > cleared["injected_at"]
    for body in (
        {"kind": "meteor"},
        {"kind": "crash", "target": "fw-9"},
        {"kind": "noisy_host", "target": "x"},
    ):
        refused = lab.control.post("/faults", json=body)
        assert refused.status_code == 400
        assert "there is no" in refused.json()["detail"]
