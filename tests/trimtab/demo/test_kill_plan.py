"""The plan of a kill campaign: every named point is on the way, and half of all deaths are named."""

from random import Random

from trimtab.demo.kill_campaign import AT_RANDOM, NOT_REACHED, Campaign
from trimtab.demo.kill_plan import ANYWHERE, ROUTES, Life, route, storm
from trimtab.drivers.crashpoint import AFTER_SNAPSHOT, CRASH_POINTS


def test_every_point_is_on_a_route_or_anywhere() -> None:
    assert {point for points in ROUTES for point in points} | set(ANYWHERE) == set(CRASH_POINTS)


def test_at_least_half_of_the_deaths_of_any_fault_are_named() -> None:
    for number in range(24):
        lives = (*route(number), *storm(number, Random(number)))
        named = [life for life in lives if life.point]
        # The campaign ends each fault with one more death at random.
        assert len(named) * 2 >= len(lives) + 1


def test_only_a_snapshot_needs_to_be_asked_for() -> None:
    for life in storm(0, Random(0)):
        assert life.told_to_stop == (life.point == AFTER_SNAPSHOT)


def test_the_same_seed_plans_the_same_storm() -> None:
    assert storm(3, Random(5)) == storm(3, Random(5))
    assert storm(3, Random(5)) != storm(3, Random(6))
    assert Life(None) not in storm(3, Random(5))


def test_a_campaign_says_where_it_proves_too_little() -> None:
    campaign = Campaign(120)
    campaign.kills.update({f"at {point}": 5 for point in CRASH_POINTS[1:]})
    campaign.kills.update({AT_RANDOM: 40, NOT_REACHED: 30})
    assert campaign.done
    assert campaign.shortfalls() == [
        "only 55 of 125 kills struck a named point",
        f"no kill struck {CRASH_POINTS[0]}",
    ]
    campaign.kills[f"at {CRASH_POINTS[0]}"] = 20
    assert campaign.shortfalls() == []
