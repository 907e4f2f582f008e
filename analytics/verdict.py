"""Verdicts: from judged windows to assessments, troubles and alarms."""

import numpy as np

from analytics import alarm as tell
from analytics.catalogue import Station
from analytics.columns import Columns
from analytics.kpi import Bools
from analytics.objective import (
    BREACHED,
    FULFILLED,
    STATUS,
    UNJUDGED,
    UNKNOWN,
    Foretold,
    Goals,
    Judged,
)
from analytics.rota import TOLD_PER_GROUP_MAX, called
from analytics.rows import Indices
from analytics.windows import Closed, period_starts
from trimtab.domain.assessment import Assessment, FulfilmentStatus
from trimtab.domain.input import AssessorOutput
from trimtab.domain.kpi import Kpi
from trimtab.domain.kpi_batch import KpiBatch


def kpis_of(station: Station, closed: Closed, suspect: Bools, population: int) -> KpiBatch:
    """Return the KPIs that windows of a station are; `population` counts those of all stations."""
    lane = station.lane
    return KpiBatch(
        tuple(lane.definitions),
        lane.object_ids[closed.instance],
        lane.instances["definition"][closed.instance],
        closed.end_ns,
        np.where(closed.present, closed.value, np.nan),
        closed.samples,
        suspect,
        population,
    )


def verdicts(
    station: Station,
    judged: Judged,
    kpis: KpiBatch,
    foretold: dict[int, Foretold],
    objects: Columns,
    tick_ns: int,
) -> list[AssessorOutput]:
    """Return what is to be told of judged windows: every one of a service, and of resources where something changed.

    `foretold` is by row of `judged`; alarms that begin and end are kept in the station's goals, and in `objects` of how
    many conditions of each it was said that they are unknown.
    """
    table, goal = station.goals.table, judged.goal
    known = judged.observed != UNJUDGED
    changed = (judged.told != judged.observed) & known
    turned = judged.raised | judged.cleared
    service = (table["budget"][goal] > 0) & known
    # That a resource is well from the start on is no news: there may be a million of them.
    changed &= service | (judged.told != UNJUDGED) | (judged.observed != FULFILLED)
    held_back = _held_back(station.goals, judged, changed & ~(service | turned), objects, tick_ns)
    changed[held_back] = known[held_back] = False
    silenced = (judged.observed == UNKNOWN).astype(np.int32) - (judged.told == UNKNOWN)
    moved = (known & (silenced != 0)).nonzero()[0]
    np.add.at(objects["silent"], table["object"][goal[moved]], silenced[moved])
    table["told"][goal[known]] = judged.observed[known]
    outputs: list[AssessorOutput] = []
    for row in (changed | turned | service).nonzero()[0].tolist():
        number, kpi = int(goal[row]), kpis.kpi(int(judged.at[row]))
        foreseen, news = foretold.get(row), bool(changed[row])
        outputs += _verdict(station, judged, row, number, kpi, news, foreseen, tick_ns)
    return [*outputs, *_burn_alarms(station, judged, kpis, tick_ns)]


def _held_back(
    goals: Goals, judged: Judged, changed: Bools, objects: Columns, tick_ns: int
) -> Indices:
    """Return the rows that wait for another round: of those that nobody hears, or hears again, too many changed.

    That an object is silent at all is told at once, by one of its conditions: nobody may act on what rests on it.
    """
    patient = changed & (judged.told != BREACHED) & (judged.observed != BREACHED)
    rows: Indices = patient.nonzero()[0]
    if rows.size <= TOLD_PER_GROUP_MAX:
        return rows[:0]
    goal = judged.goal[rows]
    owner, lots = goals.table["object"][goal], goals.table["lot"][goal]
    spoken = called(lots, objects["carries"][owner], tick_ns, TOLD_PER_GROUP_MAX)
    news = ((judged.observed[rows] == UNKNOWN) & (objects["silent"][owner] == 0)).nonzero()[0]
    news = news[np.lexsort((lots[news], owner[news]))]
    spoken[news[period_starts(owner[news])]] = True
    waiting: Indices = rows[~spoken]
    goals.held_back += len(waiting)
    return waiting


def _burn_alarms(
    station: Station, judged: Judged, kpis: KpiBatch, tick_ns: int
) -> list[AssessorOutput]:
    goals, outputs = station.goals, list[AssessorOutput]()
    for burnt in judged.burnt:
        goal, kpi = int(judged.goal[burnt.row]), kpis.kpi(int(judged.at[burnt.row]))
        alarms, key = goals.burn_rates.alarms, (goal, burnt.kind)
        if burnt.begins:
            alarms[key] = tell.raise_burn_alarm(kpi, goals.objective(goal), burnt, tick_ns)
            outputs.append(alarms[key])
        elif key in alarms:
            outputs.append(tell.clear_alarm(alarms.pop(key), kpi.end_ns))
    return outputs


def _verdict(
    station: Station, judged: Judged, row: int, goal: int, kpi: Kpi, changed: bool,
    foretold: Foretold | None, tick_ns: int,
) -> list[AssessorOutput]:  # fmt: skip
    goals = station.goals
    objective = goals.objective(goal)
    serves = bool(goals.table["budget"][goal])
    compliance, budget = (
        goals.compliance(judged, row, station.lane.key.granularity_ns)
        if serves
        else (FulfilmentStatus.INDETERMINATE, None)
    )
    observed = int(judged.observed[row])
    instance = int(goals.table["instance"][goal])
    season = station.seasons.training(instance) if foretold is not None else None
    predicted, foreseen = tell.foresight(foretold, station.lane.key.granularity_ns, season)
    assessment = Assessment(
        context=tell.assessment_context(kpi, objective),
        object_id=kpi.object_id,
        objective=objective.name,
        kpi=objective.kpi,
        end_ns=kpi.end_ns,
        observed=STATUS[observed],
        since_ns=int(judged.since[row]),
        value=kpi.value,
        bound=float(objective.bound),
        unit=kpi.unit,
        compliance=compliance,
        budget_left_ratio=budget,
        suspect=kpi.suspect,
        predicted=predicted,
        foreseen=foreseen,
    )
    outputs: list[AssessorOutput] = [assessment]
    if judged.raised[row]:
        goals.alarms[goal] = tell.raise_alarm(kpi, objective, serves, tick_ns)
        outputs.append(goals.alarms[goal])
    elif judged.cleared[row] and goal in goals.alarms:
        outputs.append(tell.clear_alarm(goals.alarms.pop(goal), kpi.end_ns))
    told = int(judged.told[row])
    if changed and (told != UNJUDGED or observed in (BREACHED, UNKNOWN)):
        outputs.append(tell.trouble(assessment, objective, goals.alarms.get(goal)))
    return outputs
