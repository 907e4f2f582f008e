"""Peaks of a season: foreseen before any ramp shows them, with intervals that hold; usual rises are no warnings."""

from dataclasses import dataclass

import numpy as np
import pytest

from analytics.alarm import foresight
from analytics.detectors.seasonal import SeasonalDetector
from analytics.forecast.breach import (
    AHEAD,
    FORESEEN,
    HORIZON,
    PEAK,
    TOO_EARLY,
    USUAL,
    BreachForecaster,
)
from analytics.forecast.season import COVERAGE
from analytics.packing import pack, unpack
from trimtab.domain.assessment import FulfilmentStatus
from trimtab.domain.time import NS_PER_SECOND as S

MONDAY = 1_704_067_200 * S  # 2024-01-01T00:00:00Z
STEP = 300 * S
A_DAY = 288
BELIEVED_DAYS = 5
ONE = np.zeros(1, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Told:
    """What was foretold, row by row."""

    state: np.ndarray
    samples: np.ndarray
    low: np.ndarray
    high: np.ndarray


def foretold(values: np.ndarray, bound: float, sign: float = 1.0, restart: int = 0) -> Told:
    """Run values through profile and forecaster; every `restart` rows both go on from their exported state."""
    seasons, forecaster = SeasonalDetector(), BreachForecaster()
    ahead_ns = np.arange(1 + HORIZON) * STEP
    rows = []
    for row, value in enumerate(values.tolist()):
        end_ns = MONDAY + (row + 1) * STEP - 1
        here = np.array([value])
        if np.isfinite(value):
            seasons.update(ONE, np.array([end_ns]), here)
        expected = seasons.foretell(ONE, end_ns + ahead_ns[None, :])
        found = forecaster.update(ONE, here, np.array([bound]), np.array([sign]), expected)
        rows.append((found.state[0], found.samples[0], found.low[0], found.high[0]))
        if restart and row % restart == 0:
            state = unpack(pack([seasons.export([0]), forecaster.export([0])]))
            seasons, forecaster = SeasonalDetector(), BreachForecaster()
            seasons.load(state[0], [0])
            forecaster.load(state[1], [0])
    return Told(*(np.array(column) for column in zip(*rows, strict=True)))


def days(count: int, noise: float = 0.02, seed: int = 3) -> np.ndarray:
    """Return a load that swings about 1 by 0.5 a day, highest at 18:00, and of which no day is quite like another."""
    at = np.arange(count * A_DAY)
    random = np.random.default_rng(seed)
    mood = np.repeat(random.normal(0.0, noise, count), A_DAY)
    swing = 0.5 * np.sin((at % A_DAY) / A_DAY * 2 * np.pi - np.pi)
    return 1.0 + swing + mood + random.normal(0.0, noise, len(at))


def onsets(values: np.ndarray, bound: float) -> list[int]:
    """Return the first row of each day from the sixth on that is beyond the bound."""
    beyond = values > bound
    found = [
        day * A_DAY + beyond[day * A_DAY :][:A_DAY].argmax()
        for day in range(BELIEVED_DAYS, len(values) // A_DAY)
    ]
    return [row for row in map(int, found) if beyond[row]]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_daily_peak_is_foreseen_as_far_ahead_as_is_looked(sign: float) -> None:
    values = days(12)
    told = foretold(sign * values, sign * 1.3, sign)
    for onset in onsets(values, 1.3):
        before = np.isin(told.state[onset - HORIZON : onset - 4], FORESEEN)
        assert before.any(), onset
        assert (told.state[onset - HORIZON : onset] == PEAK).any(), onset


def test_the_interval_holds_at_least_as_often_as_it_says() -> None:
    held, errors, widths = [], [], []
    for seed in range(4):
        values = days(16, seed=seed)
        told = foretold(values, 1.3)
        for onset in onsets(values, 1.3):
            for row in range(onset - HORIZON, onset - 4):
                if told.state[row] == PEAK and np.isfinite(told.samples[row]):
                    held.append(told.low[row] <= onset - row <= told.high[row])
                    errors.append(abs(told.samples[row] - (onset - row)))
                    widths.append(told.high[row] - told.low[row])
    assert len(held) > 300
    assert np.mean(held) >= COVERAGE
    assert np.mean(errors) < 4
    assert np.mean(widths) < HORIZON / 2


def test_a_rise_that_is_usual_and_ends_within_the_bound_is_no_warning() -> None:
    values = days(12, noise=0.01)
    told = foretold(values, 1.62)
    assert (told.state[BELIEVED_DAYS * A_DAY :] == USUAL).any()
    assert not np.isin(told.state[BELIEVED_DAYS * A_DAY :], FORESEEN).any()
    # Who does not know the season warns.
    forecaster = BreachForecaster()
    alone = [
        forecaster.update(ONE, np.array([value]), np.array([1.62]), np.ones(1)).state[0]
        for value in values.tolist()
    ]
    assert AHEAD in alone


def test_a_season_is_silent_on_a_day_that_does_not_keep_to_it() -> None:
    values = days(9, noise=0.01)
    values[8 * A_DAY :] = 0.5 + np.random.default_rng(1).normal(0.0, 0.01, A_DAY)
    told = foretold(values, 1.3)
    noon = 8 * A_DAY + A_DAY // 2
    assert PEAK in told.state[7 * A_DAY : 8 * A_DAY]
    assert not np.isin(told.state[noon - A_DAY // 8 :], FORESEEN).any()


def test_a_warning_that_the_newest_value_does_not_bear_out_has_no_time() -> None:
    values = days(9, noise=0.01)
    onset = onsets(values, 1.3)[-1]
    values[onset - 10] = 0.2
    told = foretold(values, 1.3)
    here = onset - 10
    assert told.state[here] == PEAK
    assert np.isnan(told.samples[here])
    predicted, foreseen = foresight((PEAK, *[float("nan")] * 3), STEP, None)
    assert predicted is FulfilmentStatus.NOT_FULFILLED
    assert foreseen is not None
    assert (foreseen.in_seconds, foreseen.low_seconds, foreseen.high_seconds) == (None, None, None)


def test_a_ramp_that_is_not_of_the_season_is_foreseen_as_ever() -> None:
    values = days(9, noise=0.01)
    night = 8 * A_DAY
    values[night : night + 60] = values[night : night + 60] + 0.02 * np.arange(60)
    told = foretold(values, 1.62)
    onset = night + int((values[night : night + 60] > 1.62).argmax())
    assert (told.state[onset - 20 : onset] == AHEAD).any()


def test_days_that_are_quite_alike_are_foreseen_too() -> None:
    day = np.zeros(A_DAY)
    day[120:168] = 1.0
    told = foretold(np.tile(day, 7), 0.5)
    onset = 6 * A_DAY + 120
    # In the last quarter of an hour the profile rises towards the next half hour, and this KPI not yet.
    assert (told.state[onset - HORIZON + 2 : onset - 3] == PEAK).all()
    assert told.low[onset - 6] <= told.samples[onset - 6] <= told.high[onset - 6]


def test_what_is_missing_or_not_a_number_teaches_nothing() -> None:
    values = days(7, noise=0.01)
    values[::5] = np.nan
    told = foretold(values, 1.3)
    assert PEAK in told.state
    assert set(told.state[::5].tolist()) == {TOO_EARLY}


def test_restarts_change_nothing() -> None:
    values = days(7)
    steady, restarted = foretold(values, 1.3), foretold(values, 1.3, restart=37)
    assert PEAK in steady.state
    for name in ("state", "samples", "low", "high"):
        assert getattr(steady, name).tobytes() == getattr(restarted, name).tobytes(), name
