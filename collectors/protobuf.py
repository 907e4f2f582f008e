"""Protobuf's wire format, read with every bound checked: what our receivers ask of it is little, and known.

No generated code and no general runtime; a message is the bytes between two offsets.
"""

from collections.abc import Iterator

from collectors.push import MalformedRequest

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
VARINT_BYTES_MAX = 10


def fields(message: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, wire type, start, end) of the fields between two offsets."""
    position = start
    while position < end:
        tag, position = varint(message, position, end)
        number, kind = tag >> 3, tag & 7
        if kind == BYTES:
            length, inner = varint(message, position, end)
            after = inner + length
        elif kind == VARINT:
            inner = position
            _, after = varint(message, position, end)
        elif kind in (FIXED64, FIXED32):
            inner, after = position, position + (8 if kind == FIXED64 else 4)
        else:
            raise MalformedRequest(f"wire type {kind} is none of protobuf 3")
        if after > end or number == 0:
            raise MalformedRequest("a field ends after its message")
        yield number, kind, inner, after
        position = after


def varint(message: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a varint and the offset after it."""
    if position < end and (first := message[position]) < 0x80:
        return first, position + 1
    value = 0
    for shift, offset in enumerate(range(position, min(end, position + VARINT_BYTES_MAX))):
        byte = message[offset]
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, offset + 1
    raise MalformedRequest("a varint without an end")
