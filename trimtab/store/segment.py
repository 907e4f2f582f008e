"""A segment: one file of the journal, a header and then frames.

    "TRIMTABJ" | format u16 | flags u16 | index u32 | first_seq u64 | CRC-32 u32

`first_seq` is the sequence number that its first frame has or will have. A later segment may begin before an
earlier one ends: after a failed write the doubtful frames are written again, and the later ones count. A segment
gets its name only when its header and first frames are durable; a mark closes that first part.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trimtab.errors import JournalCorrupt
from trimtab.store.frame import (
    FRAME_FORMAT,
    MARK_KIND,
    TYPE_OF,
    Frame,
    RawFrame,
    decode_frame,
    encode_mark,
    is_mark,
    mark_after,
    parse_frame,
)
from trimtab.store.storage import AppendFile, Storage

SEGMENT_FORMAT = 1
_MAGIC = b"TRIMTABJ"
_HEADER = struct.Struct("<8sHHIQ")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size
_FLAG_COMPACTED = 1
_PREFIX, _SUFFIX = "journal-", ".log"
# A segment gets its real name only when its first frames are durable: one under this name never counted.
UNNAMED = "next-segment"


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """Say which segment this is. In a compacted one sequence numbers have gaps."""

    index: int
    first_seq: int
    compacted: bool = False


@dataclass(slots=True)
class Segment:
    """A segment as the journal knows it: what lies before `end` is acknowledged, what follows never counts."""

    name: str
    header: SegmentHeader
    end: int = HEADER_BYTES


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment holds: sound up to `end`, durable for sure up to `proven_end`, `tail` between the two."""

    end: int
    proven_end: int
    next_seq: int
    tail: tuple[RawFrame, ...]


def segment_name(index: int) -> str:
    """Return the file name of a segment; sorts by index."""
    return f"{_PREFIX}{index:010d}{_SUFFIX}"


def is_segment_name(name: str) -> bool:
    """Return whether a file name is a segment's."""
    return (
        name.startswith(_PREFIX)
        and name.endswith(_SUFFIX)
        and name[len(_PREFIX) : -len(_SUFFIX)].isdigit()
    )


def index_of(name: str) -> int:
    """Return the index in a segment's file name."""
    return int(name[len(_PREFIX) : -len(_SUFFIX)])


def encode_header(header: SegmentHeader) -> bytes:
    """Return a header's bytes."""
    flags = _FLAG_COMPACTED if header.compacted else 0
    head = _HEADER.pack(_MAGIC, SEGMENT_FORMAT, flags, header.index, header.first_seq)
    return head + _CRC.pack(zlib.crc32(head))


def parse_header(data: bytes, location: str) -> SegmentHeader | None:
    """Return a file's header, None when it is cut off or damaged. Raises JournalCorrupt for a newer format."""
    if len(data) < HEADER_BYTES or data[: len(_MAGIC)] != _MAGIC:
        return None
    _, format_, flags, index, first_seq = _HEADER.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    if crc != zlib.crc32(data[: _HEADER.size]):
        return None
    if format_ > SEGMENT_FORMAT:
        raise newer_format(location, 0, format_, SEGMENT_FORMAT)
    return SegmentHeader(index, first_seq, bool(flags & _FLAG_COMPACTED))


def newer_format(location: str, offset: int, format_: int, known: int) -> JournalCorrupt:
    """Return the error for what a newer Trimtab wrote."""
    return JournalCorrupt(
        f"{location}, offset {offset}: format {format_} is newer than {known}, the newest that this version"
        " reads: run the version that wrote it, or a later one"
    )


def damaged(location: str, offset: int, what: str, seq: int) -> JournalCorrupt:
    """Return the error for damage that a crash can't explain."""
    return JournalCorrupt(
        f"{location}, offset {offset}: {what}, though what follows it was durable already."
        " Restore this file from a backup; or, to go on without sequence numbers from"
        f" {seq}, move it and every later journal file out of the directory"
    )


def damaged_header(location: str) -> JournalCorrupt:
    """Return the error for a file whose header makes no sense."""
    return JournalCorrupt(
        f"{location}, offset 0: the header is damaged. Restore this file from a backup; or, to go on"
        " without what it holds, move it and every later journal file out of the directory"
    )


def frames(data: bytes, header: SegmentHeader, location: str) -> Iterator[RawFrame]:
    """Yield the sound frames of a file in order, marks included; stops where they end or stop to make sense."""
    offset = HEADER_BYTES
    expected = header.first_seq
    while offset < len(data):
        raw = parse_frame(data, offset)
        if isinstance(raw, str):
            return
        if raw.format > FRAME_FORMAT:
            raise newer_format(location, offset, raw.format, FRAME_FORMAT)
        if raw.kind == MARK_KIND:
            if not is_mark(raw):
                return
        elif raw.kind not in TYPE_OF:
            raise JournalCorrupt(
                f"{location}, offset {offset}: frames of kind {raw.kind} are not known to this version:"
                " run the version that wrote it, or a later one"
            )
        elif raw.seq != expected and not (header.compacted and raw.seq > expected):
            return
        else:
            expected = raw.seq + 1
        yield raw
        offset = raw.end


def decoded(raw: RawFrame, location: str) -> Frame:
    """Return a sound frame with its value. Raises JournalCorrupt when this version can't make sense of it."""
    try:
        return decode_frame(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise JournalCorrupt(
            f"{location}, offset {raw.offset}: frame {raw.seq} is whole, but makes no sense to this"
            f" version ({error}): run the version that wrote it"
        ) from error


def scan_last(data: bytes, header: SegmentHeader, location: str) -> Scan:
    """Return what the newest segment holds, without its torn tail.

    Raises JournalCorrupt when the first unsound frame lies before a mark: then it had been durable.
    """
    end = proven_end = HEADER_BYTES
    next_seq = header.first_seq
    tail: list[RawFrame] = []
    for raw in frames(data, header, location):
        end = raw.end
        if raw.kind == MARK_KIND:
            tail.clear()
            proven_end = raw.end
        else:
            tail.append(raw)
            next_seq = raw.seq + 1
    if end < len(data) and mark_after(data, end) is not None:
        raise damaged(location, end, _what_is_wrong(data, end), next_seq)
    return Scan(end, proven_end, next_seq, tuple(tail))


def scan_sealed(data: bytes, header: SegmentHeader, location: str, bound: int) -> Scan:
    """Return what an older segment holds, up to (not including) sequence number `bound`, where the next begins.

    Raises JournalCorrupt when that is not all there.
    """
    end = HEADER_BYTES
    next_seq = header.first_seq
    for raw in frames(data, header, location):
        if raw.kind != MARK_KIND:
            if raw.seq >= bound:
                break
            next_seq = raw.seq + 1
        end = raw.end
    if header.compacted:
        if end < len(data):
            raise damaged(location, end, _what_is_wrong(data, end), next_seq)
        next_seq = bound
    if next_seq < bound:
        if end < len(data):
            raise damaged(location, end, _what_is_wrong(data, end), next_seq)
        raise damaged(
            location, end, f"sequence numbers {next_seq} to {bound - 1} are missing", next_seq
        )
    return Scan(end, end, next_seq, ())


def write_unnamed(
    storage: Storage, header: SegmentHeader, frames_: Sequence[bytes]
) -> tuple[AppendFile, int]:
    """Make a segment of these frames durable, but for its name; returns it open, and its length. Raises OSError."""
    body = b"".join((encode_header(header), *frames_))
    data = body + encode_mark(header.first_seq, len(body))
    if UNNAMED in storage.names():
        storage.remove(UNNAMED)
    file = storage.create(UNNAMED)
    try:
        file.append(data)
        file.sync()
    except OSError:
        file.close()
        _remove_quietly(storage, UNNAMED)
        raise
    return file, len(data)


def _remove_quietly(storage: Storage, name: str) -> None:
    try:
        storage.remove(name)
    except OSError:
        return  # the next one replaces it, and recovery removes it


def _what_is_wrong(data: bytes, offset: int) -> str:
    raw = parse_frame(data, offset)
    return f"a frame {raw if isinstance(raw, str) else 'is out of sequence'}"
