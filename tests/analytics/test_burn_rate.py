"""Burn rates: beside the definition over whole lists, and as alarms of a service."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.assessor import Assessor
from analytics.burn_rate import EASED, FACTORS, PAGE, TICKET, BurnRates, Burnt
from trimtab.domain.alarm import Alarm, AlarmState, PerceivedSeverity
from trimtab.domain.configuration import Configuration
from trimtab.domain.input import Tick
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.managed_object import InventoryChange, ObjectKind, managed_object
from trimtab.domain.series import Series
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND as S

G = 10 * S
DAYS = 30 * 24 * 3_600 * S
GOAL = np.array([1])


def feed(
    rates: BurnRates, missed: list[bool | None], allowed: float = 0.01, interval: int = DAYS,
    first: int = 0,
) -> list[tuple[int, Burnt]]:  # fmt: skip
    """One granularity period after the other, None where nothing was measured."""
    found = []
    for number, miss in enumerate(missed, start=first + 1):
        burnt = rates.update(
            GOAL, np.array([number * G]), np.array([miss is not None]), np.array([bool(miss)]), G,
            np.array([interval]), np.array([allowed]),
        )  # fmt: skip
        found += [(number, item) for item in burnt]
    return found


def test_a_total_outage_pages_when_two_percent_of_the_budget_are_gone() -> None:
    rates = BurnRates()
    found = feed(rates, [False] * 400 + [True] * 120)
    (at, page), *rest = found
    # 14.4 times 1 % of the 360 periods of an hour, whole periods.
    assert at == 400 + 52
    assert (page.kind, page.begins, page.window_ns, page.factor) == (PAGE, True, 3_600 * S, 14.4)
    assert page.long_rate == pytest.approx(52 / 3.6)
    assert rest == []


def test_it_ends_once_nothing_is_missed_any_more() -> None:
    rates = BurnRates()
    feed(rates, [True] * 100)
    found = feed(rates, [False] * 60, first=100)
    (at, end) = found[0]
    assert (end.kind, end.begins) == (PAGE, False)
    assert at <= 100 + 60 * S * 6 // G  # within the short window of five minutes and a bucket


def test_a_slow_burn_is_a_ticket_only() -> None:
    """Twice as fast as sustainable, for days."""
    rates = BurnRates()
    found = feed(rates, [number % 50 == 0 for number in range(30_000)])
    assert [(item.kind, item.begins) for _, item in found] == [(TICKET, True)]
    at, ticket = found[0]
    # 10 % of 2,592 periods, at one in fifty: within a day and a half.
    assert ticket.factor == 1.0
    assert at == pytest.approx(0.01 * 25_920 * 50, rel=0.01)


def test_one_miss_where_little_is_measured_is_no_fast_burn() -> None:
    """A period in ten minutes is measured; the first of three is missed: a third of what is known."""
    few: list[bool | None] = [None] * 60
    lonely: list[bool | None] = [True, *few, False, *few, False, *few]
    assert feed(BurnRates(), lonely) == []
    # But what goes on is told, by what was really spent.
    again: list[bool | None] = [True, *few[:9]] * 600
    assert [item.kind for _, item in feed(BurnRates(), again)] == [PAGE, TICKET]


def test_a_promise_without_any_budget_has_one_period() -> None:
    found = feed(BurnRates(), [True], allowed=G / DAYS)
    assert {item.kind for _, item in found} == {PAGE, TICKET}


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.02, 0.2, 0.5, 1.0]), st.integers(1, 150)), max_size=6),
    st.integers(0, 10_000), st.integers(0, 800),
)  # fmt: skip
def test_it_is_the_definition_wherever_it_was_interrupted(
    stretches: list[tuple[float, int]], seed: int, cut: int
) -> None:
    rng = np.random.default_rng(seed)
    missed = [bool(rng.random() < share) for share, length in stretches for _ in range(length)]
    rates = BurnRates()
    found = feed(rates, missed[:cut])
    resumed = BurnRates()
    resumed.load(rates.export([1]), [1])
    found += feed(resumed, missed[cut:], first=cut)
    assert found == feed(BurnRates(), missed)
    assert [(at, item.kind, item.begins) for at, item in found] == plainly(missed)


def plainly(missed: list[bool]) -> list[tuple[int, int, bool]]:
    """The workbook's rule over whole lists, in buckets of a sixtieth of the long window."""
    burning, found = [False] * 3, []
    for count in range(1, len(missed) + 1):
        before = list(burning)
        for place, (part, factor) in enumerate(zip((720, 120, 10), FACTORS, strict=True)):
            bucket = DAYS // part // 60 // G  # in periods
            newest = (count * G - 1) // G // bucket
            spent = sum(missed[max(0, (newest - 59) * bucket) : count]) / (60 * bucket)
            lately = missed[max(0, (newest - 4) * bucket) : count]
            asked = factor * (EASED if burning[place] else 1) * 0.01
            burning[place] = spent >= asked and sum(lately) / len(lately) >= asked
        for kind, places in ((PAGE, (0, 1)), (TICKET, (2,))):
            was, now = (any(side[p] for p in places) for side in (before, burning))
            if was != now:
                found.append((count, kind, now))
    return found


T0 = 1_700_000_000 * S
SERVICE = "acme/service/s"
SERIES = Series.of("m", {"obj": SERVICE})


def promised(configure: Any, *, wanted: bool = True) -> Configuration:
    kpi = KpiDefinition(
        "k", ObjectKind.SERVICE, "m", Statistic.MEAN, "x", window_ns=S, granularity_ns=S
    )
    objective = ServiceLevelObjective(
        "o", ObjectKind.SERVICE, "k", Comparator.AT_MOST, 10.0, object_id=SERVICE,
        raise_after_ns=3_600 * S, burn_rate_alarms=wanted,
    )  # fmt: skip
    found: Configuration = configure(
        [kpi], [objective], hash=f"{wanted}",
        services=(Service(SERVICE, "acme", "s", (), 4 * 3_600 * S),),
        inventory=InventoryChange("configuration", 0, (managed_object(SERVICE),)),
    )  # fmt: skip
    return found


def told(outputs: list[Any]) -> list[Alarm]:
    return [item for item in outputs if isinstance(item, Alarm)]


def say(feed: Any, from_second: int, values: list[float]) -> list[Any]:
    """Let a second pass for each value."""
    outputs = []
    for second, value in enumerate(values, start=from_second + 1):
        rows = feed.rows("src/a", [(SERIES, T0 + second * S - S // 2, value)])
        outputs += feed.step(*rows, Tick(T0 + second * S))
    return outputs


def test_a_services_alarm_says_how_fast_and_over_what(feed: Any, configure: Any) -> None:
    feed.step(promised(configure), Tick(T0))
    assert told(say(feed, 0, [1.0] * 130)) == []
    begun = told(say(feed, 130, [20.0] * 10))
    (page,) = [alarm for alarm in begun if alarm.severity is PerceivedSeverity.MAJOR]
    assert (page.symptom, page.objective, page.unit) == ("budget-burn", "o", "burn rate")
    assert page.bound == 14.4
    assert page.service_affecting
    assert page.text.startswith(
        "o of acme/service/s spends its error budget 15 times too fast over 20 s"
    )
    # What never held for an hour was no breach: the budget went all the same.
    assert {alarm.symptom for alarm in begun} == {"budget-burn"}
    feed.machine = Assessor.restore(feed.machine.snapshot())
    ended = told(say(feed, 140, [1.0] * 300))
    assert page.id in {alarm.id for alarm in ended if alarm.state is AlarmState.CLEARED}


def test_alarms_end_when_nobody_wants_them_any_more(feed: Any, configure: Any) -> None:
    feed.step(promised(configure), Tick(T0))
    begun = told(say(feed, 0, [20.0] * 60))
    assert begun
    ended = told(feed.step(promised(configure, wanted=False), Tick(T0 + 61 * S)))
    assert {alarm.id for alarm in ended} == {alarm.id for alarm in begun}
    assert all("watched no more" in alarm.text for alarm in ended)
