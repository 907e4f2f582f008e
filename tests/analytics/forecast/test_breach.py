"""Breaches foreseen: ramps with their time, steps never, and state that survives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.forecast.breach import (
    AHEAD,
    BEYOND,
    CLEAR_AFTER,
    HORIZON,
    NO_BREACH,
    STRETCH,
    TOO_EARLY,
    UNKNOWABLE,
    BreachForecaster,
    Forecasts,
)
from analytics.forecast.trend import is_step, pair_slopes, residual_sigma, thirds_slope
from analytics.packing import pack, unpack

ONE = np.zeros(1, dtype=np.intp)
NOISE = np.random.default_rng(4).normal(0.0, 0.02, 400)
VALUES = st.lists(st.floats(-5, 5) | st.just(float("nan")), max_size=60)


def take(
    forecaster: BreachForecaster, value: float, bound: float = 1.0, sign: float = 1.0
) -> Forecasts:
    return forecaster.update(ONE, np.array([value]), np.array([bound]), np.array([sign]))


def run(values: list[float], bound: float = 1.0, sign: float = 1.0) -> list[Forecasts]:
    forecaster = BreachForecaster()
    return [take(forecaster, value, bound, sign) for value in values]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_ramp_is_foreseen_and_its_time_is_about_right(sign: float) -> None:
    values = [sign * (0.02 * row + NOISE[row]) for row in range(50)]
    found = run(values, bound=sign, sign=sign)
    told = [row for row, item in enumerate(found) if item.state[0] == AHEAD]
    assert told
    assert told[0] <= 50 - 15  # it reaches the bound at row 50
    for row in told:
        item = found[row]
        assert item.low[0] <= item.samples[0] <= item.high[0]
        assert abs(row + item.samples[0] - 50) <= 6
    held = [found[row].low[0] <= 51 - row <= found[row].high[0] + 1 for row in told]
    assert np.mean(held) >= 0.7


def test_a_step_is_never_given_a_time() -> None:
    values = [*NOISE[:40], *(0.7 + NOISE[40:80])]
    states = {int(item.state[0]) for item in run(values)}
    assert AHEAD not in states
    assert UNKNOWABLE in states


def test_noise_and_ramps_away_from_the_bound_are_nothing() -> None:
    assert {int(item.state[0]) for item in run(list(NOISE))} == {TOO_EARLY, NO_BREACH}
    falling = [0.5 - 0.02 * row + NOISE[row] for row in range(60)]
    assert AHEAD not in {int(item.state[0]) for item in run(falling)}


def test_nothing_is_said_before_a_stretch_is_whole_nor_of_what_is_missing() -> None:
    found = run([0.02 * row for row in range(STRETCH - 1)] + [float("nan")])
    assert all(item.state[0] == TOO_EARLY for item in found)


def test_what_is_beyond_is_said_to_be_so() -> None:
    found = run([0.02 * row for row in range(60)])
    assert found[-1].state[0] == BEYOND
    assert np.isnan(found[-1].samples[0])


def test_a_warning_ends_when_the_ramp_does() -> None:
    values = [0.02 * row + NOISE[row] for row in range(40)]
    values += [values[-1] + NOISE[40 + row] for row in range(3 * STRETCH)]
    found = run(values)
    assert any(item.state[0] == AHEAD for item in found[:45])
    assert not any(item.state[0] == AHEAD for item in found[40 + STRETCH + CLEAR_AFTER :])


def test_nobody_looks_further_ahead_than_the_horizon() -> None:
    slow = [0.002 * row + NOISE[row] * 0.01 for row in range(100)]
    assert AHEAD not in {int(item.state[0]) for item in run(slow)}
    assert HORIZON <= STRETCH


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(VALUES, st.just(0)), min_size=1, max_size=4))
def test_many_slots_at_once_equal_one_at_a_time(histories: list[tuple[list[float], int]]) -> None:
    columns = [values for values, _ in histories]
    together = BreachForecaster()
    for row in range(max(map(len, columns), default=0)):
        slots = np.array(
            [n for n, values in enumerate(columns) if row < len(values)], dtype=np.intp
        )
        values = np.array([columns[n][row] for n in slots.tolist()])
        together.update(slots, values, np.ones(len(slots)), np.ones(len(slots)))
    for slot, values in enumerate(columns):
        alone = BreachForecaster()
        for value in values:
            take(alone, value)
        together.state.reach(np.array([slot]))
        alone.state.reach(ONE)
        for name in together.state.fields:
            assert together.state[name][slot].tobytes() == alone.state[name][0].tobytes(), name


@settings(max_examples=30, deadline=None, derandomize=True)
@given(VALUES)
def test_restored_at_every_step_equals_never_stopped(values: list[float]) -> None:
    steady, restarted = BreachForecaster(), BreachForecaster()
    for value in values:
        state = unpack(pack(restarted.export([0])))
        restarted = BreachForecaster()
        restarted.load(state, [0])
        one, other = take(steady, value), take(restarted, value)
        assert one.state.tobytes() == other.state.tobytes()
        assert one.samples.tobytes() == other.samples.tobytes()
        assert pack(steady.export([0])) == pack(restarted.export([0]))


def test_a_forgotten_slot_is_as_fresh() -> None:
    forecaster = BreachForecaster()
    for row in range(40):
        take(forecaster, 0.02 * row)
    forecaster.forget(ONE)
    assert take(forecaster, 0.9).state[0] == TOO_EARLY
    assert forecaster.state["seen"][0] == 1


def test_the_views_of_a_line_agree() -> None:
    line = np.array([[3.0 + 0.5 * row for row in range(STRETCH)]])
    pairs = pair_slopes(line)
    assert np.allclose(pairs, 0.5)
    assert thirds_slope(line)[0] == pytest.approx(0.5)
    level, sigma = residual_sigma(line, np.median(pairs, axis=1))
    assert level[0] == pytest.approx(line[0, -1])
    assert sigma[0] == pytest.approx(0.0, abs=1e-9)
    assert not is_step(line)[0]
    assert is_step(np.array([[0.0] * 12 + [1.0] * 12]))[0]
