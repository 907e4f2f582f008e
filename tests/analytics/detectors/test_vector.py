"""The KPIs of one object together: small oddities add up, recoveries count less, models say what belongs together."""

import numpy as np
import pytest

from analytics.detectors.pca_model import ROWS_MIN, PcaModel, fit
from analytics.detectors.vector import VectorDetector
from analytics.packing import pack
from trimtab.errors import JournalCorrupt

MINUTE_NS = 60_000_000_000


def normal(rows: int = 400, seed: int = 3) -> np.ndarray:
    """Return rows of four KPIs, of which the second and third follow the first."""
    generator = np.random.default_rng(seed)
    load = 10 + np.sin(np.arange(rows) / 5.0)
    noise = generator.normal(0, 0.02, (rows, 4))
    return np.column_stack((load, 2 * load, 5 - load, np.full(rows, 3.0))) + noise


def times(rows: int) -> np.ndarray:
    return np.arange(rows, dtype=np.int64) * MINUTE_NS


def test_what_breaks_the_relation_strays_though_each_value_is_usual() -> None:
    rows = normal()
    model = fit(times(400), rows)
    usual = np.abs([model.strays(row) for row in rows]).max(axis=1)
    apart = np.array([11.0, 18.0, 4.0, 3.0])
    assert np.abs(model.strays(apart)).max() > 3 * np.median(usual)
    assert (model.from_ns, model.until_ns, model.rows) == (0, 399 * MINUTE_NS, 400)


def test_fitting_is_a_function_of_the_window_and_models_round_trip() -> None:
    first, second = fit(times(400), normal()), fit(times(400), normal())
    blob = first.to_bytes()
    assert blob == second.to_bytes()
    back = PcaModel.from_bytes(blob)
    assert back.to_bytes() == blob
    assert back.strays(normal()[7]).tolist() == first.strays(normal()[7]).tolist()
    with pytest.raises(JournalCorrupt):
        PcaModel.from_bytes(pack({"format": 9}))


@pytest.mark.parametrize("rows", [np.full((150, 3), 2.0), np.full((150, 3), np.nan)])
def test_a_window_without_movement_gives_a_model_that_finds_all_normal(rows: np.ndarray) -> None:
    model = fit(times(150), rows)
    assert model.strays(rows[0]).tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(model.strays(np.full(3, 9.0))).all()


def test_too_short_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match=str(ROWS_MIN)):
        fit(times(20), normal(20))
    with pytest.raises(ValueError, match="does not fit"):
        VectorDetector(3).adopt(fit(times(400), normal()))


def test_many_small_oddities_are_a_large_one() -> None:
    values = np.ones((1, 6))
    one, many = np.array([[4.0, 0, 0, 0, 0, 0]]), np.full((1, 6), 4.0)
    assert (
        VectorDetector(6).update(many, values).scores[0]
        > 5 * VectorDetector(6).update(one, values).scores[0]
    )


def test_a_recovery_counts_for_less_than_the_fault() -> None:
    sizes = np.zeros((12, 1))
    sizes[2:4], sizes[4] = 8.0, 4.0
    scores = VectorDetector(1).update(sizes, np.ones((12, 1))).scores
    fresh = VectorDetector(1).update(np.array([[4.0]]), np.ones((1, 1))).scores[0]
    assert scores[2] == scores[3]
    assert 0 < scores[4] < 0.5 * fresh


def test_an_absent_value_keeps_what_was_thought_of_it() -> None:
    values, sizes = np.ones((2, 1)), np.array([[6.0], [0.0]])
    values[1] = np.nan
    scores = VectorDetector(1).update(sizes, values).scores
    assert scores[0] == scores[1] > 0


def test_cuts_and_snapshots_change_nothing() -> None:
    generator = np.random.default_rng(5)
    values, sizes = normal(60), np.abs(generator.normal(0, 2, (60, 4)))
    values[generator.random((60, 4)) < 0.2] = np.nan
    model = fit(times(400), normal())
    whole, cut = VectorDetector(4), VectorDetector(4)
    whole.adopt(model)
    cut.adopt(model)
    together = whole.update(sizes, values).scores
    apart = []
    for begin, end in ((0, 1), (1, 4), (4, 5), (5, 31), (31, 60)):
        blob = cut.snapshot()
        cut = VectorDetector.restore(blob)
        assert cut.snapshot() == blob
        apart += cut.update(sizes[begin:end], values[begin:end]).scores.tolist()
    assert apart == together.tolist()
    assert cut.snapshot() == whole.snapshot()
    assert cut.update(sizes[:0], values[:0]).scores.tolist() == []
