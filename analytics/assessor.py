"""The Assessor: from sample rows to KPIs, assessments, troubles and alarms. Rows accumulate; ticks conclude.

Whatever happens between two ticks is only queued: neither the cut of rows into batches nor the number of inputs a
step can change what comes out.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Self

import numpy as np

from analytics import alarm as tell
from analytics.catalogue import Catalogue, Station
from analytics.columns import LONG_AGO
from analytics.kpi import Bools, Floats, Ints
from analytics.objective import (
    Judged,
)
from analytics.order import output_order
from analytics.recall import recall, reconfigure, remember
from analytics.series_table import SOURCES_MAX, Counters
from analytics.verdict import kpis_of, verdicts
from analytics.windows import ROWS_WAITING_MAX, Closed, Lane
from analytics.witness import testify
from trimtab.domain.alarm import AlarmState
from trimtab.domain.command import Command, CommandKind, CommandResult
from trimtab.domain.configuration import Configuration
from trimtab.domain.evidence import EvidenceWanted
from trimtab.domain.identity import content_id
from trimtab.domain.input import (
    AssessorInput,
    AssessorOutput,
    ClockJump,
    Notice,
    Numbered,
    SeriesAdded,
    SeriesRetired,
    Tick,
)
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.samples import SampleBatch, SampleFlag
from trimtab.domain.time import NS_PER_SECOND, seconds_from_ns
from trimtab.domain.trained_model import TrainedModel
from trimtab.series import KEY_GROUPS

CLOCK_JUMPS_MAX = 64
NOTICE_EVERY_NS = 60 * NS_PER_SECOND
COMMANDS_WAITING_MAX = 10_000
_ALARM_COMMANDS = {
    CommandKind.ACKNOWLEDGE_ALARM: AlarmState.ACKNOWLEDGED,
    CommandKind.UNACKNOWLEDGE_ALARM: AlarmState.UNACKNOWLEDGED,
}


class Assessor:
    """Implement Machine[AssessorInput, AssessorOutput] for the objects of one shard."""

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        self.catalogue = Catalogue(shard, shards)
        self.counters = Counters()
        self.facts: list[Configuration | InventoryChange | TrainedModel] = []
        self.commands: list[Command] = []
        self.batches: list[SampleBatch] = []
        self.waiting_rows = 0
        self.jumps: list[tuple[int, int]] = []
        self.notices: dict[str, int] = {}
        self.tick_ns = 0

    def step(self, inputs: Sequence[Numbered[AssessorInput]], now: int) -> list[AssessorOutput]:
        """Take inputs in order; every tick among them concludes what came before it."""
        outputs: list[AssessorOutput] = []
        for item in inputs:
            match item.value:
                case SampleBatch() as batch:
                    self._await_rows(batch)
                case Tick(at_ns, closing):
                    outputs.extend(self._conclude(at_ns, closing=closing))
                case SeriesAdded(series_id, series):
                    self.catalogue.table.add(series_id, series)
                case SeriesRetired(series_ids):
                    self.catalogue.table.retire(series_ids)
                case Configuration() | InventoryChange() | TrainedModel() as fact:
                    self.facts.append(fact)
                case Command() as command if command.kind in _ALARM_COMMANDS:
                    if len(self.commands) < COMMANDS_WAITING_MAX:
                        self.commands.append(command)
                case ClockJump(at_ns, delta_ns):
                    low, high = sorted((at_ns, at_ns + delta_ns))
                    self.jumps = [*self.jumps[1 - CLOCK_JUMPS_MAX :], (low, high)]
                    self.catalogue.accounts.doubt(low, high)
                case EvidenceWanted() as wanted:
                    outputs.extend(testify(self.catalogue, wanted))
                case _:
                    pass
        return outputs

    def snapshot(self) -> bytes:
        """Return the whole state; equal states give equal bytes."""
        return remember(self)

    @classmethod
    def restore(cls, blob: bytes) -> Self:
        """Return an assessor in the state of a snapshot. Raises JournalCorrupt when its format is unknown."""
        return recall(cls, blob)

    def counts(self) -> dict[str, int]:
        """Return how many rows led to nothing, by reason, and how much is alive."""
        found: dict[str, int] = {
            item.name: getattr(self.counters, item.name) for item in fields(Counters)
        }
        lanes = [station.lane for station in self.catalogue.stations.values()]
        found["skipped_windows"] = sum(lane.skipped for lane in lanes)
        watches = [station.watch for station in self.catalogue.stations.values() if station.watch]
        found["anomalies_left_out"] = sum(watch.left_out for watch in watches) + sum(
            station.seasons.left_out for station in self.catalogue.stations.values()
        )
        found["models_refused"] = self.catalogue.together.refused
        found["anomalies_over_budget"] = sum(
            watch.detector.suppressed + watch.over_budget for watch in watches
        )
        found["anomalies_of_the_season"] = sum(watch.excused for watch in watches)
        found["sls_frames_refused"] = self.catalogue.accounts.refused
        found["changes_held_back"] = sum(
            station.goals.held_back for station in self.catalogue.stations.values()
        )
        found["slots"] = len(self.catalogue.table.slots)
        found["kpis"] = sum(len(lane.instances) for lane in lanes)
        return found

    def _await_rows(self, batch: SampleBatch) -> None:
        room = ROWS_WAITING_MAX - self.waiting_rows
        if len(batch) > room:
            self.counters.overflow += len(batch) - room
            batch = batch.take(slice(0, room))
        if len(batch):
            self.batches.append(batch)
            self.waiting_rows += len(batch)

    def _conclude(self, at_ns: int, *, closing: bool) -> list[AssessorOutput]:
        self.tick_ns = max(self.tick_ns, at_ns)
        self.catalogue.table.tick_ns = self.tick_ns
        outputs: list[AssessorOutput] = []
        facts, self.facts = self.facts, []
        for fact in facts:
            if isinstance(fact, Configuration):
                outputs += reconfigure(self.catalogue, fact, self.tick_ns)
            elif isinstance(fact, TrainedModel):
                self.catalogue.adopt(fact)
            else:
                outputs += self._take_inventory(fact)
        outputs += self._take_rows()
        outputs += self._glance()
        if closing:
            outputs += self._close_windows()
            outputs += self.catalogue.accounts.advance(self.tick_ns)
            worn = self.catalogue.table.worn_out(self.tick_ns, self._linger_ns())
            outputs += self.catalogue.release_slots(worn, self.tick_ns)
        outputs += self._obey()
        outputs.sort(key=output_order)
        return outputs

    def _take_inventory(self, change: InventoryChange) -> list[AssessorOutput]:
        outputs, conflicts = self.catalogue.take_inventory(change, self.tick_ns)
        for conflict in conflicts:
            if self.catalogue.owns(conflict):
                outputs += self._notice(f"inventory {change.source}", conflict)
        return outputs

    def _notice(self, subject: str, text: str, rate_key: str = "") -> list[AssessorOutput]:
        """Tell people, at most once in a while about the same thing."""
        key = rate_key or f"{subject}: {text}"
        last = self.notices.get(key)
        if last is not None and self.tick_ns - last < NOTICE_EVERY_NS:
            return []
        horizon = self.tick_ns - NOTICE_EVERY_NS
        self.notices = {name: at for name, at in self.notices.items() if at > horizon}
        self.notices[key] = self.tick_ns
        name = content_id("notice", key, self.tick_ns)
        return [Notice(name, self.tick_ns, subject, text)]

    def _linger_ns(self) -> int:
        configuration = self.catalogue.configuration
        grace = configuration.late_after_ns if configuration else 0
        return grace + max(
            (key.window_ns + 4 * key.granularity_ns for key in self.catalogue.stations), default=0
        )

    def _source_number(self, name: str) -> int:
        sources = self.catalogue.sources
        if name not in sources:
            if len(sources) >= SOURCES_MAX:
                return -1
            sources.append(name)
        return sources.index(name)

    def _take_rows(self) -> list[AssessorOutput]:
        batches, self.batches, self.waiting_rows = self.batches, [], 0
        configuration = self.catalogue.configuration
        if not batches or configuration is None:
            self.counters.unbound += sum(len(batch) for batch in batches)
            return []
        series = np.concatenate([batch.series_id for batch in batches]).astype(np.int64)
        time = np.concatenate([batch.time_ns for batch in batches])
        value = np.concatenate([batch.value for batch in batches])
        flags = np.concatenate([batch.flags for batch in batches])
        numbers = [self._source_number(batch.source) for batch in batches]
        source = np.repeat(np.array(numbers, dtype=np.int64), [len(batch) for batch in batches])
        for number, batch in zip(numbers, batches, strict=True):
            if number >= 0:
                self.catalogue.lags.hear(number, int(batch.time_ns.max()), self.tick_ns)
        opened: list[int] = []
        table = self.catalogue.table
        topology, removed = self.catalogue.topology, set(self.catalogue.removed)
        slot = table.locate(series, time, topology, opened, removed)
        rows, wholes = table.join(series, topology, opened, removed)
        for number in opened:
            self.catalogue.attach(number)
        unbound = slot <= 0
        if len(rows):
            unbound[rows] = False
            slot = np.concatenate((slot, wholes))
            time, value = np.concatenate((time, time[rows])), np.concatenate((value, value[rows]))
            flags = np.concatenate((flags, flags[rows]))
            source = np.concatenate((source, source[rows]))
        future = (time > self.tick_ns + configuration.future_limit_ns) & (slot > 0)
        outputs = self._refuse_future(slot[future], source[future], time[future])
        kept = (slot > 0) & ~future & (source >= 0)
        self.counters.unbound += int(np.count_nonzero(unbound))
        self.counters.overflow += int(np.count_nonzero((slot > 0) & (source < 0)))
        if kept.all():
            self._place(slot, time, value, flags, source)
        else:
            self._place(slot[kept], time[kept], value[kept], flags[kept], source[kept])
        return outputs

    def _refuse_future(self, slot: Ints, source: Ints, time: Ints) -> list[AssessorOutput]:
        self.counters.future += len(slot)
        outputs: list[AssessorOutput] = []
        objects = [self.catalogue.table.object_of[number] for number in slot.tolist()]
        pairs = sorted(set(zip(source.tolist(), objects, strict=True)))
        for number, object_id in pairs:
            name = self.catalogue.sources[number]
            rows = [s == number and o == object_id for s, o in zip(source, objects, strict=True)]
            ahead = seconds_from_ns(int(time[np.array(rows)].max()) - self.tick_ns)
            text = f"samples of {object_id} lie up to {ahead:.0f} s in the future and are refused"
            outputs += self._notice(name, text, f"future {name} {object_id}")
        return outputs

    def _place(self, slot: Ints, time: Ints, value: Floats, flags: Any, source: Ints) -> None:
        """Note who was heard, let rows wait in the lanes, and let series end that say so."""
        if not len(slot):
            return
        slots = self.catalogue.table.slots
        strange = slots["source"][slot] != source
        if strange.any():
            pairs = set(zip(slot[strange].tolist(), source[strange].tolist(), strict=True))
            rank = self.catalogue.table.rank
            for number, origin in sorted(pairs, key=lambda pair: (rank(pair[0]), pair[1])):
                self.catalogue.vouch(number, origin)
        self.catalogue.beats.hear(slots["beat"][slot], time)
        np.maximum.at(slots["last"], slot, time)
        stale = (flags & int(SampleFlag.STALE)) != 0
        if stale.any():
            for number, at_ns in zip(slot[stale].tolist(), time[stale].tolist(), strict=True):
                if at_ns >= slots["last"][number]:
                    self.catalogue.table.end(number)
            slot, time, value, flags = slot[~stale], time[~stale], value[~stale], flags[~stale]
        doubt: Bools = (flags & int(SampleFlag.SUSPECT)) != 0
        self.catalogue.accounts.take(slot, time, value, doubt)
        for station in self.catalogue.inhabited():
            taken = station.lane.take(slot, time, value, doubt, self.tick_ns)
            if taken is not None:
                self.counters.late += taken.late
                station.glance.look(taken.rows, taken.instance)

    def _glance(self) -> list[AssessorOutput]:
        """Tell what single samples breach by themselves; the KPIs' values follow when their windows close."""
        outputs: list[AssessorOutput] = []
        breaches = self.catalogue.objects["breaches"]
        for station in self.catalogue.inhabited():
            seen = station.glance.take()
            if seen is None:
                continue
            lane, rows = station.lane, len(seen)
            closed = Closed(
                seen.instance, seen.time, seen.value, np.ones(rows, np.bool_), np.ones(rows, np.int64),
                np.zeros(rows, np.bool_),
            )  # fmt: skip
            passed_over = self._suspect(closed, lane.key.window_ns)
            closed = closed.take(~(passed_over | lane.warming(seen.instance, seen.time)))
            judged = station.goals.glance(closed, breaches)
            if judged is not None:
                kpis = kpis_of(station, closed, closed.doubt, len(lane.instances))
                objects = self.catalogue.objects
                outputs += verdicts(station, judged, kpis, {}, objects, self.tick_ns)
        return outputs

    def _close_windows(self) -> list[AssessorOutput]:
        """Close what is due in every lane; only then say what is observed, as goals excuse each other."""
        configuration = self.catalogue.configuration
        if configuration is None:
            return []
        newest, breaches = self.catalogue.beats.table["newest"], self.catalogue.objects["breaches"]
        newest[0] = LONG_AGO
        outputs: list[AssessorOutput] = []
        rounds: list[tuple[Station, Closed, Judged, KpiBatch]] = []
        inhabited = self.catalogue.inhabited()
        population = sum(len(station.lane.instances) for station in inhabited)
        for station in inhabited:
            lane = station.lane
            limit = lane.due(self.tick_ns, configuration.late_after_ns, newest, self._behind(lane))
            for closed in lane.close(limit):
                self._remember(station, closed)
                suspect = self._suspect(closed, lane.key.window_ns)
                kpis = kpis_of(station, closed, suspect, population)
                outputs.append(kpis)
                warming = lane.warming(closed.instance, closed.end_ns)
                judged = station.goals.latch(closed, warming, suspect, breaches)
                passed_over = suspect | warming
                season = station.seasons.judge(lane, closed, passed_over)
                if station.watch is not None:
                    odd, sizes = station.watch.judge(
                        lane, closed, passed_over, season, self.tick_ns
                    )
                    outputs += odd
                    self.catalogue.together.take(lane, closed, sizes)
                if judged is not None:
                    rounds.append((station, closed, judged, kpis))
        outputs += self.catalogue.together.conclude(self.tick_ns)
        for station, closed, judged, kpis in rounds:
            station.goals.observe(judged, closed, self._heard(station, closed), breaches)
            foretold = station.goals.foresee(judged, closed, kpis.suspect, station.seasons)
            objects = self.catalogue.objects
            outputs += verdicts(station, judged, kpis, foretold, objects, self.tick_ns)
        return outputs

    def _behind(self, lane: Lane) -> Ints | None:
        """Return by how much each beat's source is behind, for the windows of a lane; None where none is."""
        configuration = self.catalogue.configuration
        grace_ns = configuration.late_after_ns if configuration else 0
        found = self.catalogue.lags.behind(self.tick_ns, lane.key.granularity_ns, grace_ns)
        return None if found is None else found[self.catalogue.beats.table["source"]]

    def _remember(self, station: Station, closed: Closed) -> None:
        """Keep the recent past of what carries services."""
        lane, carries = station.lane, self.catalogue.objects["carries"]
        kept = carries[lane.instances["object"][closed.instance]]
        if kept.any():
            number = closed.end_ns[kept] // lane.key.granularity_ns
            station.past.take(
                closed.instance[kept], number, closed.value[kept], closed.present[kept]
            )

    def _suspect(self, closed: Closed, window_ns: int) -> Bools:
        suspect = closed.doubt
        for low, high in self.jumps:
            suspect = suspect | ((closed.end_ns >= low) & (closed.end_ns - window_ns < high))
        return suspect

    def _heard(self, station: Station, closed: Closed) -> Bools:
        """Return which windows without a value belong to an object that its source did speak of."""
        lane = station.lane
        heard = np.zeros(len(closed.instance), dtype=np.bool_)
        missing = (~closed.present).nonzero()[0]
        if missing.size:
            heard[missing] = self.catalogue.beats.heard_within(
                lane.key.granularity_ns,
                lane.panes,
                lane.instances["beats"][closed.instance[missing]],
                closed.end_ns[missing],
            )
        return heard

    def _obey(self) -> list[AssessorOutput]:
        commands, self.commands = self.commands, []
        outputs: list[AssessorOutput] = []
        for command in commands:
            group = tell.group_of_alarm(command.subject_id)
            if group * self.catalogue.shards // KEY_GROUPS == self.catalogue.shard:
                outputs += self._acknowledge(command)
        return outputs

    def _acknowledge(self, command: Command) -> list[AssessorOutput]:
        to = _ALARM_COMMANDS[command.kind]
        for table in self.catalogue.open_alarms():
            for key, alarm in table.items():
                if alarm.id != command.subject_id:
                    continue
                if alarm.state is to:
                    reason = f"the alarm is {to.value} already"
                    return [CommandResult(command.id, True, reason, command.at_ns)]
                changed_at_ns = max(command.at_ns, alarm.changed_at_ns)
                table[key] = alarm.transition(to, changed_at_ns, command.actor)
                result = CommandResult(command.id, True, "", command.at_ns)
                return [table[key], result]
        reason = f"there is no open alarm {command.subject_id}"
        return [CommandResult(command.id, False, reason, command.at_ns)]
