"""The assessor's memory: its state as bytes and back, and how state survives a new configuration.

Numbers of rows depend on history; exported state is ordered by what rows stand for, so that an assessor that
was restored and one that never stopped give equal bytes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from analytics.alarm import clear_alarm
from analytics.binding import kind_of
from analytics.catalogue import Catalogue, Station, end_goal, lane_key
from analytics.columns import Columns
from analytics.kpi import Ints
from analytics.lanes import rows_from, rows_state
from analytics.packing import Plain, Texts, pack, unpack
from analytics.series_table import Beats, Counters, SeriesTable
from analytics.together import Together
from analytics.topology import topology_from, topology_state
from analytics.windows import Lane, LaneKey
from trimtab.domain.configuration import Configuration
from trimtab.domain.input import AssessorOutput
from trimtab.domain.kpi import Statistic
from trimtab.domain.managed_object import InventoryChange
from trimtab.domain.samples import SampleBatch
from trimtab.domain.series import Series
from trimtab.errors import JournalCorrupt

if TYPE_CHECKING:
    from analytics.assessor import Assessor

SNAPSHOT_FORMAT = 5
AssessorT = TypeVar("AssessorT", bound="Assessor")
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
            "series": _series_state(catalogue.table),
            "sources": catalogue.sources,
            "lags": catalogue.lags.state(),
            "removed": Plain(list(catalogue.removed.items())),
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
    for number, (name, labels) in zip(
        state["series"]["numbers"].tolist(), state["series"]["names"], strict=True
    ):
        catalogue.table.add(number, Series.of(name, dict(labels)))
    catalogue.table.retired = set(state["series"]["retired"])
    catalogue.sources = state["sources"]
    catalogue.lags.load(state["lags"])
    catalogue.removed = dict(state["removed"])
    catalogue.topology = topology_from(state["topology"])
    if state["configuration"] is not None:
        catalogue.prepare(state["configuration"])
        catalogue.survey()
        load(catalogue, state)
    return assessor


def _series_state(table: SeriesTable) -> dict[str, Any]:
    numbers = sorted(table.series)
    found = [table.series[number] for number in numbers]
    return {
        "numbers": np.array(numbers, dtype=np.int64),
        "names": Plain([(series.name, series.labels) for series in found]),
        "retired": sorted(table.retired),
    }


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
    # Through bytes, so that what survives a configuration is what survives a restart.
    state, old = unpack(pack(export(catalogue))), list(catalogue.stations.values())
    known, retired = catalogue.table.series, catalogue.table.retired
    catalogue.table = SeriesTable(catalogue.owns)
    catalogue.table.tick_ns = at_ns
    for number, series in known.items():
        catalogue.table.add(number, series)
    catalogue.table.retired = retired
    catalogue.beats = Beats()
    catalogue.objects = Columns(catalogue.objects.columns)
    catalogue.object_numbers = {}
    catalogue.prepare(configuration)
    catalogue.survey()
    if configuration.anomalies is None:
        outputs += catalogue.together.drop_all(at_ns, "its KPIs are watched no more")
    catalogue.together = Together()
    load(catalogue, state, changed=True)
    outputs += catalogue.take_inventory(configuration.inventory, at_ns)[0]
    for object_id in sorted({*catalogue.topology.objects, *catalogue.services}):
        catalogue.expect(object_id, at_ns)
    judged = {key for station in catalogue.stations.values() for key, _ in station.goals.ranked()}
    watched = {alarm.id for table in catalogue.open_alarms() for alarm in table.values()}
    for station in old:
        if station.watch is not None:
            outputs += station.watch.end_unless(watched, at_ns)
        for key, goal in station.goals.ranked():
            if key not in judged:
                outputs += end_goal(
                    station.goals, goal, at_ns, "its objective is configured no more"
                )
                continue
            outputs += [
                clear_alarm(alarm, at_ns, "its burn rate is watched no more")
                for alarm in station.goals.burn_rates.alarms_of(goal)
                if alarm.id not in watched
            ]
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
    slots = _ranked(table)
    slot_numbers = numbering(slots, table.slots.capacity)
    order = sorted(beats.keys, key=beats.keys.__getitem__)
    beat_numbers = numbering(order, beats.table.capacity)
    state = table.slots.export(slots)
    state["beat"] = beat_numbers[state["beat"]]
    return {
        "configuration": catalogue.configuration,
        "slots": {"objects": Texts([table.object_of[slot] for slot in slots]), "table": state},
        "beats": beats.state(order),
        "together": catalogue.together.state(),
        "accounts": catalogue.accounts.state(),
        "lanes": [
            _lane_state(key, station, slot_numbers, beat_numbers)
            for key, station in catalogue.stations.items()
        ],
    }


def _ranked(table: SeriesTable) -> list[int]:
    """Return the slots in the order of what they are, whatever their numbers (see `SeriesTable.rank`)."""
    slots = list(table.object_of)
    series, opened = table.slots["series"][slots].tolist(), table.slots["opened"][slots].tolist()
    ranked = sorted(zip(series, table.object_of.values(), opened, slots, strict=True))
    return [slot for _, _, _, slot in ranked]


def numbering(order: Sequence[int], size: int) -> Ints:
    """Return for each row of a table its place in an order, from 1; 0 where it has none."""
    numbers = np.zeros(size, dtype=np.int64)
    numbers[np.array(order, dtype=np.int64)] = np.arange(1, len(order) + 1)
    return numbers


def _lane_state(key: LaneKey, station: Station, slots: Ints, beats: Ints) -> dict[str, Any]:
    lane, goals = station.lane, station.goals
    order = [number for _, number in sorted(lane.numbers.items())]
    instances = numbering(order, lane.instances.capacity)
    table, alive = lane.feeds, lane.feeds.alive()
    sides = (
        table["order"][alive],
        slots[table["slot"][alive]],
        instances[table["instance"][alive]],
    )
    feeds = alive[np.lexsort(sides)].tolist()
    feed_numbers = numbering(feeds, table.capacity)
    instance_table = lane.instances.export(order)
    instance_table["beats"] = -np.sort(-beats[instance_table["beats"]], axis=1)
    for name in ("object", "definition", "fed"):
        del instance_table[name]
    feed_table = table.export(feeds)
    feed_table["instance"] = instances[feed_table["instance"]]
    feed_table["slot"] = slots[feed_table["slot"]]
    return {
        "key": list(key),
        "skipped": lane.skipped,
        "instances": {
            "keys": Plain([lane.key_of(number) for number in order]),
            "table": instance_table,
        },
        "feeds": feed_table,
        "log": rows_state(lane.log, feed_numbers),
        "extra": lane.extra_state(instances, feed_numbers),
        "goals": goals.state(),
        "anomalies": station.watch.state(order) if station.watch else None,
        "seasons": station.seasons.state(order),
        "past": station.past.state(order),
    }


def load(catalogue: Catalogue, state: dict[str, Any], *, changed: bool = False) -> None:
    """Put exported state into freshly prepared tables, as far as the configuration still knows of it.

    `changed`: it is another configuration, under which series may be read by other KPIs.
    """
    beats = _load_beats(catalogue, state["beats"])
    slots = _load_slots(catalogue, state["slots"], beats)
    for lane_state in state["lanes"]:
        granularity_ns, window_ns, statistic = lane_state["key"]
        station = catalogue.stations.get(LaneKey(granularity_ns, window_ns, Statistic(statistic)))
        if station is not None:
            _load_lane(catalogue, station, lane_state, state["configuration"], slots, beats)
    catalogue.accounts.load(state["accounts"])
    if changed:
        _attach(catalogue, slots[slots > 0].tolist())
    else:
        _account(catalogue, slots[slots > 0].tolist())
    rule = catalogue.configuration.anomalies if catalogue.configuration else None
    if rule is not None:
        catalogue.together.load(state["together"], rule)
    for station in catalogue.stations.values():
        known = dict(station.goals.ranked())
        for lane_state in state["lanes"]:
            station.goals.load(lane_state["goals"], catalogue.objects, known)


def _attach(catalogue: Catalogue, slots: list[int]) -> None:
    """Let slots feed whatever reads them now."""
    for slot in slots:
        catalogue.attach(slot)
        source = int(catalogue.table.slots["source"][slot])
        if source >= 0:
            catalogue.vouch(slot, source)


def _account(catalogue: Catalogue, slots: list[int]) -> None:
    """Let slots feed the accounts of services again."""
    table = catalogue.table
    for slot in slots:
        series_id = int(table.slots["series"][slot])
        series, object_id = table.series[series_id], table.object_of[slot]
        if table.slots["joined"][slot]:
            continue
        catalogue.accounts.attach(slot, series_id, series, object_id, table.tick_ns)


def _load_beats(catalogue: Catalogue, state: dict[str, Any]) -> Ints:
    order = [catalogue.beats.number(source, object_id) for source, object_id in state["keys"]]
    catalogue.beats.table.load(order, state["table"])
    for granularity, ring in state["rings"].items():
        if int(granularity) in catalogue.beats.heard:
            placed = np.zeros((catalogue.beats.table.capacity, ring.shape[1]), dtype=np.int64)
            placed[order] = ring
            catalogue.beats.restore_ring(int(granularity), placed)
    return np.array([0, *order], dtype=np.int64)


def _load_slots(catalogue: Catalogue, state: dict[str, Any], beats: Ints) -> Ints:
    """Return the new number of each exported slot, 0 for one that is no more."""
    table, rows = catalogue.table, state["table"]
    numbers = np.array(
        [
            0,
            *(
                table.readopt(*row)
                for row in zip(
                    rows["series"].tolist(),
                    state["objects"],
                    rows["ended"].tolist(),
                    rows["joined"].tolist(),
                    strict=True,
                )
            ),
        ],
        dtype=np.int64,
    )
    kept = numbers[1:] > 0
    chosen = numbers[1:][kept]
    for name in ("last", "ended", "source", "opened"):
        table.slots[name][chosen] = rows[name][kept]
    table.slots["beat"][chosen] = beats[rows["beat"][kept]]
    return numbers


def _load_lane(
    catalogue: Catalogue,
    station: Station,
    state: dict[str, Any],
    before: Configuration,
    slots: Ints,
    beats: Ints,
) -> None:
    lane = station.lane
    lane.skipped = state["skipped"]
    instances = _load_instances(catalogue, lane, state["instances"], before, beats)
    numbers = [number or None for number in instances[1:].tolist()]
    station.past.load(state["past"], numbers)
    station.seasons.load(state["seasons"], numbers)
    if station.watch is not None and state["anomalies"] is not None:
        station.watch.load(state["anomalies"], numbers)
    table = state["feeds"]
    instance, slot = instances[table["instance"]], slots[table["slot"]]
    kept = np.flatnonzero((instance > 0) & (slot > 0))
    added = [
        lane.add_feed(number, at, *divmod(order, 2))
        for number, at, order in zip(
            instance[kept].tolist(), slot[kept].tolist(), table["order"][kept].tolist(), strict=True
        )
    ]
    for column in lane.feeds.columns:
        if column not in ("instance", "slot"):
            lane.feeds[column][added] = table[column][kept]
    feeds = np.zeros(len(instance) + 1, dtype=np.int64)
    feeds[kept + 1] = added
    lane.log = rows_from(state["log"], feeds)
    lane.load_extra(state["extra"], instances, feeds)


def _load_instances(
    catalogue: Catalogue, lane: Lane, state: dict[str, Any], before: Configuration, beats: Ints
) -> Ints:
    """Return the new number of each exported instance, 0 for one that is no more or is another now."""
    old = {(item.object_kind, item.name): item for item in before.kpis}
    numbers = np.zeros(len(state["keys"]) + 1, dtype=np.int64)
    for at, (object_id, name) in enumerate(state["keys"], start=1):
        kind = kind_of(object_id)
        definition = catalogue.definitions.get((kind, name)) if kind else None
        if definition is None or kind is None or old.get((kind, name)) != definition:
            continue
        if lane_key(definition) == lane.key:
            numbers[at] = catalogue.instance(object_id, definition)
    kept = numbers[1:] > 0
    chosen, rows = numbers[1:][kept], state["table"]
    for column in lane.instances.columns:
        if column not in _REBUILT:
            lane.instances[column][chosen] = rows[column][kept]
    lane.instances["beats"][chosen] = known = beats[rows["beats"][kept]]
    lane.sources_most = max(lane.sources_most, int((known > 0).any(axis=0).sum()))
    return numbers
