"""Windows: rows wait in a lane until their granularity period is over, then become panes, and panes a value.

A lane holds every (object, KPI) of one granularity, window and statistic, so that a tick is a handful of vector
operations whatever the number of definitions. A window is open at its start and closed at its end:
a sample taken at `end_ns` belongs to the window that ends there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from analytics.columns import FIRST_CAPACITY, LONG_AGO, NEVER, Column, Columns
from analytics.feeds import Feeds
from analytics.kpi import Bools, Floats, Ints
from analytics.rows import Indices, Rows
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.time import NS_PER_SECOND

PANES_PER_WINDOW_MAX = 3_600
SOURCES_PER_KPI_MAX = 4
ROWS_WAITING_MAX = 5_000_000
# So many empty windows in a row are given out one by one; a longer silence is skipped, and counted.
SILENT_WINDOWS_MAX = 60
# Fewer columns than this are added one by one: summing along rows that short takes numpy ten times as long.
# Sums and ratios of sound samples may be beyond any number: what is greater than this is no value. Its square is one.
VALUE_MAX = 1e100
# A newly seen object is not judged before its first whole window, at most so long.
WARM_UP_MAX_NS = 30 * NS_PER_SECOND

InstanceKey = tuple[str, str]  # object id, KPI name


class LaneKey(NamedTuple):
    """What the windows of a lane have in common."""

    granularity_ns: int
    window_ns: int
    statistic: Statistic


@dataclass(slots=True)
class Taken:
    """Rows that wait in a lane from now on, with their instances, and how many came after their windows had closed."""

    rows: Rows
    instance: Ints
    late: int


@dataclass(slots=True)
class Closed:
    """Windows that close together: `present` False where there is no value."""

    instance: Indices
    end_ns: Ints
    value: Floats
    present: Bools
    samples: Ints
    doubt: Bools

    def take(self, chosen: Bools) -> "Closed":
        """Return the chosen windows."""
        return Closed(
            self.instance[chosen], self.end_ns[chosen], self.value[chosen], self.present[chosen],
            self.samples[chosen], self.doubt[chosen],
        )  # fmt: skip


def ceil_to(time_ns: Any, granularity_ns: int) -> Any:
    """Return the end of the granularity period that a time (or an array of times) falls into."""
    return -(-time_ns // granularity_ns) * granularity_ns


class Lane:
    """Keep the windows of one LaneKey. Subclasses say how a period's rows become panes, and panes a value."""

    def __init__(self, key: LaneKey) -> None:
        self.key = key
        self.panes = key.window_ns // key.granularity_ns
        self.instances = Columns(
            {
                "next_end": Column("i8", NEVER),
                "first": Column("i8", 0),
                "fresh": Column("?", 0),
                "heard": Column("?", 0),
                "fed": Column("i4", 0),
                "object": Column("i4", 0),
                "definition": Column("i2", 0),
                "beats": Column("i4", 0, SOURCES_PER_KPI_MAX),
                "count": Column("i4", 0, self.panes),
                "samples": Column("i8", 0),
                "doubt": Column("?", 0, self.panes),
                "doubted": Column("i4", 0),
                **self._instance_columns(),
            }
        )
        self.feeds = Feeds(self._feed_columns())
        self.definitions: list[KpiDefinition] = []
        # Of the definitions, by place.
        self.samples_min: Ints = np.zeros(0, dtype=np.int64)
        self.percentile: Floats = np.zeros(0)
        self.separation: Ints = np.zeros(0, dtype=np.int64)
        self.places: dict[tuple[ObjectKind, str], int] = {}  # of the definitions
        self.object_ids = np.full(FIRST_CAPACITY, "", dtype=np.object_)
        self.numbers: dict[InstanceKey, int] = {}
        self.log = Rows.none()
        self.skipped = 0
        self.sources_most = 1  # of any instance so far

    def _instance_columns(self) -> dict[str, Column]:
        return {}

    def _feed_columns(self) -> dict[str, Column]:
        return {}

    def add_instance(self, object_id: str, object_number: int, definition: KpiDefinition) -> int:
        """Make room for one (object, KPI); it has no window before `begin` or its first row."""
        number = self.instances.allocate()
        self.numbers[object_id, definition.name] = number
        if number >= len(self.object_ids):
            more = np.full(self.instances.capacity - len(self.object_ids), "", dtype=np.object_)
            self.object_ids = np.concatenate((self.object_ids, more))
        self.object_ids[number] = object_id
        table = self.instances
        table["definition"][number] = self._place_of(definition)
        table["object"][number] = object_number
        table["fresh"][number] = True
        return number

    def _place_of(self, definition: KpiDefinition) -> int:
        key = (definition.object_kind, definition.name)
        place = self.places.get(key)
        if place is None or self.definitions[place] is not definition:
            place = self.places[key] = len(self.definitions)
            self.definitions.append(definition)
            percentile = 100.0 if definition.percentile is None else definition.percentile
            self.samples_min = np.append(self.samples_min, definition.samples_min)
            self.percentile = np.append(self.percentile, percentile)
            self.separation = np.append(self.separation, definition.separation)
        return place

    def definition_of(self, number: int) -> KpiDefinition:
        """Return what an instance measures."""
        return self.definitions[int(self.instances["definition"][number])]

    def key_of(self, number: int) -> InstanceKey:
        """Return whose an instance is, and the name of its KPI."""
        return str(self.object_ids[number]), self.definition_of(number).name

    def begin(self, number: int, at_ns: int) -> None:
        """Let the windows of an instance begin now, although nothing has been heard of it."""
        if self.instances["next_end"][number] == NEVER:
            self.instances["next_end"][number] = ceil_to(at_ns, self.key.granularity_ns)
            self.instances["first"][number] = at_ns

    def remove_instances(self, numbers: Ints) -> None:
        """Forget some (object, KPI), their feeds and their rows."""
        if (self.instances["fed"][numbers] > 0).any():
            self.remove_feeds(self.feeds.of_instances(numbers))
        for number in numbers.tolist():
            del self.numbers[self.key_of(number)]
            self.object_ids[number] = ""
        self.instances.release_many(numbers)

    def add_feed(
        self, number: int, slot: int, series_id: int, role: int, opened_ns: int = 0
    ) -> int:
        """Let a slot feed an instance; `role` 1 is the divisor's side of a ratio."""
        self.instances["fed"][number] += 1
        return self.feeds.add(number, slot, series_id * 2 + role, opened_ns)

    def remove_feeds(self, feeds: Indices) -> Ints:
        """Forget feeds and the rows that came through them; return the instances that nothing feeds any more."""
        if not len(feeds):
            return np.zeros(0, dtype=np.int64)
        gone = np.zeros(self.feeds.capacity, dtype=np.bool_)
        gone[feeds] = True
        self._drop_rows(gone)
        instances = self.feeds["instance"][feeds]
        np.subtract.at(self.instances["fed"], instances, 1)
        self.feeds.remove(feeds)
        touched = np.unique(instances)
        starved: Ints = touched[self.instances["fed"][touched] == 0]
        return starved

    def _drop_rows(self, gone: Bools) -> None:
        """Drop the rows of some feeds, marked by number."""
        dropped = gone[self.log.feed]
        if dropped.any():
            self.log = self.log.take(~dropped)

    def add_source(self, number: int, beat: int) -> None:
        """Note that a source (as a beat: source and object) vouches for an instance."""
        beats = self.instances["beats"][number]
        if beat not in beats and (room := np.flatnonzero(beats == 0)).size:
            beats[room[0]] = beat
            self.sources_most = max(self.sources_most, int(room[0]) + 1)

    def take(
        self, slot: Ints, time: Ints, value: Floats, doubt: Bools, tick_ns: int
    ) -> Taken | None:
        """Let rows wait for their windows to close; None when no KPI reads any."""
        if len(self.feeds) == 0:
            return None
        row, feed = self.feeds.of_slots(slot)
        if not len(row):
            return None
        rows = Rows(feed, time[row], value[row], doubt[row])
        instance = self.feeds["instance"][feed]
        self._hear(instance, rows.time, tick_ns)
        late = rows.time <= self.instances["next_end"][instance] - self.key.granularity_ns
        lateness = int(np.count_nonzero(late))
        if lateness:
            rows, instance = rows.take(~late), instance[~late]
        self.log = self.log.plus(rows)
        return Taken(rows, instance, lateness)

    def _hear(self, instance: Ints, time: Ints, tick_ns: int) -> None:
        table, granularity = self.instances, self.key.granularity_ns
        fresh = table["fresh"][instance]
        if fresh.any():
            earliest = ceil_to(tick_ns, granularity) - SILENT_WINDOWS_MAX * granularity
            ends = np.maximum(ceil_to(time[fresh], granularity), earliest)
            np.minimum.at(table["next_end"], instance[fresh], ends)
        unheard = ~table["heard"][instance]
        if unheard.any():
            numbers = instance[unheard]
            table["first"][numbers] = NEVER
            np.minimum.at(table["first"], numbers, time[unheard])
            table["heard"][numbers] = True

    def due(self, tick_ns: int, grace_ns: int, newest: Ints, behind: Ints | None = None) -> Ints:
        """Return, for each instance, up to where its windows may close.

        That is the newest sample of a source that feeds it less one granularity, or, in silence, two
        granularity periods and the grace behind the tick, and further as far as all of its sources are `behind`.
        `newest` and `behind` are by beat.
        """
        granularity = self.key.granularity_ns
        beats = self.instances["beats"]
        watermark = newest[beats[:, 0]]
        for place in range(1, self.sources_most):
            np.maximum(watermark, newest[beats[:, place]], out=watermark)
        watermark -= granularity
        silent: Any = tick_ns - 2 * granularity - grace_ns
        if behind is not None:
            least = np.full(len(watermark), LONG_AGO, dtype=np.int64)
            for place in range(self.sources_most):
                beat = beats[:, place]
                late = np.where(beat > 0, behind[beat], NEVER)
                least = late if place == 0 else np.minimum(least, late)
            silent = silent - np.where(least == NEVER, 0, least)
        limit: Ints = np.maximum(watermark, silent)
        return limit

    def close(self, limit: Ints) -> Iterator[Closed]:
        """Close windows in order, one of each instance at a time, as far as `limit` allows."""
        while True:
            self._skip_silence(limit)
            closing = (self.instances["next_end"] <= limit).nonzero()[0]
            if not closing.size:
                return
            yield self._close(closing)

    def _close(self, closing: Indices) -> Closed:
        table = self.instances
        next_end = table["next_end"]
        ends = next_end[closing].copy()
        mask = np.zeros(len(next_end), dtype=np.bool_)
        mask[closing] = True
        column = (ends // self.key.granularity_ns) % self.panes
        columns = np.zeros(len(next_end), dtype=np.int64)
        columns[closing] = column
        rows = self._ripe(mask)
        instance = self.feeds["instance"][rows.feed]
        first_role = self.feeds["order"][rows.feed] % 2 == 0
        counted = np.bincount(instance[first_role], minlength=len(mask))
        fresh = counted[closing]
        samples = table["samples"][closing] + fresh - table["count"][closing, column]
        table["samples"][closing], table["count"][closing, column] = samples, fresh
        doubt = self._doubt(closing, column, instance[rows.doubt])
        with np.errstate(over="ignore", invalid="ignore"):
            self._fold(rows, instance, closing, columns)
            next_end[closing] += self.key.granularity_ns
            table["fresh"][closing] = False
            value, present = self._read(closing, columns, samples)
        present &= (samples >= self.samples_min[table["definition"][closing]]) & (
            np.abs(value) <= VALUE_MAX
        )
        return Closed(closing, ends, value, present, samples, doubt)

    def _doubt(self, closing: Indices, column: Ints, doubted: Ints) -> Bools:
        """Note which of the closing periods hold samples in doubt; return which windows hold any."""
        table = self.instances
        if not doubted.size and not table["doubted"].any():
            return np.zeros(len(closing), dtype=np.bool_)
        now = np.zeros(len(table["doubted"]), dtype=np.bool_)
        now[doubted] = True
        change = now[closing].astype(np.int32) - table["doubt"][closing, column]
        table["doubt"][closing, column] = now[closing]
        panes = table["doubted"][closing] + change
        table["doubted"][closing] = panes
        found: Bools = panes > 0
        return found

    def _ripe(self, mask: Bools) -> Rows:
        """Take the rows of the closing periods out of the log, by (instance, time, series), without duplicates.

        Of two samples of one series at one time the first to arrive counts.
        """
        log = self.log
        instance = self.feeds["instance"][log.feed]
        ripe = mask[instance] & (log.time <= self.instances["next_end"][instance])
        if ripe.all():
            rows, self.log = log, Rows.none()
        else:
            rows, self.log, instance = log.take(ripe), log.take(~ripe), instance[ripe]
        if not len(rows):
            return rows
        if (instance[1:] > instance[:-1]).all():
            return rows  # one of each, and in order, as they come from one sender
        order = self.feeds["order"][rows.feed]
        index = np.lexsort((order, rows.time, instance))
        rows, order, instance = rows.take(index), order[index], instance[index]
        again = np.zeros(len(rows), dtype=np.bool_)
        again[1:] = (
            (rows.time[1:] == rows.time[:-1])
            & (order[1:] == order[:-1])
            & (instance[1:] == instance[:-1])
        )
        return rows.take(~again) if again.any() else rows

    def _skip_silence(self, limit: Ints) -> None:
        granularity = self.key.granularity_ns
        next_end = self.instances["next_end"]
        behind = SILENT_WINDOWS_MAX * granularity
        if not (next_end < limit - behind).any():
            return
        waiting = np.full(len(next_end), NEVER)
        np.minimum.at(
            waiting, self.feeds["instance"][self.log.feed], ceil_to(self.log.time, granularity)
        )
        target = np.minimum(limit // granularity * granularity - behind, waiting)
        for number in np.flatnonzero(target > next_end).tolist():
            self.skipped += int(target[number] - next_end[number]) // granularity
            next_end[number] = target[number]
            self._forget_panes(number)

    def _forget_panes(self, number: int) -> None:
        for name, column in self.instances.columns.items():
            if (column.width == self.panes and name != "beats") or name in ("samples", "doubted"):
                self.instances[name][number] = column.fill

    def warming(self, instance: Indices, end_ns: Ints) -> Bools:
        """Return which windows began before anything could be known of their object."""
        warm_up = min(self.key.window_ns, WARM_UP_MAX_NS)
        warming: Bools = end_ns < self.instances["first"][instance] + warm_up
        return warming

    def _fold(self, rows: Rows, instance: Ints, closing: Indices, columns: Ints) -> None:
        raise TypeError("a lane of no statistic")

    def _read(self, closing: Indices, columns: Ints, samples: Ints) -> tuple[Floats, Bools]:
        raise TypeError("a lane of no statistic")

    def extra_state(self, instances: Ints, feeds: Ints) -> dict[str, Any]:
        """Return what a subclass keeps beside the columns; the two arrays translate numbers, 0 is none."""
        return {}

    def load_extra(self, state: dict[str, Any], instances: Ints, feeds: Ints) -> None:
        """Take back what `extra_state` gave, for the instances and feeds that still exist."""


def period_starts(instance: Ints) -> Indices:
    """Return where each group of equal, adjacent numbers begins."""
    changed = np.ones(len(instance), dtype=np.bool_)
    changed[1:] = instance[1:] != instance[:-1]
    return np.flatnonzero(changed)


def oldest_kept(next_end: Ints, granularity_ns: int, window_ns: int) -> Ints:
    """Return the time after which rows still belong to a window to come or just closed."""
    oldest: Ints = np.where(next_end == NEVER, LONG_AGO, next_end - granularity_ns - window_ns)
    return oldest
