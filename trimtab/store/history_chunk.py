"""One chunk of the sample history as bytes: rows sorted by (series, time), each column packed for what it is.

    "TTHC" | format u16 | flags u16 | rows u32 | series_min i32 | series_max i32 | time_min i64 | time_max i64
    | packed length u32 | CRC-32 u32 of the packed columns | the columns

Format 1 packs int32, int64, float64, uint8 columns together with LZ4. Format 2 packs each by itself:

    unit u8 | shape u8 | lengths u32 of all parts that follow, zstd each
    directory: the series that occur (deltas of int64), then how many rows each has (int64)
    flags: absent when all are zero
    a part for each BLOCK_ROWS times: divided by `unit`, delta of delta
    a part for each BLOCK_ROWS values: by `shape`

Integers are zigzag-coded, and all columns of eight bytes laid out by significance (all lowest bytes first, ...), as
what varies little then lies together. A value column of shape 0 to 3 holds value * 10**shape as integers, 4 to 7 the
deltas of such integers, 8 the floats themselves, 9 each float's bits XOR those before; whichever is smallest for
some rows of the chunk and gives every bit back.
"""

import struct
import zlib
from dataclasses import dataclass
from itertools import accumulate

import cramjam
import numpy as np
import numpy.typing as npt

from trimtab.errors import StoreError

HISTORY_FORMAT = 2
MAGIC = b"TTHC"
HEAD = struct.Struct("<4sHHIiiqqII")
_SHAPES = struct.Struct("<BB")
BLOCK_ROWS = 4_096  # whoever asks for one series unpacks so many rows, not the whole chunk
_ROW_BYTES_1 = 21
_LEVEL = 1
_TRIED_ROWS = 4_096
_SCALES = 4
_DELTA, _FLOAT, _XOR = 4, 8, 9
_EXACT_MAX = 2.0**53
_UNITS_NS = (1, 1_000, 1_000_000, 1_000_000_000)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HistoryRows:
    """Rows of the history: series_id int32, time_ns int64, value float64, flags uint8."""

    series_id: npt.NDArray[np.int32]
    time_ns: Ints
    value: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.series_id)

    def between(self, series_id: int, start_ns: int, end_ns: int) -> "HistoryRows":
        """Return the rows of a series with start_ns <= time < end_ns."""
        wanted = (
            (self.series_id == series_id) & (self.time_ns >= start_ns) & (self.time_ns < end_ns)
        )
        return HistoryRows(
            self.series_id[wanted], self.time_ns[wanted], self.value[wanted], self.flags[wanted]
        )

    def in_order(self) -> "HistoryRows":
        """Return the rows by (series, time); rows that are equal in both stay in order of arrival."""
        span = int(self.series_id.max()) - int(self.series_id.min()) if len(self) else 0
        # numpy sorts 16 bits by radix, in linear time.
        key = self.series_id - self.series_id.min() if 0 < span < 65_536 else self.series_id
        order = np.argsort(key.astype(np.uint16) if span < 65_536 else key, kind="stable")
        series, time = self.series_id[order], self.time_ns[order]
        if ((time[1:] < time[:-1]) & (series[1:] == series[:-1])).any():
            order = np.lexsort((self.time_ns, self.series_id))
            series, time = self.series_id[order], self.time_ns[order]
        return HistoryRows(series, time, self.value[order], self.flags[order])


@dataclass(frozen=True, slots=True)
class ChunkHead:
    """What a chunk says of itself before its columns; they lie at [start, end) of the file."""

    format: int
    rows: int
    series_min: int
    series_max: int
    time_min: int
    time_max: int
    crc: int
    start: int
    end: int

    def may_hold(self, series_id: int, start_ns: int, end_ns: int) -> bool:
        """Return whether rows of the series within the span may be in it."""
        return (
            self.series_min <= series_id <= self.series_max
            and self.time_min < end_ns
            and start_ns <= self.time_max
        )


def parse_head(data: bytes, offset: int, size: int) -> ChunkHead | None:
    """Return the head that stands at `offset` of a file of `size` bytes; None where it is cut off or damaged."""
    if len(data) < HEAD.size:
        return None
    magic, format_, _, rows, series_min, series_max, time_min, time_max, length, crc = HEAD.unpack(
        data
    )
    start = offset + HEAD.size
    if magic != MAGIC or not 1 <= format_ <= HISTORY_FORMAT or start + length > size:
        return None
    return ChunkHead(
        format_, rows, series_min, series_max, time_min, time_max, crc, start, start + length
    )


def encode_chunk(rows: HistoryRows) -> bytes:
    """Return a chunk's bytes; the rows must be sorted, and there must be some."""
    packed = _pack(rows)
    head = HEAD.pack(
        MAGIC, HISTORY_FORMAT, 0, len(rows), int(rows.series_id[0]), int(rows.series_id[-1]),
        int(rows.time_ns.min()), int(rows.time_ns.max()), len(packed), zlib.crc32(packed),
    )  # fmt: skip
    return head + packed


def decode_chunk(head: ChunkHead, packed: bytes, series_id: int) -> HistoryRows | None:
    """Return the rows of a series; None when the bytes are not those that were written. Raises StoreError."""
    if zlib.crc32(packed) != head.crc:
        return None
    try:
        if head.format == 1:
            return _unpack_1(bytes(cramjam.lz4.decompress_block(packed)), head.rows)
        return _unpack(packed, head.rows, series_id)
    except (struct.error, ValueError, cramjam.DecompressionError) as error:
        raise StoreError(f"a chunk of the history makes no sense: {error}") from error


def _unpack_1(plain: bytes, rows: int) -> HistoryRows:
    if len(plain) != rows * _ROW_BYTES_1:
        raise ValueError("another length than its head says")
    return HistoryRows(
        np.frombuffer(plain, "<i4", rows, 0),
        np.frombuffer(plain, "<i8", rows, rows * 4),
        np.frombuffer(plain, "<f8", rows, rows * 12),
        np.frombuffer(plain, "u1", rows, rows * 20),
    )


def _pack(rows: HistoryRows) -> bytes:
    series = rows.series_id
    first = np.flatnonzero(np.append(True, series[1:] != series[:-1]))
    counts = np.diff(np.append(first, len(series)))
    directory = _planes(np.concatenate([_zigzag(_delta(series[first])), counts]))
    unit, shape = _unit_of(rows.time_ns), _shape_of(rows.value)
    time = rows.time_ns if unit == 0 else rows.time_ns // _UNITS_NS[unit]
    blocks = range(0, len(series), BLOCK_ROWS)
    parts = [
        _squeeze(directory),
        _squeeze(rows.flags.tobytes()) if rows.flags.any() else b"",
        *(_squeeze(_planes(_zigzag(_delta(_delta(time[at : at + BLOCK_ROWS]))))) for at in blocks),
        *(_squeeze(_planes(_shaped(rows.value[at : at + BLOCK_ROWS], shape))) for at in blocks),
    ]
    lengths = struct.pack(f"<{len(parts)}I", *map(len, parts))
    return b"".join((_SHAPES.pack(unit, shape), lengths, *parts))


def _unpack(packed: bytes, rows: int, series_id: int) -> HistoryRows:
    unit, shape = _SHAPES.unpack_from(packed)
    blocks = -(-rows // BLOCK_ROWS)
    lengths = struct.unpack_from(f"<{2 + 2 * blocks}I", packed, _SHAPES.size)
    ends = list(accumulate(lengths, initial=_SHAPES.size + 4 * len(lengths)))
    if ends[-1] != len(packed):
        raise ValueError("another length than its head says")
    begin, end = _place_of(packed[ends[0] : ends[1]], series_id)
    if not 0 <= begin <= end <= rows:
        raise ValueError("more rows than its head says")
    touched = range(begin // BLOCK_ROWS, -(-end // BLOCK_ROWS)) if end > begin else range(0)
    times: list[Ints] = [np.empty(0, np.int64)]
    values: list[npt.NDArray[np.float64]] = [np.empty(0)]
    for block in touched:
        size = min(BLOCK_ROWS, rows - block * BLOCK_ROWS)
        low, high = max(0, begin - block * BLOCK_ROWS), min(size, end - block * BLOCK_ROWS)
        time = packed[ends[2 + block] : ends[3 + block]]
        value = packed[ends[2 + blocks + block] : ends[3 + blocks + block]]
        times.append(np.cumsum(np.cumsum(_unzigzag(_column(time, size)[:high])))[low:])
        values.append(_unshaped(_column(value, size)[:high], shape)[low:])
    flags = packed[ends[1] : ends[2]]
    flag = np.frombuffer(bytes(cramjam.zstd.decompress(flags)), np.uint8) if flags else None
    return HistoryRows(
        np.full(end - begin, series_id, np.int32),
        np.concatenate(times) * _UNITS_NS[unit],
        np.concatenate(values),
        np.zeros(end - begin, np.uint8) if flag is None else flag[begin:end],
    )


def _place_of(directory: bytes, series_id: int) -> tuple[int, int]:
    """Return which rows are those of a series, (0, 0) when there are none."""
    plain = bytes(cramjam.zstd.decompress(directory))
    numbers = _whole(plain, len(plain) // 8)
    size = len(numbers) // 2
    series = np.cumsum(_unzigzag(numbers[:size]))
    found = int(np.searchsorted(series, series_id))
    if found >= size or series[found] != series_id:
        return 0, 0
    begin = int(numbers[size : size + found].sum())
    return begin, begin + int(numbers[size + found])


def _unit_of(time_ns: Ints) -> int:
    """Return the index of the largest unit of which all times are multiples."""
    unit = 0
    while unit + 1 < len(_UNITS_NS) and not (time_ns % _UNITS_NS[unit + 1]).any():
        unit += 1
    return unit


def _shape_of(value: npt.NDArray[np.float64]) -> int:
    """Return the shape that packs some rows in the middle best, among those that lose no bit of any row."""
    middle = max(0, (len(value) - _TRIED_ROWS) // 2)
    tried = value[middle : middle + _TRIED_ROWS]
    shapes = [_FLOAT, _XOR]
    scale = next((scale for scale in range(_SCALES) if _is_exact(tried, scale)), None)
    if scale is not None and _is_exact(value, scale):
        shapes = [scale, _DELTA + scale, *shapes]
    return min(shapes, key=lambda shape: len(_squeeze(_planes(_shaped(tried, shape)))))


def _is_exact(value: npt.NDArray[np.float64], scale: int) -> bool:
    """Return whether the values come back from integers at this scale, to the bit."""
    if not (np.abs(value) < _EXACT_MAX / 10.0**scale).all():
        return False
    back = np.rint(value * 10.0**scale).astype(np.int64) / 10.0**scale
    return bool((back.view(np.int64) == value.view(np.int64)).all())


def _shaped(value: npt.NDArray[np.float64], shape: int) -> Ints:
    if shape == _FLOAT:
        return value.view(np.int64)
    if shape == _XOR:
        bits = value.view(np.int64)
        mixed = bits.copy()
        mixed[1:] ^= bits[:-1]
        return mixed
    whole = np.rint(value * 10.0 ** (shape % _DELTA)).astype(np.int64)
    return _zigzag(_delta(whole) if shape >= _DELTA else whole)


def _unshaped(numbers: Ints, shape: int) -> npt.NDArray[np.float64]:
    if shape == _FLOAT:
        return numbers.view(np.float64)
    if shape == _XOR:
        return np.bitwise_xor.accumulate(numbers).view(np.float64)
    if not 0 <= shape < _FLOAT:
        raise ValueError(f"no column has the shape {shape}")
    whole = _unzigzag(numbers)
    if shape >= _DELTA:
        whole = np.cumsum(whole)
    value: npt.NDArray[np.float64] = whole / 10.0 ** (shape % _DELTA)
    return value


def _delta(numbers: npt.NDArray[np.int32] | Ints) -> Ints:
    """Return each number less the one before, the first as it is; wraps around as int64 does."""
    changed = numbers.astype(np.int64)
    changed[1:] -= numbers[:-1]
    return changed


def _zigzag(numbers: Ints) -> Ints:
    mixed: Ints = (numbers << 1) ^ (numbers >> 63)
    return mixed


def _unzigzag(mixed: Ints) -> Ints:
    numbers: Ints = (mixed >> 1 & 0x7FFF_FFFF_FFFF_FFFF) ^ -(mixed & 1)
    return numbers


def _planes(numbers: Ints) -> bytes:
    """Return the bytes of a column by significance."""
    return numbers.astype("<i8", copy=False).view(np.uint8).reshape(-1, 8).T.tobytes()


def _whole(planes: bytes, rows: int) -> Ints:
    if len(planes) != rows * 8:
        raise ValueError("another length than its head says")
    laid = np.frombuffer(planes, np.uint8).reshape(8, rows)
    return np.ascontiguousarray(laid.T).view("<i8").reshape(rows)


def _column(packed: bytes, rows: int) -> Ints:
    return _whole(bytes(cramjam.zstd.decompress(packed, output_len=rows * 8)), rows)


def _squeeze(plain: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(plain, level=_LEVEL))
