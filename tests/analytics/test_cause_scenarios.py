"""From rows to causes: what the lab can suffer, and what the correlator makes of it."""

from typing import Any

import pytest

from trimtab.domain.incident import IncidentState

ACME, GLOBEX = "acme/service/acme-vpn", "globex/service/globex-internet"


def test_a_quiet_network_has_no_incident(world: Any) -> None:
    world.run(20)
    assert world.analysis.history == []


@pytest.mark.parametrize(
    ("fault", "target", "cause", "symptom", "services"),
    [
        ("gone", "fw-0", "provider/vnfc/fw-0", "process-gone", (ACME, GLOBEX)),
        ("gone", "cpe-acme-0", "provider/vnfc/cpe-acme-0", "process-gone", (ACME,)),
        ("hung", "fw-0", "provider/vnfc/fw-0", "unreachable", (ACME, GLOBEX)),
        ("busy", "cpe-acme-0", "provider/vnfc/cpe-acme-0", "overload", (ACME,)),
        ("noisy", "host-1", "provider/host/host-1", "pressure", (ACME, GLOBEX)),
        ("dead", "host-1", "provider/host/host-1", "unreachable", (ACME, GLOBEX)),
    ],
)
def test_the_cause_is_named_and_the_incident_resolves(
    world: Any, fault: str, target: str, cause: str, symptom: str, services: tuple[str, ...]
) -> None:
    getattr(world.lab, fault).add(target)
    world.run(8)
    incident = world.incident()
    first = incident.causes[0]
    assert (first.object_id, first.symptom, incident.services) == (cause, symptom, services)
    assert first.confidence == 1.0
    assert set(services) <= set(first.explains)
    assert incident.unknown == ()
    assert target in first.evidence[0]
    getattr(world.lab, fault).clear()
    world.run(15)
    assert world.analysis.open() == []
    assert world.analysis.incidents[incident.id].state is IncidentState.RESOLVED
    assert (
        world.analysis.incidents[incident.id].resolved_at_ns
        == world.analysis.history[-1].changed_at_ns
    )


@pytest.mark.parametrize("fault", ["gone", "hung", "busy"])
def test_detection_takes_a_few_seconds(world: Any, fault: str) -> None:
    getattr(world.lab, fault).add("fw-0")
    world.run(4)
    assert world.incident().causes[0].object_id == "provider/vnfc/fw-0"


def test_a_host_with_one_crashed_guest_is_not_in_trouble(world: Any) -> None:
    world.lab.gone.add("fw-0")
    world.run(8)
    assert [cause.object_id for cause in world.incident().causes] == ["provider/vnfc/fw-0"]


def test_a_dead_host_explains_its_guests(world: Any) -> None:
    world.lab.dead.add("host-1")
    world.run(8)
    causes = world.incident().causes
    assert {"provider/vnfc/fw-0", "provider/vnfc/cpe-acme-0"} <= set(causes[0].explains)
    assert all(other.confidence < 0.5 for other in causes[1:])


def test_overload_with_effects_downstream_names_what_explains_more(world: Any) -> None:
    world.lab.busy |= {"fw-0", "cpe-acme-0"}
    world.run(8)
    causes = world.incident().causes
    assert causes[0].object_id == "provider/vnfc/fw-0"
    assert 0.5 < causes[0].confidence < 1.0
    assert causes[1].object_id == "provider/vnfc/cpe-acme-0"


def test_link_loss_has_no_cause_beneath(world: Any) -> None:
    world.lab.lossy |= {ACME, GLOBEX}
    world.run(10)
    incident = world.incident()
    assert incident.causes == ()
    assert incident.services == (ACME, GLOBEX)
    assert incident.unknown == ()


def test_a_silent_collector_alone_is_no_incident(world: Any) -> None:
    world.lab.silent.add("prometheus")
    world.run(20)
    assert world.analysis.open() == []


def test_a_fault_beneath_a_silent_collector_is_unknown_not_a_cause(world: Any) -> None:
    world.lab.silent.add("prometheus")
    world.run(10)
    world.lab.gone.add("fw-0")
    world.run(8)
    incident = world.incident()
    assert incident.causes == ()
    assert "provider/vnfc/fw-0" in incident.unknown
    assert "provider/host/host-1" in incident.unknown


def test_a_collector_that_falls_silent_holds_the_incident_open(world: Any) -> None:
    world.lab.gone.add("fw-0")
    world.run(6)
    world.lab.silent |= {"prometheus", "stamp"}
    world.run(20)
    assert len(world.analysis.open()) == 1


def test_two_independent_faults_are_two_incidents(world: Any) -> None:
    world.lab.busy.add("cpe-acme-0")
    world.run(4)
    world.lab.gone.add("cpe-globex-0")
    world.run(8)
    found = {item.services: item.causes[0].object_id for item in world.analysis.open()}
    assert found == {
        (ACME,): "provider/vnfc/cpe-acme-0",
        (GLOBEX,): "provider/vnfc/cpe-globex-0",
    }


def test_the_same_cause_again_is_a_new_incident(world: Any) -> None:
    for _ in range(2):
        world.lab.gone.add("fw-0")
        world.run(6)
        world.lab.gone.clear()
        world.run(15)
    assert len({item.id for item in world.analysis.history}) == 2


def test_while_a_service_recovers_its_cause_stays_named_but_not_trusted(world: Any) -> None:
    world.lab.gone.add("fw-0")
    world.run(8)
    trusted = world.incident().causes[0].confidence
    world.lab.gone.clear()
    world.run(6)
    lingering = world.incident()
    assert lingering.services
    assert lingering.causes[0].object_id == "provider/vnfc/fw-0"
    assert lingering.causes[0].confidence < 0.5 < trusted
    assert "has ended" in lingering.causes[0].evidence[1]
