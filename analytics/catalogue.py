"""The catalogue: which KPIs and objectives exist for which objects, as the configuration and the inventory say."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analytics.alarm import clear_alarm, trouble_ended
from analytics.anomalies import AnomalyWatch
from analytics.binding import Binder, kind_of
from analytics.columns import Column, Columns
from analytics.glance import Glance, told_by_one
from analytics.lanes import lane_of
from analytics.objective import BREACHED, UNKNOWN, Goals
from analytics.series_table import Beats, SeriesTable
from analytics.together import Together
from analytics.windows import PANES_PER_WINDOW_MAX, Lane, LaneKey
from trimtab.domain.alarm import Alarm
from trimtab.domain.configuration import Configuration
from trimtab.domain.input import AssessorOutput
from trimtab.domain.kpi import KpiDefinition
from trimtab.domain.managed_object import InventoryChange, ObjectKind, Topology
from trimtab.domain.service import Service, ServiceLevelObjective
from trimtab.domain.trained_model import TrainedModel
from trimtab.series import shard_of

REMOVED_REMEMBERED_MAX = 100_000


def usable(definition: KpiDefinition) -> bool:
    """Return whether a window is a whole number of granularity periods, and not of too many."""
    panes, rest = divmod(definition.window_ns, max(1, definition.granularity_ns))
    return definition.granularity_ns > 0 and rest == 0 and 1 <= panes <= PANES_PER_WINDOW_MAX


def lane_key(definition: KpiDefinition) -> LaneKey:
    """Return which lane a KPI's windows are kept in."""
    return LaneKey(definition.granularity_ns, definition.window_ns, definition.statistic)


@dataclass(slots=True)
class Station:
    """A lane with the goals that judge its windows."""

    lane: Lane
    goals: Goals
    glance: Glance
    watch: AnomalyWatch | None = None


@dataclass(slots=True)
class Catalogue:
    """Hold the tables of one shard."""

    shard: int
    shards: int
    configuration: Configuration | None = None
    topology: Topology = field(default_factory=Topology)
    stations: dict[LaneKey, Station] = field(default_factory=dict)
    beats: Beats = field(default_factory=Beats)
    table: SeriesTable = field(init=False)
    objects: Columns = field(default_factory=lambda: Columns({"breaches": Column("i8", 0)}))
    object_numbers: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    definitions: dict[tuple[ObjectKind, str], KpiDefinition] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    together: Together = field(default_factory=Together)

    def __post_init__(self) -> None:
        self.table = SeriesTable(self.owns)

    def owns(self, object_id: str) -> bool:
        """Return whether an object belongs to this shard."""
        return self.shards == 1 or shard_of(object_id, self.shards) == self.shard

    def prepare(self, configuration: Configuration) -> None:
        """Make empty lanes for a configuration."""
        self.configuration = configuration
        self.definitions = {
            (item.object_kind, item.name): item for item in configuration.kpis if usable(item)
        }
        self.services = {service.id: service for service in configuration.services}
        self.table.binder = Binder(configuration)
        keys = sorted({lane_key(definition) for definition in self.definitions.values()})
        rule = configuration.anomalies
        self.stations = {
            key: Station(
                lane_of(key), Goals(), Glance(key.statistic), AnomalyWatch(rule) if rule else None
            )
            for key in keys
        }
        for key in keys:
            self.beats.watch(key.granularity_ns, key.window_ns // key.granularity_ns)

    def inhabited(self) -> list[Station]:
        """Return the stations that hold any KPI of an object: the library defines more than most sites feed."""
        return [station for station in self.stations.values() if station.lane.numbers]

    def open_alarms(self) -> list[dict[Any, Alarm]]:
        """Return the tables in which open alarms are kept: of objectives, and of anomalies."""
        tables = [station.goals.alarms for station in self.stations.values()]
        watches = [each.watch for each in self.stations.values() if each.watch]
        return [*tables, *(watch.alarms for watch in watches), self.together.alarms]

    def adopt(self, model: TrainedModel) -> None:
        """Judge an object by a model from now on, as far as it is ours and anomalies are watched."""
        rule = self.configuration.anomalies if self.configuration else None
        if rule is not None and self.owns(model.object_id) and model.object_id not in self.removed:
            self.together.adopt(model, rule)

    def object_number(self, object_id: str) -> int:
        """Return the number of an object."""
        if object_id not in self.object_numbers:
            self.object_numbers[object_id] = self.objects.allocate()
        return self.object_numbers[object_id]

    def objectives_of(self, object_id: str, kind: ObjectKind) -> list[ServiceLevelObjective]:
        """Return what is asked of an object."""
        if self.configuration is None:
            return []
        return [
            objective
            for objective in self.configuration.objectives
            if objective.object_id == object_id
            or (objective.object_id is None and objective.object_kind == kind)
        ]

    def expect(self, object_id: str, at_ns: int) -> None:
        """Let the windows of every objective of an object begin, so that silence is noticed, too.

        A condition of a kind whose KPI reads only some series (`where`) applies to objects that such series speak
        of: nothing is expected of the others.
        """
        kind = kind_of(object_id)
        if kind is None or not self.owns(object_id) or object_id in self.removed:
            return
        for objective in self.objectives_of(object_id, kind):
            definition = self.definitions.get((kind, objective.kpi))
            if definition is not None and not (objective.object_id is None and definition.where):
                number = self.instance(object_id, definition)
                self.stations[lane_key(definition)].lane.begin(number, at_ns)

    def instance(self, object_id: str, definition: KpiDefinition) -> int:
        """Return the number of (object, KPI) in its lane; a new one comes with its goals."""
        station = self.stations[lane_key(definition)]
        number = station.lane.numbers.get((object_id, definition.name))
        if number is not None:
            return number
        at = self.object_number(object_id)
        number = station.lane.add_instance(object_id, at, definition)
        for objective in self.objectives_of(object_id, definition.object_kind):
            if objective.kpi == definition.name:
                service = self.services.get(object_id)
                if service is None and definition.object_kind is ObjectKind.SERVICE:
                    service = Service(object_id, object_id.partition("/")[0], object_id)
                by_one = told_by_one(definition.statistic, objective)
                station.goals.add(object_id, at, number, objective, service, by_one)
                station.glance.watch(number, objective)
        return number

    def attach(self, slot: int) -> None:
        """Let a slot feed every KPI that reads its series."""
        if self.table.binder is None:
            return
        series_id, object_id = int(self.table.slots["series"][slot]), self.table.object_of[slot]
        kind = kind_of(object_id)
        if kind is None:
            return
        for reader in self.table.binder.readers(self.table.series[series_id], kind):
            if self.definitions.get((kind, reader.definition.name)) is not reader.definition:
                continue
            number = self.instance(object_id, reader.definition)
            lane = self.stations[lane_key(reader.definition)].lane
            order = series_id * 2 + reader.role
            if not any(
                lane.feeds["instance"][feed] == number and lane.feeds["order"][feed] == order
                for feed in lane.feed_lists.get(slot, ())
            ):
                opened_ns = int(self.table.slots["opened"][slot])
                lane.add_feed(number, slot, series_id, reader.role, opened_ns)

    def vouch(self, slot: int, source: int) -> None:
        """Note which source a slot's rows come from."""
        object_id = self.table.object_of[slot]
        beat = self.beats.number(self.sources[source], object_id)
        self.table.slots["source"][slot] = source
        self.table.slots["beat"][slot] = beat
        for station in self.stations.values():
            for feed in station.lane.feed_lists.get(slot, ()):
                station.lane.add_source(int(station.lane.feeds["instance"][feed]), beat)

    def release_slot(self, slot: int, at_ns: int) -> list[AssessorOutput]:
        """Give a slot back, and what only it fed."""
        object_id = self.table.object_of[slot]
        outputs: list[AssessorOutput] = []
        for station in self.stations.values():
            lane = station.lane
            for feed in list(lane.feed_lists.get(slot, ())):
                number = int(lane.feeds["instance"][feed])
                lane.remove_feed(feed)
                if not (lane.feeds["instance"] == number).any() and not self._kept(
                    station, number, object_id
                ):
                    outputs += self._drop(station, number, at_ns, "nothing is heard of it any more")
        self.table.close(slot)
        return outputs

    def _kept(self, station: Station, number: int, object_id: str) -> bool:
        goals = station.goals.of_instance(number)
        if any(goal in station.goals.alarms for goal in goals):
            return True
        return bool(goals) and (object_id in self.topology.objects or object_id in self.services)

    def _drop(self, station: Station, number: int, at_ns: int, why: str) -> list[AssessorOutput]:
        outputs: list[AssessorOutput] = []
        for goal in station.goals.of_instance(number):
            outputs += end_goal(station.goals, goal, at_ns, why)
            breaches = self.objects["breaches"]
            breaches[station.goals.table["object"][goal]] -= int(
                station.goals.table["latched"][goal]
            )
            station.goals.remove(goal)
        if station.watch is not None:
            outputs += station.watch.drop(number, at_ns, why)
        station.glance.forget(np.array([number]))
        station.lane.remove_instance(number)
        return outputs

    def remove_object(self, object_id: str, at_ns: int) -> list[AssessorOutput]:
        """Forget an object: its troubles end, its alarms clear, rows that still arrive for it lead to nothing."""
        if not self.owns(object_id):
            return []
        self.removed[object_id] = at_ns
        while len(self.removed) > REMOVED_REMEMBERED_MAX:
            del self.removed[next(iter(self.removed))]
        if object_id not in self.object_numbers:
            return []
        outputs: list[AssessorOutput] = []
        for station in self.stations.values():
            for key, number in sorted(station.lane.numbers.items()):
                if key[0] == object_id:
                    outputs += self._drop(
                        station, number, at_ns, "the object was removed from the inventory"
                    )
        for slot in sorted(self.table.alive.get(object_id, ())):
            self.table.close(slot)
        outputs += self.together.drop(object_id, at_ns, "the object was removed from the inventory")
        self.beats.forget(object_id)
        self.objects.release(self.object_numbers.pop(object_id))
        return outputs

    def take_inventory(
        self, change: InventoryChange, at_ns: int
    ) -> tuple[list[AssessorOutput], list[str]]:
        """Apply a change; return what ends with it, and the conflicts that it holds."""
        conflicts = self.topology.apply(change)
        for item in change.objects:
            self.removed.pop(item.id, None)
        outputs: list[AssessorOutput] = []
        for object_id in change.removed_object_ids:
            outputs += self.remove_object(object_id, at_ns)
        for item in change.objects:
            if item.id in self.topology.objects:
                self.expect(item.id, at_ns)
        return outputs, conflicts


def end_goal(goals: Goals, goal: int, at_ns: int, why: str) -> list[AssessorOutput]:
    """Return what is to be told when a goal is judged no more."""
    outputs: list[AssessorOutput] = []
    object_id = goals.keys[goal][0]
    if goals.table["observed"][goal] in (BREACHED, UNKNOWN):
        outputs.append(trouble_ended(object_id, goals.objectives[goal], at_ns))
    alarm = goals.alarms.get(goal)
    if alarm is not None:
        outputs.append(clear_alarm(alarm, at_ns, why))
    return outputs
