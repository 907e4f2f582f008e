"""Conclusions between two ticks of the cadence stay a small share of the time, unless somebody waits for one."""

import asyncio

from trimtab.drivers.pace import CONCLUDING_SHARE_MAX, Pace


def test_what_a_conclusion_cost_is_rested_from() -> None:
    pace = Pace()
    assert pace.affordable(0)
    pace.concluded(began_ns=1_000, spent_ns=50)
    rested = 1_000 + round(50 / CONCLUDING_SHARE_MAX)
    assert not pace.affordable(rested - 1)
    assert pace.affordable(rested)


def test_whoever_presses_does_not_wait_and_is_served_by_a_conclusion_only() -> None:
    pace = Pace()
    pace.concluded(0, 10**9)
    pace.pressing = True
    assert pace.affordable(1)
    pace.turned(concluding=False)
    assert pace.pressing
    assert pace.unconcluded
    pace.turned(concluding=True)
    assert not pace.pressing
    assert not pace.unconcluded


def test_a_rest_ends_early_when_something_comes() -> None:
    async def scene() -> None:
        pace = Pace()
        pace.concluded(0, 10**15)
        resting = asyncio.create_task(pace.rest(0))
        await asyncio.sleep(0)
        pace.arrive()
        await asyncio.wait_for(resting, 10)
        await pace.rest(pace.rested_ns)  # nothing is left to rest from

    asyncio.run(scene())
