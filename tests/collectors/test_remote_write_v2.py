"""Remote-write 2.0: labels by a table of symbols, partial writes, and how much was written."""

import asyncio
import struct
from typing import Any

import cramjam
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.push import MalformedRequest, RequestTooLarge
from collectors.remote_write import RemoteWriteCollector
from collectors.write_request_v2 import decode, labels_of

pytestmark = pytest.mark.anyio
NOW_MS = 1_700_000_000_000
STALE = struct.pack("<Q", 0x7FF0000000000002)
TWO = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
WRITTEN = "x-prometheus-remote-write-samples-written"
Samples = list[tuple[float | bytes, int]]


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def block(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def sample(value: float | bytes, time_ms: int, extra: bytes = b"") -> bytes:
    raw = value if isinstance(value, bytes) else struct.pack("<d", value)
    return block(2, b"\x09" + raw + b"\x10" + varint(time_ms) + extra)


class Table:
    """Encode series of one request, independently of the decoder."""

    def __init__(self, *first: str) -> None:
        self.symbols = ["", *first]
        self.series = b""

    def ref(self, text: str) -> int:
        if text not in self.symbols:
            self.symbols.append(text)
        return self.symbols.index(text)

    def add(self, labels: dict[str, str], samples: Samples, extra: bytes = b"") -> "Table":
        refs = [self.ref(text) for pair in labels.items() for text in pair]
        return self.raw(
            block(1, b"".join(map(varint, refs)))
            + b"".join(sample(*each) for each in samples)
            + extra
        )

    def raw(self, series: bytes) -> "Table":
        self.series += block(5, series)
        return self

    def message(self) -> bytes:
        return b"".join(block(4, text.encode()) for text in self.symbols) + self.series


def receiver(journal: Any, clock: Any, **config: Any) -> RemoteWriteCollector:
    return RemoteWriteCollector("test", RemoteWriteCollector.Config(**config), journal, clock)


async def push(
    collector: RemoteWriteCollector, message: bytes, content_type: str = TWO
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=collector.asgi)  # type: ignore[arg-type]
    headers = {"content-encoding": "snappy", "content-type": content_type}
    body = bytes(cramjam.snappy.compress_raw(message))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post("/api/v1/write", content=body, headers=headers)


async def test_both_versions_of_a_series_are_one(journal, clock, running) -> None:
    collector = receiver(journal, clock)
    many = [f"unused{number}" for number in range(200)]  # so that references take two bytes
    two = (
        Table(*many)
        .add({"__name__": "a", "job": "j"}, [(1.5, NOW_MS), (2.5, NOW_MS - 5)])
        .add({"job": "j", "__name__": "a"}, [(STALE, NOW_MS + 1)])
        .add({"__name__": "b", "empty": ""}, [(float("nan"), NOW_MS), (0.0, NOW_MS)])
        .message()
    )
    pairs = (("__name__", "a"), ("job", "j"))
    labels = b"".join(block(1, block(1, k.encode()) + block(2, v.encode())) for k, v in pairs)
    one = block(1, labels + sample(3.5, NOW_MS))
    async with running(collector, journal):
        await asyncio.sleep(0)
        answers = [await push(collector, two), await push(collector, two)]
        answers.append(await push(collector, one, "application/x-protobuf"))
    assert [answer.status_code for answer in answers] == [204, 204, 204]
    assert answers[0].headers[WRITTEN] == "4"
    assert answers[0].headers["x-prometheus-remote-write-histograms-written"] == "0"
    assert answers[0].headers["x-prometheus-remote-write-exemplars-written"] == "0"
    assert WRITTEN not in answers[2].headers
    assert [str(series) for series in journal.known] == ['a{job="j"}', "b"]
    assert journal.values("a") == [1.5, 2.5, 1.5, 2.5, 3.5]
    assert journal.rows("a")[1][1] == (NOW_MS - 5) * 1_000_000
    assert journal.values("a", stale=True) == [0.0, 0.0]
    assert journal.counted() == {"nan": 2}


async def test_what_is_right_of_a_request_is_taken(journal, clock, running) -> None:
    collector = receiver(journal, clock, drop="unwanted")
    message = (
        Table()
        .add({"__name__": "good"}, [(1.0, NOW_MS)], block(4, b"") + b"\x30\x01")
        .add({"__name__": "also"}, [], block(3, b"histogram"))
        .add({"no": "name"}, [(1.0, NOW_MS), (2.0, NOW_MS)])
        .add({"__name__": "long", "x": "x" * 3_000}, [(1.0, NOW_MS)])
        .add({"__name__": "unwanted"}, [(1.0, NOW_MS)])
        .raw(block(1, varint(1)) + sample(1.0, NOW_MS))
        .raw(block(1, varint(1) + varint(9_999)) + sample(1.0, NOW_MS))
        .raw(b"\x08\x01\x08\x02" + sample(4.0, NOW_MS, b"\x18\x05"))
        .message()
    )
    async with running(collector, journal):
        await asyncio.sleep(0)
        answer = await push(collector, message)
    assert (answer.status_code, answer.headers[WRITTEN]) == (400, "3")
    assert answer.text == "not taken: histogram: 1, invalid_series: 4, label_limit: 1"
    assert [str(series) for series in journal.known] == ["good"]
    assert journal.values("good") == [1.0, 4.0]
    assert journal.counted() == {"histogram": 1, "invalid_series": 4, "label_limit": 1}
    other = dict(collector.stats().other)
    assert (other["exemplars_not_taken"], other["created_timestamps_not_taken"]) == (1, 2)


@pytest.mark.parametrize(
    "message, status",
    [
        (b"\x2a\x05\x00", 400),
        (b"\x20\x01", 400),
        (Table().raw(b"\x0d\x00\x00\x00\x00").message(), 400),
        (Table().raw(b"\x0a\x01\x80").message(), 400),
        (Table().raw(b"\x10\x01").message(), 400),
        (Table().add({"__name__": "a"}, [(1.0, -1)]).message(), 400),
        (Table().add({"__name__": "a"}, [(1.0, NOW_MS)] * 11).message(), 413),
        (Table().message() + block(5, b"") * 11, 413),
        (Table().raw(block(1, bytes(257))).message(), 413),
    ],
)  # fmt: skip
async def test_of_what_can_not_be_decoded_nothing_is_taken(
    journal, clock, running, message, status
) -> None:
    collector = receiver(journal, clock, samples_per_request_max=10)
    good = Table().add({"__name__": "good"}, [(1.0, NOW_MS)])
    async with running(collector, journal):
        await asyncio.sleep(0)
        answer = await push(collector, good.message() + message)
        assert answer.status_code == status
        assert not journal.known
        journal.full = True
        assert (await push(collector, good.message())).status_code == 503
        other = "application/x-protobuf;proto=io.prometheus.write.v3.Request"
        assert (await push(collector, good.message(), other)).status_code == 415


SERIES = st.lists(
    st.tuples(
        st.dictionaries(st.text(min_size=1, max_size=3), st.text(max_size=3), max_size=4),
        st.lists(st.tuples(st.floats(allow_nan=False), st.integers(1, 2**42)), max_size=4),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(SERIES, st.integers(0, 150))
def test_what_is_encoded_is_decoded(
    many: list[tuple[dict[str, str], Samples]], padding: int
) -> None:
    named = [({**pairs, "__name__": "m"}, samples) for pairs, samples in many]
    table = Table(*[f"pad{number}" for number in range(padding)])
    for pairs, samples in named:
        table.add(pairs, samples)
    found = decode(table.message(), 100)
    assert [labels_of(key) for key in found.keys] == [pairs for pairs, samples in named if samples]
    times = (found.time_ns // 1_000_000).tolist()
    rows = list(zip(found.key.tolist(), found.value.tolist(), times, strict=True))
    assert rows == [
        (number, value, time_ms)
        for number, samples in enumerate(samples for _, samples in named if samples)
        for value, time_ms in samples
    ]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused_not_tripped_over(data: st.DataObject) -> None:
    table = Table().add({"__name__": "m", "a": "b"}, [(1.0, NOW_MS), (2.0, NOW_MS)])
    damaged = bytearray(table.add({"__name__": "n"}, [(3.0, NOW_MS)]).message())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        found = decode(cut, 100)
    except (MalformedRequest, RequestTooLarge):
        return
    named = [labels_of(key) for key in found.keys]
    assert all(labels is None or labels["__name__"] for labels in named)
    assert len(found.key) == len(found.value) == len(found.time_ns)
    assert all(0 <= key < len(found.keys) for key in found.key.tolist())
