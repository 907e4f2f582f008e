"""A change of level is found where it is, noise and single spikes are not."""

import numpy as np

from analytics.detectors.drift import drifts, level_since


def noise(rows: int) -> np.ndarray:
    return np.random.default_rng(4).normal(10, 1, rows)


def test_a_step_is_found_soon_after_it() -> None:
    values = np.concatenate((noise(300), noise(200) + 4))
    found = drifts(values)
    assert found
    assert 300 <= found[0] < 364


def test_noise_spikes_and_gaps_are_no_drift() -> None:
    values = noise(600)
    values[100] = 1e6
    values[200:240] = np.nan
    assert drifts(values) == []


def test_too_little_and_too_flat_is_no_drift() -> None:
    assert drifts(np.array([1.0, 9.0] * 10)) == []
    assert drifts(np.full(100, 5.0)) == []


def test_the_level_of_a_window_is_that_since_its_last_change() -> None:
    rng = np.random.default_rng(7)
    window = rng.normal(0, 1, (2_000, 3))
    assert level_since(window, 300) == 0
    window[900:, 1] += 8
    assert 900 <= level_since(window, 300) <= 1_100
    assert level_since(window, 1_500) == 0  # too few rows would be left
