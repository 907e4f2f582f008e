"""A frame: one numbered input or output in the journal, and its bytes.

    length u32 | CRC-32 u32 | seq u64 | now i64 | kind u8 | format u8 | payload of `length` bytes

little-endian; the CRC is of everything but itself. Kind 0 is a mark at the head of a group commit: it says that all
before it in its file was durable when it was written, so that recovery can tell a torn tail from damage.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Any

from trimtab.domain.action import Action, ActionResult
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment, Trouble
from trimtab.domain.codec import decode, decode_batch, encode, encode_batch
from trimtab.domain.command import Command, CommandResult
from trimtab.domain.configuration import Configuration
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.decision import Decision
from trimtab.domain.incident import Incident
from trimtab.domain.input import ClockJump, Input, Notice, Output, SeriesAdded, SeriesRetired, Tick
from trimtab.domain.kpi import Kpi
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.policy import PolicySet
from trimtab.domain.samples import SampleBatch
from trimtab.domain.sls import SlsReport
from trimtab.domain.trained_model import TrainedModel
from trimtab.domain.verification import Verification

FRAME_FORMAT = 1
PAYLOAD_BYTES_MAX = 64 * 1024 * 1024

MARK_KIND = 0
OUTPUT_KIND_MIN = 64
# Numbers on disk: never change one, never reuse one.
KIND_OF: dict[type, int] = {
    SeriesAdded: 1,
    SampleBatch: 2,
    Tick: 3,
    ClockJump: 4,
    InventoryChange: 5,
    Configuration: 6,
    PolicySet: 7,
    ActionResult: 8,
    Command: 9,
    TrainedModel: 10,
    SeriesRetired: 11,
    Kpi: 64,
    Assessment: 65,
    Trouble: 66,
    Alarm: 67,
    Notice: 68,
    CommandResult: 69,
    Incident: 70,
    Decision: 71,
    Action: 72,
    Verification: 73,
    ControlLoop: 74,
    SlsReport: 75,
}
TYPE_OF = {kind: type_ for type_, kind in KIND_OF.items()}

_HEAD = struct.Struct("<IIQqBB")
_LENGTH = struct.Struct("<I")
_AFTER_CRC = struct.Struct("<QqBB")
_MARK = struct.Struct("<16sQ")
_MARK_MAGIC = b"\xf5trimtab-synced\xf5"
HEAD_BYTES = _HEAD.size
MARK_BYTES = HEAD_BYTES + _MARK.size


@dataclass(frozen=True, slots=True)
class Frame:
    """One journaled value; `is_output` tells what the machines said from what they were told."""

    seq: int
    now: int
    value: Input | Output
    is_output: bool


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame whose bytes (`data`) are sound, its payload not yet decoded; [offset, end) is its place in the file."""

    offset: int
    end: int
    seq: int
    now: int
    kind: int
    format: int
    data: bytes

    @property
    def payload(self) -> bytes:
        """Return what follows the head."""
        return self.data[HEAD_BYTES:]


def encode_frame(seq: int, now: int, value: Input | Output) -> bytes:
    """Return a value's frame. Raises ValueError when it is too large, TypeError when it is no input or output."""
    kind = KIND_OF.get(type(value))
    if kind is None:
        raise TypeError(f"{type(value).__name__} is neither an input nor an output")
    payload = encode_batch(value) if isinstance(value, SampleBatch) else encode(value)
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(
            f"a {type(value).__name__} of {len(payload)} bytes is over the limit of {PAYLOAD_BYTES_MAX}"
        )
    return _framed(seq, now, kind, payload)


def encode_mark(next_seq: int, offset: int) -> bytes:
    """Return the mark that says: when this was written at `offset`, all before it was durable."""
    return _framed(next_seq, 0, MARK_KIND, _MARK.pack(_MARK_MAGIC, offset))


def parse_frame(data: bytes, offset: int) -> RawFrame | str:
    """Return the frame at an offset, or what is wrong with it in a few words."""
    if offset + HEAD_BYTES > len(data):
        return "is cut off"
    length, crc, seq, now, kind, format_ = _HEAD.unpack_from(data, offset)
    if length > PAYLOAD_BYTES_MAX:
        return "claims an impossible length"
    end = offset + HEAD_BYTES + length
    if end > len(data):
        return "is cut off"
    whole = data[offset:end]
    if crc != _checksum(whole[:4], whole[8:HEAD_BYTES], memoryview(whole)[HEAD_BYTES:]):
        return "has a wrong checksum"
    return RawFrame(offset, end, seq, now, kind, format_, whole)


def is_mark(frame: RawFrame) -> bool:
    """Return whether a frame is a mark that belongs where it stands."""
    if frame.kind != MARK_KIND or len(frame.payload) != _MARK.size:
        return False
    magic, offset = _MARK.unpack(frame.payload)
    return bool(magic == _MARK_MAGIC and offset == frame.offset)


def mark_after(data: bytes, offset: int) -> int | None:
    """Return where the first sound mark after an offset stands, None when there is none."""
    found = data.find(_MARK_MAGIC, offset)
    while found >= 0:
        start = found - HEAD_BYTES
        if start > offset:
            frame = parse_frame(data, start)
            if isinstance(frame, RawFrame) and is_mark(frame):
                return start
        found = data.find(_MARK_MAGIC, found + 1)
    return None


def decode_frame(raw: RawFrame) -> Frame:
    """Return a frame with its value. Raises ValueError, KeyError or TypeError when the payload makes no sense."""
    return Frame(raw.seq, raw.now, _value_of(raw), raw.kind >= OUTPUT_KIND_MIN)


def _value_of(raw: RawFrame) -> Any:
    expected = TYPE_OF[raw.kind]
    value = decode_batch(raw.payload) if expected is SampleBatch else decode(raw.payload)
    if type(value) is not expected:
        raise ValueError(f"a {type(value).__name__} stands where a {expected.__name__} should")
    return value


def _framed(seq: int, now: int, kind: int, payload: bytes) -> bytes:
    length = _LENGTH.pack(len(payload))
    rest = _AFTER_CRC.pack(seq, now, kind, FRAME_FORMAT)
    crc = _LENGTH.pack(_checksum(length, rest, payload))
    return b"".join((length, crc, rest, payload))


def _checksum(length: bytes, rest: bytes, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(rest, zlib.crc32(length)))
