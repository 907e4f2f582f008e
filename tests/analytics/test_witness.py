"""Causes by evidence: what shifted beneath services that suffer, through the whole loop, however it is shared."""

from typing import Any

import numpy as np
import pytest

from analytics.past import WINDOWS_KEPT, Past
from trimtab.app.machines import machines
from trimtab.domain import codec
from trimtab.domain.configuration import BindingRule, Configuration
from trimtab.domain.incident import Incident
from trimtab.domain.input import Input, Numbered, SeriesAdded, Tick
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.kpi_batch import spell_out
from trimtab.domain.managed_object import (
    InventoryChange,
    ObjectKind,
    Relation,
    RelationKind,
    managed_object,
)
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND as S
from trimtab.drivers.loop import Loop

T0 = 1_700_000_000 * S
SERVICE = "acme/service/s"
FIREWALL, ROUTER, BESIDE = "p/vnf/fw", "p/vnf/rtr", "p/vnf/other"
LINK = "p/link/fw-rtr"
OBJECTS = (SERVICE, FIREWALL, ROUTER, BESIDE, LINK)
SERIES = [
    Series.of("delay", {"obj": SERVICE}),
    *(Series.of("sessions", {"obj": name}) for name in (FIREWALL, ROUTER, BESIDE)),
]
CALM = 40


def configuration(*relations: Relation) -> Configuration:
    kpis = (
        KpiDefinition("delay", ObjectKind.SERVICE, "delay", Statistic.MEAN, "seconds", window_ns=S),
        KpiDefinition(
            "sessions", ObjectKind.VNF, "sessions", Statistic.MEAN, "sessions", window_ns=S
        ),
    )
    objective = ServiceLevelObjective(
        "delay", ObjectKind.SERVICE, "delay", Comparator.AT_MOST, 0.05, object_id=SERVICE
    )
    return Configuration(
        "h", (Service(SERVICE, "acme", "s", (FIREWALL, ROUTER, LINK)),), (objective,), kpis,
        (BindingRule((), "{obj}"),),
        InventoryChange(
            "configuration", T0, tuple(managed_object(name) for name in OBJECTS), (), relations
        ),
    )  # fmt: skip


def run(
    shifted: dict[str, float], *relations: Relation, shards: int = 1, seconds: int = 20,
    restore_every: int = 0,
) -> list[Any]:  # fmt: skip
    """Calm first; then the service is slow, and the sessions of some objects are multiplied."""
    loop, found = Loop(machines(), shards), []
    added: list[Input] = [SeriesAdded(number, series) for number, series in enumerate(SERIES)]
    first: list[Input] = [*added, configuration(*relations), Tick(T0)]
    found += loop.step([Numbered(0, value) for value in first], T0)
    rng = np.random.default_rng(5)
    for second in range(1, CALM + seconds):
        at, ill = T0 + second * S, second > CALM
        noise = rng.normal(1.0, 0.01, len(SERIES))
        levels = [0.2 if ill else 0.01] + [
            100.0 * (shifted.get(series.labels[0][1], 1.0) if ill else 1.0) for series in SERIES[1:]
        ]
        values = [float(level * by) for level, by in zip(levels, noise, strict=True)]
        rows = [(number, at - S // 2, value) for number, value in enumerate(values)]
        inputs: list[Input] = [SampleBatch.from_rows("src/a", rows), Tick(at)]
        found += loop.step([Numbered(second, value) for value in inputs], at)
        if restore_every and second % restore_every == 0:
            loop = Loop.restore(machines(), loop.snapshot())
    return found


def last_incident(outputs: list[Any]) -> Incident:
    return [item for item in outputs if isinstance(item, Incident)][-1]


def test_what_shifted_beneath_a_suffering_service_is_blamed_in_numbers() -> None:
    incident = last_incident(run({FIREWALL: 0.2}))
    cause = incident.causes[0]
    assert (cause.object_id, cause.symptom) == (FIREWALL, "shifted")
    assert cause.explains == (SERVICE,)
    assert cause.confidence == 1.0
    assert cause.value == pytest.approx(20, rel=0.05)
    assert T0 + (CALM + 1) * S <= cause.since_ns <= T0 + (CALM + 2) * S
    (sentence,) = cause.evidence
    assert sentence.startswith(f"sessions of {FIREWALL} went from ")
    assert "times its usual unrest" in sentence


def test_what_does_not_carry_the_service_is_not_asked() -> None:
    assert last_incident(run({BESIDE: 0.1})).causes == ()


def test_of_two_the_one_that_shifted_more_comes_first_and_neither_is_sure() -> None:
    causes = last_incident(run({FIREWALL: 0.1, ROUTER: 0.7})).causes
    assert [cause.object_id for cause in causes] == [FIREWALL, ROUTER]
    assert causes[0].confidence < 0.8
    assert causes[0].confidence > causes[1].confidence


def test_both_ends_vote_for_the_link_between_them() -> None:
    ends = [Relation(LINK, RelationKind.CONNECTS, name) for name in (FIREWALL, ROUTER)]
    causes = last_incident(run({FIREWALL: 0.3, ROUTER: 0.3}, *ends)).causes
    assert causes[0].object_id == LINK
    assert len(causes[0].evidence) == 3
    # One end alone speaks against itself.
    assert last_incident(run({FIREWALL: 0.3}, *ends)).causes[0].object_id == FIREWALL


def test_nothing_is_blamed_where_nothing_shifted() -> None:
    assert last_incident(run({})).causes == ()


def test_shards_and_restarts_change_nothing() -> None:
    ends = [Relation(LINK, RelationKind.CONNECTS, name) for name in (FIREWALL, ROUTER)]
    shifts = {FIREWALL: 0.3, ROUTER: 0.5}

    def told(**more: Any) -> list[bytes]:
        return [codec.encode(value) for value in spell_out(run(shifts, *ends, **more))]

    whole = told()
    assert told(shards=3) == whole
    assert told(restore_every=1) == whole


def test_a_past_is_kept_through_gaps_and_numbers() -> None:
    past = Past()
    for number in (100, 101, 105):
        past.take(
            np.array([3, 7]), np.array([number, number]), np.array([1.0 * number, 2.0]),
            np.array([True, number != 101]),
        )  # fmt: skip
    known, numbers, values = past.rows([7, 5, 3])
    assert known == [7, 3]
    assert len(numbers) == WINDOWS_KEPT
    assert values[-6:, 1].tolist() == pytest.approx(
        [100, 101, np.nan, np.nan, np.nan, 105], nan_ok=True
    )
    assert np.isnan(values[-5, 0])
    moved = Past()
    moved.load(past.state([3, 7]), [None, 2])
    known, _, again = moved.rows([2])
    assert np.array_equal(again[:, 0], values[:, 0], equal_nan=True)
    past.forget(np.array([7]))
    assert past.rows([7, 3])[0] == [3]
