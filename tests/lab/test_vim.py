"""The VIM, through the real openstacksdk."""

import httpx2
import openstack
import openstack.exceptions
import pytest

pytestmark = pytest.mark.alone


def test_hosts_services_and_servers_are_listed_as_they_are(lab):
    compute = lab.cloud.compute
    hosts = {h.name: h for h in compute.hypervisors(details=True)}
    assert set(hosts) == set(lab.state["hosts"])
    assert {(h.state, h.status) for h in hosts.values()} == {("up", "enabled")}
    assert compute.get_hypervisor(hosts["host-1"].id).name == "host-1"
    assert {(s.host, s.binary, s.state) for s in compute.services()} == {
        (name, "nova-compute", "up") for name in hosts
    }
    servers = {s.name: s for s in compute.servers(details=True, all_projects=True)}
    for name, server in servers.items():
        known = lab.vnfc(name)
        assert (server.id, server.compute_host) == (known["server_id"], known["host"])
        assert (server.status, server.power_state, server.vm_state) == ("ACTIVE", 1, "active")
    assert compute.find_server("fw-0", all_projects=True).id == servers["fw-0"].id


def test_a_live_migration_moves_the_process_loses_nothing_and_is_on_record(lab):
    compute = lab.cloud.compute
    before = lab.vnfc("rtr-0")
    server = compute.get_server(before["server_id"])
    others = [h for h in lab.state["hosts"] if h != server.compute_host]
    guests = {h: [s for s in compute.servers(details=True) if s.compute_host == h] for h in others}
    compute.live_migrate_server(server, host=None, block_migration="auto")
    with pytest.raises(openstack.exceptions.ConflictException):
        compute.live_migrate_server(server, host=None, block_migration="auto")
    assert [m.status for m in compute.server_migrations(server)] in (
        ["queued"],
        ["preparing"],
        ["running"],
    )
    seen = lab.probe(seconds=1.5)
    after = lab.eventually(lambda: (s := compute.get_server(server.id)).status == "ACTIVE" and s)

    assert seen.answered == seen.sent
    assert len(guests[after.compute_host]) == min(len(g) for g in guests.values())
    assert lab.vnfc("rtr-0")["host"] == after.compute_host
    assert lab.vnfc("rtr-0")["vnfc_instance_id"] == before["vnfc_instance_id"]
    assert lab.vnfc("rtr-0")["target"] != before["target"], "another process"
    up = 'host_guest_up{vnfc="rtr-0"}'
    assert up not in lab.metrics(lab.host_target(server.compute_host))
    assert lab.metrics(lab.host_target(after.compute_host))[up] == 1.0
    newest = next(iter(compute.migrations(instance_uuid=server.id)))
    assert (newest.status, newest.source_compute, newest.dest_compute) == (
        "completed", server.compute_host, after.compute_host
    )  # fmt: skip
    assert list(compute.server_migrations(server)) == []
    action = next(iter(compute.server_actions(server)))
    assert action.action == "live-migration"
    event = compute.get_server_action(action.request_id, server).events[0]
    assert event.result == "Success"


def test_a_named_host_is_taken_and_a_wrong_one_refused(lab):
    compute = lab.cloud.compute
    server = compute.get_server(lab.vnfc("cpe-acme-0")["server_id"])
    aim = next(h for h in lab.state["hosts"] if h != server.compute_host)
    assert lab.migrate("cpe-acme-0", host=aim) == aim
    for wrong in (aim, "host-99"):
        with pytest.raises(openstack.exceptions.BadRequestException):
            compute.live_migrate_server(compute.get_server(server.id), host=wrong)
    with pytest.raises(openstack.exceptions.NotFoundException):
        compute.get_server("none")


def test_a_migration_that_fails_leaves_the_guest_where_it_was(lab):
    compute = lab.cloud.compute
    host = lab.vnfc("cpe-globex-0")["host"]
    lab.inject("vim_migration_fails")
    assert lab.migrate("cpe-globex-0") == host
    server = compute.get_server(lab.vnfc("cpe-globex-0")["server_id"])
    assert server.status == "ACTIVE"
    assert next(iter(compute.migrations(instance_uuid=server.id))).status == "error"
    lab.comes_right("globex-internet")


def test_a_vim_that_refuses_and_a_server_that_does_not_run(lab):
    compute = lab.cloud.compute
    lab.inject("vim_refuses")
    server = compute.get_server(lab.vnfc("fw-0")["server_id"])
    with pytest.raises(openstack.exceptions.HttpException) as refused:
        compute.live_migrate_server(server, host=None)
    assert refused.value.status_code == 503
    lab.clear_all()
    lab.inject("crash", "fw-0")
    lab.eventually(lambda: compute.get_server(server.id).status == "SHUTOFF")
    with pytest.raises(openstack.exceptions.ConflictException):
        compute.live_migrate_server(server, host=None)


def test_a_disabled_host_gets_no_guests(lab):
    compute = lab.cloud.compute
    services = {s.host: s for s in compute.services()}
    source = lab.vnfc("fw-0")["host"]
    kept = next(h for h in lab.state["hosts"] if h != source)
    shut = [services[h] for h in lab.state["hosts"] if h not in (source, kept)]
    for service in shut:
        compute.disable_service(service, disabled_reason="maintenance")
    try:
        assert lab.migrate("fw-0") == kept
    finally:
        for service in shut:
            compute.enable_service(service)


def test_without_the_password_there_is_no_token_and_without_a_token_nothing(lab):
    vim = {**lab.state["vim"], "password": "wrong"}
    region = vim.pop("region_name")
    stranger = openstack.connection.Connection(auth=vim, region_name=region, app_name="stranger")
    with pytest.raises(openstack.exceptions.SDKException):
        stranger.authorize()
    stranger.close()
    url = lab.state["vim"]["auth_url"].replace("/identity/v3", "/compute/v2.1/servers/detail")
    answer = httpx2.get(url, trust_env=False)
    assert answer.status_code == 401
    token = lab.cloud.auth_token
    action = url.replace("/detail", f"/{lab.vnfc('fw-0')['server_id']}/action")
    for body in (b"{", b"[]", b'{"reboot": {}}'):
        answer = httpx2.post(action, content=body, headers={"X-Auth-Token": token}, trust_env=False)
        assert answer.status_code == 400
        assert answer.json()["badRequest"]["message"]
    newer = {"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.999"}
    assert httpx2.get(url, headers=newer, trust_env=False).status_code == 406
    answer = httpx2.get(url, trust_env=False)
    assert answer.json()["unauthorized"]["code"] == 401
