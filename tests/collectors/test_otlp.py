"""The OTLP receiver, asked by OpenTelemetry's own messages; both encodings; bytes that are neither."""

import asyncio
import gzip
import json
from typing import Any

import httpx2
import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
    Summary,
    SummaryDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collectors.otlp import OtlpCollector
from collectors.otlp_json import decode_json
from collectors.otlp_metrics import DEPTH_MAX, decode_protobuf
from collectors.otlp_series import label_name, metric_name, translate
from collectors.push import MalformedRequest, RequestTooLarge

pytestmark = pytest.mark.anyio
NOW_NS = 1_700_000_000_000_000_000
PROTOBUF, JSON = "application/x-protobuf", "application/json"
CUMULATIVE, DELTA = 2, 1


def attribute(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def number(value: float | int | None, time_ns: int = NOW_NS, **attributes: str) -> NumberDataPoint:
    given: dict[str, Any] = {}
    if value is not None:
        given = {"as_int" if isinstance(value, int) else "as_double": value}
    pairs = [attribute(*pair) for pair in attributes.items()]
    return NumberDataPoint(time_unix_nano=time_ns, attributes=pairs, **given)


def request(*metrics: Metric, **resource: str) -> ExportMetricsServiceRequest:
    pairs = [attribute(key.replace("_", "."), value) for key, value in resource.items()]
    return ExportMetricsServiceRequest(
        resource_metrics=[
            ResourceMetrics(
                resource=Resource(attributes=pairs), scope_metrics=[ScopeMetrics(metrics=metrics)]
            )
        ]
    )


def gauge(name: str, *points: NumberDataPoint, unit: str = "") -> Metric:
    return Metric(name=name, unit=unit, gauge=Gauge(data_points=points))


def total(name: str, *points: NumberDataPoint, temporality: int = CUMULATIVE) -> Metric:
    return Metric(
        name=name,
        sum=Sum(data_points=points, aggregation_temporality=temporality, is_monotonic=True),
    )


def histogram(name: str, *points: HistogramDataPoint) -> Metric:
    return Metric(
        name=name,
        unit="s",
        histogram=Histogram(data_points=points, aggregation_temporality=CUMULATIVE),
    )


def as_json(message: ExportMetricsServiceRequest) -> bytes:
    return MessageToJson(message, use_integers_for_enums=True).encode()


def receiver(journal: Any, clock: Any, **config: Any) -> OtlpCollector:
    return OtlpCollector("test", OtlpCollector.Config(**config), journal, clock)


async def export(
    collector: OtlpCollector, body: bytes, content_type: str = PROTOBUF, **headers: str
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=collector.asgi)  # type: ignore[arg-type]
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(
            "/v1/metrics", content=body, headers={"content-type": content_type, **named}
        )


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
async def test_metrics_become_rows_named_as_prometheus_names_them(
    journal, clock, running, encoding
) -> None:
    collector = receiver(journal, clock)
    stale = number(None, host="gone")
    stale.flags = 1
    buckets = HistogramDataPoint(
        time_unix_nano=NOW_NS, count=6, sum=1.5, bucket_counts=[1, 2, 3], explicit_bounds=[0.005, 10.0]
    )  # fmt: skip
    message = request(
        gauge("vnf.load", number(0.5, host="a"), stale, unit="1"),
        total("vnf.packets", number(7)),
        histogram("vnf.delay", buckets),
        service_name="fw",
        service_namespace="acme",
        service_instance_id="fw-1",
        site_name="x",
    )
    body = message.SerializeToString() if encoding == PROTOBUF else as_json(message)
    async with running(collector, journal):
        await asyncio.sleep(0)
        plain = await export(collector, body, encoding)
        packed = await export(collector, gzip.compress(body), encoding, content_encoding="gzip")
    for answer in (plain, packed):
        assert (answer.status_code, answer.headers.get("content-type", encoding)) == (200, encoding)
        assert answer.content in (b"", b"{}")
    common = 'instance="fw-1",job="acme/fw"'
    rows = [(str(series), value) for series, _, value in journal.rows()]
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]
    assert rows[: len(rows) // 2] == [
        (f'vnf_load_ratio{{host="a",{common},site_name="x"}}', 0.5),
        (f'vnf_packets_total{{{common},site_name="x"}}', 7.0),
        (f'vnf_delay_seconds_bucket{{{common},le="0.005",site_name="x"}}', 1.0),
        (f'vnf_delay_seconds_bucket{{{common},le="10",site_name="x"}}', 3.0),
        (f'vnf_delay_seconds_bucket{{{common},le="+Inf",site_name="x"}}', 6.0),
        (f'vnf_delay_seconds_sum{{{common},site_name="x"}}', 1.5),
        (f'vnf_delay_seconds_count{{{common},site_name="x"}}', 6.0),
    ]
    assert [dict(one.labels)["host"] for one, _, _ in journal.rows(stale=True)] == ["gone"] * 2
    assert {at for _, at, _ in journal.rows()} == {NOW_NS}
    assert not journal.counted()


@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
async def test_what_is_not_taken_is_said_in_the_answer(journal, clock, running, encoding) -> None:
    journal.series_max = 2
    collector = receiver(journal, clock, drop="unwanted")
    uneven = HistogramDataPoint(
        time_unix_nano=NOW_NS, count=1, bucket_counts=[1], explicit_bounds=[1.0]
    )
    falling = HistogramDataPoint(
        time_unix_nano=NOW_NS, count=3, bucket_counts=[1, 1, 1], explicit_bounds=[2.0, 1.0]
    )
    many = HistogramDataPoint(time_unix_nano=NOW_NS, count=1, bucket_counts=[1])
    message = request(
        gauge("good", number(1.0), number(float("nan")), number(None), number(1.0, 0)),
        gauge("unwanted", number(1.0)),
        gauge("\u00e9", number(1.0)),
        gauge("named", number(1.0, é="x")),
        total("delta", number(1), number(2), temporality=DELTA),
        histogram("h", uneven, falling, many),
        Metric(
            name="e",
            exponential_histogram=ExponentialHistogram(
                data_points=[ExponentialHistogramDataPoint()], aggregation_temporality=CUMULATIVE
            ),
        ),
        Metric(name="s", summary=Summary(data_points=[SummaryDataPoint(time_unix_nano=NOW_NS)])),
    )
    body = message.SerializeToString() if encoding == PROTOBUF else as_json(message)
    async with running(collector, journal):
        await asyncio.sleep(0)
        answer = await export(collector, body, encoding)
    assert answer.status_code == 200
    if encoding == PROTOBUF:
        partial = ExportMetricsServiceResponse.FromString(answer.content).partial_success
        rejected, reasons = partial.rejected_data_points, partial.error_message
    else:
        told = answer.json()["partialSuccess"]
        rejected, reasons = int(told["rejectedDataPoints"]), told["errorMessage"]
    # NaN, no value, no time, no name, a label without one, two deltas, two bad histograms, one over the cap, two kinds
    assert rejected == 12
    assert "TEMPORALITY_PREFERENCE=cumulative" in reasons
    assert journal.counted() == {
        "nan": 1, "no_value": 1, "impossible_time": 1, "no_name": 1, "label_name": 1, "delta": 2,
        "bad_histogram": 2, "series_cap": 1, "exponential_histogram": 1, "summary": 1,
    }  # fmt: skip
    assert [value for _, _, value in journal.rows()] == [1.0, 1.0]


async def test_errors_are_a_status_in_the_requests_encoding(journal, clock, running) -> None:
    collector = receiver(journal, clock, samples_per_request_max=2, body_bytes_max=1_024)
    good = request(gauge("a", number(1.0)))
    crowd = request(gauge("a", *[number(1.0)] * 3)).SerializeToString()
    before = await export(collector, good.SerializeToString())
    async with running(collector, journal):
        await asyncio.sleep(0)
        answers = [
            await export(collector, b"\x0a\x05\x00"),
            await export(collector, b"{", JSON),
            await export(collector, crowd),
            await export(collector, bytes(2_000), JSON),
            await export(collector, gzip.compress(b"x")[:-2], content_encoding="gzip"),
            await export(collector, b"", "text/plain"),
            await export(collector, b"", content_encoding="br"),
        ]
        assert not journal.known
        journal.full = True
        refused = await export(collector, as_json(good), JSON)
    assert [answer.status_code for answer in answers] == [400, 400, 413, 413, 400, 415, 415]
    assert answers[0].headers["content-type"] == PROTOBUF
    assert b"ends after its message" in answers[0].content
    assert answers[1].json() == {"code": 3, "message": "not JSON, or nested too deep"}
    assert (before.status_code, refused.status_code, refused.json()["code"]) == (503, 503, 14)
    assert refused.headers["retry-after"]


@pytest.mark.parametrize(
    "name, unit, kind, monotonic, wanted",
    [
        ("http.server.duration", "s", "histogram", False, "http_server_duration_seconds"),
        ("requests.count", "1", "sum", True, "requests_count_total"),
        ("memory.usage", "By", "gauge", False, "memory_usage_bytes"),
        ("load", "1", "gauge", False, "load_ratio"),
        ("a.seconds", "s", "gauge", False, "a_seconds"),
        ("io.total", "By", "sum", True, "io_bytes_total"),
        ("rate", "By/s", "gauge", False, "rate_bytes_per_second"),
        ("rate", "1/s", "gauge", False, "rate_per_second"),
        ("queue", "{packets}", "gauge", False, "queue"),
        ("5xx", "", "gauge", False, "_5xx"),
        ("a__b:c", "", "gauge", False, "a_b:c"),
        ("\u00e9", "s", "gauge", False, ""),
    ],
)
def test_names_of_metrics(name: str, unit: str, kind: str, monotonic: bool, wanted: str) -> None:
    assert metric_name(name, unit, kind, monotonic) == wanted


def test_names_of_labels() -> None:
    given = ["http.method", "a..b", "1st", "_x", "\u00e9", ""]
    assert list(map(label_name, given)) == ["http_method", "a_b", "key_1st", "_x", "", ""]


def test_labels_of_one_name_are_joined_and_points_outrank_resources() -> None:
    point = number(1.0)
    point.attributes.extend(
        [attribute("a_b", "2"), attribute("a.b", "1"), attribute("service.name", "no")]
    )
    message = request(gauge("m", point), a_b="resource", site="x", service_name="fw")
    ((name, labels),) = translate(decode_protobuf(message.SerializeToString(), 9), 9).series
    wanted = {"a_b": "1;2", "job": "fw", "service_name": "no", "site": "x"}
    assert (name, labels) == ("m", wanted)


def test_limits_hold_in_both_encodings() -> None:
    value = AnyValue(string_value="x")
    for _ in range(DEPTH_MAX):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    point = number(1.0)
    point.attributes.append(KeyValue(key="deep", value=value))
    deep = request(gauge("m", point))
    wide = request(histogram("m", HistogramDataPoint(bucket_counts=[0] * 1_001)))
    for decode, encode in (
        (decode_protobuf, deep.__class__.SerializeToString),
        (decode_json, as_json),
    ):
        with pytest.raises(MalformedRequest, match="nested"):
            decode(encode(deep), 9)
        with pytest.raises(RequestTooLarge):
            decode(encode(wide), 9)
    with pytest.raises(MalformedRequest):
        decode_json(b"[" * 200_000, 9)
    tall = decode_protobuf(
        request(histogram("m", HistogramDataPoint(time_unix_nano=1))).SerializeToString(), 9
    )
    with pytest.raises(RequestTooLarge):
        translate(tall, 1)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=4)
DOUBLES = st.floats(allow_nan=False)
VALUES = st.recursive(
    st.one_of(
        st.builds(AnyValue, string_value=TEXTS),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=DOUBLES),
        st.builds(AnyValue, bytes_value=st.binary(max_size=4)),
        st.just(AnyValue()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda many: AnyValue(array_value=ArrayValue(values=many))),
        st.dictionaries(TEXTS, inner, max_size=2).map(
            lambda many: AnyValue(
                kvlist_value=KeyValueList(
                    values=[KeyValue(key=key, value=value) for key, value in many.items()]
                )
            )
        ),
    ),
    max_leaves=3,
)
ATTRIBUTES = st.dictionaries(TEXTS, VALUES, max_size=3).map(
    lambda many: [KeyValue(key=key, value=value) for key, value in many.items()]
)
TIMES = st.integers(0, 2**64 - 1)
FLAGS = st.sampled_from([0, 0, 1, 2**32 - 1])
NUMBERS = st.one_of(
    st.builds(NumberDataPoint, attributes=ATTRIBUTES, time_unix_nano=TIMES, flags=FLAGS, as_double=DOUBLES),
    st.builds(NumberDataPoint, time_unix_nano=TIMES, as_int=st.integers(-(2**63), 2**63 - 1)),
)  # fmt: skip
HISTOGRAMS = st.builds(
    HistogramDataPoint, attributes=ATTRIBUTES, time_unix_nano=TIMES, flags=FLAGS,
    count=TIMES, sum=st.none() | DOUBLES,
    bucket_counts=st.lists(TIMES, max_size=3), explicit_bounds=st.lists(DOUBLES, max_size=3),
)  # fmt: skip
TEMPORALITIES = st.integers(0, 2)
METRICS = st.one_of(
    st.builds(Metric, name=TEXTS, unit=TEXTS, gauge=st.builds(Gauge, data_points=st.lists(NUMBERS, max_size=2))),
    st.builds(Metric, name=TEXTS, sum=st.builds(
        Sum, data_points=st.lists(NUMBERS, max_size=2), is_monotonic=st.booleans(),
        aggregation_temporality=TEMPORALITIES)),
    st.builds(Metric, name=TEXTS, histogram=st.builds(
        Histogram, data_points=st.lists(HISTOGRAMS, max_size=2), aggregation_temporality=TEMPORALITIES)),
    st.builds(Metric, name=TEXTS),
)  # fmt: skip
REQUESTS = st.lists(
    st.builds(
        ResourceMetrics,
        resource=st.builds(Resource, attributes=ATTRIBUTES),
        scope_metrics=st.lists(
            st.builds(ScopeMetrics, metrics=st.lists(METRICS, max_size=2)), max_size=2
        ),
    ),
    max_size=2,
).map(lambda many: ExportMetricsServiceRequest(resource_metrics=many))


@settings(max_examples=100, deadline=None)
@given(REQUESTS)
def test_both_encodings_say_the_same(message: ExportMetricsServiceRequest) -> None:
    assert decode_json(as_json(message), 99) == decode_protobuf(message.SerializeToString(), 99)


@settings(max_examples=150, deadline=None)
@given(REQUESTS, st.data())
def test_damaged_bytes_are_refused_not_tripped_over(
    message: ExportMetricsServiceRequest, data: st.DataObject
) -> None:
    decode, good = data.draw(
        st.sampled_from(
            [(decode_protobuf, message.SerializeToString()), (decode_json, as_json(message))]
        )
    )
    damaged = bytearray(good or b"{}")
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        found = translate(decode(cut, 99), 99)
    except (MalformedRequest, RequestTooLarge):
        return
    assert len(found.series) == len(found.value) == len(found.time_ns) == len(found.point)
    assert found.rejected == found.refused.total() <= found.points


@pytest.mark.parametrize(
    "document",
    [
        [], {"resourceMetrics": {}}, {"resourceMetrics": [1]}, {"resourceMetrics": [{"resource": 1}]},
    ],
)  # fmt: skip
def test_json_of_another_shape_is_refused(document: Any) -> None:
    with pytest.raises(MalformedRequest):
        decode_json(json.dumps(document).encode(), 9)


@pytest.mark.parametrize(
    "point",
    [
        {"timeUnixNano": "x"}, {"timeUnixNano": -1}, {"timeUnixNano": True}, {"timeUnixNano": 1.5},
        {"timeUnixNano": str(2**64)}, {"asDouble": "x"}, {"asDouble": []}, {"asInt": str(2**63)},
        {"asDouble": 10**400}, {"attributes": [{"key": 1}]}, {"attributes": [{"key": "\ud800"}]},
        {"attributes": [{"value": 1}]}, {"attributes": [{"value": {"bytesValue": "*"}}]},
    ],
)  # fmt: skip
def test_json_points_with_nonsense_are_refused(point: Any) -> None:
    metric = {"name": "m", "gauge": {"dataPoints": [point]}}
    document = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    with pytest.raises(MalformedRequest):
        decode_json(json.dumps(document).encode(), 9)


def test_a_kind_given_twice_is_merged_and_another_takes_its_place() -> None:
    def field(tag: int, content: bytes) -> bytes:
        return bytes([tag << 3 | 2, len(content)]) + content

    def decoded(*kinds: bytes) -> list[float | None]:
        metric = field(2, field(2, field(1, b"load") + b"".join(kinds)))
        (resource,) = decode_protobuf(field(1, metric), 10)
        return [point.value for point in resource.metrics[0].points]

    one, two = (field(5, Gauge(data_points=[number(v)]).SerializeToString()) for v in (1.0, 2.0))
    other = field(7, Sum(data_points=[number(3.0)]).SerializeToString())
    assert decoded(one, two) == [1.0, 2.0]
    assert decoded(one, other) == [3.0]
