"""Sample history: every row that came, in columns, in chunk files by time of arrival; derived, bounded, never synced.

A file holds chunks, each sorted by (series, time):

    "TTHC" | format u16 | flags u16 | rows u32 | series_min i32 | series_max i32 | time_min i64 | time_max i64
    | packed length u32 | CRC-32 u32 of the packed columns | the columns, LZ4

Columns: series_id int32, time_ns int64, value float64, flags uint8, little-endian. A reader skips by the head what
can't hold what it looks for; a chunk that a crash cut off ends its file.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cramjam
import numpy as np
import numpy.typing as npt

from trimtab.domain.samples import SampleBatch
from trimtab.errors import StoreError

HISTORY_FORMAT = 1
_MAGIC = b"TTHC"
_HEAD = struct.Struct("<4sHHIiiqqII")
_ROW_BYTES = 21
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


@dataclass(frozen=True, slots=True)
class _Columns:
    series_id: npt.NDArray[np.int32]
    time_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint8]


class History:
    """A directory of chunk files. One thread adds; reading while another adds sees whole chunks."""

    def __init__(self, directory: Path, limits: HistoryLimits | None = None) -> None:
        """Open or make the directory. Raises StoreError."""
        self.directory = directory
        self._limits = limits or HistoryLimits()
        self._waiting: list[SampleBatch] = []
        self._waiting_rows = 0
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
        chunk = _encode(_merged(batches))
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
        found: list[_Columns] = []
        try:
            for path in self._paths():
                for columns in _chunks(path.read_bytes(), series_id, start_ns, end_ns):
                    found.append(_rows_of(columns, series_id, start_ns, end_ns))
        except OSError as error:
            raise StoreError(f"{self.directory}: history can't be read: {error}") from error
        for batch in list(self._waiting):
            columns = _Columns(batch.series_id, batch.time_ns, batch.value, batch.flags)
            found.append(_rows_of(columns, series_id, start_ns, end_ns))
        return _in_order(found)

    @property
    def size_bytes(self) -> int:
        """Return what the files take."""
        return sum(path.stat().st_size for path in self._paths())

    def close(self) -> None:
        """Write what has gathered."""
        self.flush()

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
            paths.pop(0).unlink(missing_ok=True)
            sizes.pop(0)


def _index_of(path: Path) -> int:
    return int(path.name[len(_PREFIX) : -len(_SUFFIX)])


def _merged(batches: list[SampleBatch]) -> _Columns:
    series_id = np.concatenate([batch.series_id for batch in batches])
    time_ns = np.concatenate([batch.time_ns for batch in batches])
    order = np.lexsort((time_ns, series_id))
    value = np.concatenate([batch.value for batch in batches])
    flags = np.concatenate([batch.flags for batch in batches])
    return _Columns(series_id[order], time_ns[order], value[order], flags[order])


def _encode(columns: _Columns) -> bytes:
    plain = b"".join(
        (
            columns.series_id.astype("<i4").tobytes(),
            columns.time_ns.astype("<i8").tobytes(),
            columns.value.astype("<f8").tobytes(),
            columns.flags.tobytes(),
        )
    )
    packed = bytes(cramjam.lz4.compress_block(plain))
    head = _HEAD.pack(
        _MAGIC, HISTORY_FORMAT, 0, len(columns.series_id),
        int(columns.series_id[0]), int(columns.series_id[-1]),
        int(columns.time_ns.min()), int(columns.time_ns.max()), len(packed), zlib.crc32(packed),
    )  # fmt: skip
    return head + packed


def _chunks(data: bytes, series_id: int, start_ns: int, end_ns: int) -> Iterator[_Columns]:
    """Yield the chunks of a file that may hold such rows, up to where it is cut off or damaged."""
    offset = 0
    while offset + _HEAD.size <= len(data):
        head = _HEAD.unpack_from(data, offset)
        magic, format_, _, rows, series_min, series_max, time_min, time_max, length, crc = head
        start = offset + _HEAD.size
        offset = start + length
        if magic != _MAGIC or format_ != HISTORY_FORMAT or offset > len(data):
            return
        if not (
            series_min <= series_id <= series_max and time_min < end_ns and start_ns <= time_max
        ):
            continue
        packed = data[start:offset]
        if zlib.crc32(packed) != crc:
            continue
        yield _decode(bytes(cramjam.lz4.decompress_block(packed)), rows)


def _decode(plain: bytes, rows: int) -> _Columns:
    if len(plain) != rows * _ROW_BYTES:
        raise StoreError("a chunk of the history has another length than its head says")
    return _Columns(
        np.frombuffer(plain, "<i4", rows, 0),
        np.frombuffer(plain, "<i8", rows, rows * 4),
        np.frombuffer(plain, "<f8", rows, rows * 12),
        np.frombuffer(plain, "u1", rows, rows * 20),
    )


def _rows_of(columns: _Columns, series_id: int, start_ns: int, end_ns: int) -> _Columns:
    wanted = (
        (columns.series_id == series_id)
        & (columns.time_ns >= start_ns)
        & (columns.time_ns < end_ns)
    )
    return _Columns(
        columns.series_id[wanted],
        columns.time_ns[wanted],
        columns.value[wanted],
        columns.flags[wanted],
    )


def _in_order(found: list[_Columns]) -> SeriesHistory:
    if not found:
        empty = np.empty(0)
        return SeriesHistory(empty.astype(np.int64), empty, empty.astype(np.uint8))
    time_ns = np.concatenate([columns.time_ns for columns in found])
    order = np.argsort(time_ns, kind="stable")
    ordered = time_ns[order]
    last = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.empty(0, np.bool_)
    kept = order[last]
    return SeriesHistory(
        time_ns[kept],
        np.concatenate([columns.value for columns in found])[kept],
        np.concatenate([columns.flags for columns in found])[kept],
    )
