"""Prometheus remote-write 2.0 messages (`io.prometheus.write.v2.Request`): labels refer to a table of symbols.

`Request { repeated string symbols = 4; repeated TimeSeries timeseries = 5; }`
`TimeSeries { repeated uint32 labels_refs = 1; samples = 2; histograms = 3; exemplars = 4; metadata = 5;
created_timestamp = 6; }`; a sample is 1.0's, with `start_timestamp = 3` in newer senders.

A series whose labels are not right costs only its own samples: 2.0 has partial writes. What can't be decoded costs all.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from collectors.protobuf import BYTES, VARINT, fields, varint
from collectors.push import MalformedRequest, RequestTooLarge
from collectors.write_request import Columns, plain_samples, sample

SYMBOLS_MAX = 1_000_000
REFS_MAX = 256  # of a series: twice what a series may have, so that this is counted and not refused
_LABELS_REFS, _SAMPLES, _HISTOGRAMS, _EXEMPLARS, _METADATA, _CREATED = 1, 2, 3, 4, 5, 6
_MESSAGES = (_SAMPLES, _HISTOGRAMS, _EXEMPLARS, _METADATA)

Key = tuple[bytes, ...]


@dataclass(slots=True)
class SymbolRequest:
    """The samples of a request in its order: `key` picks names and values of each row's labels out of `keys`.

    An empty tuple of `keys` is a series whose references are wrong. key int64, time_ns int64, value float64,
    stale bool. `exemplars` and `created` (timestamps) count what is not taken, as `histograms` does.
    """

    keys: list[Key]
    key: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    stale: npt.NDArray[np.bool_]
    histograms: int
    exemplars: int
    created: int


@dataclass(slots=True)
class _Series:
    keys: list[Key]
    symbols: list[bytes]
    exemplars: int = 0
    created: int = 0


def decode(message: bytes, samples_max: int) -> SymbolRequest:
    """Decode a Request. Raises MalformedRequest, or RequestTooLarge over `samples_max` samples or series."""
    spans: list[tuple[int, int]] = []
    found = _Series([], [])
    for number, kind, start, end in fields(message, 0, len(message)):
        if number not in (4, 5):
            continue
        if kind != BYTES:
            raise MalformedRequest(f"field {number} of the request has the wire type {kind}")
        if number == 4:
            found.symbols.append(message[start:end])
        else:
            spans.append((start, end))
        if len(spans) > samples_max:
            raise RequestTooLarge(f"more than {samples_max} series in a request")
        if len(found.symbols) > SYMBOLS_MAX:
            raise RequestTooLarge(f"more than {SYMBOLS_MAX} symbols in a request")
    columns = Columns(samples_max)
    for start, end in spans:
        _time_series(message, start, end, found, columns)
    return SymbolRequest(
        found.keys, np.array(columns.key, dtype=np.int64), *columns.rows(), columns.histograms,
        found.exemplars, found.created + columns.started,
    )  # fmt: skip


def labels_of(key: Key) -> dict[str, str] | None:
    """Return the labels of a series, None when they are not right: no name, a label twice, not UTF-8."""
    try:
        texts = [part.decode("utf-8") for part in key]
    except UnicodeDecodeError:
        return None
    labels = dict(zip(texts[::2], texts[1::2], strict=True))
    if len(labels) * 2 != len(texts) or "" in labels or not labels.get("__name__"):
        return None
    return labels


def _time_series(message: bytes, start: int, end: int, found: _Series, columns: Columns) -> None:
    before, refs = len(columns.time_ms), list[int]()
    position = start
    while position < end:
        number, kind, inner, after = next(fields(message, position, end))
        if number == _LABELS_REFS:
            refs += _refs(message, kind, inner, after)
            if len(refs) > REFS_MAX:
                raise RequestTooLarge(f"a series of more than {REFS_MAX // 2} labels")
        elif number in _MESSAGES and kind != BYTES:
            raise MalformedRequest(f"field {number} of a time series is not a message")
        elif number == _SAMPLES:
            sample(message, inner, after, columns)
        elif number == _HISTOGRAMS:
            columns.histograms += 1
        elif number == _EXEMPLARS:
            found.exemplars += 1
        elif number == _CREATED and kind == VARINT:
            found.created += 1
        position = plain_samples(message, after, end, columns)
        if len(columns.time_ms) > columns.samples_max:
            raise RequestTooLarge(f"more than {columns.samples_max} samples in a request")
    samples = len(columns.time_ms) - before
    if samples:
        columns.key += [len(found.keys)] * samples
        found.keys.append(_key(refs, found.symbols))


def _refs(message: bytes, kind: int, start: int, end: int) -> Iterable[int]:
    if kind == VARINT:
        return [varint(message, start, end)[0]]
    if kind != BYTES:
        raise MalformedRequest("references that are no integers")
    packed = message[start:end]
    if packed.isascii():  # each of them is one byte
        return packed
    refs, position = [], 0
    while position < len(packed):
        ref, position = varint(packed, position, len(packed))
        refs.append(ref)
    return refs


def _key(refs: list[int], symbols: list[bytes]) -> Key:
    """Return names and values of the labels, empty when the references are wrong."""
    if len(refs) % 2 or not refs or max(refs) >= len(symbols):
        return ()
    return tuple(symbols[ref] for ref in refs)
