"""The remote-write receiver: a real Prometheus, requests of our own encoding, and bytes that are neither."""

import asyncio
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which
from typing import Any

import cramjam
import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.push import MalformedRequest, RequestTooLarge
from collectors.remote_write import RemoteWriteCollector
from collectors.write_request import decode, decode_labels, unpack

pytestmark = pytest.mark.anyio
NOW_MS = 1_700_000_000_000
STALE = struct.pack("<Q", 0x7FF0000000000002)
HEADERS = {
    "content-encoding": "snappy",
    "content-type": "application/x-protobuf",
    "x-prometheus-remote-write-version": "0.1.0",
}


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def block(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def series(
    labels: dict[str, str], samples: list[tuple[float | bytes, int]], extra: bytes = b""
) -> bytes:
    """Encode a TimeSeries, independently of the decoder."""
    parts = [
        block(1, block(1, name.encode()) + block(2, value.encode()))
        for name, value in sorted(labels.items())
    ]
    for value, time_ms in samples:
        raw = value if isinstance(value, bytes) else struct.pack("<d", value)
        parts.append(block(2, b"\x09" + raw + b"\x10" + varint(time_ms)))
    return block(1, b"".join(parts) + extra)


def packed(*messages: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(b"".join(messages)))


def receiver(journal: Any, clock: Any, **config: Any) -> RemoteWriteCollector:
    return RemoteWriteCollector("test", RemoteWriteCollector.Config(**config), journal, clock)


@asynccontextmanager
async def client_of(collector: RemoteWriteCollector) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=collector.asgi)  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def push(collector: RemoteWriteCollector, body: bytes, **headers: str) -> httpx2.Response:
    async with client_of(collector) as client:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return await client.post("/api/v1/write", content=body, headers=HEADERS | named)


async def test_samples_become_rows_in_their_order(journal, clock, running) -> None:
    collector = receiver(journal, clock, drop_labels=["instance"], labels={"site": "x"})
    body = packed(
        series({"__name__": "a", "job": "j", "instance": "i"}, [(1.5, NOW_MS), (2.5, NOW_MS - 5)]),
        series({"__name__": "b"}, [(STALE, NOW_MS), (0.0, NOW_MS + 1)]),
        series({"__name__": "c"}, [(float("nan"), NOW_MS), (float("inf"), NOW_MS)]),
        block(3, b"\x08\x01"),
    )
    async with running(collector, journal):
        await asyncio.sleep(0)
        answer = await push(collector, body)
    assert answer.status_code == 204
    (one, at, first), (_, late, second) = journal.rows("a")
    assert dict(one.labels) == {"job": "j", "site": "x"}
    assert (at, first) == (NOW_MS * 1_000_000, 1.5)
    assert (late, second) == ((NOW_MS - 5) * 1_000_000, 2.5)
    assert journal.values("b", stale=True) == [0.0]
    assert journal.values("b") == [0.0]
    assert journal.counted() == {"nan": 1, "infinite": 1}
    assert journal.all_finite()


@pytest.mark.parametrize(
    "body, status",
    [
        (b"", 400),
        (b"\xff\xff\xff\xff\x0f", 413),
        (b"\x10abc", 400),
        (packed(b"\x0a\x05\x00"), 400),
        (packed(series({"a": "no name"}, [(1.0, NOW_MS)])), 400),
        (packed(series({"__name__": "a"}, [(1.0, -1)])), 400),
        (packed(series({"__name__": "a"}, [(1.0, NOW_MS)]) + b"\x0b"), 400),
        (packed(series({"__name__": "a"}, [(1.0, NOW_MS)] * 11)), 413),
    ],
)
async def test_of_a_malformed_request_nothing_is_taken(
    journal, clock, running, body, status
) -> None:
    collector = receiver(journal, clock, samples_per_request_max=10)
    good = packed(series({"__name__": "good"}, [(1.0, NOW_MS)]))
    async with running(collector, journal):
        await asyncio.sleep(0)
        answer = await push(collector, body)
        assert answer.status_code == status
        assert not journal.known
        assert (await push(collector, good)).status_code == 204
    assert journal.values("good") == [1.0]
    assert len(journal.gaps()) == 1  # told along with the next reading


async def test_a_second_bad_series_leaves_the_first_untaken(journal, clock, running) -> None:
    collector = receiver(journal, clock)
    good = series({"__name__": "a"}, [(1.0, NOW_MS)])
    async with running(collector, journal):
        await asyncio.sleep(0)
        answer = await push(collector, packed(good, series({"no": "name"}, [(1.0, NOW_MS)])))
    assert answer.status_code == 400
    assert not journal.readings
    assert not journal.known


async def test_what_is_not_durable_is_not_acknowledged(journal, clock, running) -> None:
    collector = receiver(journal, clock)
    body = packed(series({"__name__": "a"}, [(1.0, NOW_MS)]))
    before = await push(collector, body)
    async with running(collector, journal):
        await asyncio.sleep(0)
        journal.full = True
        refused = await push(collector, body)
        journal.full = False
        taken = await push(collector, body)
    assert (before.status_code, refused.status_code, taken.status_code) == (503, 503, 204)
    assert refused.headers["retry-after"]
    assert journal.values("a") == [1.0]
    assert dict(collector.stats().refused)["not_durable"] == 1


async def test_only_remote_write_is_spoken(journal, clock, running) -> None:
    collector = receiver(journal, clock)
    body = packed(series({"__name__": "a"}, [(1.0, NOW_MS)]))
    async with running(collector, journal), client_of(collector) as client:
        await asyncio.sleep(0)
        assert (await push(collector, body, content_type="text/plain")).status_code == 415
        assert (await push(collector, body, content_encoding="gzip")).status_code == 415
        assert (await client.get("/api/v1/write")).status_code == 405
        assert (await client.post("/else", content=body)).status_code == 404
    assert not journal.readings


async def test_the_limits_of_body_series_and_time(journal, clock, running) -> None:
    journal.series_max = 1
    collector = receiver(journal, clock, body_bytes_max=1_024)
    ahead = clock.now_ns() // 1_000_000 + 60_000
    async with running(collector, journal):
        await asyncio.sleep(0)
        assert (await push(collector, bytes(2_000))).status_code == 413
        answer = await push(
            collector,
            packed(
                series({"__name__": "a"}, [(1.0, ahead)]),
                series({"__name__": "a", "long": "x" * 3_000}, [(1.0, NOW_MS)]),
                series({"__name__": "b"}, [(1.0, NOW_MS)]),
            ),
        )
    assert answer.status_code == 204
    assert journal.counted() == {"future": 1, "label_limit": 1, "series_cap": 1}


labels = st.dictionaries(
    st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(min_size=1, max_size=8), max_size=5
)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            labels,
            st.lists(st.tuples(st.floats(allow_nan=False), st.integers(1, 2**42)), max_size=4),
        ),
        max_size=5,
    )
)
def test_what_is_encoded_is_decoded(
    many: list[tuple[dict[str, str], list[tuple[float, int]]]],
) -> None:
    named = [({**pairs, "__name__": "m"}, samples) for pairs, samples in many]
    message = b"".join(series(pairs, samples) for pairs, samples in named)
    request = decode(unpack(packed(message), 1_000_000), 100)
    assert [decode_labels(key) for key in request.keys] == [pairs for pairs, _ in named]
    found = list(
        zip(request.key.tolist(), request.value.tolist(), request.time_ns.tolist(), strict=True)
    )
    assert found == [
        (number, value, time_ms * 1_000_000)
        for number, (_, samples) in enumerate(named)
        for value, time_ms in samples
    ]


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_bytes_are_refused_not_tripped_over(data: st.DataObject) -> None:
    good = series({"__name__": "m", "a": "b"}, [(1.0, NOW_MS), (2.0, NOW_MS)])
    damaged = bytearray(good * 2)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    body = data.draw(st.sampled_from([cut, bytes(damaged), packed(cut)]))
    try:
        request = decode(unpack(body, 10_000), 100)
        for key in request.keys:
            decode_labels(key)
    except (MalformedRequest, RequestTooLarge):
        return
    assert len(request.key) == len(request.value) == len(request.time_ns)


@pytest.mark.skipif(which("prometheus") is None, reason="apt-get install prometheus")
async def test_a_real_prometheus_writes_to_it(
    journal, clock, running, until, serve, served, free_port, tmp_path: Path
) -> None:
    collector = receiver(journal, clock, drop="scrape_.*")
    async with serve('a_total{x="1"} 5\nb NaN\n') as page:
        settings_file = tmp_path / "prometheus.yml"
        settings_file.write_text(
            f"""
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs: [{{job_name: vnf, static_configs: [{{targets: ["{page.address}"]}}]}}]
remote_write: [{{url: "http://127.0.0.1:{free_port}/api/v1/write", queue_config: {{batch_send_deadline: 100ms}}}}]
"""
        )
        command = [
            "prometheus", f"--config.file={settings_file}", f"--storage.tsdb.path={tmp_path / 'data'}",
            "--web.listen-address=127.0.0.1:0", "--log.level=error",
        ]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        try:
            async with running(collector, journal), served(collector.asgi, free_port):
                await until(lambda: len(journal.values("a_total")) >= 3)
                page.status = "500 gone"
                await until(
                    lambda: 0.0 in journal.values("up") and journal.values("a_total", stale=True)
                )
        finally:
            process.kill()
            process.wait()
    found, _, value = journal.rows("a_total")[0]
    assert dict(found.labels) == {"x": "1", "job": "vnf", "instance": page.address}
    assert value == 5.0
    assert journal.counted()["nan"] >= 1
    assert journal.all_finite()
    assert not journal.gaps()
