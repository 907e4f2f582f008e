"""Rows are gathered within bounds, models learnt when due, and a fit that fails stops nothing."""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from trimtab.domain.configuration import AnomalyRule
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.trained_model import TrainedModel
from trimtab.drivers import training
from trimtab.drivers.training import ROWS_MAX, ROWS_MIN, Trainer

S = 1_000_000_000
RULE = AnomalyRule(together=(ObjectKind.VNFC,), retrain_every_ns=3_600 * S)
DEFINITIONS = (
    KpiDefinition("load", ObjectKind.VNFC, "load", Statistic.MEAN, "ratio"),
    KpiDefinition("delay", ObjectKind.VNFC, "delay", Statistic.MEAN, "seconds"),
    KpiDefinition("load", ObjectKind.HOST, "load", Statistic.MEAN, "ratio"),
)


@dataclass
class Model:
    """A model that only tells what it was made of."""

    from_ns: int
    until_ns: int
    rows: int
    text: str

    def to_bytes(self) -> bytes:
        return self.text.encode()


def fit(times: np.ndarray, rows: np.ndarray) -> Model:
    return Model(int(times[0]), int(times[-1]), len(rows), f"{rows.shape} {np.nansum(rows):g}")


def batch(end: int, values: list[float], object_id: str = "p/vnfc/a") -> KpiBatch:
    """Return the values of load, delay and a host's load for the windows that end then."""
    count = len(values)
    return KpiBatch(
        DEFINITIONS,
        np.array([object_id] * 2 + ["p/host/h"], dtype=object)[:count],
        np.arange(count, dtype=np.int16),
        np.full(count, end * S, dtype=np.int64),
        np.array(values),
        np.ones(count, dtype=np.int64),
        np.zeros(count, dtype=np.bool_),
    )


def test_a_model_is_due_with_rows_enough_and_again_after_the_rules_time() -> None:
    trainer = Trainer(RULE, fit)
    for end in range(ROWS_MIN - 1):
        trainer.observe([batch(end, [1.0, 2.0, 9.0])])
    assert list(trainer.due(0)) == []
    trainer.observe([batch(ROWS_MIN, [1.0, 2.0, 9.0])])
    assert list(trainer.due(0)) == ["p/vnfc/a"]
    window = trainer.window("p/vnfc/a", 5 * S)
    assert window.kpis == ("delay", "load")
    assert window.values.tolist() == [[2.0, 1.0]] * ROWS_MIN
    model = trainer.learn(window)
    assert model is not None
    assert (model.object_id, model.rows, model.from_ns, model.until_ns) == (
        "p/vnfc/a", ROWS_MIN, 0, ROWS_MIN * S,
    )  # fmt: skip
    assert list(trainer.due(6 * S)) == []
    assert list(trainer.due(5 * S + RULE.retrain_every_ns)) == ["p/vnfc/a"]
    trainer.close()


def test_windows_of_one_end_that_close_in_two_turns_are_one_row() -> None:
    trainer = Trainer(RULE, fit)
    for end in range(4):
        trainer.observe([batch(end, [float(end)])])
    trainer.observe([batch(2, [float("nan"), 7.0]), batch(-40, [5.0])])
    window = trainer.window("p/vnfc/a", 0)
    assert window.times.tolist() == [0, S, 2 * S, 3 * S]
    assert window.values[2].tolist() == [7.0, 2.0]
    assert np.isnan(window.values[3, 0])
    trainer.close()


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "OBJECTS_MAX", 1)
    trainer = Trainer(RULE, fit)
    for end in range(ROWS_MAX + 10):
        trainer.observe([batch(end, [float(end), 1.0])])
    trainer.observe([batch(0, [1.0, 1.0], "p/vnfc/b")])
    assert trainer.left_out == 2
    window = trainer.window("p/vnfc/a", 0)
    assert len(window.times) <= ROWS_MAX
    assert window.times[-1] == (ROWS_MAX + 9) * S
    assert window.values[:, 1].tolist() == (window.times / S).tolist()
    trainer.close()


def test_a_fit_that_fails_is_counted() -> None:
    def failing(times: np.ndarray, rows: np.ndarray) -> Model:
        raise ValueError("a defect")

    trainer = Trainer(RULE, failing)
    trainer.observe([batch(0, [1.0, 2.0])])
    assert trainer.learn(trainer.window("p/vnfc/a", 0)) is None
    assert trainer.failed == 1
    trainer.close()


def test_only_kpis_that_are_watched_are_gathered() -> None:
    trainer = Trainer(AnomalyRule(kpis=("delay",), together=(ObjectKind.VNFC,)), fit)
    trainer.observe([batch(0, [1.0, 2.0, 3.0])])
    assert trainer.window("p/vnfc/a", 0).kpis == ("delay",)
    trainer.close()


def test_what_a_worker_learns_enters_the_loop_through_the_journal(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "ROWS_MIN", 5)
    trainer = Trainer(AnomalyRule(together=tuple(ObjectKind)), fit)

    async def run() -> None:
        await world.start()
        world.driver.trainer = trainer
        await world.until_second(12)
        await trainer.train_due(world.driver.clock.now_ns, world.driver._intake.offer)
        await world.pass_second()
        await world.die()
        await world.start()
        await world.until_second(16)
        await world.driver.stop()

    asyncio.run(run())
    trainer.close()
    models = world.journaled(TrainedModel)
    assert models
    assert all(model.rows >= 5 and len(model.kpis) > 1 for model in models)
    assert world.divergent == 0


def since_jump(values: np.ndarray, rows_min: int) -> int:
    """The first row of the level that load has at the end, if enough rows are left."""
    changed = np.flatnonzero(values[:, -1] != values[-1, -1])
    first = int(changed[-1]) + 1 if changed.size else 0
    return first if len(values) - first >= rows_min else 0


@pytest.mark.anyio
async def test_a_model_is_learnt_anew_once_the_level_has_changed() -> None:
    trainer, offered, now = Trainer(RULE, fit, since_jump), [], 0

    async def check(at: int) -> list[TrainedModel]:
        offered.clear()
        await trainer.train_due(lambda: at * S, offered.extend)
        return list(offered)

    for now in range(ROWS_MIN):
        trainer.observe([batch(now, [1.0, 2.0])])
    (first,) = await check(now)
    assert first.rows == ROWS_MIN
    for now in range(ROWS_MIN, 2 * ROWS_MIN):
        trainer.observe([batch(now, [5.0, 2.0])])
    # Not a day has gone by, but a twenty-fourth of the rule's hour.
    (again,) = await check(now)
    assert (again.rows, again.from_ns) == (ROWS_MIN, ROWS_MIN * S)
    assert trainer.drifted == 1
    assert await check(now + 1) == []
    for now in range(2 * ROWS_MIN, 3 * ROWS_MIN):
        trainer.observe([batch(now, [5.0, 2.0])])
    assert await check(now) == []  # nothing has changed since
    trainer.close()
