"""The series table: slots for the series that are alive, and who was heard when.

A slot is one series as part of one object. A series that ends, or is silent for long, gives its slot back.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from sys import intern
from typing import Any

import numpy as np

from analytics.binding import Binder, Binding, kind_of
from analytics.columns import LONG_AGO, Column, Columns
from analytics.joins import Joins
from analytics.kpi import Bools, Ints
from analytics.packing import Plain
from trimtab.domain.managed_object import Topology
from trimtab.domain.series import Series
from trimtab.domain.time import NS_PER_SECOND

SLOTS_MAX = 2_000_000
SERIES_MAX = 100_000_000  # ids, which are never given twice
SOURCES_MAX = 1_000
SERIES_SILENT_MAX_NS = 300 * NS_PER_SECOND
HEARD_PANES_MAX = 64
_UNSEEN, _UNBOUND, _ALIAS = 0, -1, -2


@dataclass(slots=True)
class Counters:
    """Count the rows that led to nothing, and why."""

    unbound: int = 0  # no rule names an object, or no KPI reads the series
    late: int = 0  # its window had closed (counted once a KPI)
    future: int = 0
    overflow: int = 0  # over a cap


class SeriesTable:
    """Turn series ids into slots; `open_slot` is told of each new one and may refuse it."""

    def __init__(self, owns: Callable[[str], bool]) -> None:
        self.owns = owns
        self.binder: Binder | None = None
        self.series: dict[int, Series] = {}
        self.retired: set[int] = (
            set()
        )  # to be forgotten when others are, once their slots are closed
        self.slot_of = np.zeros(1_024, dtype=np.int64)
        self.slots = Columns(
            {
                "series": Column("i8", -1),
                "last": Column("i8", LONG_AGO),
                "ended": Column("?", 0),
                "beat": Column("i8", 0),
                "source": Column("i8", -1),
                "opened": Column("i8", 0),
                "joined": Column("?", 0),  # it feeds another object than the one that it speaks of
            }
        )
        self.object_of: dict[int, str] = {}
        self.alias_slots: dict[tuple[int, str], int] = {}
        self.bindings: dict[int, Binding] = {}
        self.alive: dict[str, int] = {}  # object id -> how many slots it has
        self.tick_ns = 0
        self.joins = Joins(owns)

    def add(self, series_id: int, series: Series) -> None:
        """Learn of a series."""
        if series_id >= SERIES_MAX:
            return
        self.series[series_id] = series
        self.retired.discard(series_id)
        if series_id >= len(self.slot_of):
            grown = np.zeros(max(2 * len(self.slot_of), series_id + 1), dtype=np.int64)
            grown[: len(self.slot_of)] = self.slot_of
            self.slot_of = grown
        if self.slot_of[series_id] == _UNBOUND:
            self.slot_of[series_id] = _UNSEEN

    def retire(self, series_ids: Sequence[int]) -> None:
        """Forget series that were silent for long; one that still has a slot, another time."""
        wanted = sorted({*series_ids, *self.retired} & self.series.keys())
        ids = np.array(wanted, dtype=np.int64)
        held = np.isin(ids, self.slots["series"])
        self.retired = set(ids[held].tolist())
        for number in ids[~held].tolist():
            self._forget(number)

    def _forget(self, series_id: int) -> None:
        del self.series[series_id]
        self.bindings.pop(series_id, None)
        self.joins.drop(series_id)
        self.slot_of[series_id] = _UNBOUND

    def locate(
        self, series: Ints, time: Ints, topology: Topology, opened: list[int], refused: set[str]
    ) -> Ints:
        """Return the slot of each row, 0 or less where there is none; append newly opened slots to `opened`.

        Rows of objects in `refused` (removed ones) find no slot.
        """
        known = (series >= 0) & (series < len(self.slot_of))
        code = np.where(known, self.slot_of[np.where(known, series, 0)], _UNBOUND)
        unseen = code == _UNSEEN
        if unseen.any():
            for series_id in np.unique(series[unseen]).tolist():
                self._resolve(series_id, opened, refused)
            code[unseen] = self.slot_of[series[unseen]]
        by_alias = np.flatnonzero(code == _ALIAS)
        for series_id in np.unique(series[by_alias]).tolist():
            rows = by_alias[series[by_alias] == series_id]
            code[rows] = self._through_alias(series_id, time[rows], topology, opened, refused)
        return code

    def _resolve(self, series_id: int, opened: list[int], refused: set[str]) -> None:
        series = self.series.get(series_id)
        if series is None or self.binder is None or not self.binder.readers(series):
            self.slot_of[series_id] = _UNBOUND
            return
        binding = self.binder.bind(series)
        if binding is None or (binding.object_id and not self.owns(binding.object_id)):
            self.slot_of[series_id] = _UNBOUND
        elif binding.alias_source:
            self.bindings[series_id] = binding
            self.slot_of[series_id] = _ALIAS
        elif binding.object_id not in refused:
            self.slot_of[series_id] = self.open(series_id, binding.object_id, opened)

    def _through_alias(
        self, series_id: int, time: Ints, topology: Topology, opened: list[int], refused: set[str]
    ) -> Ints:
        found = np.full(len(time), _UNBOUND, dtype=np.int64)
        binding = self.bindings[series_id]
        for claim in topology.aliases.get((binding.alias_source, binding.native_id), ()):
            if not self.owns(claim.object_id) or claim.object_id in refused:
                continue
            valid = (found == _UNBOUND) & (time >= claim.valid_from_ns)
            if claim.valid_to_ns is not None:
                valid &= time < claim.valid_to_ns
            if valid.any():
                slot = self.alias_slots.get((series_id, claim.object_id))
                found[valid] = slot or self.open(series_id, claim.object_id, opened)
        return found

    def join(
        self, series: Ints, topology: Topology, opened: list[int], refused: set[str]
    ) -> tuple[Ints, Ints]:
        """Return the rows that also feed objects which rest on theirs, once for each, and the slots of these."""
        if not self.joins.wanted:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        for series_id in self.joins.unseen(series):
            if series_id in self.series:
                self._join(series_id, topology, opened, refused)
        return self.joins.rows(series)

    def _join(
        self, series_id: int, topology: Topology, opened: list[int], refused: set[str]
    ) -> None:
        series = self.series[series_id]
        wholes = self.joins.feeds(series_id, series, self._object_now(series, topology), refused)
        before = self.joins.fed.get(series_id, {})
        for whole in sorted(before.keys() - set(wholes or ())):
            self.end(before[whole])
        for whole in wholes or ():
            if whole not in self.joins.fed.get(series_id, {}):
                slot = self.open(series_id, whole, opened, joined=True)
                if slot:
                    self.joins.adopt(series_id, whole, slot)
        if wholes is not None:
            self.joins.found_out(series_id)

    def _object_now(self, series: Series, topology: Topology) -> str:
        binding = self.binder.bind(series) if self.binder else None
        if binding is None or not binding.alias_source:
            return binding.object_id if binding else ""
        claims = topology.aliases.get((binding.alias_source, binding.native_id), ())
        now = self.tick_ns
        valid = [
            claim.object_id
            for claim in claims
            if claim.valid_from_ns <= now and (claim.valid_to_ns is None or now < claim.valid_to_ns)
        ]
        return valid[0] if valid else ""

    def open(
        self, series_id: int, object_id: str, opened: list[int], *, joined: bool = False
    ) -> int:
        """Return a fresh slot, 0 when the table is full."""
        if len(self.slots) >= SLOTS_MAX:
            return _UNSEEN
        slot = self.slots.allocate()
        self.slots["series"][slot] = series_id
        self.slots["opened"][slot] = self.tick_ns
        # One text for all slots of an object.
        self.object_of[slot] = intern(object_id)
        self.alive[object_id] = self.alive.get(object_id, 0) + 1
        self.slots["joined"][slot] = joined
        if series_id in self.bindings and not joined:
            self.alias_slots[(series_id, object_id)] = slot
        opened.append(slot)
        return slot

    def rank(self, slot: int) -> tuple[int, str, int]:
        """Return what a slot is, whatever its number: series, object, and which of several in turn."""
        series, opened = int(self.slots["series"][slot]), int(self.slots["opened"][slot])
        return series, self.object_of[slot], opened

    def readopt(self, series_id: int, object_id: str, ended: bool, joined: bool) -> int:
        """Open a slot anew for a series that had one, 0 when it no longer speaks of that object."""
        series = self.series.get(series_id)
        if joined:
            return self._rejoin(series_id, series, object_id, ended)
        binding = self.binder.bind(series) if self.binder and series else None
        if binding is None or binding.object_id not in ("", object_id):
            return 0
        if binding.alias_source:
            self.bindings[series_id] = binding
            self.slot_of[series_id] = _ALIAS
        slot = self.open(series_id, object_id, [])
        if ended:
            self.alias_slots.pop((series_id, object_id), None)
        elif binding.object_id:
            self.slot_of[series_id] = slot
        return slot

    def _rejoin(self, series_id: int, series: Series | None, whole: str, ended: bool) -> int:
        kind = kind_of(whole)
        if series is None or self.binder is None or not self.owns(whole):
            return 0
        if not self.binder.readers(series, kind, joined=True):
            return 0
        slot = self.open(series_id, whole, [], joined=True)
        if slot and not ended:
            self.joins.adopt(series_id, whole, slot)
        return slot

    def slots_of(self, object_ids: Set[str]) -> list[int]:
        """Return the slots of some objects, in order; looks at all slots."""
        if self.alive.keys().isdisjoint(object_ids):
            return []
        return sorted(slot for slot, name in self.object_of.items() if name in object_ids)

    def end(self, slot: int) -> None:
        """Let a series' next row open a slot of its own; this one lingers until its rows are read."""
        self.slots["ended"][slot] = True
        series_id = int(self.slots["series"][slot])
        if self.slots["joined"][slot]:
            self.joins.forget(series_id, self.object_of[slot])
        elif series_id in self.bindings:
            self.alias_slots.pop((series_id, self.object_of[slot]), None)
        elif self.slot_of[series_id] == slot:
            self.slot_of[series_id] = _UNSEEN

    def close(self, slot: int) -> None:
        """Give a slot back."""
        if not self.slots["ended"][slot]:
            self.end(slot)
        object_id = self.object_of.pop(slot)
        self.alive[object_id] -= 1
        if not self.alive[object_id]:
            del self.alive[object_id]
        self.slots.release(slot)

    def worn_out(self, tick_ns: int, linger_ns: int) -> list[int]:
        """Return the slots whose series ended, or has been silent for long, and whose rows have been read."""
        last = self.slots["last"]
        silent = np.where(self.slots["ended"], linger_ns, linger_ns + SERIES_SILENT_MAX_NS)
        worn = (last != LONG_AGO) & (last + silent < tick_ns)
        found: list[int] = np.flatnonzero(worn).tolist()
        return found


@dataclass(slots=True)
class Beats:
    """Know when each source was last heard of each object, and in which recent granularity periods."""

    table: Columns = field(
        default_factory=lambda: Columns(
            {"newest": Column("i8", LONG_AGO), "source": Column("i8", 0)}
        )
    )
    keys: dict[int, tuple[str, str]] = field(default_factory=dict)  # beat -> source, object
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    heard: dict[int, Ints] = field(default_factory=dict)  # granularity -> [beat, period mod R]

    def number(self, source: str, object_id: str) -> int:
        """Return the number of (source, object)."""
        key = (source, object_id)
        if key not in self.numbers:
            beat = self.table.allocate()
            self.numbers[key], self.keys[beat] = beat, key
        return self.numbers[key]

    def forget(self, object_id: str, sources: Iterable[str]) -> None:
        """Drop what any of the sources told of an object."""
        for source in sources:
            beat = self.numbers.pop((source, object_id), 0)
            if not beat:
                continue
            del self.keys[beat]
            self.table.release(beat)
            for ring in self.heard.values():
                if beat < len(ring):
                    ring[beat] = 0

    def watch(self, granularity_ns: int, panes: int) -> None:
        """Remember the periods of a granularity in which somebody was heard, over so many panes."""
        size = min(panes, HEARD_PANES_MAX) + 16
        before = self.heard.get(granularity_ns)
        if before is None or before.shape[1] < size:
            self.heard[granularity_ns] = np.zeros((1, size), dtype=np.int64)
            if before is not None:
                self.restore_ring(granularity_ns, before)

    def restore_ring(self, granularity_ns: int, before: Ints) -> None:
        """Take over what a ring of another size remembered."""
        self._reach(granularity_ns, len(before))
        ring = self.heard[granularity_ns]
        for position in range(before.shape[1]):
            period = before[:, position]
            rows = np.flatnonzero(period)
            at = (rows, period[rows] % ring.shape[1])
            ring[at] = np.maximum(ring[at], period[rows])

    def _reach(self, granularity_ns: int, beats: int) -> None:
        ring = self.heard[granularity_ns]
        if len(ring) < beats:
            more = np.zeros((max(beats, self.table.capacity) - len(ring), ring.shape[1]), np.int64)
            self.heard[granularity_ns] = np.concatenate((ring, more))

    def hear(self, beat: Ints, time: Ints) -> None:
        """Take in that rows came."""
        np.maximum.at(self.table["newest"], beat, time)
        for granularity_ns in self.heard:
            self._reach(granularity_ns, self.table.capacity)
            ring = self.heard[granularity_ns]
            period = -(-time // granularity_ns)
            np.maximum.at(ring, (beat, period % ring.shape[1]), period)

    def heard_within(self, granularity_ns: int, panes: int, beats: Ints, end_ns: Ints) -> Bools:
        """Return for which windows one of their sources gave a sample of their object; `beats` has a row each."""
        self._reach(granularity_ns, self.table.capacity)
        last = end_ns // granularity_ns
        first = last - min(panes, HEARD_PANES_MAX) + 1
        periods = self.heard[granularity_ns][beats]
        within = (periods >= first[:, None, None]) & (periods <= last[:, None, None])
        within &= (beats > 0)[:, :, None]
        heard: Bools = np.count_nonzero(within, axis=(1, 2)) > 0
        return heard

    def state(self, order: list[int]) -> dict[str, Any]:
        """Return what is known of some beats, in their order."""
        rings = {}
        for granularity_ns in sorted(self.heard):
            self._reach(granularity_ns, self.table.capacity)
            rings[str(granularity_ns)] = self.heard[granularity_ns][order]
        return {
            "keys": Plain([self.keys[beat] for beat in order]),
            "table": self.table.export(order),
            "rings": rings,
        }
