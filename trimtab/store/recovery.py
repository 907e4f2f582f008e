"""What a journal's directory holds after whatever happened to the process that wrote it."""

from dataclasses import dataclass

from trimtab.errors import JournalCorrupt
from trimtab.store.frame import RawFrame
from trimtab.store.segment import (
    UNNAMED,
    Scan,
    Segment,
    damaged_header,
    index_of,
    is_segment_name,
    parse_header,
    scan_last,
    scan_sealed,
)
from trimtab.store.storage import Storage


@dataclass(frozen=True, slots=True)
class Recovered:
    """The segments that count, oldest first; frames found behind what is durable for sure; what comes next."""

    segments: tuple[Segment, ...]
    tail: tuple[RawFrame, ...]
    durable_seq: int
    next_index: int


def recover(storage: Storage) -> Recovered:
    """Read every segment through. Raises JournalCorrupt for damage, gaps and newer formats.

    Removes what a crash left over: a segment not yet named, and segments that later ones replaced as a whole.
    """
    if UNNAMED in storage.names():
        storage.remove(UNNAMED)
    names = [name for name in storage.names() if is_segment_name(name)]
    next_index = index_of(names[-1]) + 1 if names else 0
    segments: list[Segment] = []
    newest: Scan | None = None
    bound: int | None = None
    for name in reversed(names):
        data = storage.read(name)
        location = storage.location(name)
        header = parse_header(data, location)
        if header is None:
            raise damaged_header(location)
        if bound is not None and header.first_seq >= bound:
            storage.remove(name)
            continue
        if bound is not None:
            scan = scan_sealed(data, header, location, bound)
        elif header.compacted:
            raise JournalCorrupt(
                f"{location}: the journal file that follows it is missing: restore it from a backup"
            )
        else:
            scan = newest = scan_last(data, header, location)
        segments.append(Segment(name, header, scan.proven_end))
        bound = header.first_seq
    segments.reverse()
    if newest is None:
        return Recovered((), (), -1, next_index)
    tail = newest.tail
    durable_seq = tail[0].seq - 1 if tail else newest.next_seq - 1
    return Recovered(tuple(segments), tail, durable_seq, next_index)
