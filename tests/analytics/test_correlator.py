"""The correlator by itself: grouping, identity, what lingers, and what is unknown."""

from collections.abc import Callable
from typing import Any

import pytest

from analytics.cause import find_causes, most_telling
from analytics.correlator import Correlator
from analytics.measures import LINGER_MIN_NS, linger_of
from analytics.topology import Dependencies, edges_of
from trimtab.domain.assessment import ANOMALY, FulfilmentStatus, Trouble
from trimtab.domain.configuration import Configuration
from trimtab.domain.context import Context
from trimtab.domain.evidence import EvidenceWanted
from trimtab.domain.incident import Incident, IncidentState
from trimtab.domain.input import Numbered, Tick
from trimtab.domain.managed_object import InventoryChange, Relation, RelationKind, Topology
from trimtab.domain.time import NS_PER_SECOND as S

T0 = 1_700_000_000 * S
ACME, GLOBEX = "acme/service/acme-vpn", "globex/service/globex-internet"
FW, RTR, HOST = "provider/vnfc/fw-0", "provider/vnfc/rtr-0", "provider/host/host-1"
BAD, GOOD, SILENT = (
    FulfilmentStatus.NOT_FULFILLED,
    FulfilmentStatus.FULFILLED,
    FulfilmentStatus.INDETERMINATE,
)


def trouble(
    name: str,
    symptom: str,
    status: FulfilmentStatus = BAD,
    since: int = 0,
    objective: str = "",
    **more: Any,
) -> Trouble:
    at = T0 + since * S
    plain: dict[str, Any] = {"confidence": 1.0, "value": 0.0, "bound": 1.0}
    return Trouble(
        Context(f"t-{name}-{symptom}-{since}"), name, symptom, status, at, at,
        objective=objective or symptom, **{**plain, **more},
    )  # fmt: skip


class Steps:
    """Feed a correlator troubles, each followed by a tick one second on."""

    def __init__(self, configuration: Configuration) -> None:
        self.machine = Correlator()
        self.at = T0
        self.wanted: list[EvidenceWanted] = []
        self.tell(configuration)

    def tell(self, *values: Any, seconds: int = 1) -> list[Incident]:
        self.at += seconds * S
        inputs = [Numbered(0, value) for value in (*values, Tick(self.at))]
        found = self.machine.step(inputs, self.at)
        self.wanted += [value for value in found if isinstance(value, EvidenceWanted)]
        return [value for value in found if isinstance(value, Incident)]


@pytest.fixture
def steps(lab_config: Configuration) -> Steps:
    return Steps(lab_config)


def test_dependencies_are_the_topologys(lab_config: Configuration) -> None:
    topology = Topology()
    topology.apply(lab_config.inventory)
    for service in lab_config.services:
        uses = tuple(Relation(service.id, RelationKind.USES, below) for below in service.uses)
        topology.apply(InventoryChange("x", T0, relations=uses))
    dependencies = Dependencies()
    dependencies.update(edges_of(topology, ()), T0)
    for name in topology.objects:
        assert set(dependencies.support_of(name)) == set(topology.support_of(name))
        assert dependencies.support_of(name)[0] == name


def test_an_incident_grows_keeps_its_id_and_resolves(steps: Steps) -> None:
    (first,) = steps.tell(trouble(ACME, "loss", alarm_id="alarm-1"))
    assert (first.services, first.causes, first.state) == ((ACME,), (), IncidentState.OPEN)
    (second,) = steps.tell(trouble(FW, "process-gone", since=1))
    assert second.id == first.id
    assert second.causes[0].object_id == FW
    assert second.alarm_ids == ("alarm-1",)
    assert steps.tell() == []  # nothing new to say
    (third,) = steps.tell(trouble(FW, "process-gone", GOOD, 3))
    assert third.causes[0].confidence < 0.5
    (last,) = steps.tell(trouble(ACME, "loss", GOOD, 4))
    assert (last.id, last.state) == (first.id, IncidentState.RESOLVED)
    assert last.resolved_at_ns == steps.at
    assert first.opened_at_ns == last.opened_at_ns


def test_a_resource_in_trouble_alone_is_an_incident_without_services(steps: Steps) -> None:
    (incident,) = steps.tell(trouble(HOST, "pressure", value=0.7, bound=0.3))
    assert incident.services == ()
    assert incident.causes[0].explains == ()
    assert "0.7 ratio, bound 0.3 ratio" in incident.causes[0].evidence[0] or (
        "0.7, bound 0.3" in incident.causes[0].evidence[0]
    )


def test_incidents_that_turn_out_to_be_one_are_merged_into_the_older(steps: Steps) -> None:
    (one,) = steps.tell(trouble("provider/vnfc/cpe-acme-0", "overload"))
    (other,) = steps.tell(trouble(RTR, "overload", since=1))
    assert one.id != other.id
    found = {item.id: item for item in steps.tell(trouble(ACME, "loss", since=2))}
    assert found[one.id].state is IncidentState.OPEN
    assert found[other.id].state is IncidentState.RESOLVED
    assert len(found[one.id].causes) == 2


def test_unexplained_services_that_share_a_carrier_are_one_incident(steps: Steps) -> None:
    (incident,) = steps.tell(trouble(ACME, "loss"), trouble(GLOBEX, "loss"))
    assert incident.services == (ACME, GLOBEX)


def test_silence_holds_a_trouble_and_keeps_what_was_known_of_it(steps: Steps) -> None:
    (before,) = steps.tell(trouble(FW, "process-gone", value=0.0))
    found = steps.tell(trouble(FW, "process-gone", SILENT, 5, value=None))
    assert all(item.state is IncidentState.OPEN for item in found)
    assert steps.machine.open[0].incident.causes[0].value == before.causes[0].value
    assert steps.machine.open[0].incident.causes[0].since_ns == before.causes[0].since_ns
    (end,) = steps.tell(trouble(FW, "process-gone", GOOD, 9))
    assert end.state is IncidentState.RESOLVED


def test_silence_alone_opens_nothing(steps: Steps) -> None:
    assert steps.tell(trouble(FW, "process-gone", SILENT)) == []


def test_only_what_is_wholly_silent_is_unknown(steps: Steps) -> None:
    of_fw = [
        trouble(FW, symptom, SILENT, objective=objective)
        for symptom, objective in (
            ("process-gone", "guest-up"), ("unreachable", "reachable"), ("overload", "drops"),
        )
    ]  # fmt: skip
    of_rtr = [trouble(RTR, "overload", SILENT, objective="drops")]
    (incident,) = steps.tell(trouble(ACME, "loss"), *of_fw, *of_rtr)
    assert incident.unknown == (FW,)
    (known,) = steps.tell(trouble(FW, "overload", GOOD, 2, objective="drops"))
    assert known.unknown == ()


def test_a_migrated_guest_is_remembered_at_its_old_place_for_a_while(steps: Steps) -> None:
    steps.tell(trouble(HOST, "pressure"), trouble(ACME, "delay"))
    moves = tuple(
        Relation(f"provider/vnfc/{name}", RelationKind.RUNS_ON, "provider/host/host-2")
        for name in ("fw-0", "cpe-acme-0")
    )
    found = steps.tell(InventoryChange("vim", steps.at, relations=moves))
    assert all(item.causes[0].object_id == HOST for item in found)
    assert len(steps.machine.open) == 1
    found = steps.tell(seconds=60)
    assert {item.services for item in found} == {(), (ACME,)}
    assert [item.causes for item in found if item.services] == [()]


def test_a_removed_object_causes_nothing_any_more(steps: Steps) -> None:
    steps.tell(trouble(FW, "process-gone"))
    (end,) = steps.tell(InventoryChange("sd", steps.at, removed_object_ids=(FW,)))
    assert end.state is IncidentState.RESOLVED


def test_linger_covers_the_services_windows(lab_config: Configuration) -> None:
    longest = max(item.window_ns for item in lab_config.kpis)
    assert linger_of(lab_config) > longest
    bare = Configuration("h", (), (), (), (), InventoryChange("c", 0))
    assert linger_of(bare) == LINGER_MIN_NS


def dependencies(*edges: tuple[str, str]) -> Dependencies:
    made = Dependencies()
    made.update(set(edges), T0)
    return made


def no_unit(_: Trouble) -> str:
    return ""


V1, V2, VNF, H = "p/vnfc/v1", "p/vnfc/v2", "p/vnf/v", "p/host/h"
SVC = "t/service/s"
CHAIN = dependencies((SVC, VNF), (VNF, V1), (VNF, V2), (V1, H), (V2, H))


@pytest.mark.parametrize(
    ("troubles", "ranked"),
    [
        ([(V1, "overload", 5), (H, "pressure", 6)], [H, V1]),
        ([(V1, "process-gone", 5), (H, "pressure", 0)], [V1, H]),
        ([(V1, "process-gone", 0), (V2, "overload", 0)], [V1, V2]),
        ([(V1, "overload", 3), (V2, "overload", 2)], [V2, V1]),
        ([(V2, "overload", 2), (V1, "overload", 2)], [V1, V2]),
        ([(V1, "unreachable", 0), (V2, "unreachable", 0), (H, "unreachable", 1)], [H, V1, V2]),
    ],
)
def test_ranking(troubles: list[tuple[str, str, int]], ranked: list[str]) -> None:
    active = {name: [trouble(name, symptom, since=since)] for name, symptom, since in troubles}
    active[SVC] = [trouble(SVC, "loss", since=4)]
    causes = find_causes(active, {}, CHAIN, 30 * S, no_unit)
    assert [cause.object_id for cause in causes] == ranked
    assert causes[0].confidence >= 0.5
    assert all(0 <= cause.confidence <= 1 for cause in causes)
    assert SVC in causes[0].explains


def test_what_begins_long_after_its_effect_is_less_likely_its_cause() -> None:
    def score(since: int) -> float:
        active = {V1: [trouble(V1, "overload", since=since)], SVC: [trouble(SVC, "loss")]}
        return find_causes(active, {}, CHAIN, 30 * S, no_unit)[0].score

    assert score(100) < score(10)


def test_the_most_telling_trouble_names_the_symptom() -> None:
    several = [trouble(V1, "overload", since=0), trouble(V1, "process-gone", since=3)]
    assert most_telling(several).symptom == "process-gone"
    assert most_telling(several[::-1]) == most_telling(several)


def test_output_follows_the_correlation_contract(steps: Steps) -> None:
    make: Callable[[int], Trouble] = lambda n: trouble(f"p/vnfc/x{n}", "overload", since=n)  # noqa: E731
    incidents = steps.tell(*(make(n) for n in range(20)))
    assert len({item.id for item in incidents}) == 20
    assert [item.id for item in incidents] == sorted(item.id for item in incidents)


def test_an_anomaly_goes_with_an_incident_but_never_makes_one_of_two(steps: Steps) -> None:
    (one,) = steps.tell(trouble("provider/vnfc/cpe-acme-0", "overload"))
    (other,) = steps.tell(trouble(RTR, "overload", since=1))
    found = steps.tell(trouble(ACME, ANOMALY, since=2, confidence=0.4))
    assert {item.incident.id for item in steps.machine.open} == {one.id, other.id}
    assert all(item.state is IncidentState.OPEN for item in found)


def test_an_anomaly_alone_opens_an_incident_that_policies_may_name(steps: Steps) -> None:
    (incident,) = steps.tell(trouble(FW, ANOMALY, confidence=0.4))
    assert incident.causes[0].symptom == ANOMALY
    assert incident.services == ()


def test_an_anomaly_below_explains_no_breach_above(steps: Steps) -> None:
    steps.tell(trouble(HOST, ANOMALY, confidence=0.4))
    steps.tell(trouble(ACME, "loss", since=1), trouble(FW, "process-gone", since=1))
    incident = next(item.incident for item in steps.machine.open if ACME in item.incident.services)
    assert incident.causes[0].object_id == FW
    assert incident.causes[0].confidence >= 0.5
