"""The journal: the one durable, ordered record of all that the machines were told and said (DESIGN section 2)."""

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.domain.input import Input, Output
from trimtab.errors import JournalUnwritable
from trimtab.store.compaction import replace_oldest
from trimtab.store.frame import (
    MARK_BYTES,
    MARK_KIND,
    Frame,
    RawFrame,
    decode_frame,
    encode_frame,
    encode_mark,
    parse_frame,
)
from trimtab.store.recovery import recover
from trimtab.store.reserve import Reserve
from trimtab.store.segment import (
    HEADER_BYTES,
    UNNAMED,
    Segment,
    SegmentHeader,
    decoded,
    frames,
    segment_name,
    write_unnamed,
)
from trimtab.store.storage import AppendFile, FileStorage, Storage

MIB = 1024 * 1024
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """Bounds in bytes: a segment; kept back for actions under way; left free; waiting for a sync."""

    segment_bytes: int = 16 * MIB
    reserve_bytes: int = 64 * MIB
    free_bytes_min: int = 16 * MIB
    pending_bytes_max: int = 256 * MIB


@dataclass(frozen=True, slots=True)
class _Pending:
    seq: int
    data: bytes
    reserve: bool


class Journal:
    """An append-only, framed log in one directory, held by one process.

    `append` numbers values and keeps them in memory, `sync` makes all of them durable at once. When that fails, they
    stay, in order, for the next `sync`; whoever won't wait takes them back by `withdraw`. After a failed write or
    sync the file is not used again: what was not acknowledged is written to a new one, as the system may have
    dropped its pages and yet call the next sync a success. Calls may come from any thread; they block.
    """

    def __init__(self, storage: Storage, limits: JournalLimits) -> None:
        """Use `open`."""
        self._storage = storage
        self._limits = limits
        self._mutex = threading.RLock()
        self._pending: list[_Pending] = []
        self._pending_bytes = 0
        self._segments: list[Segment] = []
        self._file: AppendFile | None = None
        self._durable_seq = -1
        self._found_seq = -1
        self._next_index = 0
        self._closed = False
        self.unwritable_reason = ""
        self._reserve = Reserve(storage, limits.reserve_bytes, limits.free_bytes_min)

    @classmethod
    def open(
        cls,
        directory: Path,
        storage: Storage | None = None,
        limits: JournalLimits | None = None,
    ) -> "Journal":
        """Open or make a journal, cutting off what a crash left half written.

        Raises JournalError when another process has the directory, JournalCorrupt for damage or a newer format,
        JournalUnwritable when the directory can't even be read. A full disk is no error here: reading works.
        """
        try:
            storage = storage or FileStorage(directory)
            storage.lock()
        except OSError as error:
            raise JournalUnwritable(f"{directory} can't be used: {error}") from error
        try:
            journal = cls(storage, limits or JournalLimits())
            journal._recover()
        except OSError as error:
            storage.unlock()
            raise JournalUnwritable(f"{directory} can't be read: {error}") from error
        except BaseException:
            storage.unlock()
            raise
        return journal

    @property
    def last_seq(self) -> int:
        """Return the last sequence number given, durable or not; -1 when there is none."""
        return self._pending[-1].seq if self._pending else self._durable_seq

    @property
    def durable_seq(self) -> int:
        """Return the last sequence number that a sync acknowledged, -1 when there is none."""
        return self._durable_seq

    @property
    def first_seq(self) -> int:
        """Return the horizon: from this sequence number on every frame is there, and a replay is exact."""
        for segment in self._segments:
            if not segment.header.compacted:
                return segment.header.first_seq
        return 0

    @property
    def size_bytes(self) -> int:
        """Return what the segments take on disk, without the reserve."""
        return sum(segment.end for segment in self._segments)

    @property
    def reserve_bytes(self) -> int:
        """Return how much is kept back now."""
        return self._reserve.held

    def append(
        self, values: Sequence[Input | Output], now: int, *, reserve: bool = False
    ) -> list[int]:
        """Number values and keep them for the next `sync`; returns their sequence numbers.

        `reserve` is for what follows from work already begun (action results, a step's outputs): it may use
        the space kept back. Raises JournalUnwritable when there is no space, or when earlier ones still can't be
        written; ValueError for a value that can't be encoded. Then nothing was taken.
        """
        with self._mutex:
            self._refuse_when_closed()
            first = self.last_seq + 1
            taken = [
                _Pending(seq, encode_frame(seq, now, value), reserve)
                for seq, value in enumerate(values, start=first)
            ]
            size = sum(len(item.data) for item in taken)
            self._admit(size, reserve)
            self._pending.extend(taken)
            self._pending_bytes += size
            return [item.seq for item in taken]

    def sync(self) -> None:
        """Make all that was appended durable, in one write. Raises JournalUnwritable; it can be called again."""
        with self._mutex:
            self._refuse_when_closed()
            if not self._pending:
                return
            try:
                self._flush()
            except OSError as error:
                if not self._retry_with_reserve(error):
                    raise self._unwritable(error) from error

    def withdraw(self, first_seq: int) -> int:
        """Forget what was appended from `first_seq` on and is not durable; its numbers are given again.

        Returns how many frames were dropped. Raises ValueError for what is, or may be, durable already.
        """
        with self._mutex:
            if first_seq <= max(self._durable_seq, self._found_seq):
                raise ValueError(f"sequence number {first_seq} is durable: it can't be withdrawn")
            kept = [item for item in self._pending if item.seq < first_seq]
            dropped = len(self._pending) - len(kept)
            self._pending = kept
            self._pending_bytes = sum(len(item.data) for item in kept)
            return dropped

    def probe_writable(self) -> bool:
        """Return whether a normal append and sync would work now, trying what failed before once more."""
        with self._mutex:
            if self._closed:
                return False
            try:
                if self._pending or self._file is None:
                    self._flush()
                self._admit(0, reserve=False)
            except (OSError, JournalUnwritable) as error:
                self.unwritable_reason = str(error)
                return False
            return True

    def read(self, from_seq: int = 0) -> Iterator[Frame]:
        """Yield frames in order, at first the carried-over ones before the horizon, as they stand when called.

        Raises JournalCorrupt when a file was damaged since the journal was opened.
        """
        with self._mutex:
            segments = [(item.name, item.header, item.end) for item in self._segments]
            pending = [item.data for item in self._pending]
            following = [header.first_seq for _, header, _ in segments[1:]]
            bounds = [*following, self._durable_seq + 1][: len(segments)]
        for (name, header, end), bound in zip(segments, bounds, strict=True):
            if bound <= from_seq:
                continue
            data = self._storage.read(name)[:end]
            for raw in frames(data, header, self._storage.location(name)):
                if raw.kind != MARK_KIND and from_seq <= raw.seq < bound:
                    yield decoded(raw, self._storage.location(name))
        for data in pending:
            waiting = parse_frame(data, 0)
            if isinstance(waiting, RawFrame) and waiting.seq >= from_seq:
                yield decode_frame(waiting)

    def compact(self, horizon_seq: int) -> int:
        """Give up the exact history before `horizon_seq`, in whole segments; returns the new `first_seq`.

        What later runs can't do without is carried over, its sequence numbers unchanged (see `compaction`). The
        newest segment always stays. Raises JournalUnwritable when that can't be written; nothing is lost then.
        """
        with self._mutex:
            self._refuse_when_closed()
            firsts = [item.header.first_seq for item in self._segments[1:]]
            count = sum(first <= horizon_seq for first in firsts)
            if count > 1 or (count == 1 and not self._segments[0].header.compacted):
                try:
                    replace_oldest(self._storage, self._segments, count)
                except OSError as error:
                    raise self._unwritable(error) from error
            return self.first_seq

    def horizon_within(self, size_bytes: int) -> int:
        """Return where to compact to, so that the exact history takes about so many bytes at most."""
        with self._mutex:
            horizon = self._durable_seq + 1
            for item in reversed(self._segments):
                size_bytes -= item.end
                if size_bytes < 0:
                    return horizon
                horizon = item.header.first_seq
            return horizon

    def close(self) -> None:
        """Write what is pending if that is possible, and let the directory go."""
        with self._mutex:
            if self._closed:
                return
            try:
                if self._pending:
                    self._flush()
                if self._file is not None:
                    self._seal(self._file, self._segments[-1])
            except OSError as error:
                self.unwritable_reason = str(error)
            self._abandon_file()
            self._storage.unlock()
            self._closed = True

    def _recover(self) -> None:
        found = recover(self._storage)
        self._segments = list(found.segments)
        self._durable_seq = found.durable_seq
        self._next_index = found.next_index
        # A frame behind the last mark may be in the page cache only: it is written again, to a new file.
        self._pending = [_Pending(raw.seq, raw.data, reserve=True) for raw in found.tail]
        self._pending_bytes = sum(len(item.data) for item in self._pending)
        self._found_seq = self.last_seq
        self._reserve.restore()

    def _admit(self, size: int, reserve: bool) -> None:
        """Raise JournalUnwritable when so many bytes may not be taken now."""
        if self._pending_bytes + size > self._limits.pending_bytes_max:
            raise JournalUnwritable(
                f"{self._pending_bytes} bytes wait to be written already: the limit is"
                f" {self._limits.pending_bytes_max}"
            )
        if reserve:
            return
        if self.unwritable_reason and (self._pending or self._file is None):
            try:
                self._flush()
            except OSError as error:
                raise self._unwritable(error) from error
        if not self._reserve.restore():
            raise self._no_space()
        try:
            free = self._storage.free_bytes()
        except OSError as error:
            raise self._unwritable(error) from error
        if free < self._limits.free_bytes_min + self._pending_bytes + size:
            raise self._no_space()
        self.unwritable_reason = ""

    def _no_space(self) -> JournalUnwritable:
        self.unwritable_reason = (
            f"{self._storage.location('')} is short of space: below {self._limits.free_bytes_min} bytes"
            f" beside the reserve of {self._limits.reserve_bytes}; free some, it goes on by itself"
        )
        return JournalUnwritable(self.unwritable_reason)

    def _flush(self) -> None:
        """Write and sync what is pending. Raises OSError, having given up the file that failed."""
        segment = self._segments[-1] if self._segments else None
        if self._file is None or segment is None or segment.end >= self._limits.segment_bytes:
            self._start_segment()
        else:
            self._extend(self._file, segment)
        if self._pending:
            self._durable_seq = self._pending[-1].seq
        self._pending = []
        self._pending_bytes = 0
        self.unwritable_reason = ""

    def _extend(self, file: AppendFile, segment: Segment) -> None:
        data = b"".join(
            (
                encode_mark(self._durable_seq + 1, segment.end),
                *(item.data for item in self._pending),
            )
        )
        try:
            file.append(data)
            file.sync()
        except OSError:
            self._abandon_file()
            _quietly(lambda: self._storage.truncate(segment.name, segment.end))
            raise
        segment.end += len(data)

    def _start_segment(self) -> None:
        """Put what is pending into a new segment, which gets its name only when all of it is durable."""
        header = SegmentHeader(self._next_index, self._durable_seq + 1)
        name = segment_name(header.index)
        before = self._segments[-1] if self._segments else None
        self._abandon_file()
        file, end = write_unnamed(self._storage, header, [item.data for item in self._pending])
        try:
            self._storage.rename(UNNAMED, name)
            self._storage.sync_directory()
        except OSError:
            _quietly(file.close)
            raise
        self._file = file
        self._next_index += 1
        self._segments.append(Segment(name, header, end))
        if before is not None and self._storage.size(before.name) > before.end:
            _quietly(lambda: self._storage.truncate(before.name, before.end))

    def _retry_with_reserve(self, error: OSError) -> bool:
        """Give room for what may use the reserve and write again. Return whether that worked."""
        if not any(item.reserve for item in self._pending):
            return False
        need = self._pending_bytes + HEADER_BYTES + MARK_BYTES
        while error.errno in NO_SPACE and self._reserve.release(need):
            try:
                self._flush()
            except OSError as again:
                error = again
            else:
                return True
        return False

    def _unwritable(self, error: OSError) -> JournalUnwritable:
        self.unwritable_reason = (
            f"{self._storage.location('')} can't be written: {error.strerror or error}"
        )
        return JournalUnwritable(self.unwritable_reason)

    def _seal(self, file: AppendFile, segment: Segment) -> None:
        """Note that all of the newest segment is durable, so that the next start need not write any of it again."""
        file.append(encode_mark(self._durable_seq + 1, segment.end))
        file.sync()

    def _abandon_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            _quietly(file.close)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise JournalUnwritable("the journal is closed")


def _quietly(act: Callable[[], None]) -> None:
    """Tidy up where a failure changes nothing: what is left over never counts."""
    try:
        act()
    except OSError:
        return
