"""What every registered detector promises."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.detectors import DETECTORS
from analytics.packing import pack
from trimtab.errors import JournalCorrupt
from trimtab.ports import Detector, Verdicts

START_NS = 1_700_000_000_000_000_000
MINUTE_NS = 60_000_000_000
VALUES = st.floats(allow_nan=False, allow_infinity=False)
ROUND = st.lists(st.tuples(st.integers(0, 12), VALUES), max_size=8)
ROUNDS = st.lists(ROUND, min_size=1, max_size=40)
few = settings(max_examples=25, deadline=None, derandomize=True)

Rows = list[tuple[int, float]]


def judge(detector: Detector, rows: Rows, at: int = 0) -> Verdicts:
    slots = np.array([slot for slot, _ in rows], dtype=np.intp)
    values = np.array([value for _, value in rows], dtype=np.float64)
    times = np.full(len(rows), START_NS + at * MINUTE_NS, dtype=np.int64)
    return detector.update(slots, times, values)


def plain(verdicts: Verdicts) -> tuple[bytes, ...]:
    return tuple(
        each.tobytes() for each in (verdicts.score, verdicts.alarmed, verdicts.low, verdicts.high)
    )


def feed(detector: Detector, rounds: list[Rows]) -> list[tuple[bytes, ...]]:
    return [plain(judge(detector, rows, at)) for at, rows in enumerate(rounds)]


@pytest.fixture(params=sorted(DETECTORS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_is_registered_under_its_name(name: str) -> None:
    detector = DETECTORS[name]()
    assert detector.name == name
    assert inspect.getdoc(type(detector))
    assert detector.bytes_per_slot > 0


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_it_is_deterministic(kind: str, rounds: list[Rows]) -> None:
    first, second = DETECTORS[kind](), DETECTORS[kind]()
    assert feed(first, rounds) == feed(second, rounds)
    assert first.snapshot() == second.snapshot()


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_restored_at_every_step_equals_never_stopped(kind: str, rounds: list[Rows]) -> None:
    steady, restarted = DETECTORS[kind](), DETECTORS[kind]()
    for at, rows in enumerate(rounds):
        blob = restarted.snapshot()
        restarted = DETECTORS[kind]()
        restarted.restore(blob)
        assert plain(judge(restarted, rows, at)) == plain(judge(steady, rows, at))
        assert restarted.snapshot() == steady.snapshot()


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_how_values_are_cut_into_calls_changes_nothing(kind: str, rounds: list[Rows]) -> None:
    whole, apart = DETECTORS[kind](), DETECTORS[kind]()
    rows = [row for each in rounds for row in each]
    together = judge(whole, rows)
    for at, row in enumerate(rows):
        alone = judge(apart, [row])
        assert alone.score[0] == together.score[at]
        assert alone.alarmed[0] == together.alarmed[at]
    assert whole.snapshot() == apart.snapshot()


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_slots_know_nothing_of_each_other(kind: str, rounds: list[Rows]) -> None:
    together = DETECTORS[kind]()
    apart = {slot: DETECTORS[kind]() for rows in rounds for slot, _ in rows}
    for at, rows in enumerate(rounds):
        scores = judge(together, rows, at).score
        for place, (slot, value) in enumerate(rows):
            assert judge(apart[slot], [(slot, value)], at).score[0] == scores[place]


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_a_slot_that_is_given_up_frees_its_state(kind: str, rounds: list[Rows]) -> None:
    used, fresh = DETECTORS[kind](), DETECTORS[kind]()
    feed(used, rounds)
    used.forget(np.arange(20, dtype=np.intp))
    assert used.snapshot() == fresh.snapshot()
    assert feed(used, rounds) == feed(fresh, rounds)


@pytest.mark.parametrize("kind", sorted(DETECTORS))
@few
@given(ROUNDS)
def test_scores_are_finite_and_never_negative(kind: str, rounds: list[Rows]) -> None:
    detector = DETECTORS[kind]()
    for at, rows in enumerate(rounds):
        verdicts = judge(detector, rows, at)
        assert verdicts.score.dtype == np.float64
        assert len(verdicts.score) == len(verdicts.alarmed) == len(rows)
        assert np.isfinite(verdicts.score).all()
        assert (verdicts.score >= 0).all()
        assert not (verdicts.low > verdicts.high).any()


def test_a_jump_scores_higher_than_what_went_before(name: str) -> None:
    detector = DETECTORS[name]()
    calm = [judge(detector, [(0, 10.0 + at % 3)], at).score[0] for at in range(100, 900)][100:]
    jump = judge(detector, [(0, 100.0)], 900)
    assert jump.score[0] > 3 * max(calm)
    assert jump.alarmed[0]
    assert jump.low[0] <= 11.0 <= jump.high[0] < 100.0


def test_it_says_what_it_was_trained_on(name: str) -> None:
    detector = DETECTORS[name]()
    feed(detector, [[(3, float(at % 3))] for at in range(30)])
    training = detector.training(3)
    assert training.from_ns == START_NS
    assert training.until_ns == START_NS + 29 * MINUTE_NS
    assert training.values == 30
    with pytest.raises(ValueError):
        detector.training(2)


@pytest.mark.parametrize("slot", [-1, 2**40])
def test_a_slot_out_of_range_is_refused(name: str, slot: int) -> None:
    with pytest.raises(ValueError):
        judge(DETECTORS[name](), [(slot, 1.0)])


@pytest.mark.parametrize("rows", [1, 2_000])
def test_an_absent_value_is_refused(name: str, rows: int) -> None:
    detector = DETECTORS[name]()
    with pytest.raises(ValueError, match="NaN"):
        judge(detector, [(0, 1.0)] * rows + [(0, float("nan"))])


def test_a_snapshot_of_another_kind_is_refused(name: str) -> None:
    with pytest.raises(JournalCorrupt):
        DETECTORS[name]().restore(pack({"format": 99}))
