"""Alarms: the shipped detectors over a recording, row by row, and how well they found what was wrong."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analytics.detectors.ewma import EwmaDetector
from bench.quality.average_precision import Tally, average_precision, tally
from bench.quality.nab_score import PROFILES, ScoredFile, score
from bench.quality.part import RaisedAlarm, Said, Scores
from bench.quality.recording import Mask, Recording

THRESHOLD = 6.0


def say(recording: Recording, said: Said) -> Said:
    """Score each row by its oddest series; an alarm is a row's oddest series above the threshold."""
    detector = EwmaDetector()
    rows = np.zeros(len(recording.times))
    alarms = []
    for row, values in enumerate(recording.values):
        present = np.flatnonzero(np.isfinite(values))
        if not len(present):
            continue
        scores = detector.update(present, values[present])
        oddest = int(np.argmax(scores))
        rows[row] = scores[oddest]
        if rows[row] >= THRESHOLD:
            series = recording.series[present[oddest]]
            alarms.append(RaisedAlarm(int(recording.times[row]), row, series, float(rows[row])))
    return replace(said, alarms=tuple(alarms), row_scores=rows)


def score_alarms(pairs: Sequence[tuple[Recording, Said]]) -> Scores:
    """Return NAB's scores for what has windows; average precision of rows and F1 of events for what has row labels.

    Average precision is the mean over recordings; F1 pools the events of a data set.
    """
    files: dict[str, list[ScoredFile]] = defaultdict(list)
    precisions: dict[str, list[float]] = defaultdict(list)
    events: dict[str, Tally] = defaultdict(Tally)
    for recording, said in pairs:
        labels, rows = recording.labels, said.row_scores
        if labels is None or rows is None or labels.anomalous is None:
            continue
        if labels.windows is not None:
            files[recording.dataset].append(ScoredFile(rows, labels.windows))
            continue
        anomalous = labels.anomalous[labels.judged]
        if anomalous.any():
            precision = average_precision(rows[labels.judged], anomalous)
            precisions[recording.dataset].append(precision)
        events[recording.dataset] += tally(_alarmed(recording, said)[labels.judged], anomalous)
    found: Scores = {
        f"nab_{name}": {each: score(group, profile).score for each, group in files.items()}
        for name, profile in PROFILES.items()
    }
    found["row_average_precision"] = {
        each: float(np.mean(values)) for each, values in precisions.items()
    }
    found["event_f1"] = {each: value.f1 for each, value in events.items()}
    return found


def _alarmed(recording: Recording, said: Said) -> Mask:
    mask = np.zeros(len(recording.times), dtype=np.bool_)
    mask[[alarm.row for alarm in said.alarms]] = True
    return mask
