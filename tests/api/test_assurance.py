"""The API over the real read model: what the loop put out is what is answered, live."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.assurance import ReadModelAssurance
from api.ports import Check, Readiness
from api.settings import ApiSettings
from trimtab.domain.configuration import Configuration
from trimtab.domain.managed_object import InventoryChange
from trimtab.store.questions import IncidentFilter, PageRequest, Span
from trimtab.store.read_model import ReadModel

pytestmark = pytest.mark.anyio
ACME = "acme/service/acme-vpn"
FULL = PageRequest(100)


@pytest.fixture
async def model(tmp_path: Path, world: Any) -> AsyncIterator[ReadModel]:
    """Return a read model that has taken in what the fake loop put out."""
    states = [world.states[name] for name in sorted(world.states)]
    configuration = Configuration(
        hash="h",
        services=tuple(state.service for state in states),
        objectives=tuple(o.objective for state in states for o in state.objectives),
        kpis=tuple(o.kpi for o in states[0].objectives),
        bindings=(),
        inventory=InventoryChange("configuration", world.now_ns),
    )
    rows = [kpi for series in world.kpi_rows.values() for kpi in series]
    found = ReadModel(tmp_path / "read.sqlite")
    found.apply(0, world.now_ns, [configuration, *rows, *(e.value for e in world.stream)])
    yield found
    found.close()


@pytest.fixture
async def source(model: ReadModel) -> AsyncIterator[ReadModelAssurance]:
    """Return the adapter that the process uses."""
    found = ReadModelAssurance(model, lambda: Readiness((Check("journal", True, "writable"),)))
    yield found
    found.close()


async def test_what_was_put_out_is_answered(source: ReadModelAssurance, world: Any) -> None:
    services = await source.services()
    assert [s.service.id for s in services] == sorted(world.states)
    fake = {o.objective.name: o.assessment for o in world.states[ACME].objectives}
    found = await source.service(ACME)
    assert found is not None
    assert {o.objective.name: o.assessment for o in found.objectives} == fake
    everything = Span()
    assert list(await source.assessments(ACME, "frame_loss", everything, 100)) == list(
        await world.assessments(ACME, "frame_loss", everything, 100)
    )
    assert len(await source.kpis(ACME, "frame_loss_ratio", everything, 7)) == 7
    minute = 60 * 1_000_000_000
    assert await source.measurements(ACME, "frame_loss", minute, everything, 10)
    for name in ("decision-1", "decision-2"):
        assert await source.decision(name) == world.decision_rows[name]
    assert await source.action("action-1") == world.action_rows["action-1"]
    verification = await source.verification("verification-1")
    assert verification == world.verification_rows["verification-1"]
    mine = await source.incidents(IncidentFilter(tenant="acme"), FULL)
    assert [i.id for i in mine.items] == ["incident-1"]
    assert await source.loop() == world.loop_state
    assert (await source.readiness()).ready
    walk = await source.explain("action-1")
    assert walk is not None
    assert "decision-1" in {step.id for step in walk.causes}


async def test_waiting_ends_with_an_event_and_not_with_a_tick(
    source: ReadModelAssurance, model: ReadModel, world: Any
) -> None:
    latest = (await source.events_after(-1, 1)).latest_id
    waiting = asyncio.create_task(source.wait_for_news(latest, 20.0))
    await asyncio.sleep(0.05)
    model.apply(model.position() + 1, world.now_ns, [InventoryChange("nothing", world.now_ns)])
    await asyncio.sleep(0.3)
    assert not waiting.done()
    changed = replace(world.loop_state, changed_by="somebody")
    model.apply(model.position() + 1, world.now_ns, [changed])
    async with asyncio.timeout(10):
        await waiting
    page = await source.events_after(latest, 10)
    assert [event.value for event in page.events] == [changed]


async def test_waiting_ends_after_its_time(source: ReadModelAssurance) -> None:
    latest = (await source.events_after(-1, 1)).latest_id
    async with asyncio.timeout(10):
        await source.wait_for_news(latest, 0.2)


async def test_the_whole_application_answers_from_it(
    source: ReadModelAssurance, world: Any, settings: ApiSettings, tokens: dict[str, str]
) -> None:
    app = create_app(
        source, world.submit, settings, CollectorRegistry(), now_ns=lambda: int(world.now_ns)
    )
    headers = {"Authorization": f"Bearer {tokens['noc']}"}
    paths = (
        "/", "/alarms", "/decisions", "/decisions/decision-1", "/network", "/readyz",
        "/api/v1/services", f"/api/v1/services/{ACME}/history?objective=frame_loss",
        "/api/v1/alarms", "/api/v1/incidents?state=open", "/api/v1/notices", "/api/v1/topology",
        "/api/v1/explain/decision-1", "/mefApi/legato/alarmManagement/v3/alarm/alarm-1",
        "/mefApi/legato/performanceMonitoring/v5/performanceReport",
        "/tmf-api/serviceInventoryManagement/v5/service",
    )  # fmt: skip
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://trimtab.test", headers=headers
    ) as client:
        for path in paths:
            answer = await client.get(path)
            assert answer.status_code == 200, f"{path}: {answer.text[:500]}"
        filters = "alarmChangedTime.gt=2020-01-01T00:00:00Z&state=unAcknowledged&offset=0&limit=5"
        alarms = await client.get(f"/mefApi/legato/alarmManagement/v3/alarm?{filters}")
        assert [a["id"] for a in alarms.json()] == ["alarm-1"]
