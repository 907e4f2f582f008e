"""OpenTelemetry metrics to series, named as Prometheus names what it receives by OTLP.

Characters that Prometheus' classic names don't have become `_`; the unit and, for a monotonic sum, `total` are
suffixes. `service.namespace/service.name` is the label `job`, `service.instance.id` is `instance`; the resource's other
attributes are labels, too, and give way to a point's own. Names that become the same share a label, their values
joined by `;` in the order of the names. A histogram is `_bucket` by `le`, `_sum` and `_count`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import numpy as np

from collectors.otlp_metrics import (
    CUMULATIVE,
    NO_RECORDED_VALUE,
    Histogram,
    Metric,
    Point,
    Resource,
)
from collectors.push import RequestTooLarge
from trimtab.domain.series import LABELS_PER_SERIES_MAX

TIME_NS_MAX = 2**63 - 1
NAMES_REMEMBERED_MAX = 16_384
_APART = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9]+")
_IDENTITY = {"service.name", "service.namespace", "service.instance.id"}
# UCUM's units as OpenTelemetry writes them, in Prometheus' words.
_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius",
    "Hz": "hertz", "1": "", "%": "percent",
}  # fmt: skip
_PER = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"
}  # fmt: skip


@dataclass(slots=True)
class Translated:
    """The rows of a request in order, with the place of the point that each is of.

    `series` are names and labels, not yet resolved; `rejected` counts points that gave no row, `refused` why.
    """

    series: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    time_ns: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    stale: list[bool] = field(default_factory=list)
    point: list[int] = field(default_factory=list)
    points: int = 0
    rejected: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def translate(resources: list[Resource], rows_max: int) -> Translated:
    """Turn decoded metrics into rows, in their order. Raises RequestTooLarge over `rows_max` rows."""
    found = Translated()
    for resource in resources:
        identity, common = _resource_labels(resource.attributes)
        for metric in resource.metrics:
            for point in metric.points:
                found.points += 1
                reason = _refusal(metric, point, resource)
                if reason is not None:
                    found.refused[reason] += 1
                    found.rejected += 1
                    continue
                _add(found, metric, point, {**common, **_labels(point.attributes), **identity})
                if len(found.value) > rows_max:
                    raise RequestTooLarge(f"more than {rows_max} samples in a request")
    return found


def _refusal(metric: Metric, point: Point, resource: Resource) -> str | None:
    """Return why a point is not taken; the word is what is counted."""
    if metric.kind not in ("gauge", "sum", "histogram"):
        return metric.kind
    if metric.kind != "gauge" and metric.temporality != CUMULATIVE:
        return "delta"
    if not metric_name(metric.name, metric.unit, metric.kind, metric.monotonic):
        return "no_name"
    if not all(map(label_name, (*resource.attributes, *point.attributes))):
        return "label_name"
    if not 0 < point.time_ns <= TIME_NS_MAX:
        return "impossible_time"
    if point.flags & NO_RECORDED_VALUE:
        return None
    if point.histogram is not None:
        return None if _is_sound(point.histogram) else "bad_histogram"
    return "no_value" if point.value is None else None


def _is_sound(histogram: Histogram) -> bool:
    """Return whether the buckets fit their bounds, which rise; no buckets at all are sound as well."""
    counts, bounds = histogram.counts, histogram.bounds
    if not counts:
        return not bounds
    return (
        len(counts) == len(bounds) + 1
        and bool(np.isfinite(bounds).all())
        and all(low < high for low, high in pairwise(bounds))
        and sum(counts) == histogram.count
    )


def _add(found: Translated, metric: Metric, point: Point, labels: dict[str, str]) -> None:
    stale = bool(point.flags & NO_RECORDED_VALUE)
    name = metric_name(metric.name, metric.unit, metric.kind, metric.monotonic)
    rows: Iterator[tuple[str, dict[str, str], float]]
    if point.histogram is not None:
        rows = _histogram_rows(name, labels, point.histogram)
    else:
        rows = iter([(name, labels, 0.0 if point.value is None else point.value)])
    for series, with_labels, value in rows:
        found.series.append((series, with_labels))
        found.time_ns.append(point.time_ns)
        found.value.append(value)
        found.stale.append(stale)
        found.point.append(found.points - 1)


def _histogram_rows(
    name: str, labels: dict[str, str], histogram: Histogram
) -> Iterator[tuple[str, dict[str, str], float]]:
    below = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        below += count
        le = np.format_float_positional(bound, trim="-")
        yield f"{name}_bucket", {**labels, "le": le}, float(below)
    yield f"{name}_bucket", {**labels, "le": "+Inf"}, float(histogram.count)
    if histogram.total is not None:
        yield f"{name}_sum", dict(labels), histogram.total
    yield f"{name}_count", labels, float(histogram.count)


def _resource_labels(attributes: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return `job` and `instance`, and the labels of the other attributes."""
    identity = {}
    service = attributes.get("service.name", "")
    if service:
        space = attributes.get("service.namespace", "")
        identity["job"] = f"{space}/{service}" if space else service
    if attributes.get("service.instance.id"):
        identity["instance"] = attributes["service.instance.id"]
    return identity, _labels(
        {key: value for key, value in attributes.items() if key not in _IDENTITY}
    )


def _labels(attributes: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in sorted(attributes):
        name = label_name(key)
        found[name] = f"{found[name]};{attributes[key]}" if name in found else attributes[key]
        if len(found) > LABELS_PER_SERIES_MAX:  # too many in any case: it is refused later on
            break
    return found


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def label_name(key: str) -> str:
    """Return an attribute's key as the name of a label; empty when nothing of it is left."""
    name = _NOT_IN_LABELS.sub("_", key)
    if name in ("", "_"):
        return ""
    return f"key_{name}" if name[0].isdigit() else name


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def metric_name(name: str, unit: str, kind: str, monotonic: bool) -> str:
    """Return a metric's name with its unit and kind behind it; empty when nothing of the name is left."""
    words = [word for word in _APART.split(name) if word]
    if not words:
        return ""
    main, _, per = unit.partition("/")
    main, per = _unit(main, _UNITS), _unit(per, _PER)
    if main and main not in words:
        words.append(main)
    if per:
        words.append(f"per_{per}")
    if kind == "sum" and monotonic:
        words = [*(word for word in words if word != "total"), "total"]
    elif kind == "gauge" and unit == "1":
        words = [*(word for word in words if word != "ratio"), "ratio"]
    joined = "_".join(words)
    return f"_{joined}" if joined[0].isdigit() else joined


def _unit(text: str, known: dict[str, str]) -> str:
    text = text.strip()
    if "{" in text or "}" in text:  # an annotation, not a unit
        return ""
    return known[text] if text in known else "_".join(w for w in _APART.split(text) if w)
