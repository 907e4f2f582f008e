"""Training: the recent KPI values of objects, and models learnt from them by a worker beside the loop.

What is kept here is no state of the machines: a model enters the loop as a journaled input, and only by that. After a
restart, rows are gathered anew; the models of before are in the snapshot.
"""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from apscheduler.schedulers.base import BaseScheduler

from trimtab.domain.configuration import AnomalyRule
from trimtab.domain.input import Input, Output
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.trained_model import TrainedModel

log = logging.getLogger("trimtab.training")

OBJECTS_MAX = 1_000
KPIS_MAX = 100  # of one object
ROWS_MAX = 8_000
ROWS_MIN = 300  # before the first model
CHECK_SECONDS = 60
# A model may be replaced ahead of its time, as the level has changed that it was learnt on; looked at so often.
DRIFT_CHECK_RATIO = 1 / 24  # of the time after which a model is due anyway
BYTES_MAX = 256 * 1024 * 1024
# Windows of one end may close in turns that follow each other: so many rows back, one is looked for.
LOOK_BACK = 16
FIRST_ROWS = 512

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Fitted(Protocol):
    """What a fit gives: a model, the window that it was learnt from, and its bytes."""

    @property
    def from_ns(self) -> int: ...
    @property
    def until_ns(self) -> int: ...
    @property
    def rows(self) -> int: ...
    def to_bytes(self) -> bytes: ...


Fit = Callable[[Times, Floats], Fitted]
# From which row on all KPIs [rows, KPIs] are on the level that they have now; the rows that must be left.
LevelSince = Callable[[Floats, int], int]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Rows of an object to learn from: times, and values [rows, KPIs] with NaN where nothing was measured."""

    object_id: str
    kpis: tuple[str, ...]
    times: Times
    values: Floats


@dataclass(slots=True)
class _Gathered:
    """The last rows of an object: times, and values [rows, KPIs] with NaN where nothing was measured."""

    times: Times = field(default_factory=lambda: np.zeros(FIRST_ROWS, dtype=np.int64))
    values: Floats = field(default_factory=lambda: np.full((FIRST_ROWS, 1), np.nan))
    columns: dict[str, int] = field(default_factory=dict)
    used: int = 0
    trained_ns: int | None = None
    checked_ns: int = 0

    def put(self, kpi: str, end_ns: int, value: float) -> None:
        column = self.columns.setdefault(kpi, len(self.columns))
        if column == self.values.shape[1]:
            more = np.full((len(self.values), max(1, column)), np.nan)
            self.values = np.concatenate((self.values, more), axis=1)
        recent = self.times[max(0, self.used - LOOK_BACK) : self.used]
        found = np.flatnonzero(recent == end_ns)
        if found.size:
            row = max(0, self.used - LOOK_BACK) + int(found[0])
        elif self.used and end_ns < recent[-1]:
            return
        else:
            row = self._room()
            self.times[row] = end_ns
            self.values[row] = np.nan
        self.values[row, column] = value

    def _room(self) -> int:
        if self.used == len(self.times):
            if self.used >= ROWS_MAX:
                half = ROWS_MAX // 2
                self.times[:half] = self.times[-half:].copy()
                self.values[:half] = self.values[-half:].copy()
                self.used = half
            else:
                self.times = np.concatenate((self.times, np.zeros_like(self.times)))[:ROWS_MAX]
                more = np.full_like(self.values, np.nan)
                self.values = np.concatenate((self.values, more))[:ROWS_MAX]
        self.used += 1
        return self.used - 1

    @property
    def nbytes(self) -> int:
        return self.times.nbytes + self.values.nbytes


@dataclass(slots=True)
class Trainer:
    """Gather rows of the objects that the rule names; train what is due in a thread of its own, one at a time."""

    rule: AnomalyRule
    fit: Fit
    level_since: LevelSince = lambda values, rows_min: 0
    left_out: int = 0
    drifted: int = 0
    failed: int = 0
    _closed: bool = False
    _gathered: dict[str, _Gathered] = field(default_factory=dict)
    _worker: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="train")
    )

    def observe(self, outputs: Iterable[Output]) -> None:
        """Take the KPIs among a turn's outputs; values in doubt, and what is over a limit, are left out and counted."""
        for batch in outputs:
            if not isinstance(batch, KpiBatch) or not len(batch):
                continue
            wanted = np.array(
                [
                    item.object_kind in self.rule.together
                    and (not self.rule.kpis or item.name in self.rule.kpis)
                    for item in batch.definitions
                ],
                dtype=np.bool_,
            )
            rows = wanted[batch.definition] & np.isfinite(batch.value) & ~batch.suspect
            for row in np.flatnonzero(rows).tolist():
                name = batch.definitions[batch.definition[row]].name
                self._put(
                    str(batch.object_id[row]), name, int(batch.end_ns[row]), float(batch.value[row])
                )

    def _put(self, object_id: str, kpi: str, end_ns: int, value: float) -> None:
        gathered = self._gathered.get(object_id)
        if gathered is None:
            if len(self._gathered) >= OBJECTS_MAX or self._bytes() > BYTES_MAX:
                self.left_out += 1
                return
            gathered = self._gathered[object_id] = _Gathered()
        if kpi not in gathered.columns and len(gathered.columns) >= KPIS_MAX:
            self.left_out += 1
            return
        gathered.put(kpi, end_ns, value)

    def _bytes(self) -> int:
        return sum(item.nbytes for item in self._gathered.values())

    def due(self, now_ns: int) -> Iterator[str]:
        """Yield the objects whose time has come for a model, with several KPIs and rows enough."""
        for object_id, item in sorted(self._gathered.items()):
            last = item.trained_ns
            waited = last is None or now_ns - last >= self.rule.retrain_every_ns
            if waited and item.used >= ROWS_MIN and len(item.columns) > 1:
                yield object_id

    def unsure(self, now_ns: int) -> str | None:
        """Return the object whose model it is time to doubt, None when there is none; one that waited longest."""
        wait_ns = max(int(self.rule.retrain_every_ns * DRIFT_CHECK_RATIO), 1)
        found = [
            (max(item.checked_ns, item.trained_ns), object_id)
            for object_id, item in self._gathered.items()
            if item.trained_ns is not None
        ]
        oldest_ns, object_id = min(found, default=(now_ns, ""))
        return object_id if object_id and now_ns - oldest_ns >= wait_ns else None

    def doubt(self, object_id: str, now_ns: int) -> Window:
        """Return a copy of an object's rows, to see whether their level has changed; it is looked at now."""
        item = self._gathered[object_id]
        trained_ns = item.trained_ns
        window = self.window(object_id, now_ns)
        item.trained_ns, item.checked_ns = trained_ns, now_ns
        return window

    def has_drifted(self, window: Window, trained_ns: int) -> bool:
        """Return whether the level of a window changed after a model was learnt. Runs in the worker."""
        first = self.level_since(window.values, ROWS_MIN)
        return first > 0 and int(window.times[first]) > trained_ns

    def window(self, object_id: str, now_ns: int) -> Window:
        """Return a copy of an object's rows to learn from; it is due again after the rule's time."""
        item = self._gathered[object_id]
        item.trained_ns = now_ns
        kpis = tuple(sorted(item.columns))
        columns = [item.columns[kpi] for kpi in kpis]
        return Window(
            object_id, kpis, item.times[: item.used].copy(), item.values[: item.used, columns]
        )

    def learn(self, window: Window) -> TrainedModel | None:
        """Return the model of a window; None when it can't be learnt, which is counted. Runs in the worker."""
        try:
            first = self.level_since(window.values, ROWS_MIN)
            model = self.fit(window.times[first:], window.values[first:])
        except Exception:
            log.exception("no model was learnt for %s", window.object_id)
            self.failed += 1
            return None
        content = b64encode(model.to_bytes()).decode()
        return TrainedModel(
            window.object_id, window.kpis, model.from_ns, model.until_ns, model.rows, content
        )

    def schedule(
        self,
        scheduler: BaseScheduler,
        now_ns: Callable[[], int],
        offer: Callable[[Sequence[Input]], object],
    ) -> None:
        """Look for what is due every so often."""
        scheduler.add_job(
            self.train_due, "interval", [now_ns, offer], seconds=CHECK_SECONDS, coalesce=True,
            max_instances=1,
        )  # fmt: skip

    async def train_due(
        self, now_ns: Callable[[], int], offer: Callable[[Sequence[Input]], object]
    ) -> None:
        """Have the models that are due learnt in the worker, and offer each to the loop as it is ready.

        One that is refused is learnt anew when next due; the loop judges by the one before.
        """
        running = asyncio.get_running_loop()
        due = list(self.due(now_ns()))
        unsure = None if self._closed else self.unsure(now_ns())
        if unsure is not None and unsure not in due:
            trained_ns = self._gathered[unsure].trained_ns or 0
            window = self.doubt(unsure, now_ns())
            if await running.run_in_executor(self._worker, self.has_drifted, window, trained_ns):
                self.drifted += 1
                due.append(unsure)
        for object_id in due:
            if self._closed:
                return
            window = self.window(object_id, now_ns())
            model = await running.run_in_executor(self._worker, self.learn, window)
            if model is not None:
                offer([model])

    def close(self) -> None:
        """Let go of the worker, once what it learns now is learnt."""
        self._closed = True
        self._worker.shutdown(wait=True, cancel_futures=True)
