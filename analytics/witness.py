"""Witnesses: what an assessor can say of objects that may be to blame, from the recent past of their KPIs."""

from collections.abc import Sequence

import numpy as np

from analytics.binding import kind_of
from analytics.catalogue import Catalogue, Station
from analytics.evidence import ROWS_RECENT, Shifts, most_shifted, shifts, weights
from analytics.kpi import Floats, Ints
from trimtab.domain.evidence import EvidenceWanted, Shifted

# A KPI that moved by fewer times its own unrest testifies nothing.
WEIGHT_MIN = 3.0
_Found = tuple[float, Shifted]  # weight, testimony


def testify(catalogue: Catalogue, wanted: EvidenceWanted) -> list[Shifted]:
    """Return one testimony for each object of this shard whose KPIs shifted, in the order of the objects."""
    objects = sorted({name for name in wanted.objects if catalogue.owns(name)})
    owners = {name: at for at, name in enumerate(objects)}
    all_weights: list[Floats] = []
    all_owners: list[Ints] = []
    best: dict[str, _Found] = {}
    for station in catalogue.inhabited():
        known, numbers, values = station.past.rows(_instances_of(catalogue, station, objects))
        changed = wanted.begin_ns // station.lane.key.granularity_ns
        before, after = values[numbers <= changed], values[numbers > changed]
        if len(before) < ROWS_RECENT or not len(after):
            continue
        found = shifts(before, after, _typical(values))
        weight = weights(found.size, _bad(station, known))
        names = [station.lane.key_of(number)[0] for number in known]
        all_weights.append(weight)
        all_owners.append(np.array([owners[name] for name in names], dtype=np.int64))
        for at in (weight >= WEIGHT_MIN).nonzero()[0].tolist():
            told = _testimony(wanted, station, known[at], found, at, numbers, values[:, at])
            held = best.get(names[at])
            if held is None or (weight[at], held[1].kpi) > (held[0], told.kpi):
                best[names[at]] = (float(weight[at]), told)
    if not best:
        return []
    evidence = most_shifted(np.concatenate(all_weights), np.concatenate(all_owners), len(objects))
    return [
        _with_evidence(best[name][1], float(evidence[owners[name]]))
        for name in objects
        if name in best
    ]


def _instances_of(catalogue: Catalogue, station: Station, objects: Sequence[str]) -> list[int]:
    names: dict[object, list[str]] = {}
    for kind, name in catalogue.definitions:
        names.setdefault(kind, []).append(name)
    numbers = station.lane.numbers
    return [
        numbers[(object_id, name)]
        for object_id in objects
        for name in names.get(kind_of(object_id), ())
        if (object_id, name) in numbers
    ]


def _typical(values: Floats) -> Floats:
    """Return the greatest size that each KPI had: of its like, other shards may know more."""
    sizes: Floats = np.where(np.isnan(values), 0.0, np.abs(values)).max(axis=0)
    return sizes


def _bad(station: Station, instances: Sequence[int]) -> Ints:
    """Return which way is bad of each KPI: 1 up, -1 down, 0 where no objective says so."""
    signs = []
    for number in instances:
        goals = station.goals.of_instance(number)
        signs.append(int(station.goals.sign_of(goals[0])) if goals else 0)
    return np.array(signs, dtype=np.int64)


def _testimony(
    wanted: EvidenceWanted, station: Station, number: int, found: Shifts, at: int, numbers: Ints,
    values: Floats,
) -> Shifted:  # fmt: skip
    object_id, kpi = station.lane.key_of(number)
    before, after = float(found.before[at]), float(found.after[at])
    first = _since(values, before, after)
    return Shifted(
        wanted.incident_id, object_id, kpi, station.lane.definition_of(number).unit,
        None if np.isnan(before) else before, None if np.isnan(after) else after,
        float(found.size[at]), 0.0, int(numbers[first]) * station.lane.key.granularity_ns,
    )  # fmt: skip


def _since(values: Floats, before: float, after: float) -> int:
    """Return the row from which on all values are nearer to the later median (or missing, where nothing came later)."""
    if np.isnan(after):
        changed = np.isnan(values)
    else:
        changed = np.abs(values - after) <= np.abs(values - before)
    other = np.flatnonzero(~changed)
    return min(int(other[-1]) + 1, len(values) - 1) if len(other) else 0


def _with_evidence(told: Shifted, evidence: float) -> Shifted:
    return Shifted(
        told.incident_id, told.object_id, told.kpi, told.unit, told.before, told.after, told.size,
        round(evidence, 6), told.since_ns,
    )  # fmt: skip
