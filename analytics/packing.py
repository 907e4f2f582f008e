"""Snapshots as bytes: JSON for what has structure, raw little-endian arrays for what has volume. No pickle.

Layout: u32 length of the JSON head, the head, then the arrays one after the other in the order in which the
head names them. Equal states give equal bytes: keys are sorted and arrays are written in C order.
"""

import json
import math
import struct
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from trimtab.domain import codec

_HEAD = struct.Struct("<I")
_ARRAY = "@array"


def pack(state: dict[str, Any]) -> bytes:
    """Return a state of JSON types, numpy arrays and domain values as bytes."""
    blobs: list[bytes] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            little = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False)
            blobs.append(little.tobytes())
            return {_ARRAY: [little.dtype.str, list(value.shape)]}
        if isinstance(value, dict):
            return {key: plain(value[key]) for key in sorted(value)}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if is_dataclass(value):
            return codec.to_plain(value)
        return value

    head = json.dumps(plain(state), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return b"".join((_HEAD.pack(len(head.encode())), head.encode(), *blobs))


def unpack(blob: bytes) -> dict[str, Any]:
    """Return the state that `pack` made these bytes of; arrays are writable copies.

    Raises ValueError when the bytes are cut off.
    """
    if len(blob) < _HEAD.size:
        raise ValueError("a snapshot is cut off")
    (length,) = _HEAD.unpack_from(blob)
    offset = _HEAD.size + length

    def rich(value: Any) -> Any:
        nonlocal offset
        if isinstance(value, list):
            return [rich(item) for item in value]
        if not isinstance(value, dict):
            return value
        if _ARRAY in value:
            dtype, shape = np.dtype(value[_ARRAY][0]), value[_ARRAY][1]
            count = math.prod(shape)
            array = np.frombuffer(blob, dtype=dtype, count=count, offset=offset)
            offset += array.nbytes
            return array.reshape(shape).copy()
        if "@type" in value:
            return codec.from_plain(value)
        return {key: rich(value[key]) for key in value}

    state: dict[str, Any] = rich(json.loads(blob[_HEAD.size : offset]))
    return state
