"""Canonical bytes for every domain value: equal values give equal bytes, on every machine.

JSON with sorted keys and the dataclass's name under `@type`; no NaN; no pickle. A sample batch is columns, not
JSON: a length-prefixed source followed by its four little-endian arrays.
"""

import json
import struct
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from trimtab.domain import (
    action,
    alarm,
    assessment,
    command,
    configuration,
    context,
    control_loop,
    decision,
    evidence,
    incident,
    input,
    kpi,
    managed_object,
    policy,
    series,
    service,
    sls,
    trained_model,
    verification,
)
from trimtab.domain.samples import SampleBatch

_MODULES = (
    action, alarm, assessment, command, configuration, context, control_loop, decision, evidence, incident, input, kpi,
    managed_object, policy, series, service, sls,
    trained_model, verification,
)  # fmt: skip
_TYPES: dict[str, type] = {
    value.__name__: value
    for module in _MODULES
    for value in vars(module).values()
    if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
}
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
_AS_IT_IS = frozenset({str, int, float, bool, type(None)})
_BATCH_HEAD = struct.Struct("<HI")


def to_plain(value: Any) -> Any:
    """Return a value as what JSON has types for (tuples of texts stay); dataclasses become objects with `@type`."""
    kind: type = type(value)
    return value if kind in _AS_IT_IS else _writer(kind)(value)


def from_plain(plain: dict[str, Any]) -> Any:
    """Return the dataclass that `to_plain` made this of. Raises KeyError, TypeError or ValueError when malformed."""
    return _decoder(_TYPES[plain["@type"]])(plain)


def encode(value: Any) -> bytes:
    """Return canonical JSON bytes. Raises ValueError on NaN or infinity."""
    return _JSON.encode(to_plain(value)).encode()


def decode(blob: bytes) -> Any:
    """Return the value that `encode` made these bytes of."""
    return from_plain(json.loads(blob))


def encode_batch(batch: SampleBatch) -> bytes:
    """Return a batch as bytes: u16 source length, u32 rows, source, then the columns."""
    source = batch.source.encode()
    return b"".join(
        (
            _BATCH_HEAD.pack(len(source), len(batch)),
            source,
            batch.series_id.astype("<i4").tobytes(),
            batch.time_ns.astype("<i8").tobytes(),
            batch.value.astype("<f8").tobytes(),
            batch.flags.tobytes(),
        )
    )


def decode_batch(blob: bytes) -> SampleBatch:
    """Return the batch that `encode_batch` made these bytes of. Raises ValueError when they do not fit."""
    if len(blob) < _BATCH_HEAD.size:
        raise ValueError("a sample batch is cut off")
    source_bytes, rows = _BATCH_HEAD.unpack_from(blob)
    offset = _BATCH_HEAD.size + source_bytes
    if len(blob) != offset + rows * 21:
        raise ValueError("a sample batch has another length than its head says")
    source = blob[_BATCH_HEAD.size : offset].decode()
    columns = []
    for dtype, size in (("<i4", 4), ("<i8", 8), ("<f8", 8), ("u1", 1)):
        columns.append(np.frombuffer(blob, dtype=dtype, count=rows, offset=offset))
        offset += rows * size
    return SampleBatch(source, *columns)


@cache
def _writer(kind: type) -> Callable[[Any], Any]:
    """Return how to make plain what is of this type: built once a type, as every value passes here."""
    if issubclass(kind, Enum):
        return lambda value: value._value_
    if issubclass(kind, (tuple, list)):
        return lambda value: [to_plain(item) for item in value]
    if not is_dataclass(kind):
        return lambda value: value
    hints = get_type_hints(kind)
    names = [
        (item.name, _may_be_float(hints[item.name]), _is_json(hints[item.name]))
        for item in fields(kind)
    ]
    name = kind.__name__

    def write(value: Any) -> Any:
        plain: dict[str, Any] = {"@type": name}
        for field_name, is_float, as_it_is in names:
            item = getattr(value, field_name)
            if as_it_is:
                plain[field_name] = item
            elif is_float and item is not None:
                # 1 equals 1.0, and 0.0 equals -0.0: equal values give equal bytes.
                plain[field_name] = float(item) + 0.0
            else:
                plain[field_name] = to_plain(item)
        return plain

    return write


def _is_json(hint: Any) -> bool:
    """Return whether what a field holds is JSON without a change: texts, integers, tuples of them."""
    inside = [item for item in get_args(hint) if item is not Ellipsis]
    if get_origin(hint) is tuple:
        return all(map(_is_json, inside))
    return hint in (str, int, bool)


def _may_be_float(hint: Any) -> bool:
    return hint is float or set(get_args(hint)) == {float, type(None)}


@cache
def _decoder(kind: type) -> Callable[[dict[str, Any]], Any]:
    hints = get_type_hints(kind)
    readers = {item.name: _reader(hints[item.name]) for item in fields(kind)}

    def decode_fields(plain: dict[str, Any]) -> Any:
        return kind(
            **{name: readers[name](item) for name, item in plain.items() if name != "@type"}
        )

    return decode_fields


def _reader(hint: Any) -> Callable[[Any], Any]:
    """Return how to read a field of this type: built once a class, as decoding sits on the recovery path."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = [item for item in get_args(hint) if item is not type(None)]
        if len(inner) == 1:
            read = _reader(inner[0])
            return lambda plain: None if plain is None else read(plain)
        return lambda plain: from_plain(plain) if isinstance(plain, dict) else plain
    if origin is tuple:
        inside = get_args(hint)
        if len(inside) == 2 and inside[1] is Ellipsis:
            each = _reader(inside[0])
            return lambda plain: tuple(each(item) for item in plain)
        members = [_reader(item) for item in inside]
        return lambda plain: tuple(read(item) for read, item in zip(members, plain, strict=True))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if isinstance(hint, type) and is_dataclass(hint):
        return from_plain
    if hint is float:
        return float
    return lambda plain: plain
