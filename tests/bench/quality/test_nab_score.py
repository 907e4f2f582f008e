"""Our own score of the Numenta benchmark: by hand on small cases, and against the verified scorer where that is."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from bench.quality.layouts import nab
from bench.quality.nab_score import PROFILES, ScoredFile, score

STANDARD = PROFILES["standard"]
ROWS = 100
WINDOW = (50, 59)


def scored(*rows: int) -> ScoredFile:
    scores = np.zeros(ROWS)
    scores[list(rows)] = 1.0
    return ScoredFile(scores, (WINDOW,))


def at_one(*rows: int) -> float:
    return score([scored(*rows)], STANDARD, threshold=1.0).score


def test_silence_is_zero_and_the_first_row_of_a_window_is_perfect() -> None:
    assert at_one() == pytest.approx(0.0)
    assert at_one(50) == pytest.approx(100.0)


def test_only_the_earliest_detection_of_a_window_counts() -> None:
    assert at_one(50, 55, 59) == pytest.approx(at_one(50))
    assert at_one(55) < at_one(51) < at_one(50)


def test_a_false_alarm_costs_its_weight_and_less_right_behind_a_window() -> None:
    # Null is -1, perfect 1: a point is worth 50.
    assert at_one(50, 30) == pytest.approx(100.0 - 50 * 0.11)
    assert 100.0 - at_one(50, 60) < 100.0 - at_one(50, 90) <= 50 * 0.11 + 1e-9


def test_the_first_rows_are_for_learning() -> None:
    assert at_one(50, 3, 14) == pytest.approx(100.0)
    assert at_one(50, 15) < 100.0


def test_the_best_threshold_is_found() -> None:
    file = ScoredFile(np.where(np.arange(ROWS) == 50, 0.9, np.arange(ROWS) / 200), (WINDOW,))
    best = score([file], STANDARD)
    assert best.threshold == 0.9
    assert best.score == pytest.approx(100.0)


@pytest.mark.parametrize("digits", [1, 3, 9])
def test_it_equals_the_verified_scorer(shared: Path, digits: int) -> None:
    spec = importlib.util.spec_from_file_location("nab_score", shared / "tools" / "nab_score.py")
    assert spec is not None
    assert spec.loader is not None
    verified = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(verified)
    folder = shared / "data" / "nab"
    truth = verified.load_truth(folder)
    generator = np.random.default_rng(digits)
    # A few strong scores within windows, so that the best threshold is not silence.
    scores = {
        name: np.round(generator.random(file.n) * (1 + (file.win >= 0)), digits)
        for name, file in truth.items()
    }
    expected = verified.nab_scores(truth, scores)
    files = [
        ScoredFile(scores[recording.name.removeprefix("nab/")], recording.labels.windows)
        for recording in nab.read(folder)
        if recording.labels is not None and recording.labels.windows is not None
    ]
    assert len(files) == len(truth)
    for (_, profile), theirs in zip(PROFILES.items(), verified.PROFILES, strict=True):
        ours = score(files, profile)
        assert ours.score == pytest.approx(expected[theirs]["score"], abs=1e-9)
