"""The journal by its public face, on simulated and on real storage."""

import errno
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trimtab.domain.action import ActionResult, ActionState
from trimtab.domain.input import Notice, SeriesAdded, SeriesRetired, Tick
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.errors import JournalCorrupt, JournalError, JournalUnwritable
from trimtab.store.journal import Journal, JournalLimits
from trimtab.store.simulated import SimulatedStorage
from trimtab.store.storage import FileStorage, Storage

Opened = Callable[[Storage], Journal]
Ticks = Callable[[int, int], list[Tick]]


def seqs(journal: Journal, from_seq: int = 0) -> list[int]:
    return [frame.seq for frame in journal.read(from_seq)]


def test_what_was_synced_is_read_back_in_order(tmp_path: Path) -> None:
    batch = SampleBatch.from_rows("prometheus/vnf", [(0, 10, 1.5), (0, 20, 2.5)])
    values = [SeriesAdded(0, Series.of("up", {"job": "vnf"})), batch, Tick(30)]
    with_output = Notice("notice-1", 30, "loop", "hello")
    journal = Journal.open(tmp_path, limits=JournalLimits(reserve_bytes=0, free_bytes_min=0))
    assert journal.last_seq == -1
    assert journal.append(values, now=30) == [0, 1, 2]
    assert journal.append([with_output], now=30) == [3]
    journal.sync()
    frames = list(journal.read())
    journal.close()
    assert [frame.value for frame in frames] == [*values, with_output]
    assert [frame.is_output for frame in frames] == [False, False, False, True]
    assert {frame.now for frame in frames} == {30}
    again = Journal.open(tmp_path, limits=JournalLimits(reserve_bytes=0, free_bytes_min=0))
    assert list(again.read()) == frames
    assert again.last_seq == again.durable_seq == 3
    assert again.append([Tick(40)], now=40) == [4]
    again.sync()
    assert seqs(again, from_seq=2) == [2, 3, 4]
    again.close()


def test_a_new_reader_gets_read_only_columns(opened: Opened, storage: SimulatedStorage) -> None:
    journal = opened(storage)
    journal.append([SampleBatch.from_rows("stamp/a", [(1, 2, 3.0)])], now=0)
    journal.sync()
    (frame,) = journal.read()
    assert isinstance(frame.value, SampleBatch)
    with pytest.raises(ValueError, match="read-only"):
        frame.value.value[0] = np.float64(4.0)


def test_segments_roll_and_keep_their_order(
    opened: Opened, storage: SimulatedStorage, ticks: Ticks
) -> None:
    journal = opened(storage)
    for start in range(0, 200, 10):
        journal.append(ticks(start, start + 10), now=start)
        journal.sync()
    assert len([name for name in storage.names() if name.startswith("journal-")]) > 3
    assert [frame.value for frame in journal.read()] == ticks(0, 200)
    journal.close()
    assert seqs(opened(storage)) == list(range(200))


def test_two_processes_cannot_share_a_directory(tmp_path: Path) -> None:
    first = Journal.open(tmp_path)
    with pytest.raises(JournalError, match=r"in use by process \d+"):
        Journal.open(tmp_path)
    first.close()
    Journal.open(tmp_path).close()


def test_withdrawn_frames_are_gone_and_their_numbers_given_again(
    opened: Opened, storage: SimulatedStorage
) -> None:
    journal = opened(storage)
    journal.append([Tick(1)], now=1)
    journal.sync()
    first = journal.append([Tick(2), Tick(3)], now=2)[0]
    assert journal.withdraw(first) == 2
    assert journal.append([Tick(4)], now=4) == [first]
    journal.sync()
    assert [frame.value for frame in journal.read()] == [Tick(1), Tick(4)]
    with pytest.raises(ValueError, match="durable"):
        journal.withdraw(first)


@pytest.mark.parametrize("operation", ["append", "sync", "create", "rename", "sync_directory"])
def test_a_failing_device_is_told_and_it_goes_on_by_itself(
    opened: Opened, storage: SimulatedStorage, operation: str, ticks: Ticks
) -> None:
    journal = opened(storage)
    journal.append(ticks(0, 3), now=0)
    journal.sync()
    journal.append(ticks(3, 100), now=1)  # more than a segment holds
    journal.sync()
    journal.append(ticks(100, 103), now=1)
    storage.fail(operation, errno.EIO, times=2)
    for _ in range(2):
        with pytest.raises(JournalUnwritable, match="simulated"):
            journal.sync()
        assert journal.unwritable_reason
    assert journal.durable_seq == 99
    assert journal.probe_writable()
    assert journal.durable_seq == 102
    assert [frame.value for frame in journal.read()] == ticks(0, 103)
    storage.crash()
    assert [frame.value for frame in opened(storage).read()] == ticks(0, 103)


def test_pages_lost_by_a_failed_sync_are_written_again(opened: Opened, ticks: Ticks) -> None:
    for seed in range(30):
        storage = SimulatedStorage(seed=seed)
        journal = opened(storage)
        journal.append(ticks(0, 5), now=0)
        journal.sync()
        journal.append(ticks(5, 60), now=1)
        storage.fail("sync")
        with pytest.raises(JournalUnwritable):
            journal.sync()
        journal.sync()
        storage.crash()
        assert [frame.value for frame in opened(storage).read()] == ticks(0, 60)


def test_a_file_that_failed_is_not_used_again_even_when_it_can_not_be_cut(
    opened: Opened, ticks: Ticks
) -> None:
    for seed in range(30):
        storage = SimulatedStorage(seed=seed)
        journal = opened(storage)
        journal.append(ticks(0, 5), now=0)
        journal.sync()
        journal.append(ticks(5, 30), now=1)
        storage.fail("sync")
        storage.fail("truncate")
        with pytest.raises(JournalUnwritable):
            journal.sync()
        journal.withdraw(20)
        journal.append(ticks(50, 55), now=2)
        journal.sync()
        storage.crash()
        expected = [*ticks(0, 20), *ticks(50, 55)]
        assert [frame.value for frame in opened(storage).read()] == expected


def test_without_space_only_the_reserve_is_written_and_it_comes_back(
    opened: Opened, storage: SimulatedStorage
) -> None:
    journal = opened(storage)
    journal.append([Tick(1)], now=1)
    journal.sync()
    storage.capacity_bytes = storage.used_bytes() + 100
    with pytest.raises(JournalUnwritable, match="short of space"):
        journal.append([Tick(2)], now=2)
    assert not journal.probe_writable()
    result = ActionResult("action-1", ActionState.SENDING, 3)
    written = 0
    for _ in range(5):
        journal.append([result], now=3, reserve=True)
        journal.sync()
        written += 1
    assert journal.reserve_bytes < 4_096
    with pytest.raises(JournalUnwritable):
        journal.append([Tick(2)], now=2)
    storage.capacity_bytes += 100_000
    assert journal.probe_writable()
    assert journal.reserve_bytes == 4_096
    journal.append([Tick(2)], now=2)
    journal.sync()
    values = [frame.value for frame in journal.read()]
    assert values == [Tick(1), *[result] * written, Tick(2)]


def test_a_spent_reserve_is_told(opened: Opened, storage: SimulatedStorage) -> None:
    journal = opened(storage)
    storage.capacity_bytes = storage.used_bytes()
    result = ActionResult("action-1", ActionState.SENDING, 3, detail="x" * 300)

    def write_on() -> None:
        for _ in range(40):
            journal.append([result], now=3, reserve=True)
            journal.sync()

    with pytest.raises(JournalUnwritable, match="No space"):
        write_on()
    acknowledged = journal.durable_seq
    assert acknowledged > 3
    storage.crash()
    assert len(seqs(opened(storage))) >= acknowledged + 1


def test_too_much_waiting_is_refused(opened: Opened, storage: SimulatedStorage) -> None:
    journal = opened(storage)
    notice = Notice("n", 0, "s", "x" * 1_000)

    def append_on() -> None:
        for _ in range(200):
            journal.append([notice], now=0, reserve=True)

    with pytest.raises(JournalUnwritable, match="wait"):
        append_on()
    assert journal.last_seq < 100


def test_a_value_that_cannot_be_encoded_takes_no_number(
    opened: Opened, storage: SimulatedStorage
) -> None:
    journal = opened(storage)
    with pytest.raises(TypeError, match="neither an input nor an output"):
        journal.append([Series.of("up")], now=0)  # type: ignore[list-item]
    assert journal.last_seq == -1


def test_every_flipped_bit_in_the_middle_is_refused(
    opened: Opened, storage: SimulatedStorage, ticks: Ticks
) -> None:
    journal = opened(storage)
    for start in (0, 5, 10):
        journal.append(ticks(start, start + 5), now=0)
        journal.sync()
    (name,) = [name for name in storage.names() if name.startswith("journal-")]
    data = storage.read(name)
    last_mark = data.rfind(b"\xf5trimtab-synced\xf5") - 26
    storage.unlock()
    for bit in range(0, last_mark * 8, 3):
        storage.flip_bit(name, bit)
        with pytest.raises(
            JournalCorrupt, match=rf"simulated/{name}, offset \d+: .*(backup|version)"
        ):
            opened(storage)
        storage.flip_bit(name, bit)
    assert seqs(opened(storage)) == list(range(15))


def test_a_missing_file_in_the_middle_is_refused(
    opened: Opened, storage: SimulatedStorage, ticks: Ticks
) -> None:
    journal = opened(storage)
    for start in range(0, 200, 10):
        journal.append(ticks(start, start + 10), now=start)
        journal.sync()
    journal.close()
    second = [name for name in storage.names() if name.startswith("journal-")][1]
    storage.remove(second)
    with pytest.raises(JournalCorrupt, match=r"sequence numbers \d+ to \d+ are missing"):
        opened(storage)


def test_compaction_keeps_numbers_and_what_a_start_needs(
    opened: Opened, storage: SimulatedStorage, ticks: Ticks
) -> None:
    journal = opened(storage)
    series = SeriesAdded(0, Series.of("up"))
    journal.append([series], now=0)
    for start in range(0, 300, 10):
        journal.append(ticks(start, start + 10), now=start)
        journal.sync()
    before = journal.size_bytes
    assert journal.first_seq == 0
    horizon = journal.compact(200)
    assert 100 < horizon <= 200
    assert journal.first_seq == horizon
    assert journal.size_bytes < before
    kept = list(journal.read())
    assert kept[0].value == series
    assert [frame.seq for frame in kept] == [0, *range(horizon, 301)]
    assert journal.compact(200) == horizon
    assert journal.compact(250) > horizon
    journal.close()
    storage.crash()
    again = opened(storage)
    assert again.first_seq == journal.first_seq
    assert next(again.read()).value == series
    assert seqs(again, again.first_seq) == list(range(again.first_seq, 301))


@pytest.mark.parametrize("operation", ["append", "sync", "rename", "sync_directory", "remove"])
def test_a_compaction_that_fails_loses_nothing(
    opened: Opened, storage: SimulatedStorage, ticks: Ticks, operation: str
) -> None:
    journal = opened(storage)
    for start in range(0, 200, 10):
        journal.append(ticks(start, start + 10), now=start)
        journal.sync()
    storage.fail(operation)
    with pytest.raises(JournalUnwritable):
        journal.compact(150)
    first = journal.first_seq
    assert seqs(journal, first) == list(range(first, 200))
    journal.append(ticks(200, 203), now=1)
    journal.sync()
    assert journal.compact(180) > 100
    storage.crash()
    again = opened(storage)
    assert seqs(again, again.first_seq) == list(range(again.first_seq, 203))


def test_compaction_drops_what_was_retired(
    opened: Opened, storage: SimulatedStorage, ticks: Ticks
) -> None:
    journal = opened(storage)
    stays, again = SeriesAdded(1, Series.of("b")), SeriesAdded(2, Series.of("c"))
    journal.append(
        [SeriesAdded(0, Series.of("a")), stays, again, SeriesRetired((0, 2)), again], now=0
    )
    for start in range(0, 300, 10):
        journal.append(ticks(start, start + 10), now=start)
        journal.sync()
    horizon = journal.compact(250)
    kept = [frame.value for frame in journal.read() if frame.seq < horizon]
    assert kept == [stays, again]


def test_a_horizon_by_size(opened: Opened, storage: SimulatedStorage, ticks: Ticks) -> None:
    journal = opened(storage)
    assert journal.horizon_within(1_000) == 0
    for start in range(0, 400, 10):
        journal.append(ticks(start, start + 10), now=start)
        journal.sync()
    whole = journal.size_bytes
    assert journal.horizon_within(whole) == 0
    journal.compact(journal.horizon_within(whole // 2))
    assert whole // 4 < journal.size_bytes <= whole // 2
    assert journal.compact(journal.horizon_within(0)) > 300
    assert seqs(journal)[-1] == 399


def test_a_newer_format_is_refused_with_a_message(tmp_path: Path) -> None:
    limits = JournalLimits(reserve_bytes=0, free_bytes_min=0)
    journal = Journal.open(tmp_path, limits=limits)
    journal.append([Tick(1)], now=1)
    journal.sync()
    journal.close()
    (path,) = tmp_path.glob("journal-*")
    data = bytearray(path.read_bytes())
    data[8] = 9
    data[24:28] = struct.pack("<I", zlib.crc32(data[:24]))
    path.write_bytes(data)
    with pytest.raises(JournalCorrupt, match="format 9 is newer than 1"):
        Journal.open(tmp_path, limits=limits)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalUnwritable, match="can't be used"):
        Journal.open(tmp_path / "file")


def test_files_are_real_and_the_reserve_is_taken(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, FileStorage(tmp_path), JournalLimits(reserve_bytes=1 << 20))
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 1 << 20
    journal.close()
