"""The line protocol receiver: Influx's own client, its grammar, and bytes that are neither."""

import asyncio
import gzip
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from collectors.influx import InfluxCollector
from collectors.line_protocol import LineReader, MalformedLine
from collectors.push import RequestTooLarge

pytestmark = pytest.mark.anyio
NOW_NS = 1_700_000_000_000_000_000
Found = list[tuple[str, dict[str, str], int, float]]


def receiver(journal: Any, clock: Any, **config: Any) -> InfluxCollector:
    return InfluxCollector("test", InfluxCollector.Config(**config), journal, clock)


async def push(
    collector: InfluxCollector, body: bytes | str, query: str = "", **headers: str
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=collector.asgi)  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return await client.post(f"/api/v2/write{query}", content=body, headers=named)


class Reader:
    """A line reader, and the series that it asked for."""

    def __init__(self) -> None:
        self.series: list[tuple[str, dict[str, str]]] = []
        self._reader = LineReader(self._resolve)

    def _resolve(self, name: str, labels: dict[str, str]) -> int:
        if (name, labels) not in self.series:
            self.series.append((name, labels))
        return self.series.index((name, labels))

    def read(self, text: str, unit_ns: int = 1, rows_max: int = 100) -> Found:
        points = self._reader.read(text, unit_ns, NOW_NS, rows_max)
        ids = self._reader.ids(points).tolist()
        return [
            (*self.series[number], time_ns, value)
            for number, time_ns, value in zip(ids, points.time_ns, points.value, strict=True)
        ]


async def test_influx_own_client_writes_to_it(journal, clock, running, served, free_port) -> None:
    collector = receiver(journal, clock)
    point = (
        Point("vnf load").tag("site", "a,b =c\\d").tag("vnf", "fw").field("cpu", 0.5).field("up", True)
        .field("note", 'of "two"\nlines').field("value", 7).time(NOW_NS)
    )  # fmt: skip

    def write(gzipped: bool) -> None:
        url = f"http://127.0.0.1:{free_port}"
        with InfluxDBClient(url=url, token="t", org="o", enable_gzip=gzipped) as client:
            api = client.write_api(write_options=SYNCHRONOUS)
            api.write(bucket="noc", record=[point, point])

    def wrong() -> str:
        with InfluxDBClient(url=f"http://127.0.0.1:{free_port}", token="t", org="o") as client:
            with pytest.raises(ApiException) as caught:
                client.write_api(write_options=SYNCHRONOUS).write(
                    bucket="noc", record="a v=1\nb v=wrong"
                )
            return str(caught.value.body)

    async with running(collector, journal), served(collector.asgi, free_port):
        await asyncio.sleep(0)
        await asyncio.to_thread(write, False)
        await asyncio.to_thread(write, True)
        assert '"line": 2' in await asyncio.to_thread(wrong)
    labels = {"bucket": "noc", "site": "a,b =c\\d", "vnf": "fw"}
    (found, at, value), *_ = journal.rows("vnf load_cpu")
    assert (dict(found.labels), at, value) == (labels, NOW_NS, 0.5)
    assert journal.values("vnf load_up") == [1.0] * 4
    assert journal.values("vnf load") == [7.0] * 4
    assert journal.counted() == {"not_numeric": 4}
    assert len(journal.known) == 3


@pytest.mark.parametrize(
    "line, rows",
    [
        ("a v=1", [("a_v", {}, NOW_NS, 1.0)]),
        ("a value=-1.5e3 9", [("a", {}, 9, -1500.0)]),
        ("a,t=x v=1i,w=2u 9", [("a_v", {"t": "x"}, 9, 1.0), ("a_w", {"t": "x"}, 9, 2.0)]),
        ("a v=t,w=FALSE,x=.5", [("a_v", {}, NOW_NS, 1.0), ("a_w", {}, NOW_NS, 0.0), ("a_x", {}, NOW_NS, 0.5)]),
        (r"a\,b\ c=d,t\=1=x\,y\ z v\,\=\ w=1", [("a,b c=d_v,= w", {"t=1": "x,y z"}, NOW_NS, 1.0)]),
        (r"a\b,t=c\d v=1", [(r"a\b_v", {"t": r"c\d"}, NOW_NS, 1.0)]),
        ('a s="x,y=1 2\\"\n3",v=1 9', [("a_v", {}, 9, 1.0)]),
        ("# comment\n\n  \t\r\n a v=1\r\n", [("a_v", {}, NOW_NS, 1.0)]),
        ("a  v=1  9  \n", [("a_v", {}, 9, 1.0)]),
        ("a v=1,v=2", [("a_v", {}, NOW_NS, 1.0), ("a_v", {}, NOW_NS, 2.0)]),
        ('"a",t="b" "v"=1', [('"a"_"v"', {"t": '"b"'}, NOW_NS, 1.0)]),
        ("", []),
        ('a s="only text"', []),
    ],
)  # fmt: skip
def test_the_grammar(line: str, rows: Found) -> None:
    reader = Reader()
    assert reader.read(line) == rows
    assert reader.read(line) == rows  # the second time what is known is read fast


@pytest.mark.parametrize(
    "line",
    [
        "a", "a ", "a 1", "a v", "a v=", "a =1", ",t=x v=1", "a,t v=1", "a,t= v=1", "a,=x v=1", "a,, v=1",
        "a v=1,", "a v=1,,w=2", "a v=1 9 9", "a v=1 x", "a v=1 1.5", "a v=1 99999999999999999999",
        "a v=1 0", "a v=1 -5", "a v=1 9223372036854775808", "a v=nan", "a v=inf", "a v=1_0", "a v=0x1",
        "a v=1f", "a v=9223372036854775808i", "a v=18446744073709551616u", "a v=-1u", 'a s="open',
        'a s="x"y', "a v=yes", "a,t=x,t=y v=1", "a v=a=1", "a v=" + "1" * 500, "a v=\u0661",
    ],
)  # fmt: skip
def test_a_malformed_line_is_named(line: str) -> None:
    reader = Reader()
    assert len(reader.read("a v=1\na,t=x v=1")) == 2
    known = list(reader.series)
    with pytest.raises(MalformedLine, match=r"^line 5: ") as caught:
        reader.read(f'a v=1\n# x\nb s="\n",v=1\n{line}\nz v=1')
    assert caught.value.line == 5
    assert reader.series == known


async def test_precision_scales_times(journal, clock, running) -> None:
    collector = receiver(journal, clock, bucket_label=None, labels={"site": "x"})
    async with running(collector, journal):
        await asyncio.sleep(0)
        for number, precision in enumerate(["s", "ms", "us", "ns"]):
            at = NOW_NS // 1_000 ** (3 - number)
            answer = await push(collector, f"a value=1 {at}", f"?precision={precision}&bucket=b")
            assert answer.status_code == 204
        wrong = await push(collector, "a value=1", "?precision=h")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid")
    assert [(str(one), at) for one, at, _ in journal.rows()] == [('a{site="x"}', NOW_NS)] * 4


async def test_buckets_are_kept_apart_and_a_tag_of_that_name_gives_way(
    journal, clock, running
) -> None:
    collector = receiver(journal, clock)
    async with running(collector, journal):
        await asyncio.sleep(0)
        for query in ("?bucket=one", "?bucket=two", "?bucket=one", ""):
            assert (await push(collector, "a,bucket=x value=1", query)).status_code == 204
    assert [str(one) for one, _, _ in journal.rows()] == [
        'a{bucket="one",exported_bucket="x"}',
        'a{bucket="two",exported_bucket="x"}',
        'a{bucket="one",exported_bucket="x"}',
        'a{bucket="x"}',
    ]


async def test_limits_and_errors_are_told_in_influx_json(journal, clock, running) -> None:
    journal.series_max = 1
    collector = receiver(
        journal, clock, body_bytes_max=1_024, unpacked_bytes_max=2_048, samples_per_request_max=4
    )
    before = await push(collector, "a v=1")
    async with running(collector, journal):
        await asyncio.sleep(0)
        answers = [
            await push(collector, b"#" * 2_000),
            await push(collector, gzip.compress(b"#" * 4_000), content_encoding="gzip"),
            await push(collector, "a v=1\n" * 5),
            await push(collector, gzip.compress(b"a v=1")[:-9], content_encoding="gzip"),
            await push(collector, b"a v=1\n\xff v=1"),
            await push(collector, "a v=1", content_encoding="snappy"),
        ]
        ahead = clock.now_ns() + 60_000_000_000
        body = f"a v=1 {ahead}\na,long={'x' * 900} v=1\na,__name__=b v=1\na v=1e999"
        mixed = await push(collector, body)
        journal.full = True
        refused = await push(collector, "a v=1")
    assert (before.status_code, before.json()["code"]) == (503, "unavailable")
    assert before.headers["retry-after"]
    assert [answer.status_code for answer in answers] == [413, 413, 413, 400, 400, 415]
    assert answers[0].json()["code"] == "request too large"
    assert answers[4].json() == {"code": "invalid", "message": "line 2: not UTF-8", "line": 2}
    assert (mixed.status_code, refused.status_code) == (204, 503)
    assert journal.counted() == {"future": 1, "series_cap": 1, "label_name": 1, "infinite": 1}
    assert not journal.rows()


def test_a_body_over_the_limit_of_samples_is_refused() -> None:
    with pytest.raises(RequestTooLarge):
        Reader().read("a v=1,w=2,x=3", rows_max=2)


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\\"), min_size=1, max_size=6
)  # what a client can write without loss
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def escaped(text: str, marks: str) -> str:
    return "".join(f"\\{mark}" if mark in marks else mark for mark in text)


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            TEXTS.filter(lambda text: text.strip(" \t")[:1] == text[:1] != "#"),
            st.dictionaries(TEXTS, TEXTS, max_size=3),
            st.dictionaries(TEXTS, NUMBERS, min_size=1, max_size=3),
            st.integers(1, 2**63 - 1),
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read(
    points: list[tuple[str, dict[str, str], dict[str, float], int]],
) -> None:
    lines = []
    for name, tags, fields, at in points:
        head = escaped(name, ", ") + "".join(
            f",{escaped(key, ', =')}={escaped(value, ', =')}" for key, value in tags.items()
        )
        pairs = ",".join(f"{escaped(key, ', =')}={value!r}" for key, value in fields.items())
        lines.append(f"{head} {pairs} {at}\n")
    wanted = [
        (name if key == "value" else f"{name}_{key}", tags, at, value)
        for name, tags, fields, at in points
        for key, value in fields.items()
    ]
    reader = Reader()
    for _ in range(2):
        assert reader.read("".join(lines)) == wanted


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            ["a", "b", ",", "=", " ", "\n", '"', "\\", "1", "2i", "t", "#", "\r", "v=1", "a,t=b v=1 9\n"]
        ),
        max_size=25,
    ).map("".join)
)  # fmt: skip
def test_what_is_remembered_changes_nothing(text: str) -> None:
    """What is read fast, by texts that were seen before, is what is read by the grammar."""
    fresh, taught = Reader(), Reader()
    taught.read("a,t=b v=1,w=1\na v=1,w=2\nb v=1\nab v=1\n1 v=1\nv=1 v=1\nt v=1\n2i v=1 9\n")
    outcomes = []
    for reader in (fresh, taught):
        try:
            outcomes.append(repr(reader.read(text)))
        except MalformedLine as error:
            outcomes.append(str(error))
    if not outcomes[0].startswith("line") or not outcomes[1].startswith("line"):
        assert outcomes[0] == outcomes[1]
    else:
        assert outcomes[0].split(":")[0] == outcomes[1].split(":")[0]
