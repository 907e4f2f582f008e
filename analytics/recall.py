"""The assessor's memory: its state as bytes and back, and how state survives a new configuration.

Numbers of rows depend on history; exported state is ordered by what rows stand for, so that an assessor that
was restored and one that never stopped give equal bytes.
"""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from analytics.binding import kind_of
from analytics.catalogue import Catalogue, Station, end_goal, lane_key
from analytics.columns import Columns
from analytics.lanes import rows_from, rows_state
from analytics.packing import pack, unpack
from analytics.series_table import Beats, Counters, SeriesTable
from analytics.together import Together
from analytics.topology import topology_from, topology_state
from analytics.windows import LaneKey
from trimtab.domain.configuration import Configuration
from trimtab.domain.input import AssessorOutput
from trimtab.domain.kpi import Statistic
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.errors import JournalCorrupt

if TYPE_CHECKING:
    from analytics.assessor import Assessor

SNAPSHOT_FORMAT = 1
AssessorT = TypeVar("AssessorT", bound="Assessor")
Numbers = dict[int, int]
_REBUILT = ("object", "beats", "definition", "fed")  # columns that name rows of other tables


def remember(assessor: "Assessor") -> bytes:
    """Return an assessor's whole state."""
    catalogue = assessor.catalogue
    return pack(
        {
            "format": SNAPSHOT_FORMAT,
            "shard": [catalogue.shard, catalogue.shards],
            "tick_ns": assessor.tick_ns,
            "counters": [getattr(assessor.counters, name) for name in Counters.__slots__],
            "facts": assessor.facts,
            "commands": assessor.commands,
            "batches": [
                [item.source, item.series_id, item.time_ns, item.value, item.flags]
                for item in merged(assessor.batches)
            ],
            "jumps": assessor.jumps,
            "notices": assessor.notices,
            "series": [
                [number, series.name, series.labels]
                for number, series in sorted(catalogue.table.series.items())
            ],
            "sources": catalogue.sources,
            "removed": [[name, at] for name, at in catalogue.removed.items()],
            "topology": topology_state(catalogue.topology),
            **export(catalogue),
        }
    )


def recall(cls: type[AssessorT], blob: bytes) -> AssessorT:
    """Return the assessor whose state this is. Raises JournalCorrupt when the format is another."""
    state = unpack(blob)
    if state.get("format") != SNAPSHOT_FORMAT:
        raise JournalCorrupt(
            f"assessor snapshot format {state.get('format')} is not {SNAPSHOT_FORMAT}"
        )
    assessor = cls(*state["shard"])
    assessor.tick_ns = state["tick_ns"]
    assessor.counters = Counters(*state["counters"])
    assessor.facts, assessor.commands = state["facts"], state["commands"]
    assessor.batches = [SampleBatch(*columns) for columns in state["batches"]]
    assessor.waiting_rows = sum(len(batch) for batch in assessor.batches)
    assessor.jumps = [(low, high) for low, high in state["jumps"]]
    assessor.notices = state["notices"]
    catalogue = assessor.catalogue
    for number, name, labels in state["series"]:
        catalogue.table.add(number, Series(name, tuple((key, value) for key, value in labels)))
    catalogue.sources = state["sources"]
    catalogue.removed = dict(state["removed"])
    catalogue.topology = topology_from(state["topology"])
    if state["configuration"] is not None:
        catalogue.prepare(state["configuration"])
        load(catalogue, state)
    return assessor


def reconfigure(
    catalogue: Catalogue, configuration: Configuration, at_ns: int
) -> list[AssessorOutput]:
    """Replace the configuration; state of what still exists is kept, what no longer does ends."""
    before = catalogue.configuration
    if before == configuration:
        return []
    outputs: list[AssessorOutput] = []
    if before is not None:
        gone = sorted(_declared(before) - _declared(configuration))
        catalogue.topology.apply(
            InventoryChange("configuration", at_ns, removed_object_ids=tuple(gone))
        )
        for object_id in gone:
            outputs += catalogue.remove_objects([object_id], at_ns)
            catalogue.removed.pop(object_id, None)
    state, old = export(catalogue), list(catalogue.stations.values())
    known = catalogue.table.series
    catalogue.table = SeriesTable(catalogue.owns)
    catalogue.table.tick_ns = at_ns
    for number, series in known.items():
        catalogue.table.add(number, series)
    catalogue.beats = Beats()
    catalogue.objects = Columns(catalogue.objects.columns)
    catalogue.object_numbers = {}
    catalogue.prepare(configuration)
    if configuration.anomalies is None:
        outputs += catalogue.together.drop_all(at_ns, "its KPIs are watched no more")
    catalogue.together = Together()
    load(catalogue, state)
    outputs += catalogue.take_inventory(configuration.inventory, at_ns)[0]
    for object_id in sorted({*catalogue.topology.objects, *catalogue.services}):
        catalogue.expect(object_id, at_ns)
    judged = {key for station in catalogue.stations.values() for key in station.goals.numbers}
    watched = {alarm.id for table in catalogue.open_alarms() for alarm in table.values()}
    for station in old:
        if station.watch is not None:
            outputs += station.watch.end_unless(watched, at_ns)
        for key, goal in sorted(station.goals.numbers.items()):
            if key not in judged:
                outputs += end_goal(
                    station.goals, goal, at_ns, "its objective is configured no more"
                )
    return outputs


def _declared(configuration: Configuration) -> set[str]:
    services = {service.id for service in configuration.services}
    return services | {item.id for item in configuration.inventory.objects}


def merged(batches: list[SampleBatch]) -> list[SampleBatch]:
    """Join neighbours of one source, so that the cut into batches leaves no trace."""
    found: list[SampleBatch] = []
    for batch in batches:
        if found and found[-1].source == batch.source:
            last = found.pop()
            batch = SampleBatch(
                batch.source,
                np.concatenate((last.series_id, batch.series_id)),
                np.concatenate((last.time_ns, batch.time_ns)),
                np.concatenate((last.value, batch.value)),
                np.concatenate((last.flags, batch.flags)),
            )
        found.append(batch)
    return found


def export(catalogue: Catalogue) -> dict[str, Any]:
    """Return the state of all tables in an order that does not depend on how they were filled."""
    table, beats = catalogue.table, catalogue.beats
    slots = sorted(table.object_of, key=table.rank)
    slot_numbers = {slot: number for number, slot in enumerate(slots, start=1)}
    order = sorted(beats.keys, key=lambda beat: beats.keys[beat])
    beat_numbers = {0: 0} | {beat: number for number, beat in enumerate(order, start=1)}
    state = table.slots.export(slots)
    state["beat"] = _translate(state["beat"], beat_numbers)
    del state["series"]
    return {
        "configuration": catalogue.configuration,
        "slots": {
            "keys": [[int(table.slots["series"][slot]), table.object_of[slot]] for slot in slots],
            "table": state,
        },
        "beats": beats.state({beat: beat_numbers[beat] for beat in order}),
        "together": catalogue.together.state(),
        "lanes": [
            _lane_state(key, station, slot_numbers, beat_numbers)
            for key, station in catalogue.stations.items()
        ],
    }


def _lane_state(key: LaneKey, station: Station, slots: Numbers, beats: Numbers) -> dict[str, Any]:
    lane, goals = station.lane, station.goals
    order = [number for _, number in sorted(lane.numbers.items())]
    instances = {number: at for at, number in enumerate(order, start=1)}
    table = lane.feeds
    feeds = sorted(
        table.alive().tolist(),
        key=lambda feed: (
            instances[int(table["instance"][feed])],
            slots[int(table["slot"][feed])],
            int(table["order"][feed]),
        ),
    )
    feed_numbers = {feed: at for at, feed in enumerate(feeds, start=1)}
    instance_table = lane.instances.export(order)
    instance_table["beats"] = np.sort(_translate(instance_table["beats"], beats), axis=1)
    del instance_table["object"], instance_table["definition"], instance_table["fed"]
    feed_table = table.export(feeds)
    feed_table["instance"] = _translate(feed_table["instance"], instances)
    feed_table["slot"] = _translate(feed_table["slot"], slots)
    return {
        "key": list(key),
        "skipped": lane.skipped,
        "instances": {
            "keys": [list(lane.keys[number]) for number in order],
            "table": instance_table,
        },
        "feeds": feed_table,
        "log": rows_state(lane.log, feed_numbers),
        "extra": lane.extra_state(instances, feed_numbers),
        "goals": goals.state([goal for _, goal in sorted(goals.numbers.items())]),
        "anomalies": station.watch.state(order) if station.watch else None,
    }


def _translate(numbers: Any, table: Numbers) -> Any:
    flat = [table[number] for number in numbers.ravel().tolist()]
    return np.array(flat, dtype=np.int64).reshape(numbers.shape)


def load(catalogue: Catalogue, state: dict[str, Any]) -> None:
    """Put exported state into freshly prepared tables, as far as the configuration still knows of it."""
    beats = _load_beats(catalogue, state["beats"])
    slots = _load_slots(catalogue, state["slots"], beats)
    for lane_state in state["lanes"]:
        granularity_ns, window_ns, statistic = lane_state["key"]
        station = catalogue.stations.get(LaneKey(granularity_ns, window_ns, Statistic(statistic)))
        if station is not None:
            _load_lane(catalogue, station, lane_state, state["configuration"], slots, beats)
    for slot in slots.values():
        catalogue.attach(slot)
        source = int(catalogue.table.slots["source"][slot])
        if source >= 0:
            catalogue.vouch(slot, source)
    rule = catalogue.configuration.anomalies if catalogue.configuration else None
    if rule is not None:
        catalogue.together.load(state["together"], rule)
    breaches = catalogue.objects["breaches"]
    for station in catalogue.stations.values():
        for lane_state in state["lanes"]:
            station.goals.load(lane_state["goals"], breaches)


def _load_beats(catalogue: Catalogue, state: dict[str, Any]) -> Numbers:
    numbers = {0: 0}
    for at, (source, object_id) in enumerate(state["keys"], start=1):
        numbers[at] = catalogue.beats.number(source, object_id)
    order = [numbers[at] for at in range(1, len(numbers))]
    catalogue.beats.table.load(order, state["table"])
    for granularity, ring in state["rings"].items():
        if int(granularity) in catalogue.beats.heard:
            placed = np.zeros((catalogue.beats.table.capacity, ring.shape[1]), dtype=np.int64)
            placed[order] = ring
            catalogue.beats.restore_ring(int(granularity), placed)
    return numbers


def _load_slots(catalogue: Catalogue, state: dict[str, Any], beats: Numbers) -> Numbers:
    table, numbers = catalogue.table, {}
    for at, (series_id, object_id) in enumerate(state["keys"], start=1):
        ended = bool(state["table"]["ended"][at - 1])
        slot = table.readopt(series_id, object_id, ended)
        if slot:
            numbers[at] = slot
            for name in ("last", "ended", "source", "opened"):
                table.slots[name][slot] = state["table"][name][at - 1]
            table.slots["beat"][slot] = beats[int(state["table"]["beat"][at - 1])]
    return numbers


def _load_lane(
    catalogue: Catalogue,
    station: Station,
    state: dict[str, Any],
    before: Configuration,
    slots: Numbers,
    beats: Numbers,
) -> None:
    lane = station.lane
    lane.skipped = state["skipped"]
    old = {(item.object_kind, item.name): item for item in before.kpis}
    instances: Numbers = {}
    rows = state["instances"]["table"]
    for at, (object_id, name) in enumerate(state["instances"]["keys"], start=1):
        kind = kind_of(object_id)
        definition = catalogue.definitions.get((kind, name)) if kind else None
        if definition is None or kind is None or old.get((kind, name)) != definition:
            continue
        if lane_key(definition) != lane.key:
            continue
        number = catalogue.instance(object_id, definition)
        instances[at] = number
        for column in lane.instances.columns:
            if column not in _REBUILT:
                lane.instances[column][number] = rows[column][at - 1]
        lane.instances["beats"][number] = [beats[beat] for beat in rows["beats"][at - 1].tolist()]
    if station.watch is not None and state["anomalies"] is not None:
        count = len(state["instances"]["keys"])
        station.watch.load(state["anomalies"], [instances.get(at + 1) for at in range(count)])
    feeds: Numbers = {}
    table = state["feeds"]
    for at in range(1, len(table["instance"]) + 1):
        instance, slot = int(table["instance"][at - 1]), int(table["slot"][at - 1])
        if instance not in instances or slot not in slots:
            continue
        series_id, role = divmod(int(table["order"][at - 1]), 2)
        feed = lane.add_feed(instances[instance], slots[slot], series_id, role)
        feeds[at] = feed
        for column in lane.feeds.columns:
            if column not in ("instance", "slot"):
                lane.feeds[column][feed] = table[column][at - 1]
    lane.log = rows_from(state["log"], feeds)
    lane.load_extra(state["extra"], instances, feeds)
