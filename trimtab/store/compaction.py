"""What outlives the horizon: without these frames a later version of the code could not start from the journal alone.

A snapshot of other code is discarded. So compaction carries over what the world is (series, inventory, configuration,
policies), what people ordered (the kill switch must survive), and what was done to the network; it gives up samples,
ticks and what was reckoned from them.
"""

from collections.abc import Iterable

from trimtab.domain.action import Action, ActionResult
from trimtab.domain.command import Command
from trimtab.domain.configuration import Configuration
from trimtab.domain.control_loop import ControlLoop
from trimtab.domain.input import SeriesAdded
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.policy import PolicySet
from trimtab.store.frame import KIND_OF, RawFrame

_EVERY = frozenset(
    KIND_OF[kind] for kind in (SeriesAdded, InventoryChange, ActionResult, Command, Action)
)
# Each of these replaces the one before it as a whole.
_LAST = frozenset(KIND_OF[kind] for kind in (Configuration, PolicySet, ControlLoop))


def carried_over(raws: Iterable[RawFrame]) -> list[bytes]:
    """Return the bytes of the frames that compaction keeps, in order."""
    kept: dict[int, bytes] = {}
    last: dict[int, int] = {}
    for raw in raws:
        if raw.kind in _LAST:
            kept.pop(last.get(raw.kind, -1), None)
            last[raw.kind] = raw.seq
        elif raw.kind not in _EVERY:
            continue
        kept[raw.seq] = raw.data
    return [kept[seq] for seq in sorted(kept)]
