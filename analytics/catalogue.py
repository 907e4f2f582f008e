"""The catalogue: which KPIs and objectives exist for which objects, as the configuration and the inventory say."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analytics.alarm import clear_alarm, trouble_ended
from analytics.anomalies import AnomalyWatch
from analytics.binding import Binder, kind_of
from analytics.columns import Column, Columns
from analytics.glance import Glance, told_by_one
from analytics.lag import Lags
from analytics.lanes import lane_of
from analytics.objective import BREACHED, UNKNOWN, Goals
from analytics.past import Past
from analytics.seasons import Seasons
from analytics.series_table import SOURCES_MAX, Beats, SeriesTable
from analytics.sls.accounts import Accounts
from analytics.together import Together
from analytics.topology import Dependencies, edges_of
from analytics.windows import PANES_PER_WINDOW_MAX, Lane, LaneKey
from trimtab.domain.alarm import Alarm
from trimtab.domain.configuration import AnomalyRule, Configuration
from trimtab.domain.input import AssessorOutput
from trimtab.domain.kpi import KpiDefinition
from trimtab.domain.managed_object import InventoryChange, ObjectKind, Topology
from trimtab.domain.service import Service, ServiceLevelObjective
from trimtab.domain.trained_model import TrainedModel
from trimtab.series import shard_of

REMOVED_REMEMBERED_MAX = 100_000
# Of each object: how many of its goals are latched, how many KPIs it has, of how many goals it was told that they are
# unknown.
_OBJECT_COLUMNS = {
    "breaches": Column("i8", 0),
    "instances": Column("i4", 0),
    "silent": Column("i4", 0),
    "carries": Column("?", 0),  # a service rests on it: its past may be asked for
}


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
    seasons: Seasons
    watch: AnomalyWatch | None = None
    past: Past = field(default_factory=Past)


def _station(key: LaneKey, rule: AnomalyRule | None) -> Station:
    lane = lane_of(key)
    seasons = Seasons(rule)
    watch = AnomalyWatch(rule, seasons) if rule else None
    return Station(lane, Goals(lane), Glance(key.statistic), seasons, watch)


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
    objects: Columns = field(default_factory=lambda: Columns(_OBJECT_COLUMNS))
    object_numbers: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    definitions: dict[tuple[ObjectKind, str], KpiDefinition] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    # What is asked of one object, or of all of a kind, by KPI; each with its place in the configuration.
    promises: dict[tuple[str, str], list[tuple[int, ServiceLevelObjective]]] = field(
        default_factory=dict
    )
    sources: list[str] = field(default_factory=list)
    lags: Lags = field(default_factory=lambda: Lags(SOURCES_MAX))
    together: Together = field(default_factory=Together)
    accounts: Accounts = field(default_factory=Accounts)
    carriers: frozenset[str] = frozenset()

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
        self.promises = {}
        for place, objective in enumerate(configuration.objectives):
            whose = objective.object_id or objective.object_kind
            self.promises.setdefault((whose, objective.kpi), []).append((place, objective))
        self.accounts.prepare(configuration.services)
        self.table.binder = self.table.joins.binder = Binder(configuration)
        keys = sorted({lane_key(definition) for definition in self.definitions.values()})
        rule = configuration.anomalies
        self.stations = {key: _station(key, rule) for key in keys}
        for key in keys:
            self.beats.watch(key.granularity_ns, key.window_ns // key.granularity_ns)

    def survey(self) -> None:
        """Find out anew which resources carry services, and which series feed what rests on their objects."""
        dependencies, services = Dependencies(), tuple(self.services.values())
        if services or self.table.joins.wanted:
            dependencies.update(edges_of(self.topology, services), 0)
        self.table.joins.survey(dependencies)
        found = {name for service in services for name in dependencies.support_of(service.id)}
        self.carriers = frozenset(found - self.services.keys())
        for object_id, number in self.object_numbers.items():
            self.objects["carries"][number] = object_id in self.carriers

    def inhabited(self) -> list[Station]:
        """Return the stations that hold any KPI of an object: the library defines more than most sites feed."""
        return [station for station in self.stations.values() if station.lane.numbers]

    def open_alarms(self) -> list[dict[Any, Alarm]]:
        """Return the tables in which open alarms are kept: of objectives, and of anomalies."""
        tables: list[dict[Any, Alarm]] = []
        for station in self.stations.values():
            tables += [station.goals.alarms, station.goals.burn_rates.alarms]
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
            number = self.object_numbers[object_id] = self.objects.allocate()
            self.objects["carries"][number] = object_id in self.carriers
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
        self.objects["instances"][at] += 1
        for objective in self._asked(object_id, definition):
            service = self.services.get(object_id)
            if service is None and definition.object_kind is ObjectKind.SERVICE:
                service = Service(object_id, object_id.partition("/")[0], object_id)
            by_one = told_by_one(definition.statistic, objective)
            station.goals.add(at, number, objective, service, by_one)
            station.glance.watch(number, objective)
        return number

    def _asked(self, object_id: str, definition: KpiDefinition) -> list[ServiceLevelObjective]:
        """Return what is asked of an object's KPI, in the order of the configuration."""
        own = self.promises.get((object_id, definition.name), [])
        common = self.promises.get((definition.object_kind, definition.name), [])
        if not own:
            return [objective for _, objective in common]
        return [objective for _, objective in sorted([*own, *common], key=lambda item: item[0])]

    def attach(self, slot: int) -> None:
        """Let a slot feed every KPI that reads its series."""
        if self.table.binder is None:
            return
        series_id, object_id = int(self.table.slots["series"][slot]), self.table.object_of[slot]
        kind = kind_of(object_id)
        if kind is None:
            return
        series = self.table.series[series_id]
        joined = bool(self.table.slots["joined"][slot])
        if not joined:
            self.accounts.attach(slot, series_id, series, object_id, self.table.tick_ns)
        for reader in self.table.binder.readers(series, kind, joined=joined):
            if self.definitions.get((kind, reader.definition.name)) is not reader.definition:
                continue
            number = self.instance(object_id, reader.definition)
            lane = self.stations[lane_key(reader.definition)].lane
            order = series_id * 2 + reader.role
            if not any(
                lane.feeds["instance"][feed] == number and lane.feeds["order"][feed] == order
                for feed in lane.feeds.at(slot)
            ):
                opened_ns = int(self.table.slots["opened"][slot])
                lane.add_feed(number, slot, series_id, reader.role, opened_ns)

    def vouch(self, slot: int, source: int) -> None:
        """Note which source a slot's rows come from."""
        object_id = self.table.object_of[slot]
        beat = self.beats.number(self.sources[source], object_id)
        self.table.slots["source"][slot] = source
        self.table.slots["beat"][slot] = beat
        self.beats.table["source"][beat] = source
        for station in self.inhabited():
            for feed in station.lane.feeds.at(slot):
                station.lane.add_source(int(station.lane.feeds["instance"][feed]), beat)

    def release_slots(self, slots: list[int], at_ns: int) -> list[AssessorOutput]:
        """Give slots back, and what only they fed."""
        outputs: list[AssessorOutput] = []
        if not slots:
            return outputs
        numbers = np.array(slots, dtype=np.int64)
        for station in self.stations.values():
            lane = station.lane
            starved = lane.remove_feeds(lane.feeds.of_slots(numbers)[1])
            gone = [number for number in starved.tolist() if not self._kept(station, number)]
            outputs += self._drop(station, gone, at_ns, "nothing is heard of it any more")
        objects = {self.table.object_of[slot] for slot in slots}
        self.accounts.release(slots)
        for slot in slots:
            self.table.close(slot)
        for object_id in sorted(objects - self.table.alive.keys()):
            self._forget(object_id)
        return outputs

    def _forget(self, object_id: str) -> None:
        """Let go of the numbers of an object that is nowhere declared and that nothing speaks of."""
        number = self.object_numbers.get(object_id)
        declared = object_id in self.topology.objects or object_id in self.services
        if number is None or declared or self.objects["instances"][number]:
            return
        self.beats.forget(object_id, self.sources)
        self.objects.release(self.object_numbers.pop(object_id))

    def _kept(self, station: Station, number: int) -> bool:
        goals = station.goals.of_instance(number)
        if any(station.goals.alarms_of(goal) for goal in goals):
            return True
        object_id = station.lane.key_of(number)[0]
        return bool(goals) and (object_id in self.topology.objects or object_id in self.services)

    def _drop(
        self, station: Station, numbers: list[int], at_ns: int, why: str
    ) -> list[AssessorOutput]:
        outputs: list[AssessorOutput] = []
        breaches = self.objects["breaches"]
        for number in numbers:
            for goal in station.goals.of_instance(number):
                outputs += end_goal(station.goals, goal, at_ns, why)
                breaches[station.goals.table["object"][goal]] -= int(
                    station.goals.table["latched"][goal]
                )
                if station.goals.table["told"][goal] == UNKNOWN:
                    self.objects["silent"][station.goals.table["object"][goal]] -= 1
                station.goals.remove(goal)
            if station.watch is not None:
                outputs += station.watch.drop(number, at_ns, why)
            station.seasons.drop(number)
        if numbers:
            gone = np.array(numbers, dtype=np.int64)
            station.glance.forget(gone)
            station.past.forget(gone)
            np.subtract.at(self.objects["instances"], station.lane.instances["object"][gone], 1)
            station.lane.remove_instances(gone)
        return outputs

    def remove_objects(self, object_ids: Iterable[str], at_ns: int) -> list[AssessorOutput]:
        """Forget objects: their troubles end, their alarms clear, rows that still arrive for them lead to nothing."""
        why = "the object was removed from the inventory"
        outputs: list[AssessorOutput] = []
        owned = [object_id for object_id in object_ids if self.owns(object_id)]
        for object_id in owned:
            self.removed[object_id] = at_ns
            self.accounts.remove(object_id)
        while len(self.removed) > REMOVED_REMEMBERED_MAX:
            del self.removed[next(iter(self.removed))]
        known = {object_id for object_id in owned if object_id in self.object_numbers}
        for station in self.stations.values() if known else ():
            gone = sorted(key for key in station.lane.numbers if key[0] in known)
            outputs += self._drop(station, [station.lane.numbers[key] for key in gone], at_ns, why)
        for slot in self.table.slots_of(known):
            self.table.close(slot)
        for object_id in sorted(known):
            outputs += self.together.drop(object_id, at_ns, why)
            self.beats.forget(object_id, self.sources)
            self.objects.release(self.object_numbers.pop(object_id))
        return outputs

    def take_inventory(
        self, change: InventoryChange, at_ns: int
    ) -> tuple[list[AssessorOutput], list[str]]:
        """Apply a change; return what ends with it, and the conflicts that it holds."""
        conflicts = self.topology.apply(change)
        self.survey()
        for item in change.objects:
            self.removed.pop(item.id, None)
        outputs: list[AssessorOutput] = []
        outputs += self.remove_objects(change.removed_object_ids, at_ns)
        for item in change.objects:
            if item.id in self.topology.objects:
                self.expect(item.id, at_ns)
        return outputs, conflicts


def end_goal(goals: Goals, goal: int, at_ns: int, why: str) -> list[AssessorOutput]:
    """Return what is to be told when a goal is judged no more."""
    outputs: list[AssessorOutput] = []
    object_id = goals.key_of(goal)[0]
    if goals.table["told"][goal] in (BREACHED, UNKNOWN):
        outputs.append(trouble_ended(object_id, goals.objective(goal), at_ns))
    outputs += [clear_alarm(alarm, at_ns, why) for alarm in goals.alarms_of(goal)]
    return outputs
