"""What is derived from each turn: the read model, the sample history, and the sink when one is configured."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from trimtab.domain.input import SeriesAdded, SeriesRetired, Tick
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.samples import SampleBatch
from trimtab.domain.time import NS_PER_SECOND
from trimtab.drivers.turn import Turn
from trimtab.errors import StoreError
from trimtab.store.history import History
from trimtab.store.influx import InfluxSink
from trimtab.store.read_model import ReadModel

log = logging.getLogger("trimtab.derive")

# A turn's values are numbered within it: the KPIs and assessments among them have no frame of their own.
VALUES_PER_TURN_BITS = 20
# A turn in which nothing was said only moves the position on: that is written at most so often.
QUIET_WRITE_NS = NS_PER_SECOND


@dataclass(slots=True)
class Derived:
    """Feed the derived stores, in order; called from one thread."""

    read_model: ReadModel
    history: History
    influx: InfluxSink | None = None
    _written_ns: int = 0
    _unwritten: Turn | None = field(default=None, init=False)

    def apply(self, turn: Turn) -> None:
        """Take a turn in; taking it twice changes nothing. Raises StoreError for the read model only."""
        if turn.seq <= self.position():
            return
        rows = (SampleBatch, SeriesAdded, SeriesRetired)
        told = [item for item in turn.inputs if not isinstance(item, rows)]
        outputs = list(_one_by_one(turn.outputs))
        quiet = not outputs and all(isinstance(item, Tick) for item in told)
        if quiet and 0 <= turn.now - self._written_ns < QUIET_WRITE_NS:
            self._unwritten = turn
        else:
            self._write(turn, [*told, *outputs])
        self._remember(turn)
        if self.influx is not None:
            self.influx.apply(turn.seq, turn.now, outputs)

    def position(self) -> int:
        """Return the last turn that the read model holds, -1 when it is empty."""
        position = self.read_model.position()
        return -1 if position < 0 else position >> VALUES_PER_TURN_BITS

    def close(self) -> None:
        """Flush, and let go of everything."""
        if self._unwritten is not None:
            try:
                self._write(self._unwritten, [Tick(self._unwritten.now)])
            except StoreError as error:
                log.warning("the next start derives the last turns again: %s", error)
        try:
            self.history.close()
        except StoreError as error:
            log.warning("the newest samples are not in the history: %s", error)
        if self.influx is not None:
            self.influx.close()
        self.read_model.close()

    def _write(self, turn: Turn, values: Sequence[object]) -> None:
        self.read_model.apply(turn.seq << VALUES_PER_TURN_BITS, turn.now, values)
        self._written_ns, self._unwritten = turn.now, None

    def _remember(self, turn: Turn) -> None:
        """Keep the raw samples; a history that can't be written must not hold the read model up."""
        try:
            for item in turn.inputs:
                if isinstance(item, SampleBatch):
                    self.history.add(item)
        except StoreError as error:
            log.warning("samples are missing from the history: %s", error)


def _one_by_one(outputs: Iterable[object]) -> Iterator[object]:
    """Yield outputs with the KPIs that are shown one by one in place of their batches."""
    for output in outputs:
        if isinstance(output, KpiBatch):
            yield from output.kpis(output.shown())
        else:
            yield output
