"""Causes: who is to blame for what a question asks about, or for what the alarms of this bench told of."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analytics.evidence import blame, most_shifted, share_of, shifts, typical_of_kind, weights
from bench.quality.part import RankedCauses, RankedObject, Said, Scores
from bench.quality.recording import Floats, Question, Recording, SeriesKey

RANKED_MAX = 10
ANSWERS_MAX = 5_000
# Which way is bad, by unit: what takes long, what is there for a smaller share of the time.
BAD = {"s": 1, "%": -1}
REQUESTS = "requests"
APART_MAX = 3  # rows between alarms that are about one thing


def say(recording: Recording, said: Said) -> Said:
    """Answer the recording's questions, then what its alarms are about."""
    questions = (*recording.questions, *_own_questions(recording, said))
    answers = [_answer(recording, each) for each in questions[:ANSWERS_MAX]]
    return replace(said, causes=tuple(each for each in answers if each is not None))


def _own_questions(recording: Recording, said: Said) -> tuple[Question, ...]:
    """Ask once for alarms that follow each other closely, by the rows up to the first of them."""
    found: list[Question] = []
    last = -APART_MAX
    for row in sorted({alarm.row for alarm in said.alarms}) if len(recording.objects) > 1 else ():
        if row - last >= APART_MAX:
            at = int(recording.times[row])
            found.append(Question(at, at))
        last = row
    return tuple(found)


def _answer(recording: Recording, question: Question) -> RankedCauses | None:
    """Rank objects by the rows of a question beside those before it; None where too few come before."""
    changed = recording.times > question.begin_ns - recording.interval_ns
    first = int(np.argmax(changed))
    within = changed & (recording.times <= question.end_ns)
    if first < 2 or not within.any():
        return None
    before, after = recording.values[:first], recording.values[within]
    keys = recording.series
    kinds = {kind: at for at, kind in enumerate(dict.fromkeys(_kind(key) for key in keys))}
    kind = np.array([kinds[_kind(key)] for key in keys], dtype=np.int64)
    found = shifts(before, after, typical_of_kind(before, kind))
    weight = weights(found.size, np.array([BAD.get(key.unit, 0) for key in keys], dtype=np.int64))
    target = question.series
    if target is not None and target.unit in BAD:
        ranked = _by_target(recording, target, weight, found.after - found.before, after)
    else:
        ranked = _by_shift(recording, weight)
    end_ns = int(recording.times[np.flatnonzero(within)[-1]])
    return RankedCauses(
        end_ns,
        tuple(RankedObject(*each) for each in ranked[:RANKED_MAX]),
    )


def _kind(key: SeriesKey) -> tuple[str, str]:
    return key.kpi.split()[0], key.unit


def _needs(recording: Recording) -> dict[str, set[str]]:
    needs: dict[str, set[str]] = defaultdict(set)
    if recording.topology is not None:
        for link in recording.topology.links:
            if link.relation in ("calls", "runs_on"):
                needs[link.source].add(link.target)
    return needs


def _by_target(
    recording: Recording, target: SeriesKey, weight: Floats, moved: Floats, after: Floats
) -> list[tuple[str, float, float]]:
    """Rank by what is of the target's unit, and by how much of the target's trouble it accounts for."""
    keys = recording.series
    bad = BAD[target.unit]
    requests: dict[str, float] = defaultdict(float)
    for at, key in enumerate(keys):
        if key.kpi.split()[0] == REQUESTS:
            requests[key.object] += float(np.nansum(after[:, at]))
    excess = {
        key.kpi: bad * float(np.nan_to_num(moved[at])) * requests[key.object]
        for at, key in enumerate(keys)
        if key.object == target.object and key.unit == target.unit
    }
    evidence: dict[str, float] = {}
    for at, key in enumerate(keys):
        if key.unit != target.unit:
            continue
        wanted = excess.get(key.kpi, 0.0)
        own = bad * float(np.nan_to_num(moved[at])) * requests[key.object]
        told = share_of(float(weight[at]), own, wanted)
        evidence[key.object] = max(evidence.get(key.object, 0.0), told)
    return [
        (each.object_id, each.score, each.confidence)
        for each in blame(evidence, _needs(recording), target.object)
    ]


def _by_shift(recording: Recording, weight: Floats) -> list[tuple[str, float, float]]:
    """Rank what has series of its own, or parts that have, by the weightiest shift of any."""
    links = recording.topology.links if recording.topology else ()
    whole = {link.source: link.target for link in links if link.relation == "part_of"}
    owners = [whole.get(key.object, key.object) for key in recording.series]
    names = {name: at for at, name in enumerate(dict.fromkeys(owners))}
    numbers = np.array([names[owner] for owner in owners], dtype=np.int64)
    told = most_shifted(weight, numbers, len(names))
    evidence = {name: float(told[at]) for name, at in names.items()}
    return [
        (each.object_id, each.score, each.confidence) for each in blame(evidence, _needs(recording))
    ]


def score(pairs: Sequence[tuple[Recording, Said]]) -> Scores:
    """Return how often the object to blame comes first, among the first two, and among the first three."""
    hits: dict[str, list[int]] = defaultdict(list)
    for recording, said in pairs:
        if recording.labels is None:
            continue
        for fault in recording.labels.faults:
            if not fault.objects:
                continue
            begin, end = recording.times[fault.first], recording.times[fault.last]
            near = [each for each in said.causes if begin <= each.time_ns <= end]
            if near:
                # To the question, where there is one.
                names = [each.object for each in near[0].ranked]
                places = [names.index(name) for name in fault.objects if name in names]
                hits[recording.dataset].append(min(places, default=RANKED_MAX))
            else:
                hits[recording.dataset].append(RANKED_MAX)
    return {
        f"cause_top_{count}": {
            each: float(np.mean(np.array(places) < count)) for each, places in hits.items()
        }
        for count in (1, 2, 3)
    }
