"""Lanes by family of statistic: gauges fold into panes, samples are kept whole, counters are kept by series."""

from typing import Any

import numpy as np

from analytics.availability import AvailabilityTrack
from analytics.columns import Column
from analytics.kpi import (
    Bools,
    Floats,
    Ints,
    grouped_percentile,
    grouped_range,
    increases,
    variation_pairs,
)
from analytics.panes import newest_values, window_sums
from analytics.rows import Indices, Rows
from analytics.windows import Lane, LaneKey, oldest_kept, period_starts
from trimtab.domain.kpi import Statistic
from trimtab.domain.time import NS_PER_SECOND

_PANE_FILL = {Statistic.MIN: np.inf, Statistic.MAX: -np.inf}


class GaugeLane(Lane):
    """MEAN, SUM, COUNT, MIN, MAX, LAST and MEAN_RATIO: a pane is one number (or two) an object."""

    def _instance_columns(self) -> dict[str, Column]:
        fill = _PANE_FILL.get(self.key.statistic, 0.0)
        columns = {"pane": Column("f8", fill, self.panes)}
        if self.key.statistic is Statistic.MEAN_RATIO:
            columns["divisor"] = Column("f8", 0.0, self.panes)
        return columns

    def _fold(self, rows: Rows, instance: Ints, closing: Indices, columns: Ints) -> None:
        pane = self.instances["pane"]
        pane[closing, columns[closing]] = self.instances.columns["pane"].fill
        statistic = self.key.statistic
        if statistic is Statistic.MEAN_RATIO:
            self.instances["divisor"][closing, columns[closing]] = 0.0
        if not len(rows):
            return
        starts = period_starts(instance)
        groups = instance[starts]
        at = (groups, columns[groups])
        if statistic is Statistic.MIN:
            pane[at] = np.minimum.reduceat(rows.value, starts)
        elif statistic is Statistic.MAX:
            pane[at] = np.maximum.reduceat(rows.value, starts)
        elif statistic is Statistic.LAST:
            pane[at] = rows.value[np.append(starts[1:], len(rows)) - 1]
        elif statistic is Statistic.MEAN_RATIO:
            divides = self.feeds["order"][rows.feed] % 2 == 1
            pane[at] = np.add.reduceat(np.where(divides, 0.0, rows.value), starts)
            self.instances["divisor"][at] = np.add.reduceat(
                np.where(divides, rows.value, 0.0), starts
            )
        else:
            pane[at] = np.add.reduceat(rows.value, starts)

    def _read(self, closing: Indices, columns: Ints, samples: Ints) -> tuple[Floats, Bools]:
        panes, newest, present = self.instances["pane"], columns[closing], samples > 0
        match self.key.statistic:
            case Statistic.MIN:
                return panes[closing].min(axis=1), present
            case Statistic.MAX:
                return panes[closing].max(axis=1), present
            case Statistic.COUNT:
                return samples.astype(np.float64), present
            case Statistic.LAST:
                return newest_values(panes, self.instances["count"], closing, newest), present
            case Statistic.SUM:
                return window_sums(panes, closing, newest), present
            case Statistic.MEAN_RATIO:
                divisor = window_sums(self.instances["divisor"], closing, newest)
                present &= divisor > 0
                divisor = np.where(present, divisor, 1.0)
                return window_sums(panes, closing, newest) / divisor, present
            case _:
                return window_sums(panes, closing, newest) / np.maximum(samples, 1), present


class SampleLane(Lane):
    """PERCENTILE, RANGE and VARIATION: the samples of the whole window are kept."""

    def __init__(self, key: LaneKey) -> None:
        super().__init__(key)
        self.kept = Rows.none()

    def _fold(self, rows: Rows, instance: Ints, closing: Indices, columns: Ints) -> None:
        self.kept = self.kept.plus(rows)

    def _read(self, closing: Indices, columns: Ints, samples: Ints) -> tuple[Floats, Bools]:
        oldest = oldest_kept(
            self.instances["next_end"], self.key.granularity_ns, self.key.window_ns
        )
        instance = self.feeds["instance"][self.kept.feed]
        stays = self.kept.time > oldest[instance]
        if not stays.all():
            self.kept, instance = self.kept.take(stays), instance[stays]
        mask = np.zeros(len(oldest), dtype=np.bool_)
        mask[closing] = True
        read = mask[instance]
        rows = self.kept if read.all() else self.kept.take(read)
        return self._statistic(rows, instance[read], closing, len(oldest))

    def _statistic(
        self, rows: Rows, instance: Ints, closing: Indices, size: int
    ) -> tuple[Floats, Bools]:
        values = rows.value
        if self.key.statistic is Statistic.VARIATION and len(rows):
            order = self.feeds["order"][rows.feed]
            index = np.lexsort((rows.time, order, instance))
            instance, series = instance[index], rows.feed[index]
            apart = self.separation[self.instances["definition"][instance]]
            values, exists = variation_pairs(values[index], series, apart)
            values, instance = values[exists], instance[exists]
        found = np.zeros(size)
        present = np.zeros(size, dtype=np.bool_)
        if len(values):
            index = np.lexsort((values, instance))
            values, instance = values[index], instance[index]
            starts = period_starts(instance)
            groups = instance[starts]
            counts = np.diff(np.append(starts, len(values)))
            percentile = self.percentile[self.instances["definition"][groups]]
            spread = self.key.statistic is Statistic.RANGE
            statistic = grouped_range if spread else grouped_percentile
            found[groups] = statistic(values, starts, counts, percentile)
            present[groups] = True
        return found[closing], present[closing]

    def _drop_rows(self, gone: Bools) -> None:
        super()._drop_rows(gone)
        self.kept = self.kept.take(~gone[self.kept.feed])

    def extra_state(self, instances: Ints, feeds: Ints) -> dict[str, Any]:
        """Return the kept rows."""
        return {"kept": rows_state(self.kept, feeds)}

    def load_extra(self, state: dict[str, Any], instances: Ints, feeds: Ints) -> None:
        """Take the kept rows back."""
        self.kept = rows_from(state["kept"], feeds)


class CounterLane(Lane):
    """RATE, INCREASE and RATIO: growth between successive samples of one series, summed over series."""

    def _feed_columns(self) -> dict[str, Column]:
        return {
            "before_ns": Column("i8", -1),
            "before": Column("f8", 0.0),
            "grown": Column("f8", 0.0, self.panes),
            "span": Column("i8", 0, self.panes),
        }

    def _feeds_of(self, closing: Indices) -> Indices:
        """Return the feeds of instances in an order that does not depend on who was numbered first."""
        feeds = self.feeds.of_instances(closing)
        table = self.feeds
        order = np.lexsort(
            (table["opened"][feeds], table["order"][feeds], table["instance"][feeds])
        )
        ordered: Indices = feeds[order]
        return ordered

    def _fold(self, rows: Rows, instance: Ints, closing: Indices, columns: Ints) -> None:
        table = self.feeds
        feeds = self._feeds_of(closing)
        at = (feeds, columns[table["instance"][feeds]])
        table["grown"][at] = 0.0
        table["span"][at] = 0
        if not len(rows):
            return
        rows = rows.take(np.lexsort((rows.time, rows.feed)))
        gap_max_ns = max(self.key.window_ns, 2 * self.key.granularity_ns)
        grown, span = increases(
            rows.feed, rows.time, rows.value, table["before_ns"], table["before"], gap_max_ns
        )
        starts = period_starts(rows.feed)
        fed = rows.feed[starts]
        at = (fed, columns[table["instance"][fed]])
        table["grown"][at] = np.add.reduceat(grown, starts)
        table["span"][at] = np.add.reduceat(span, starts)
        last = np.append(starts[1:], len(rows)) - 1
        table["before_ns"][fed] = rows.time[last]
        table["before"][fed] = rows.value[last]

    def _read(self, closing: Indices, columns: Ints, samples: Ints) -> tuple[Floats, Bools]:
        table = self.feeds
        feeds = self._feeds_of(closing)
        instance = table["instance"][feeds]
        newest = columns[instance]
        grown = window_sums(table["grown"], feeds, newest)
        span = table["span"][feeds].sum(axis=1)
        size = self.instances.capacity
        known = np.bincount(instance[span > 0], minlength=size) > 0
        if self.key.statistic is Statistic.RATE:
            seconds = np.where(span > 0, span, 1) / NS_PER_SECOND
            grown = np.where(span > 0, grown / seconds, 0.0)
        if self.key.statistic is not Statistic.RATIO:
            total = np.bincount(instance, grown, size).astype(np.float64)
            return total[closing], known[closing]
        divides = table["order"][feeds] % 2 == 1
        over = np.bincount(instance, weights=np.where(divides, 0.0, grown), minlength=size)
        under = np.bincount(instance, weights=np.where(divides, grown, 0.0), minlength=size)
        counted = np.bincount(instance[(span > 0) & ~divides], minlength=size) > 0
        known &= counted & (under > 0)
        return (over / np.where(known, under, 1.0))[closing], known[closing]

    def _forget_panes(self, number: int) -> None:
        super()._forget_panes(number)
        feeds = np.flatnonzero(self.feeds["instance"] == number)
        self.feeds["grown"][feeds] = 0.0
        self.feeds["span"][feeds] = 0


class AvailabilityLane(Lane):
    """AVAILABILITY: loss ratios by slot, decided n-1 slots later."""

    def __init__(self, key: LaneKey) -> None:
        super().__init__(key)
        self.tracks: dict[int, AvailabilityTrack] = {}

    def _fold(self, rows: Rows, instance: Ints, closing: Indices, columns: Ints) -> None:
        starts = period_starts(instance)
        ends = np.append(starts[1:], len(rows)).tolist() if len(rows) else []
        groups = instance[starts].tolist()
        spans = {
            number: (first, last)
            for number, first, last in zip(groups, starts.tolist(), ends, strict=True)
        }
        next_end = self.instances["next_end"]
        for number in closing.tolist():
            end_ns = int(next_end[number])
            track = self.tracks.get(number)
            if track is None:
                begin_ns = end_ns - self.key.granularity_ns
                track = AvailabilityTrack.of(self.definition_of(number), begin_ns)
                self.tracks[number] = track
            if number in spans:
                first, last = spans[number]
                track.add(rows.time[first:last], rows.value[first:last])
            track.advance(end_ns)

    def _read(self, closing: Indices, columns: Ints, samples: Ints) -> tuple[Floats, Bools]:
        ends = self.instances["next_end"][closing] - self.key.granularity_ns
        shares = [
            self.tracks[number].share(end_ns, self.key.window_ns)
            for number, end_ns in zip(closing.tolist(), ends.tolist(), strict=True)
        ]
        present = np.array([share is not None for share in shares], dtype=np.bool_)
        return np.array([share or 0.0 for share in shares]), present

    def remove_instances(self, numbers: Ints) -> None:
        """Forget some (object, KPI) and their slots."""
        for number in numbers.tolist():
            self.tracks.pop(number, None)
        super().remove_instances(numbers)

    def extra_state(self, instances: Ints, feeds: Ints) -> dict[str, Any]:
        """Return the slots' state by instance."""
        tracks = {str(instances[number]): track.state() for number, track in self.tracks.items()}
        return {"tracks": tracks}

    def load_extra(self, state: dict[str, Any], instances: Ints, feeds: Ints) -> None:
        """Take the slots' state back."""
        for exported, track in state["tracks"].items():
            number = int(instances[int(exported)])
            if number:
                self.tracks[number] = AvailabilityTrack.from_state(
                    self.definition_of(number), track
                )


_FAMILY: dict[Statistic, type[Lane]] = {
    Statistic.PERCENTILE: SampleLane,
    Statistic.RANGE: SampleLane,
    Statistic.VARIATION: SampleLane,
    Statistic.RATE: CounterLane,
    Statistic.INCREASE: CounterLane,
    Statistic.RATIO: CounterLane,
    Statistic.AVAILABILITY: AvailabilityLane,
}


def lane_of(key: LaneKey) -> Lane:
    """Return an empty lane of the family that a statistic needs."""
    return _FAMILY.get(key.statistic, GaugeLane)(key)


def rows_state(rows: Rows, feeds: Ints) -> dict[str, Any]:
    """Return rows with their feeds translated, for a snapshot."""
    return {"feed": feeds[rows.feed], "time": rows.time, "value": rows.value, "doubt": rows.doubt}


def rows_from(state: dict[str, Any], feeds: Ints) -> Rows:
    """Return the rows of a snapshot whose feeds still exist."""
    feed = feeds[state["feed"]]
    return Rows(feed, state["time"], state["value"], state["doubt"]).take(feed > 0)
