"""What outlives the horizon: without these frames a later version of the code could not start from the journal alone.

A snapshot of other code is discarded. So compaction carries over what the world is (series, inventory, configuration,
policies), what people ordered (the kill switch must survive), and what was done to the network; it gives up samples,
ticks and what was reckoned from them.
"""

from collections.abc import Iterable, Iterator

from trimtab.domain.action import Action, ActionResult
from trimtab.domain.codec import decode
from trimtab.domain.command import Command
from trimtab.domain.configuration import Configuration
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.input import SeriesAdded, SeriesRetired
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.policy import PolicySet
from trimtab.store.frame import KIND_OF, MARK_KIND, RawFrame
from trimtab.store.segment import UNNAMED, Segment, SegmentHeader, frames, write_unnamed
from trimtab.store.storage import Storage

_EVERY = frozenset(
    KIND_OF[kind] for kind in (SeriesAdded, InventoryChange, ActionResult, Command, Action)
)
_ADDED, _RETIRED = KIND_OF[SeriesAdded], KIND_OF[SeriesRetired]
# Each of these replaces the one before it as a whole.
_LAST = frozenset(KIND_OF[kind] for kind in (Configuration, PolicySet, ControlLoop))


def carried_over(raws: Iterable[RawFrame]) -> list[bytes]:
    """Return the bytes of the frames that compaction keeps, in order; of a series that was retired, nothing."""
    kept: dict[int, bytes] = {}
    last: dict[int, int] = {}
    series: dict[int, int] = {}  # id: where it was added last
    for raw in raws:
        if raw.kind == _RETIRED:
            for series_id in decode(raw.payload).series_ids:
                kept.pop(series.pop(series_id, -1), None)
            continue
        if raw.kind == _ADDED:
            series[decode(raw.payload).series_id] = raw.seq
        if raw.kind in _LAST:
            kept.pop(last.get(raw.kind, -1), None)
            last[raw.kind] = raw.seq
        elif raw.kind not in _EVERY:
            continue
        kept[raw.seq] = raw.data
    return [kept[seq] for seq in sorted(kept)]


def replace_oldest(storage: Storage, segments: list[Segment], count: int) -> None:
    """Put one compacted segment in the place of the oldest `count`. Raises OSError; nothing is lost then."""
    old = segments[:count]
    carried = carried_over(_raw_frames(storage, old, segments[count].header.first_seq))
    header = SegmentHeader(old[-1].header.index, old[0].header.first_seq, compacted=True)
    file, end = write_unnamed(storage, header, carried)
    file.close()
    storage.rename(UNNAMED, old[-1].name)
    # From here on the compacted one counts, and the others are superseded as a whole: what of the rest fails, or is
    # undone by a crash, recovery puts right.
    segments[:count] = [Segment(old[-1].name, header, end)]
    storage.sync_directory()
    for item in old[:-1]:
        storage.remove(item.name)


def _raw_frames(storage: Storage, old: list[Segment], bound: int) -> Iterator[RawFrame]:
    for item in old:
        data = storage.read(item.name)[: item.end]
        for raw in frames(data, item.header, storage.location(item.name)):
            if raw.kind != MARK_KIND and raw.seq < bound:
                yield raw
