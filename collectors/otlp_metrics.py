"""OpenTelemetry metrics as a request brings them (OTLP 1.x, `ExportMetricsServiceRequest`), decoded from protobuf.

`otlp_json` decodes the other encoding into the same shape; `otlp_series` makes series of it. Numbers of fields are
those of opentelemetry/proto/metrics/v1/metrics.proto and common/v1/common.proto.
"""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from collectors.protobuf import BYTES, FIXED64, VARINT, fields, varint
from collectors.push import MalformedRequest, RequestTooLarge

CUMULATIVE = 2
DEPTH_MAX = 16  # of values within values
BUCKETS_MAX = 1_000
NO_RECORDED_VALUE = 1
UINT32_MAX = 2**32 - 1
# The kinds of metric by their field's number; what is not taken has a name to be counted by.
KINDS = {5: "gauge", 7: "sum", 9: "histogram", 10: "exponential_histogram", 11: "summary"}
_DOUBLE = struct.Struct("<d")


@dataclass(slots=True)
class Histogram:
    """The buckets of a point: `bounds` are their upper ends, the last bucket has none."""

    count: int = 0
    total: float | None = None
    counts: list[int] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Point:
    """One point of a metric; `value` is None where it has no number."""

    attributes: dict[str, str] = field(default_factory=dict)
    time_ns: int = 0
    flags: int = 0
    value: float | None = None
    histogram: Histogram | None = None


@dataclass(slots=True)
class Metric:
    """A metric and its points; `kind` is one of KINDS, or empty when it has no data."""

    name: str = ""
    unit: str = ""
    kind: str = ""
    temporality: int = 0
    monotonic: bool = False
    points: list[Point] = field(default_factory=list)


@dataclass(slots=True)
class Resource:
    """What was measured, and its metrics."""

    attributes: dict[str, str] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)


class Budget:
    """Count points while decoding. Raises RequestTooLarge over the limit."""

    def __init__(self, points_max: int) -> None:
        self._left = self._max = points_max

    def spend(self) -> None:
        """Take one point."""
        self._left -= 1
        if self._left < 0:
            raise RequestTooLarge(f"more than {self._max} points in a request")


def text_of(value: Any) -> str:
    """Return an attribute's value as a text, as OpenTelemetry's `AsString`: what is composite becomes JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=text_of)


def decode_protobuf(message: bytes, points_max: int) -> list[Resource]:
    """Decode a request. Raises MalformedRequest, or RequestTooLarge over `points_max` points."""
    budget = Budget(points_max)
    return [
        _resource_metrics(message, start, end, budget)
        for _, start, end in _known(message, 0, len(message), {1: BYTES})
    ]


def _known(
    message: bytes, start: int, end: int, kinds: dict[int, int]
) -> Iterator[tuple[int, int, int]]:
    """Yield (number, start, end) of the fields that are asked for. Raises MalformedRequest at another wire type."""
    for number, kind, inner, after in fields(message, start, end):
        wanted = kinds.get(number)
        if wanted is None:
            continue
        if wanted != kind:
            raise MalformedRequest(f"field {number} has the wire type {kind}, not {wanted}")
        yield number, inner, after


def _resource_metrics(message: bytes, start: int, end: int, budget: Budget) -> Resource:
    found = Resource()
    for number, inner, after in _known(message, start, end, {1: BYTES, 2: BYTES}):
        if number == 1:
            for _, begin, stop in _known(message, inner, after, {1: BYTES}):
                _attribute(message, begin, stop, found.attributes)
        else:
            for _, begin, stop in _known(message, inner, after, {2: BYTES}):
                found.metrics.append(_metric(message, begin, stop, budget))
    return found


def _metric(message: bytes, start: int, end: int, budget: Budget) -> Metric:
    found = Metric()
    for number, inner, after in _known(message, start, end, dict.fromkeys((1, 3, *KINDS), BYTES)):
        if number == 1:
            found.name = _text(message, inner, after)
        elif number == 3:
            found.unit = _text(message, inner, after)
        else:
            # Of a oneof the last counts; the same given again is merged.
            if found.kind != KINDS[number]:
                found.kind, found.points = KINDS[number], []
                found.temporality, found.monotonic = 0, False
            _data(message, inner, after, found, budget)
    return found


def _data(message: bytes, start: int, end: int, metric: Metric, budget: Budget) -> None:
    kinds = {1: BYTES} if metric.kind in ("gauge", "summary") else {1: BYTES, 2: VARINT}
    if metric.kind == "sum":
        kinds[3] = VARINT
    for number, inner, after in _known(message, start, end, kinds):
        if number == 1:
            budget.spend()
            metric.points.append(_point(message, inner, after, metric.kind))
        elif number == 2:
            metric.temporality = varint(message, inner, after)[0] & UINT32_MAX
        else:
            metric.monotonic = varint(message, inner, after)[0] != 0


def _point(message: bytes, start: int, end: int, kind: str) -> Point:
    if kind in ("gauge", "sum"):
        return _number_point(message, start, end)
    return _histogram_point(message, start, end) if kind == "histogram" else Point()


def _number_point(message: bytes, start: int, end: int) -> Point:
    point = Point()
    kinds = {3: FIXED64, 4: FIXED64, 6: FIXED64, 7: BYTES, 8: VARINT}
    for number, inner, after in _known(message, start, end, kinds):
        if number == 3:
            point.time_ns = _unsigned(message, inner)
        elif number == 4:
            point.value = _DOUBLE.unpack_from(message, inner)[0]
        elif number == 6:
            point.value = float(int.from_bytes(message[inner:after], "little", signed=True))
        elif number == 7:
            _attribute(message, inner, after, point.attributes)
        else:
            point.flags = varint(message, inner, after)[0] & UINT32_MAX
    return point


def _histogram_point(message: bytes, start: int, end: int) -> Point:
    found = Histogram()
    point = Point(histogram=found)
    for number, kind, inner, after in fields(message, start, end):
        if number in (6, 7) and kind in (BYTES, FIXED64):  # packed, or one by one
            _eights(message, inner, after, found, number)
        elif kind != {3: FIXED64, 4: FIXED64, 5: FIXED64, 6: BYTES, 7: BYTES, 9: BYTES, 10: VARINT}.get(
            number, kind
        ):  # fmt: skip
            raise MalformedRequest(f"field {number} of a histogram has the wire type {kind}")
        elif number == 3:
            point.time_ns = _unsigned(message, inner)
        elif number == 4:
            found.count = _unsigned(message, inner)
        elif number == 5:
            found.total = _DOUBLE.unpack_from(message, inner)[0]
        elif number == 9:
            _attribute(message, inner, after, point.attributes)
        elif number == 10:
            point.flags = varint(message, inner, after)[0] & UINT32_MAX
    return point


def _eights(message: bytes, start: int, end: int, found: Histogram, number: int) -> None:
    """Add counts (6) or bounds (7), eight bytes each."""
    many, rest = divmod(end - start, 8)
    if rest:
        raise MalformedRequest("the buckets of a histogram are cut off")
    if number == 6:
        found.counts += struct.unpack_from(f"<{many}Q", message, start)
    else:
        found.bounds += struct.unpack_from(f"<{many}d", message, start)
    if max(len(found.counts), len(found.bounds)) > BUCKETS_MAX:
        raise RequestTooLarge(f"a histogram of more than {BUCKETS_MAX} buckets")


def _attribute(message: bytes, start: int, end: int, attributes: dict[str, str]) -> None:
    key, value = _pair(message, start, end, 0)
    attributes[key] = text_of(value)


def _pair(message: bytes, start: int, end: int, depth: int) -> tuple[str, Any]:
    key, value = "", None
    for number, inner, after in _known(message, start, end, {1: BYTES, 2: BYTES}):
        if number == 1:
            key = _text(message, inner, after)
        else:
            value = _any_value(message, inner, after, depth)
    return key, value


def _any_value(message: bytes, start: int, end: int, depth: int) -> Any:
    if depth >= DEPTH_MAX:
        raise MalformedRequest(f"an attribute nested deeper than {DEPTH_MAX}")
    kinds = {1: BYTES, 2: VARINT, 3: VARINT, 4: FIXED64, 5: BYTES, 6: BYTES, 7: BYTES}
    value: Any = None
    for number, inner, after in _known(message, start, end, kinds):
        if number == 1:
            value = _text(message, inner, after)
        elif number == 2:
            value = varint(message, inner, after)[0] != 0
        elif number == 3:
            whole, _ = varint(message, inner, after)
            value = whole - (1 << 64) if whole >= 1 << 63 else whole
        elif number == 4:
            value = _DOUBLE.unpack_from(message, inner)[0]
        elif number == 7:
            value = message[inner:after]
        else:
            many = list(_known(message, inner, after, {1: BYTES}))
            if number == 5:
                value = [_any_value(message, begin, stop, depth + 1) for _, begin, stop in many]
            else:
                value = dict(_pair(message, begin, stop, depth + 1) for _, begin, stop in many)
    return value


def _text(message: bytes, start: int, end: int) -> str:
    try:
        return message[start:end].decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("a text is not UTF-8") from None


def _unsigned(message: bytes, start: int) -> int:
    return int.from_bytes(message[start : start + 8], "little")
