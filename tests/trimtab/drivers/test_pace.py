"""What is done between two ticks of the cadence stays a small share of the time, unless somebody waits for it."""

import asyncio

from trimtab.drivers.pace import CLOSING_SHARE_MAX, GLANCING_SHARE_MAX, Depth, Pace


def test_what_a_turn_cost_is_rested_from_by_its_depth() -> None:
    pace = Pace()
    assert pace.depth(0) is Depth.CLOSE
    pace.spent(Depth.CLOSE, 1_000, 50)
    close_ns = 1_000 + round(50 / CLOSING_SHARE_MAX)
    assert pace.depth(close_ns - 1) is Depth.GLANCE
    assert pace.depth(close_ns) is Depth.CLOSE
    pace.spent(Depth.GLANCE, 1_000, 50)
    glance_ns = 1_000 + round(50 / GLANCING_SHARE_MAX)
    assert glance_ns < close_ns
    assert pace.depth(glance_ns - 1) is Depth.RECORD
    assert pace.depth(glance_ns) is Depth.GLANCE
    pace.spent(Depth.RECORD, 10**9, 10**9)
    assert pace.depth(close_ns) is Depth.CLOSE


def test_what_is_owed_is_due_when_a_turn_may_go_deep_enough() -> None:
    pace = Pace(glance_ns=10, close_ns=20)
    assert not pace.due(100)
    pace.turned(Depth.RECORD)
    assert [pace.due(now_ns) for now_ns in (9, 10, 20)] == [False, True, True]
    pace.turned(Depth.GLANCE)
    assert not pace.due(20)
    assert not pace.owing


def test_whoever_presses_does_not_wait_and_is_served_by_a_tick_only() -> None:
    pace = Pace(glance_ns=10**9, close_ns=10**9)
    pace.pressing = True
    assert pace.depth(1) is Depth.GLANCE
    assert pace.due(1)
    pace.turned(Depth.RECORD)
    assert pace.pressing
    pace.turned(Depth.GLANCE)
    assert not pace.pressing


def test_a_rest_ends_early_when_something_comes() -> None:
    async def scene() -> None:
        pace = Pace(glance_ns=10**15, close_ns=10**16, unseen=True)
        resting = asyncio.create_task(pace.rest(0))
        await asyncio.sleep(0)
        pace.arrive()
        await asyncio.wait_for(resting, 10)
        await pace.rest(pace.glance_ns)  # nothing is left to rest from

    asyncio.run(scene())
