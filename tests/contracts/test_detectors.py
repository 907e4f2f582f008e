"""What every registered detector promises."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.detectors import DETECTORS
from trimtab.ports import Detector

VALUES = st.floats(allow_nan=False, allow_infinity=False)
ROUND = st.dictionaries(st.integers(0, 40), VALUES, max_size=8)
ROUNDS = st.lists(ROUND, min_size=1, max_size=40)
few = settings(max_examples=25, deadline=None, derandomize=True)


def feed(detector: Detector, rounds: list[dict[int, float]]) -> list[bytes]:
    return [score(detector, values).tobytes() for values in rounds]


def score(detector: Detector, values: dict[int, float]) -> np.ndarray:
    slots = np.array(list(values), dtype=np.intp)
    return detector.update(slots, np.array(list(values.values()), dtype=np.float64))


@pytest.fixture(params=sorted(DETECTORS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_is_registered_under_its_name(name: str) -> None:
    detector = DETECTORS[name]()
    assert detector.name == name
    assert inspect.getdoc(type(detector))


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_it_is_deterministic(kind: str, rounds: list[dict[int, float]]) -> None:
    first, second = DETECTORS[kind](), DETECTORS[kind]()
    assert feed(first, rounds) == feed(second, rounds)
    assert first.snapshot() == second.snapshot()


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_restored_at_every_step_equals_never_stopped(
    kind: str, rounds: list[dict[int, float]]
) -> None:
    steady, restarted = DETECTORS[kind](), DETECTORS[kind]()
    for values in rounds:
        blob = restarted.snapshot()
        restarted = DETECTORS[kind]()
        restarted.restore(blob)
        assert feed(restarted, [values]) == feed(steady, [values])
        assert restarted.snapshot() == steady.snapshot()


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_slots_know_nothing_of_each_other(kind: str, rounds: list[dict[int, float]]) -> None:
    together = DETECTORS[kind]()
    apart = {slot: DETECTORS[kind]() for values in rounds for slot in values}
    for values in rounds:
        scores = score(together, values)
        for at, (slot, value) in enumerate(values.items()):
            assert score(apart[slot], {slot: value})[0] == scores[at]


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_scores_are_finite_and_never_negative(kind: str, rounds: list[dict[int, float]]) -> None:
    detector = DETECTORS[kind]()
    for values in rounds:
        scores = score(detector, values)
        assert scores.dtype == np.float64
        assert len(scores) == len(values)
        assert np.isfinite(scores).all()
        assert (scores >= 0).all()


def test_a_jump_scores_higher_than_what_went_before(name: str) -> None:
    detector = DETECTORS[name]()
    calm = [score(detector, {0: 10.0 + at % 3})[0] for at in range(200)]
    assert score(detector, {0: 100.0})[0] > 3 * max(calm)


def test_a_negative_slot_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        score(DETECTORS[name](), {-1: 1.0})
