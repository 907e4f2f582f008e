"""Snapshots as bytes: JSON for what has structure, raw little-endian arrays and texts for what has volume. No pickle.

Layout: u32 length of the JSON head, the head, then arrays, texts and plain values one after the other in the order in
which the head names them. Equal states give equal bytes: keys are sorted and arrays are written in C order.
"""

import json
import math
import struct
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np

from trimtab.domain import codec

_HEAD = struct.Struct("<I")
_ARRAY, _TEXTS, _PLAIN = "@array", "@texts", "@plain"


@dataclass(frozen=True, slots=True)
class Texts:
    """Many texts, written as one; a list of them comes back."""

    values: list[str]


@dataclass(frozen=True, slots=True)
class Plain:
    """What is of JSON types all the way down, and need not be looked into."""

    value: Any


def pack(state: dict[str, Any]) -> bytes:
    """Return a state of JSON types, numpy arrays, domain values, Texts and Plain as bytes."""
    blobs: list[bytes] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            little = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False)
            blobs.append(little.tobytes())
            return {_ARRAY: [little.dtype.str, list(value.shape)]}
        if isinstance(value, Texts):
            lengths = np.fromiter(map(len, value.values), "<u4", len(value.values))
            joined = "".join(value.values).encode()
            blobs.extend((lengths.tobytes(), joined))
            return {_TEXTS: [len(value.values), len(joined)]}
        if isinstance(value, Plain):
            blobs.append(_json(value.value))
            return {_PLAIN: len(blobs[-1])}
        if isinstance(value, dict):
            return {key: plain(value[key]) for key in sorted(value)}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if is_dataclass(value):
            return codec.to_plain(value)
        return value

    head = _json(plain(state))
    return b"".join((_HEAD.pack(len(head)), head, *blobs))


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


class _Reader:
    """Take what follows the head, in order. Raises ValueError where the bytes are cut off."""

    def __init__(self, blob: bytes, offset: int) -> None:
        self._blob, self._offset = blob, offset

    def take(self, size: int) -> bytes:
        end = self._offset + size
        if size < 0 or end > len(self._blob):
            raise ValueError("a snapshot is cut off")
        found, self._offset = self._blob[self._offset : end], end
        return found

    def array(self, dtype: Any, shape: list[int]) -> Any:
        kind, count = np.dtype(dtype), math.prod(shape)
        if kind.hasobject or count < 0:
            raise ValueError(f"a snapshot holds no arrays of {kind}")
        return np.frombuffer(self.take(count * kind.itemsize), dtype=kind).reshape(shape).copy()

    def texts(self, count: int, size: int) -> list[str]:
        lengths = self.array("<u4", [count]).astype(np.int64)
        joined = self.take(size).decode()
        ends = np.cumsum(lengths)
        if count and int(ends[-1]) != len(joined):
            raise ValueError("the texts of a snapshot have other lengths than it says")
        return [
            joined[first:last]
            for first, last in zip((ends - lengths).tolist(), ends.tolist(), strict=True)
        ]


def unpack(blob: bytes) -> dict[str, Any]:
    """Return the state that `pack` made these bytes of; arrays are writable copies.

    Raises ValueError when the bytes are cut off or are not of its making.
    """
    reader = _Reader(blob, 0)
    (length,) = _HEAD.unpack(reader.take(_HEAD.size))

    def rich(value: Any) -> Any:
        if isinstance(value, list):
            return [rich(item) for item in value]
        if not isinstance(value, dict):
            return value
        if _ARRAY in value:
            return reader.array(*value[_ARRAY])
        if _TEXTS in value:
            return reader.texts(*value[_TEXTS])
        if _PLAIN in value:
            return json.loads(reader.take(value[_PLAIN]))
        if "@type" in value:
            return codec.from_plain(value)
        return {key: rich(value[key]) for key in value}

    state: dict[str, Any] = rich(json.loads(reader.take(length)))
    return state
