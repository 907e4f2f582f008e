"""The resources of `/api/v1`: shapes, orders, paging, errors, and what a tenant sees of them."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.ports import Check
from api.settings import ApiSettings
from trimtab.domain.assessment import FulfilmentStatus
from trimtab.domain.time import NS_PER_SECOND, rfc3339
from trimtab.telemetry import Telemetry

pytestmark = pytest.mark.anyio
Client = Callable[[str], httpx2.AsyncClient]
ACME = "acme/service/acme-vpn"
GLOBEX = "globex/service/globex-internet"


async def get(client: httpx2.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def problem(client: httpx2.AsyncClient, path: str, method: str = "GET") -> dict[str, Any]:
    answer = await client.request(method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    return body


async def test_readiness_gives_its_reasons(client_of: Client, world: Any) -> None:
    client = client_of("noc")
    assert (await get(client, "/readyz"))["ready"] is True
    world.checks = (Check("journal", False, "no space left"),)
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert checks == [{"name": "journal", "ok": False, "detail": "no space left"}]
    world.broken = "the file is damaged"
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"][0]["detail"] == "the file is damaged"


async def test_metrics_are_negotiated(client_of: Client) -> None:
    client = client_of("scraper")
    plain = await client.get("/metrics", headers={"Accept": "text/plain"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert "trimtab_steps_total 3.0" in plain.text
    assert "trimtab_api_streams_refused_total 0.0" in plain.text
    assert "trimtab_api_logins_failed_total" in plain.text
    modern = {"Accept": "application/openmetrics-text;version=1.0.0"}
    answer = await client.get("/metrics", headers=modern)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_services_say_how_they_stand(client_of: Client) -> None:
    listed = await get(client_of("noc"), "/api/v1/services")
    assert [item["id"] for item in listed["items"]] == [ACME, GLOBEX]
    one = await get(client_of("noc"), f"/api/v1/services/{ACME}")
    assert one["status"] == "FULFILLED"
    assert one["operating_status"] == "running"
    assert {o["name"] for o in one["objectives"]} == {
        "availability",
        "frame_delay_p95",
        "frame_loss",
    }
    assert one == listed["items"][0]


async def test_history_is_bounded_and_in_order(client_of: Client, world: Any) -> None:
    client = client_of("noc")
    path = f"/api/v1/services/{ACME}/history?objective=frame_loss"
    body = await get(client, f"{path}&limit=5")
    assert body["unit"] == "ratio"
    assert [p["end"] for p in body["points"]] == sorted(p["end"] for p in body["points"])
    assert len(body["points"]) == 5
    since = rfc3339(world.now_ns - 3 * NS_PER_SECOND)
    assert len((await get(client, f"{path}&since={since}"))["points"]) == 3
    assert (await problem(client, f"{path}&since=yesterday"))["status"] == 422
    assert (await problem(client, f"{path}&limit=1000000"))["status"] == 422
    assert (await problem(client, path.replace("frame_loss", "fun")))["status"] == 404


async def test_absent_values_are_null(client_of: Client) -> None:
    path = f"/api/v1/services/{ACME}/measurements?objective=frame_loss&granularity_seconds=900"
    rows = (await get(client_of("noc"), path))["measurements"]
    assert rows[0]["value"] is None
    assert rows[0]["suspect"] is True
    bad = path.replace("900", "7")
    assert (await problem(client_of("noc"), bad))["status"] == 422


async def test_alarms_are_filtered_and_acknowledged(client_of: Client, world: Any) -> None:
    client = client_of("noc")
    assert (await get(client, "/api/v1/alarms"))["total"] == 2
    assert (await get(client, "/api/v1/alarms?severity=critical"))["items"][0]["id"] == "alarm-2"
    body = {"reason": "seen"}
    answer = await client.post("/api/v1/alarms/alarm-1/ack", json=body)
    assert answer.json()["applied"] is True
    assert (await get(client, "/api/v1/alarms/alarm-1"))["acknowledged_by"] == "noc"
    assert world.commands[0].reason == "seen"
    again = await problem(client, "/api/v1/alarms/alarm-1/ack", "POST")
    assert again["status"] == 409
    assert "acknowledged" in again["detail"]
    assert (await client.post("/api/v1/alarms/alarm-1/unack")).status_code == 200
    assert (await problem(client, "/api/v1/alarms/none/ack", "POST"))["status"] == 404


async def test_the_same_idempotency_key_gives_the_same_command(
    client_of: Client, world: Any
) -> None:
    client = client_of("noc")
    for key in ("a", "a", "b"):
        await client.post("/api/v1/loop/pause", headers={"Idempotency-Key": key})
    first, second, third = (command.id for command in world.commands)
    assert first == second != third


async def test_decisions_tell_why(client_of: Client) -> None:
    one = await get(client_of("noc"), "/api/v1/decisions/decision-1")
    assert one["policy_location"] == "policies/rules/heal.yaml:14"
    assert {g["guard"] for g in one["guards"]} == {"cooldown", "budget", "blast_radius"}
    assert one["evidence"]["cause.symptom"] == "unreachable"
    waiting = await get(client_of("noc"), "/api/v1/decisions?outcome=await_approval")
    assert [item["id"] for item in waiting["items"]] == ["decision-2"]
    walk = await get(client_of("noc"), "/api/v1/explain/decision-1")
    assert walk["causes"][0]["id"] == "incident-1"


async def test_actions_wait_for_people(client_of: Client) -> None:
    client = client_of("noc")
    assert (await client.post("/api/v1/actions/action-2/approve")).status_code == 200
    assert (await get(client, "/api/v1/actions/action-2"))["state"] == "intended"
    late = await problem(client, "/api/v1/actions/action-2/reject", "POST")
    assert late["status"] == 409
    assert (await problem(client, "/api/v1/actions/action-1/cancel", "POST"))["status"] == 409
    found = await get(client, "/api/v1/verifications?action_id=action-1")
    assert found["items"][0]["verdict"] == "EFFECTIVE"
    assert await get(client, "/api/v1/verifications/verification-1") == found["items"][0]


async def test_what_is_stuck_is_released_by_its_id(client_of: Client, world: Any) -> None:
    client = client_of("noc")
    world.stuck |= {"action-1", "incident-1"}
    for path, subject in (("actions/action-1", "action-1"), ("incidents/incident-1", "incident-1")):
        assert (await client.post(f"/api/v1/{path}/reset")).status_code == 200
        assert (world.commands[-1].kind, world.commands[-1].subject_id) == ("reset", subject)
    assert (await problem(client, "/api/v1/actions/action-2/reset", "POST"))["status"] == 409
    assert (await problem(client, "/api/v1/incidents/nowhere/reset", "POST"))["status"] == 404
    assert (await problem(client_of("acme"), "/api/v1/incidents/incident-1/reset", "POST"))[
        "status"
    ] == 404


async def test_the_kill_switch_ends_only_by_reset(client_of: Client) -> None:
    client = client_of("noc")
    assert (await client.post("/api/v1/loop/kill", json={"reason": "test"})).status_code == 200
    status = await get(client, "/api/v1/loop")
    assert status["loop"]["run_state"] == "killed"
    assert status["loop"]["changed_by"] == "noc"
    assert (await problem(client, "/api/v1/loop/resume", "POST"))["status"] == 409
    assert (await client.post("/api/v1/loop/reset")).status_code == 200


async def test_a_loop_that_does_not_answer_is_503(
    make_app: Callable[..., FastAPI], world: Any, tokens: dict[str, str]
) -> None:
    async def silent(command: object) -> None:
        await asyncio.sleep(30)

    world.submit = silent
    transport = httpx2.ASGITransport(make_app(world, command_timeout_seconds=0.05))
    headers = {"Authorization": f"Bearer {tokens['noc']}"}
    base = "http://trimtab.test"
    async with httpx2.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
        assert (await problem(client, "/api/v1/loop/pause", "POST"))["status"] == 503


async def test_frozen_names_what_is_unknown(client_of: Client, world: Any) -> None:
    client = client_of("noc")
    assert (await get(client, "/api/v1/loop"))["frozen"] == []
    latest = world.assessment_rows[ACME, "frame_loss"][-1]
    unknown = FulfilmentStatus.INDETERMINATE
    world.put(replace(latest, observed=unknown, value=None, end_ns=latest.end_ns + 1))
    incident = world.incident_rows["incident-2"]
    world.put(replace(incident, unknown=("provider/host/host-2",)))
    assert (await get(client, f"/api/v1/services/{ACME}"))["operating_status"] == "unknown"
    assert (await get(client, "/api/v1/loop"))["frozen"] == [
        f"{ACME}: frame_loss is INDETERMINATE",
        "provider/host/host-2: its sources are silent",
    ]


async def test_pages_are_stable_while_news_arrive(client_of: Client, world: Any) -> None:
    client = client_of("noc")
    first = await get(client, "/api/v1/decisions?limit=1")
    assert first["total"] == 2
    late = world.decision_rows["decision-2"]
    world.put(replace(late, id="decision-3", at_ns=world.now_ns))
    second = await get(client, f"/api/v1/decisions?limit=1&cursor={first['next']}")
    assert [first["items"][0]["id"], second["items"][0]["id"]] == ["decision-2", "decision-1"]
    assert second["next"] is None
    assert (await problem(client, "/api/v1/decisions?cursor=nonsense"))["status"] == 422


async def test_topology_shows_present_ids_only(client_of: Client) -> None:
    body = await get(client_of("noc"), "/api/v1/topology")
    firewall = next(item for item in body["objects"] if item["id"] == "provider/vnfc/fw-0")
    assert firewall["native_ids"] == {"vim": "2f6d1d6a-server"}
    assert len(body["relations"]) == 13
    notices = await get(client_of("noc"), "/api/v1/notices")
    assert notices["items"][0]["subject"] == "prometheus/host"


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/nowhere", 404),
        ("DELETE", "/api/v1/services", 405),
        ("GET", "/api/v1/alarms?state=angry", 422),
        ("GET", "/api/v1/alarms?limit=0", 422),
        ("GET", "/api/v1/incidents/none", 404),
    ],
)
async def test_every_error_is_a_problem(
    client_of: Client, method: str, path: str, status: int
) -> None:
    assert (await problem(client_of("noc"), path, method))["status"] == status


async def test_a_broken_store_and_a_crash_are_problems_too(client_of: Client, world: Any) -> None:
    world.broken = "the read model is being rebuilt"
    body = await problem(client_of("noc"), "/api/v1/services")
    assert (body["status"], body["detail"]) == (503, "the read model is being rebuilt")
    world.states = None
    world.broken = ""
    body = await problem(client_of("noc"), "/api/v1/services")
    assert body["status"] == 500
    assert "NoneType" not in body["detail"]


async def test_large_bodies_are_refused(client_of: Client) -> None:
    client = client_of("noc")
    big = {"reason": "x" * 70_000}
    assert (await client.post("/api/v1/loop/pause", json=big)).status_code == 413

    async def endless() -> Any:
        for _ in range(80):
            yield b"x" * 1_024

    assert (await client.post("/api/v1/loop/pause", content=endless())).status_code == 413


async def test_a_tenant_sees_its_own_services_and_nothing_of_the_provider(
    client_of: Client,
) -> None:
    client = client_of("acme")
    assert [s["id"] for s in (await get(client, "/api/v1/services"))["items"]] == [ACME]
    assert [a["id"] for a in (await get(client, "/api/v1/alarms"))["items"]] == ["alarm-1"]
    for path in (
        f"/api/v1/services/{GLOBEX}",
        f"/api/v1/services/{GLOBEX}/history?objective=frame_loss",
        "/api/v1/alarms/alarm-2",
        "/api/v1/incidents/incident-2",
        "/api/v1/decisions/decision-1",
        "/api/v1/actions/action-1",
        "/api/v1/verifications/verification-1",
        "/api/v1/explain/decision-1",
        "/api/v1/topology",
        "/api/v1/loop",
    ):
        assert (await problem(client, path))["status"] == 404, path
    for path in ("decisions", "actions", "verifications", "notices"):
        assert (await get(client, f"/api/v1/{path}"))["items"] == []
    for path in ("loop/kill", "actions/action-2/approve", "alarms/alarm-2/ack"):
        assert (await problem(client, f"/api/v1/{path}", "POST"))["status"] == 404
    assert (await client.post("/api/v1/alarms/alarm-1/ack")).status_code == 200


async def test_a_cause_outside_the_tenant_reads_provider_infrastructure(
    client_of: Client,
) -> None:
    answer = await client_of("acme").get("/api/v1/incidents/incident-1")
    body = answer.json()
    assert [cause["object_id"] for cause in body["causes"]] == ["provider infrastructure"]
    assert body["causes"][0]["evidence"] == []
    assert body["services"] == [ACME]
    assert body["troubled"] == [ACME, "provider infrastructure"]
    for secret in ("fw-0", "globex", "host-1", "alarm-2"):
        assert secret not in answer.text
    listed = await get(client_of("acme"), "/api/v1/incidents")
    assert [item["id"] for item in listed["items"]] == ["incident-1"]
    others = await get(client_of("acme"), f"/api/v1/incidents?service_id={GLOBEX}")
    assert others["items"] == []


async def test_requests_are_accounted_for_by_route(
    settings: ApiSettings, world: Any, tokens: dict[str, str]
) -> None:
    telemetry = Telemetry(CollectorRegistry(), process=False)
    app = create_app(
        world, world.submit, settings, telemetry.registry, recorder=telemetry,
        now_ns=lambda: int(world.now_ns),
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {tokens['noc']}"}
    transport = httpx2.ASGITransport(app)
    base = "http://trimtab.test"
    async with httpx2.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
        for path in (f"/api/v1/services/{ACME}", f"/api/v1/services/{GLOBEX}", "/nowhere"):
            await client.get(path)
        text = (await client.get("/metrics")).text
    labels = 'method="GET",route="/api/v1/services/{service_id:path}",status="200"'
    assert f"trimtab_api_requests_total{{{labels}}} 2.0" in text
    assert 'route="none",status="404"} 1.0' in text
    assert ACME not in "".join(re.findall("trimtab_api_.*", text))
