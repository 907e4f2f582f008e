"""OpenTelemetry metrics decoded from OTLP's JSON: lowerCamelCase keys, 64-bit integers as texts, enums as integers."""

import base64
import json
from typing import Any

from collectors.otlp_metrics import (
    BUCKETS_MAX,
    DEPTH_MAX,
    KINDS,
    Budget,
    Histogram,
    Metric,
    Point,
    Resource,
    text_of,
)
from collectors.push import MalformedRequest, RequestTooLarge

UINT64_MAX = 2**64 - 1
_KEYS = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponentialHistogram": "exponential_histogram",
    "summary": "summary",
}
assert set(_KEYS.values()) == set(KINDS.values())


def decode_json(body: bytes, points_max: int) -> list[Resource]:
    """Decode a request. Raises MalformedRequest, or RequestTooLarge over `points_max` points."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedRequest("not JSON, or nested too deep") from None
    budget = Budget(points_max)
    return [
        _resource_metrics(each, budget)
        for each in _many(_object(document, "the request"), "resourceMetrics")
    ]


def _resource_metrics(document: dict[str, Any], budget: Budget) -> Resource:
    attributes = _attributes(_object(document.get("resource") or {}, "resource"))
    return Resource(
        attributes,
        [
            _metric(metric, budget)
            for scope in _many(document, "scopeMetrics")
            for metric in _many(scope, "metrics")
        ],
    )


def _metric(document: dict[str, Any], budget: Budget) -> Metric:
    found = Metric(_text(document, "name"), _text(document, "unit"))
    for key, kind in _KEYS.items():
        if document.get(key) is None:
            continue
        data = _object(document[key], key)
        found.kind = kind
        found.temporality = _integer(data.get("aggregationTemporality"), "aggregationTemporality")
        found.monotonic = data.get("isMonotonic") is True
        found.points = []
        for point in _many(data, "dataPoints"):
            budget.spend()
            found.points.append(_point(point, kind))
    return found


def _point(document: dict[str, Any], kind: str) -> Point:
    if kind not in ("gauge", "sum", "histogram"):
        return Point()
    point = Point(
        attributes=_attributes(document),
        time_ns=_integer(document.get("timeUnixNano"), "timeUnixNano"),
        flags=_integer(document.get("flags"), "flags"),
    )
    if kind == "histogram":
        point.histogram = _histogram(document)
    elif document.get("asDouble") is not None:
        point.value = _number(document["asDouble"], "asDouble")
    elif document.get("asInt") is not None:
        point.value = float(_integer(document["asInt"], "asInt", signed=True))
    return point


def _histogram(document: dict[str, Any]) -> Histogram:
    counts, bounds = document.get("bucketCounts") or [], document.get("explicitBounds") or []
    if not isinstance(counts, list) or not isinstance(bounds, list):
        raise MalformedRequest("bucketCounts and explicitBounds are lists")
    if max(len(counts), len(bounds)) > BUCKETS_MAX:
        raise RequestTooLarge(f"a histogram of more than {BUCKETS_MAX} buckets")
    total = document.get("sum")
    return Histogram(
        _integer(document.get("count"), "count"),
        None if total is None else _number(total, "sum"),
        [_integer(each, "bucketCounts") for each in counts],
        [_number(each, "explicitBounds") for each in bounds],
    )


def _attributes(document: dict[str, Any]) -> dict[str, str]:
    return {
        _text(each, "key"): text_of(_any_value(each.get("value"), 0))
        for each in _many(document, "attributes")
    }


def _any_value(value: Any, depth: int) -> Any:
    if depth >= DEPTH_MAX:
        raise MalformedRequest(f"an attribute nested deeper than {DEPTH_MAX}")
    document = _object({} if value is None else value, "value")
    if document.get("stringValue") is not None:
        return _text(document, "stringValue")
    if document.get("boolValue") is not None:
        return document["boolValue"] is True
    if document.get("intValue") is not None:
        return _integer(document["intValue"], "intValue", signed=True)
    if document.get("doubleValue") is not None:
        return _number(document["doubleValue"], "doubleValue")
    if document.get("bytesValue") is not None:
        return _bytes(_text(document, "bytesValue"))
    if document.get("arrayValue") is not None:
        inner = _object(document["arrayValue"], "arrayValue")
        return [_any_value(each, depth + 1) for each in _many(inner, "values")]
    if document.get("kvlistValue") is not None:
        inner = _object(document["kvlistValue"], "kvlistValue")
        return {
            _text(each, "key"): _any_value(each.get("value"), depth + 1)
            for each in _many(inner, "values")
        }
    return None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise MalformedRequest("bytesValue is not base64") from None


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedRequest(f"{what} is no object")
    return value


def _many(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = document.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise MalformedRequest(f"{key} is no list of objects")
    return found


def _text(document: dict[str, Any], key: str) -> str:
    found = document.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise MalformedRequest(f"{key} is no text")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise MalformedRequest(f"{key} holds half a character") from None
    return found


def _integer(value: Any, key: str, *, signed: bool = False) -> int:
    """Return a 64-bit integer, which may stand as a text; 0 where there is none."""
    if value is None:
        return 0
    if isinstance(value, str) and len(value) <= 20 and value.removeprefix("-").isdecimal():
        value = int(value)
    low, high = (-(2**63), 2**63 - 1) if signed else (0, UINT64_MAX)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise MalformedRequest(f"{key} is no 64-bit integer")
    return value


def _number(value: Any, key: str) -> float:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, str) and len(value) <= 400:
        try:
            return float(value)
        except ValueError:
            raise MalformedRequest(f"{key} is no number") from None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise MalformedRequest(f"{key} is no number")
    try:
        return float(value)
    except OverflowError:
        raise MalformedRequest(f"{key} is too large") from None
