"""Alarms: the shipped detectors over a recording, row by row, and how well they found what was wrong."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analytics.detectors.kpi_anomaly import KpiAnomalyDetector, KpiAnomalySettings, deviations
from analytics.detectors.pca_model import ROWS_MAX, fit
from analytics.detectors.vector import VectorDetector
from bench.quality.average_precision import Tally, average_precision, tally
from bench.quality.nab_score import PROFILES, ScoredFile, score
from bench.quality.part import RaisedAlarm, Said, Scores
from bench.quality.recording import Floats, Recording

# A model is learnt after so many rows, and anew every so many.
FIRST_MODEL = 300
NEXT_MODEL = 1_000


def say(recording: Recording, said: Said) -> Said:
    """Raise what the shipped detector of KPIs finds worth an alarm; score rows by how odd all KPIs together are."""
    rows, columns = np.nonzero(np.isfinite(recording.values))
    values = recording.values[rows, columns]
    begin = time.process_time()
    verdicts = KpiAnomalyDetector(KpiAnomalySettings(compiled_from=1)).update(
        columns, recording.times[rows], values
    )
    seconds = time.process_time() - begin
    sizes = np.zeros(recording.values.shape)
    sizes[rows, columns] = deviations(values, verdicts)
    alarms = tuple(
        RaisedAlarm(
            int(recording.times[rows[at]]),
            int(rows[at]),
            recording.series[columns[at]],
            float(verdicts.score[at]),
        )
        for at in np.flatnonzero(verdicts.alarmed)
    )
    return replace(
        said,
        alarms=alarms,
        row_scores=_together(recording, sizes),
        detector_seconds=seconds,
        detector_values=len(values),
    )


def _together(recording: Recording, sizes: Floats) -> Floats:
    """Score rows as one object's KPIs, by models that are learnt as rows come in where there are several KPIs."""
    detector = VectorDetector(len(recording.series))
    count = len(recording.times)
    several = len(recording.series) > 1
    cuts = list(range(FIRST_MODEL, count, NEXT_MODEL)) if several else []
    scores = []
    for begin, end in zip([0, *cuts], [*cuts, count], strict=True):
        if begin:
            window = slice(max(0, begin - ROWS_MAX), begin)
            detector.adopt(fit(recording.times[window], recording.values[window]))
        scores.append(detector.update(sizes[begin:end], recording.values[begin:end]).scores)
    return np.concatenate(scores)


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
            files[recording.dataset].append(ScoredFile(_told(recording, said), labels.windows))
            continue
        anomalous = labels.anomalous[labels.judged]
        if anomalous.any():
            precision = average_precision(rows[labels.judged], anomalous)
            precisions[recording.dataset].append(precision)
        events[recording.dataset] += tally((_told(recording, said) > 0)[labels.judged], anomalous)
    found: Scores = {
        f"nab_{name}": {each: score(group, profile).score for each, group in files.items()}
        for name, profile in PROFILES.items()
    }
    found["row_average_precision"] = {
        each: float(np.mean(values)) for each, values in precisions.items()
    }
    found["detector_microseconds_per_value"] = _costs(pairs)
    found["event_f1"] = {each: value.f1 for each, value in events.items()}
    return found


def _costs(pairs: Sequence[tuple[Recording, Said]]) -> dict[str, float]:
    """Return the CPU time of the detector of KPIs by data set, each recording handed over whole."""
    seconds: dict[str, float] = defaultdict(float)
    values: dict[str, int] = defaultdict(int)
    for recording, said in pairs:
        seconds[recording.dataset] += said.detector_seconds
        values[recording.dataset] += said.detector_values
    return {each: 1e6 * seconds[each] / values[each] for each in values if values[each]}


def _told(recording: Recording, said: Said) -> Floats:
    """Return the score of each row's oddest alarm, 0 for a row without one."""
    scores = np.zeros(len(recording.times))
    np.maximum.at(
        scores, [alarm.row for alarm in said.alarms], [alarm.score for alarm in said.alarms]
    )
    return scores
