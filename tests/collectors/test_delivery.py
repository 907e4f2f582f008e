"""What collectors share: handing over, with everything that is not taken counted, and noticing a late loop."""

import asyncio
import time
from collections import Counter

import pytest

from collectors import delivery
from collectors.delivery import GAPS_WAITING_MAX, Account, Outlet
from collectors.stall import LoopWatch
from trimtab.domain.samples import SampleBatch
from trimtab.ports import GapReason, Reading

pytestmark = pytest.mark.anyio


def batch(rows: int) -> SampleBatch:
    return SampleBatch.from_rows("kind/name", [(0, number, 1.0) for number in range(rows)])


@pytest.fixture
def outlet(clock) -> Outlet:
    return Outlet("kind/name", clock, Account())


def stats(outlet: Outlet) -> delivery.CollectorStats:
    return outlet._account.stats()


async def test_what_is_taken_is_counted(outlet, journal) -> None:
    refused = Counter({"nan": 2, "infinite": 0})
    assert await outlet.put(journal, outlet.reading(batch(3), refused=refused))
    assert stats(outlet).samples == 3
    assert stats(outlet).refused == (("nan", 2),)
    assert journal.readings[0].refused == (("nan", 2),)


async def test_what_is_not_taken_leaves_a_gap_that_is_told_later(outlet, journal) -> None:
    journal.full = True
    mine = outlet.gap(GapReason.TIMEOUT, "mine")
    assert not await outlet.put(journal, outlet.reading(batch(3), gaps=(mine,)))
    journal.full = False
    assert await outlet.put(journal, outlet.reading(batch(2)))
    assert journal.gaps()[0] == mine
    assert "3 samples" in journal.gaps()[1].detail
    assert stats(outlet).samples == 2
    assert dict(stats(outlet).refused) == {"not_durable": 3}
    assert dict(stats(outlet).gaps) == {"timeout": 1, "refused": 1}
    assert await outlet.put(journal, outlet.reading(batch(1)))
    assert len(journal.gaps()) == 2


async def test_a_journal_that_hangs_is_one_that_refuses(outlet, monkeypatch) -> None:
    class Hanging:
        async def put(self, reading: Reading) -> bool:
            await asyncio.sleep(60)
            return True

    monkeypatch.setattr(delivery, "PUT_TIMEOUT_SECONDS", 0.05)
    assert not await outlet.put(Hanging(), outlet.reading(batch(3)))
    assert dict(stats(outlet).refused) == {"not_durable": 3}


async def test_gaps_that_wait_are_bounded_not_their_count(outlet, journal) -> None:
    for number in range(3 * GAPS_WAITING_MAX):
        outlet.remember(GapReason.MALFORMED, str(number))
    assert await outlet.put(journal, outlet.reading(batch(1)))
    assert len(journal.gaps()) == GAPS_WAITING_MAX
    assert dict(stats(outlet).gaps) == {"malformed": 3 * GAPS_WAITING_MAX}


async def test_a_late_loop_is_noticed_while_and_after_it_is_late() -> None:
    loop = asyncio.get_running_loop()
    watch = LoopWatch()
    try:
        before = loop.time()
        time.sleep(0.7)  # noqa: ASYNC251
        assert watch.worst_since(before) > 0.5  # the beat is overdue
        await asyncio.sleep(0.2)
        assert watch.worst_since(before) > 0.5  # it came, late
        assert watch.worst_since(loop.time()) < 0.5
    finally:
        watch.close()


def test_the_account_starts_empty() -> None:
    empty = Account().stats()
    assert (empty.samples, empty.refused, empty.gaps, empty.last_success_ns) == (0, (), (), None)
