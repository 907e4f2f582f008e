"""Seasons are believed once they help, and what they foretell is then normal."""

import numpy as np

from analytics.detectors.kpi_anomaly import KpiAnomalyDetector
from analytics.detectors.seasonal import FIELDS, SeasonalDetector
from analytics.detectors.slots import SlotArrays
from trimtab.ports import Verdicts

MONDAY_NS = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
STEP_NS = 600_000_000_000
A_DAY = 144


def feed(detector: SeasonalDetector | KpiAnomalyDetector, values: np.ndarray) -> Verdicts:
    times = MONDAY_NS + np.arange(len(values)) * STEP_NS
    return detector.update(np.zeros(len(values), dtype=np.intp), times, values)


def batch_job(days: int) -> np.ndarray:
    """Return load with a job of an hour at two each night."""
    at = np.arange(days * A_DAY)
    nightly = (at // 6) % 24 == 2
    return 10 + np.sin(at * 2.1) + 50.0 * nightly


def test_the_bytes_of_a_slot_are_as_stated() -> None:
    state = SlotArrays(FIELDS)
    state.reach(np.array([0]))
    assert sum(array[:1].nbytes for array in state.arrays.values()) == 1822
    assert SeasonalDetector.bytes_per_slot == 1822


def test_a_nightly_job_becomes_normal_and_its_absence_odd() -> None:
    values = batch_job(21)
    values[-A_DAY + 12 : -A_DAY + 18] = 10.0
    verdicts = feed(SeasonalDetector(), values)
    nights = (np.arange(21) * A_DAY + 15)[10:-1]
    assert (verdicts.score[nights] < 5).all()
    missing = slice(20 * A_DAY + 13, 20 * A_DAY + 17)
    assert verdicts.score[missing].min() > verdicts.score[nights].max()
    assert (verdicts.low[missing] > 10.0).all()


def test_noise_without_a_season_is_judged_by_its_plain_average() -> None:
    generator = np.random.default_rng(2)
    values = generator.normal(100, 1, 12 * A_DAY)
    verdicts = feed(SeasonalDetector(), values)
    assert not verdicts.alarmed.any()
    middle = 0.5 * (verdicts.low + verdicts.high)[A_DAY:]
    assert np.abs(middle - 100).max() < 1.5


def test_a_job_shorter_than_its_hour_is_usual_at_any_minute_of_it() -> None:
    at = np.arange(14 * A_DAY)
    values = 100 + 50 * np.sin(at / A_DAY * 2 * np.pi) + np.sin(at * 2.1)
    values[13::A_DAY] += 60.0  # ten minutes of a half hour
    verdicts = feed(SeasonalDetector(), values)
    late = slice(6 * A_DAY, None)
    assert not verdicts.alarmed[late].any()
    odd = values.copy()
    odd[-A_DAY + 80] += 60.0  # the same at another time of the day
    assert feed(SeasonalDetector(), odd).alarmed[-A_DAY + 80]
