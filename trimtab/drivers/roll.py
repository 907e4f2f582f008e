"""The roll: which series are new or awake again, and which were silent for so long that they may be forgotten."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from trimtab.domain.input import Input, SeriesAdded, SeriesRetired
from trimtab.domain.samples import SampleBatch
from trimtab.domain.time import NS_PER_SECOND
from trimtab.drivers.intake import Offer
from trimtab.series import SeriesTable

SERIES_RETIRED_AFTER_NS = 1_800 * NS_PER_SECOND
RETIRE_EVERY_NS = 10 * NS_PER_SECOND


@dataclass(slots=True)
class Roll:
    """Hold what the journal is owed of series, in order, until it has it."""

    index: SeriesTable
    owed: list[SeriesAdded | SeriesRetired] = field(default_factory=list)
    _retire_at_ns: int = 0

    def call(self, offers: Iterable[Offer], now_ns: int) -> list[SeriesAdded | SeriesRetired]:
        """Hear who speaks in these offers; return what is to be journaled before them."""
        for offer in offers:
            for value in offer.inputs:
                if isinstance(value, SampleBatch):
                    self.index.hear(value.series_id, now_ns, value.source)
        added = self.index.take_added()
        self.index.hear(np.array([item.series_id for item in added], dtype=np.int32), now_ns)
        self.owed.extend(added)
        if now_ns >= self._retire_at_ns:
            self._retire_at_ns = now_ns + RETIRE_EVERY_NS
            retired = self.index.retire(now_ns - SERIES_RETIRED_AFTER_NS)
            if retired is not None:
                self.owed.append(retired)
        return self.owed

    def journaled(self, inputs: Iterable[Input]) -> None:
        """Note that the journal holds what was owed, among other inputs."""
        self.index.told(inputs)
        self.owed = []
