"""The steady clock: follows the wall, never runs backwards, and reports each jump once."""

from dataclasses import dataclass

from trimtab.domain.time import NS_PER_SECOND
from trimtab.drivers.clock import SteadyClock, SystemClock


@dataclass(slots=True)
class SettableClock(SystemClock):
    """A fake: a machine's clocks, set by the test, as a real wall clock can't be moved here."""

    wall_ns: int = 1_000 * NS_PER_SECOND
    steady_ns: int = 0

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.steady_ns

    def pass_seconds(self, seconds: int, jump_seconds: int = 0) -> None:
        self.steady_ns += seconds * NS_PER_SECOND
        self.wall_ns += (seconds + jump_seconds) * NS_PER_SECOND


def test_follows_the_wall_while_it_behaves() -> None:
    source = SettableClock()
    clock = SteadyClock(source)
    source.pass_seconds(5)
    assert clock.now_ns() == 1_005 * NS_PER_SECOND
    assert clock.take_jump_ns() == 0


def test_a_jump_forwards_is_followed_and_reported_once() -> None:
    source = SettableClock()
    clock = SteadyClock(source)
    source.pass_seconds(1, jump_seconds=3_600)
    assert clock.now_ns() == 4_601 * NS_PER_SECOND
    assert clock.take_jump_ns() == 3_600 * NS_PER_SECOND
    assert clock.take_jump_ns() == 0


def test_a_jump_backwards_never_takes_time_back() -> None:
    source = SettableClock()
    clock = SteadyClock(source)
    before = clock.now_ns()
    source.pass_seconds(1, jump_seconds=-3_600)
    assert clock.now_ns() == before + NS_PER_SECOND
    assert clock.take_jump_ns() == -3_600 * NS_PER_SECOND
    source.pass_seconds(10)
    assert clock.now_ns() == before + 11 * NS_PER_SECOND
    assert clock.take_jump_ns() == 0


def test_after_jumping_back_and_forth_it_ends_on_the_wall() -> None:
    source = SettableClock()
    clock = SteadyClock(source)
    source.pass_seconds(1, jump_seconds=-100)
    clock.now_ns()
    source.pass_seconds(1, jump_seconds=200)
    assert clock.now_ns() == source.wall_ns


def test_starts_no_earlier_than_the_journal_knows() -> None:
    source = SettableClock()
    clock = SteadyClock(source, floor_ns=2_000 * NS_PER_SECOND)
    assert clock.now_ns() >= 2_000 * NS_PER_SECOND
    assert clock.take_jump_ns() == 0
