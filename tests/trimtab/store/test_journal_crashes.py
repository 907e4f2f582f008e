"""Whatever the device does at a crash: recovery gives a prefix that holds all that was acknowledged."""

import errno
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.domain.input import Notice, Tick
from trimtab.errors import JournalUnwritable
from trimtab.store.journal import Journal
from trimtab.store.simulated import SimulatedCrash, SimulatedStorage
from trimtab.store.storage import Storage

Opened = Callable[[Storage], Journal]
GROUPS = st.lists(
    st.lists(st.integers(0, 900), min_size=1, max_size=5), min_size=1, max_size=12
)  # of each frame: how long a text it carries
FAULTS = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from(["append", "sync", "create", "rename", "truncate", "space"]),
    ),
    max_size=4,
)


class Writer:
    """Write groups until power fails; know what was handed in and what was acknowledged."""

    def __init__(self, opened: Opened, storage: SimulatedStorage) -> None:
        self.opened = opened
        self.storage = storage
        self.sent: list[object] = []
        self.acknowledged = 0

    def run(self, groups: list[list[int]], faults: list[tuple[int, str]], compact: bool) -> None:
        """Write, with faults of the device at some groups; raises SimulatedCrash."""
        journal = self.opened(self.storage)
        found = [frame.value for frame in journal.read()]
        self.check(found)
        self.sent = found
        self.acknowledged = max(self.acknowledged, journal.durable_seq + 1)
        for number, group in enumerate(groups):
            self.cause(number, faults)
            base = len(self.sent)
            values = [Notice(str(base + n), size, "s", "x" * size) for n, size in enumerate(group)]
            try:
                journal.append(values, now=number)
            except JournalUnwritable:
                self.storage.capacity_bytes = 1 << 30
                continue
            self.sent.extend(values)
            try:
                journal.sync()
            except JournalUnwritable:
                self.storage.capacity_bytes = 1 << 30
            self.acknowledged = journal.durable_seq + 1
            if compact and number == len(groups) // 2 and not journal.unwritable_reason:
                journal.append([Tick(number)], now=number)
                self.sent.append(Tick(number))
        journal.close()
        self.acknowledged = journal.durable_seq + 1

    def cause(self, number: int, faults: list[tuple[int, str]]) -> None:
        """Arrange the faults that are due at a group."""
        for at, fault in faults:
            if at != number:
                continue
            if fault == "space":
                self.storage.capacity_bytes = self.storage.used_bytes() + 700
            else:
                self.storage.fail(fault, errno.EIO)

    def check(self, found: list[object]) -> None:
        """Hold what recovery found against what was handed in."""
        assert len(found) >= self.acknowledged, "something acknowledged is gone"
        assert found == self.sent[: len(found)], "what was found is no prefix of what was written"


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    lives=st.lists(st.tuples(GROUPS, FAULTS, st.integers(0, 60)), min_size=1, max_size=4),
    compact=st.booleans(),
)
def test_any_crash_leaves_a_prefix_with_all_that_was_acknowledged(
    opened: Opened,
    seed: int,
    lives: list[tuple[list[list[int]], list[tuple[int, str]], int]],
    compact: bool,
) -> None:
    storage = SimulatedStorage(seed)
    writer = Writer(opened, storage)
    for groups, faults, crash_after in lives:
        storage.crash_after(crash_after)
        try:
            writer.run(groups, faults, compact)
        except SimulatedCrash:
            pass
        storage.capacity_bytes = 1 << 30
        storage.crash()
    journal = opened(storage)
    writer.check([frame.value for frame in journal.read()])
    assert [frame.seq for frame in journal.read()] == list(range(journal.last_seq + 1))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    crash_after=st.integers(0, 25),
    horizon=st.integers(0, 120),
)
def test_a_crash_during_compaction_loses_nothing(
    opened: Opened, seed: int, crash_after: int, horizon: int
) -> None:
    storage = SimulatedStorage(seed)
    journal = opened(storage)
    for start in range(0, 120, 5):
        journal.append([Tick(number) for number in range(start, start + 5)], now=start)
        journal.sync()
    storage.crash_after(crash_after)
    try:
        journal.compact(horizon)
        journal.compact(horizon + 30)
    except SimulatedCrash:
        pass
    storage.crash()
    again = opened(storage)
    first = again.first_seq
    assert first <= horizon + 30
    assert [frame.value for frame in again.read(first)] == [Tick(n) for n in range(first, 120)]


def test_the_simulated_device_is_vicious_enough() -> None:
    """Show that each vice does occur: loss, a tear inside a page, a hole before later data."""
    lost = torn = holed = 0
    for seed in range(300):
        storage = SimulatedStorage(seed)
        file = storage.create("a")
        storage.sync_directory()
        file.append(b"a" * 100)
        file.sync()
        file.append(b"b" * 3_000)
        storage.crash()
        data = storage.read("a")
        assert data[:100] == b"a" * 100
        lost += len(data) == 100
        torn += len(data) % 512 != 0 and len(data) not in (100, 3_100)
        holed += b"\0" in data and data.rstrip(b"\0").endswith(b"b") and b"\0b" in data
    assert min(lost, torn, holed) > 5, (lost, torn, holed)
