"""What is derived from each turn: the read model, and the sink when one is configured."""

from dataclasses import dataclass

from trimtab.domain.input import SeriesAdded
from trimtab.domain.samples import SampleBatch
from trimtab.drivers.turn import Turn
from trimtab.store.influx import InfluxSink
from trimtab.store.read_model import ReadModel

# A turn's values are numbered within it: the KPIs and assessments among them have no frame of their own.
VALUES_PER_TURN_BITS = 20


@dataclass(frozen=True, slots=True)
class Derived:
    """Feed the derived stores, in order; called from one thread."""

    read_model: ReadModel
    influx: InfluxSink | None = None

    def apply(self, turn: Turn) -> None:
        """Take a turn in; taking it twice changes nothing."""
        if turn.seq <= self.position():
            return
        told = [item for item in turn.inputs if not isinstance(item, (SampleBatch, SeriesAdded))]
        values = [*told, *turn.outputs]
        self.read_model.apply(turn.seq << VALUES_PER_TURN_BITS, turn.now, values)
        if self.influx is not None:
            self.influx.apply(turn.seq, turn.now, turn.outputs)

    def position(self) -> int:
        """Return the last turn that the read model holds, -1 when it is empty."""
        position = self.read_model.position()
        return -1 if position < 0 else position >> VALUES_PER_TURN_BITS
