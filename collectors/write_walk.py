"""The compiled walk over a remote-write message: the plain shape that senders write, in one pass, every bound checked.

Plain is: each time series begins with its labels, without a gap. Whatever is not plain, or not right, ends the walk
(`ok` False), and the general decoder of `write_request` takes the message instead: it says what is wrong, or copes.
So this code never has to explain an error, and on what it accepts both give the same rows.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types

from collectors.label_book import LabelBook
from collectors.protobuf import BYTES, FIXED32, FIXED64, VARINT, VARINT_BYTES_MAX
from collectors.write_request import TIME_MS_MAX

_compiled = njit(cache=True, nogil=True)
_memcmp: Any = types.ExternalFunction("memcmp", types.int32(types.uintp, types.uintp, types.uintp))
_SAMPLE_BYTES_MIN = 4
_SERIES_BYTES_MIN = 2
_PLAIN_BYTES = 18
_LABEL = 0x0A
_BAD = -1


class Walked(NamedTuple):
    """The rows of a message in order: `entry` of the book, or, below 0, -1 less the place in `unknown`.

    entry int64, time_ms int64, bits uint64 (of the double). `series` counts time series, with samples or without.
    """

    ok: bool
    entry: npt.NDArray[np.int64]
    time_ms: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint64]
    unknown: list[bytes]
    histograms: int


def walk(message: bytes, book: LabelBook, samples_max: int) -> Walked:
    """Walk a whole message; `book` is only read, but for what follows what in it."""
    rows_max = min(samples_max, len(message) // _SAMPLE_BYTES_MIN) + 1
    series_max = min(samples_max, len(message) // _SERIES_BYTES_MIN) + 1
    entry = np.empty(rows_max, dtype=np.int64)
    time_ms = np.empty(rows_max, dtype=np.int64)
    bits = np.empty(rows_max, dtype=np.uint64)
    spans = np.empty((series_max, 2), dtype=np.int64)
    data = np.frombuffer(message, dtype=np.uint8)
    ok, rows, unknown, histograms, book.cursor = _walk(
        data, data.ctypes.data, book.arena.ctypes.data, book.start, book.length, book.hash,
        book.table, book.follower, book.seed, book.cursor, entry, time_ms, bits, spans,
    )  # fmt: skip
    keys = [message[start:end] for start, end in spans[:unknown].tolist()] if ok else []
    return Walked(bool(ok), entry[:rows], time_ms[:rows], bits[:rows], keys, histograms)


@_compiled
def hash_of(data: Any, start: Any, length: Any, seed: Any) -> Any:
    """Return a keyed 64-bit hash of some bytes (multiply and xor-shift by byte, well mixed at the end)."""
    found = seed ^ np.uint64(length)
    for offset in range(length):
        found = (found ^ np.uint64(data[start + offset])) * np.uint64(0x9FB21C651E98DF25)
        found ^= found >> np.uint64(29)
    found ^= found >> np.uint64(35)
    found *= np.uint64(0xD6E8FEB86659FD93)
    return found ^ (found >> np.uint64(32))


@_compiled
def _varint(data: Any, position: Any, end: Any) -> Any:
    """Return a varint and the offset after it, `_BAD` when it has no end within the bounds or 64 bits."""
    value = np.uint64(0)
    for offset in range(VARINT_BYTES_MAX):
        at = position + offset
        if at >= end:
            return value, _BAD
        byte = np.uint64(data[at])
        value |= (byte & np.uint64(0x7F)) << np.uint64(7 * offset)
        if byte < 0x80:
            if offset == VARINT_BYTES_MAX - 1 and byte > 1:
                return value, _BAD
            return value, at + 1
    return value, _BAD


@_compiled
def _after(data: Any, kind: Any, position: Any, end: Any) -> Any:
    """Return where a field's content begins and ends, `_BAD` twice when it does not lie within the bounds."""
    if kind == BYTES:
        length, inner = _varint(data, position, end)
        if inner == _BAD or length > np.uint64(end - inner):
            return _BAD, _BAD
        return inner, inner + np.int64(length)
    if kind == VARINT:
        _, after = _varint(data, position, end)
        return (position, after) if after != _BAD else (_BAD, _BAD)
    size = 8 if kind == FIXED64 else 4 if kind == FIXED32 else 0
    if size == 0 or size > end - position:
        return _BAD, _BAD
    return position, position + size


@_compiled
def _same(one: Any, other: Any, length: Any) -> Any:
    """Compare bytes at two addresses; the callers have checked that both ranges lie within their arrays."""
    return _memcmp(np.uintp(one), np.uintp(other), np.uintp(length)) == 0


@_compiled
def _guess(
    data: Any, data_at: Any, begin: Any, end: Any, arena_at: Any, start: Any, length: Any, follower: Any,
    cursor: Any,
) -> Any:  # fmt: skip
    """Return the entry that came next the last time if a series has its very labels and no others, or `_BAD`."""
    guess = follower[cursor] if cursor >= 0 else _BAD
    if guess < 0:
        return _BAD
    after = begin + length[guess]
    if after > end or (after < end and data[after] == _LABEL):
        return _BAD
    return guess if _same(data_at + begin, arena_at + start[guess], length[guess]) else _BAD


@_compiled
def _find(
    data: Any, data_at: Any, begin: Any, size: Any, arena_at: Any, start: Any, length: Any, hashes: Any,
    table: Any, seed: Any,
) -> Any:  # fmt: skip
    """Return the entry whose bytes these are, `_BAD` when there is none."""
    wanted = hash_of(data, begin, size, seed)
    mask = len(table) - 1
    at = np.int64(wanted & np.uint64(mask))
    while table[at] != 0:
        entry = table[at] - 1
        if (
            hashes[entry] == wanted
            and length[entry] == size
            and _same(data_at + begin, arena_at + start[entry], size)
        ):
            return entry
        at = (at + 1) & mask
    return _BAD


@_compiled
def _double(data: Any, at: Any) -> Any:
    found = np.uint64(0)
    for offset in range(8):
        found |= np.uint64(data[at + offset]) << np.uint64(8 * offset)
    return found


@_compiled
def _sample(data: Any, position: Any, end: Any) -> Any:
    """Return (ok, bits of the value, time in ms) of a sample message."""
    bits, time_ms = np.uint64(0), np.uint64(0)
    while position < end:
        tag, position = _varint(data, position, end)
        if position == _BAD or tag >> np.uint64(3) == 0:
            return False, bits, np.int64(0)
        number, kind = tag >> np.uint64(3), np.int64(tag & np.uint64(7))
        inner, after = _after(data, kind, position, end)
        if after == _BAD:
            return False, bits, np.int64(0)
        if number == 1:
            if kind != FIXED64:
                return False, bits, np.int64(0)
            bits = _double(data, inner)
        elif number == 2:
            if kind != VARINT:
                return False, bits, np.int64(0)
            time_ms, _ = _varint(data, inner, after)
        position = after
    right = np.uint64(0) < time_ms <= np.uint64(TIME_MS_MAX)
    return right, bits, np.int64(time_ms)


@_compiled
def _labels_end(data: Any, position: Any, end: Any) -> Any:
    """Return where the labels end that a series begins with, `_BAD` when one reaches beyond the series."""
    while position < end and data[position] == _LABEL:
        if position + 1 < end and data[position + 1] < 0x80:
            position += 2 + np.int64(data[position + 1])
            if position > end:
                return _BAD
        else:
            _, position = _after(data, BYTES, position + 1, end)
            if position == _BAD:
                return _BAD
    return position


@_compiled
def _plain_time(data: Any, at: Any, end: Any) -> Any:
    """Return the time in ms of a sample of 16 bytes (a double, then a time of six varint bytes), `_BAD` for others."""
    if at + _PLAIN_BYTES > end or data[at + 1] != 16 or data[at + 2] != 0x09:
        return _BAD
    if data[at + 11] != 0x10 or data[at + 17] >= 0x80:
        return _BAD
    found = np.int64(data[at + 17]) << 35
    for offset in range(5):
        byte = np.int64(data[at + 12 + offset])
        if byte < 0x80:
            return _BAD
        found |= (byte & 0x7F) << (7 * offset)
    return found if found > 0 else _BAD


@_compiled
def _samples(
    data: Any, at: Any, end: Any, number_of: Any, rows: Any, entry: Any, time_ms: Any, bits: Any
) -> Any:
    """Read what follows a series' labels; return (ok, rows so far, histograms in it)."""
    rows_max, histograms = len(entry) - 1, 0
    while at < end:
        plain_ms = _plain_time(data, at, end) if data[at] == 0x12 and rows < rows_max else _BAD
        if plain_ms != _BAD:
            entry[rows], time_ms[rows], bits[rows] = number_of, plain_ms, _double(data, at + 3)
            rows += 1
            at += _PLAIN_BYTES
            continue
        tag, at = _varint(data, at, end)
        number, kind = tag >> np.uint64(3), np.int64(tag & np.uint64(7))
        if at == _BAD or number <= 1:  # a label behind a sample is not plain
            return False, rows, histograms
        inner, after = _after(data, kind, at, end)
        if after == _BAD or ((number == 2 or number == 4) and kind != BYTES):
            return False, rows, histograms
        if number == 2:
            right, raw, stamp = _sample(data, inner, after)
            if not right or rows >= rows_max:
                return False, rows, histograms
            entry[rows], time_ms[rows], bits[rows] = number_of, stamp, raw
            rows += 1
        elif number == 4:
            histograms += 1
        at = after
    return True, rows, histograms


@_compiled
def _walk(
    data: Any, data_at: Any, arena_at: Any, start: Any, length: Any, hashes: Any, table: Any,
    follower: Any, seed: Any, cursor: Any, entry: Any, time_ms: Any, bits: Any, spans: Any,
) -> Any:  # fmt: skip
    end, series_max = len(data), len(spans) - 1
    position, rows, unknown, series, histograms = 0, 0, 0, 0, 0
    while position < end:
        tag, position = _varint(data, position, end)
        kind = np.int64(tag & np.uint64(7))
        if position == _BAD or tag >> np.uint64(3) == 0:
            return False, 0, 0, 0, cursor
        begin, after = _after(data, kind, position, end)
        if after == _BAD:
            return False, 0, 0, 0, cursor
        position = after
        if tag >> np.uint64(3) != 1:
            continue
        series += 1
        if kind != BYTES or series > series_max:
            return False, 0, 0, 0, cursor
        found = _guess(data, data_at, begin, after, arena_at, start, length, follower, cursor)
        if found != _BAD:
            labels_end = begin + length[found]
        else:
            labels_end = _labels_end(data, begin, after)
            if labels_end == _BAD:
                return False, 0, 0, 0, cursor
            found = _find(
                data, data_at, begin, labels_end - begin, arena_at, start, length, hashes, table, seed
            )  # fmt: skip
            if cursor >= 0 and found != _BAD:
                follower[cursor] = found
        cursor = found
        if found == _BAD:
            spans[unknown, 0], spans[unknown, 1] = begin, labels_end
            unknown += 1
            found = -unknown
        ok, rows, more = _samples(data, labels_end, after, found, rows, entry, time_ms, bits)
        if not ok:
            return False, 0, 0, 0, cursor
        histograms += more
    return True, rows, unknown, histograms, cursor


def warm() -> None:
    """Compile, so that the first real request need not wait."""
    book = LabelBook()
    message = bytes([0x0A, 11, 0x0A, 0, 0x12, 7, 0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 1])
    walked = walk(message, book, 10)
    book.enter(walked.unknown[0], 0)
    walk(message, book, 10)
