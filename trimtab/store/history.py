"""Sample history: every row that came, in columns, in chunk files by time of arrival; derived, bounded, never synced.

A file holds chunks (see `history_chunk`), each sorted by (series, time). A reader keeps the heads of the chunks that it
has met, and by them skips what can't hold what it looks for; a chunk that a crash cut off ends its file.
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trimtab.domain.samples import SampleBatch
from trimtab.errors import StoreError
from trimtab.store.history_chunk import (
    HEAD,
    ChunkHead,
    HistoryRows,
    decode_chunk,
    encode_chunk,
    parse_head,
)

_PREFIX, _SUFFIX = "samples-", ".columns"
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """Rows gathered before a chunk is written; bytes of one file, and of all of them together."""

    chunk_rows: int = 65_536
    file_bytes: int = 16 * MIB
    total_bytes: int = 1_024 * MIB


@dataclass(frozen=True, slots=True)
class SeriesHistory:
    """Rows of one series in order of time; of rows with equal time the last to come counts."""

    time_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint8]


@dataclass(slots=True)
class _Heads:
    """The heads of a file's chunks, as far as it was looked at."""

    heads: list[ChunkHead] = field(default_factory=list)
    seen_bytes: int = 0


class History:
    """A directory of chunk files. One thread adds; reading while another adds sees whole chunks."""

    def __init__(self, directory: Path, limits: HistoryLimits | None = None) -> None:
        """Open or make the directory. Raises StoreError."""
        self.directory = directory
        self._limits = limits or HistoryLimits()
        self._waiting: list[SampleBatch] = []
        self._waiting_rows = 0
        self._heads: dict[Path, _Heads] = {}
        self._looking = threading.Lock()
        self.dropped_rows = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{directory} can't be used: {error}") from error
        paths = self._paths()
        self._next_index = _index_of(paths[-1]) + 1 if paths else 0
        self._current: Path | None = None

    def add(self, batch: SampleBatch) -> None:
        """Take rows in; writes a chunk when enough have gathered. Raises StoreError as `flush`."""
        if len(batch) == 0:
            return
        self._waiting.append(batch)
        self._waiting_rows += len(batch)
        if self._waiting_rows >= self._limits.chunk_rows:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered. Raises StoreError; those rows are counted as dropped."""
        if not self._waiting:
            return
        batches, rows = self._waiting, self._waiting_rows
        self._waiting, self._waiting_rows = [], 0
        chunk = encode_chunk(_rows_of(batches).in_order())
        try:
            with self._file_for(len(chunk)).open("ab") as file:
                file.write(chunk)
            self._forget_oldest()
        except OSError as error:
            self._current = None  # what is half written must end its file
            self.dropped_rows += rows
            raise StoreError(f"{self.directory}: history can't be written: {error}") from error

    def query(self, series_id: int, start_ns: int, end_ns: int) -> SeriesHistory:
        """Return a series' rows with start_ns <= time < end_ns, oldest first. Raises StoreError."""
        found: list[HistoryRows] = []
        waiting = list(self._waiting)
        try:
            for path in self._paths():
                for rows in self._chunks(path, series_id, start_ns, end_ns):
                    found.append(rows.between(series_id, start_ns, end_ns))
        except OSError as error:
            raise StoreError(f"{self.directory}: history can't be read: {error}") from error
        if waiting:
            found.append(_rows_of(waiting).between(series_id, start_ns, end_ns))
        return _in_order(found)

    @property
    def size_bytes(self) -> int:
        """Return what the files take."""
        return sum(path.stat().st_size for path in self._paths())

    def close(self) -> None:
        """Write what has gathered."""
        self.flush()

    def _chunks(
        self, path: Path, series_id: int, start_ns: int, end_ns: int
    ) -> Iterator[HistoryRows]:
        """Yield the rows of the chunks of a file that may hold such, up to where it is cut off or damaged."""
        with path.open("rb", buffering=0) as file:
            for head in self._heads_of(path, file):
                if head.may_hold(series_id, start_ns, end_ns):
                    packed = os.pread(file.fileno(), head.end - head.start, head.start)
                    rows = decode_chunk(head, packed, series_id)
                    if rows is not None:
                        yield rows

    def _heads_of(self, path: Path, file: FileIO) -> list[ChunkHead]:
        """Return the heads of a file's chunks, reading only those that came since the last time."""
        size = os.fstat(file.fileno()).st_size
        with self._looking:
            known = self._heads.setdefault(path, _Heads())
            while known.seen_bytes < size:
                data = os.pread(file.fileno(), HEAD.size, known.seen_bytes)
                head = parse_head(data, known.seen_bytes, size)
                if head is None:
                    break
                known.heads.append(head)
                known.seen_bytes = head.end
            return list(known.heads)

    def _paths(self) -> list[Path]:
        return sorted(self.directory.glob(f"{_PREFIX}*{_SUFFIX}"))

    def _file_for(self, size: int) -> Path:
        path = self._current
        if path is None or path.stat().st_size + size > self._limits.file_bytes:
            path = self._current = self.directory / f"{_PREFIX}{self._next_index:010d}{_SUFFIX}"
            self._next_index += 1
        return path

    def _forget_oldest(self) -> None:
        paths = self._paths()
        sizes = [path.stat().st_size for path in paths]
        while len(paths) > 1 and sum(sizes) > self._limits.total_bytes:
            path = paths.pop(0)
            path.unlink(missing_ok=True)
            with self._looking:
                self._heads.pop(path, None)
            sizes.pop(0)


def _index_of(path: Path) -> int:
    return int(path.name[len(_PREFIX) : -len(_SUFFIX)])


def _rows_of(batches: list[SampleBatch]) -> HistoryRows:
    return HistoryRows(
        np.concatenate([batch.series_id for batch in batches]),
        np.concatenate([batch.time_ns for batch in batches]),
        np.concatenate([batch.value for batch in batches]),
        np.concatenate([batch.flags for batch in batches]),
    )


def _in_order(found: list[HistoryRows]) -> SeriesHistory:
    if not found:
        empty = np.empty(0)
        return SeriesHistory(empty.astype(np.int64), empty, empty.astype(np.uint8))
    time_ns = np.concatenate([rows.time_ns for rows in found])
    order = np.argsort(time_ns, kind="stable")
    ordered = time_ns[order]
    last = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.empty(0, np.bool_)
    kept = order[last]
    return SeriesHistory(
        time_ns[kept],
        np.concatenate([rows.value for rows in found])[kept],
        np.concatenate([rows.flags for rows in found])[kept],
    )
