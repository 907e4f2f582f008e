"""The compiled walk gives what the general decoder gives, refuses the rest, and looks at nothing but the message."""

import struct
from typing import Any

import cramjam
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collectors import remote_write
from collectors.label_book import LabelBook
from collectors.push import MalformedRequest, RequestTooLarge
from collectors.remote_write import RemoteWriteCollector
from collectors.write_request import decode
from collectors.write_walk import _walk, walk
from trimtab.compiled import COMPILED, compiled_allowed, main

NOW_MS = 1_700_000_000_000
SAMPLES_MAX = 50
common = settings(
    max_examples=150, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def block(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def label(name: str, value: str) -> bytes:
    return block(1, block(1, name.encode()) + block(2, value.encode()))


def sample(value: float | None, time_ms: int) -> bytes:
    head = b"" if value is None else b"\x09" + struct.pack("<d", value)
    return block(2, head + b"\x10" + varint(time_ms))


NAMES = st.sampled_from(["a", "b", "cc", "x" * 130])
LABELS = st.lists(st.builds(label, st.just("__name__") | NAMES, NAMES), max_size=3).map(b"".join)
TIMES = st.sampled_from([1, 127, 128, NOW_MS, NOW_MS + 1, 2**43, 2**62]) | st.just(0)
SAMPLES = st.lists(
    st.builds(sample, st.none() | st.floats(allow_nan=False), TIMES), max_size=4
).map(b"".join)
ODD = st.sampled_from(
    [b"", b"", b"", block(3, b"zz"), block(4, b""), b"\x48\x01", b"\x3d\x00\x00\x00\x00", b"\x0b",
     b"\x00", b"\x12", b"\xff" * 11, b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", label("z", "late")]
)  # fmt: skip
SERIES = st.builds(
    lambda labels, samples, odd: block(1, labels + samples + odd), LABELS, SAMPLES, ODD
)
MESSAGES = st.lists(SERIES | ODD, max_size=6).map(b"".join)


def rows_of(message: bytes) -> list[tuple[bytes, int, bytes]] | None:
    """What the general decoder says; None when it refuses."""
    try:
        found = decode(message, SAMPLES_MAX)
    except (MalformedRequest, RequestTooLarge):
        return None
    return [
        (found.keys[key], time_ns // 1_000_000, struct.pack("<d", value))
        for key, time_ns, value in zip(
            found.key.tolist(), found.time_ns.tolist(), found.value.tolist(), strict=True
        )
    ]


def walked_rows(message: bytes, book: LabelBook) -> list[tuple[bytes, int, bytes]] | None:
    found = walk(message, book, SAMPLES_MAX)
    if not found.ok:
        return None
    keys = [
        found.unknown[-1 - entry]
        if entry < 0
        else bytes(book.arena[book.start[entry] : book.start[entry] + book.length[entry]])
        for entry in found.entry.tolist()
    ]
    for key in dict.fromkeys(found.unknown):
        book.enter(key, 0)
    raw = [int(bits).to_bytes(8, "little") for bits in found.bits.tolist()]
    return list(zip(keys, found.time_ms.tolist(), raw, strict=True))


@common
@given(st.lists(MESSAGES, max_size=4))
@example([block(1, label("a", "b") + sample(None, NOW_MS))] * 3)
def test_what_it_accepts_it_reads_as_the_general_decoder_does(messages: list[bytes]) -> None:
    book = LabelBook()
    for message in messages * 2:  # the second time all is known
        found = walked_rows(message, book)
        if found is not None:
            assert found == rows_of(message)


@common
@given(st.lists(st.tuples(LABELS, SAMPLES), min_size=1, max_size=5))
def test_the_plain_shape_is_never_left_to_the_general_decoder(
    series: list[tuple[bytes, bytes]],
) -> None:
    message = b"".join(block(1, labels + samples) for labels, samples in series)
    expected = rows_of(message)
    assert walked_rows(message, LabelBook()) == expected


@common
@given(MESSAGES, st.integers(0, 400), st.binary(max_size=3))
def test_a_mutilated_message_is_read_alike_or_refused(message: bytes, at: int, junk: bytes) -> None:
    at = min(at, len(message))
    for broken in (message[:at], message[:at] + junk + message[at + len(junk) :]):
        found = walked_rows(broken, LabelBook())
        assert found is None or found == rows_of(broken)


@common
@given(MESSAGES, st.integers(0, 200), st.binary(min_size=24, max_size=24))
def test_nothing_behind_the_end_of_a_message_matters(
    message: bytes, cut: int, behind: bytes
) -> None:
    """The same bytes within a larger buffer: whatever stands behind them must not change what is read."""
    cut_off = message[: max(0, len(message) - cut)]
    outcomes = []
    for tail in (b"\x00" * 24, b"\xff" * 24, behind):
        book = LabelBook()
        whole = np.frombuffer(cut_off + tail, dtype=np.uint8)
        data = whole[: len(cut_off)]
        entry, time_ms = np.zeros(51, np.int64), np.zeros(51, np.int64)
        bits, spans = np.zeros(51, np.uint64), np.zeros((51, 2), np.int64)
        result = _walk(
            data, data.ctypes.data, book.arena.ctypes.data, book.start, book.length, book.hash,
            book.table, book.follower, np.uint64(1), -1, entry, time_ms, bits, spans,
        )  # fmt: skip
        outcomes.append((result, entry.tolist(), time_ms.tolist(), bits.tolist(), spans.tolist()))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_series_whose_hashes_are_equal_are_told_apart() -> None:
    book = LabelBook()
    keys = [label("__name__", f"n{number}") for number in range(9)]
    for number, key in enumerate(keys):
        book.enter(key, 100 + number)
    book.hash[:9] = book.hash[
        8
    ]  # as if all had the hash of the last one, and stood in each other's way
    book.table[:] = 0
    for entry in range(9):
        book._place(entry, int(book.hash[entry]))
    found = walk(block(1, keys[8] + sample(1.0, NOW_MS)), book, SAMPLES_MAX)
    assert book.code[found.entry].tolist() == [108]


def test_a_guess_is_never_trusted() -> None:
    book = LabelBook()
    one, two, other = (label("__name__", name) for name in ("one", "two", "six"))
    for number, key in enumerate((one, two, other)):
        book.enter(key, number)
    message = b"".join(block(1, key + sample(1.0, NOW_MS)) for key in (one, two))
    walk(message, book, SAMPLES_MAX)
    swapped = b"".join(block(1, key + sample(1.0, NOW_MS)) for key in (one, other))
    assert book.code[walk(swapped, book, SAMPLES_MAX).entry].tolist() == [0, 2]


def test_the_book_grows_and_still_finds_everything() -> None:
    book = LabelBook()
    keys = [
        label("__name__", f"series_{number}") + label("pad", "x" * 90) for number in range(3_000)
    ]
    for number, key in enumerate(keys):
        book.enter(key, number)
    message = b"".join(block(1, key + sample(1.0, NOW_MS)) for key in keys)
    assert book.code[walk(message, book, 10_000).entry].tolist() == list(range(3_000))
    assert len(book) == 3_000
    assert not book.full


@pytest.mark.parametrize("compiled", ["yes", "no"])
def test_a_receiver_gives_the_same_readings_with_and_without_compiled_code(
    journal: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, compiled: str
) -> None:
    monkeypatch.setenv("TRIMTAB_COMPILED", compiled)
    monkeypatch.setattr(remote_write, "WALK_BYTES_MIN", 0)
    collector = RemoteWriteCollector("test", RemoteWriteCollector.Config(), journal, clock)
    message = b"".join(
        block(1, label("__name__", f"m{number % 7}") + sample(float(number), NOW_MS + number))
        for number in range(40)
    ) + block(1, label("__name__", "bad") + sample(float("nan"), NOW_MS) + block(4, b""))
    body = bytes(cramjam.snappy.compress_raw(message))
    first, second = (collector._reading_of(collector._decode(body)) for _ in range(2))
    assert first.batch is not None
    assert first.batch == second.batch
    names = [series.name for series in journal.known]
    assert [names[row] for row in first.batch.series_id.tolist()] == [
        f"m{number % 7}" for number in range(40)
    ]
    assert first.batch.value.tolist() == [float(number) for number in range(40)]
    assert dict(first.refused) == {"histogram": 1, "nan": 1}


def test_compiled_code_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled_allowed()
    monkeypatch.setenv("TRIMTAB_COMPILED", "no")
    assert not compiled_allowed()
    assert main() == 0


def test_every_module_of_compiled_functions_can_be_warmed() -> None:
    assert "collectors.write_walk" in COMPILED
    assert main() == 0
