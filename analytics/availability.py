"""Availability by (delta t, C, n), MEF 10.4 section 8.8 as digested: slots decided when n of them are known."""

from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from analytics.kpi import Floats, Ints
from trimtab.domain.kpi import KpiDefinition

# More silent slots than this in a row are not kept one by one.
SLOTS_WAITING_MAX = 3_600


@dataclass(slots=True)
class AvailabilityTrack:
    """Follow the availability of one pair of end points.

    Slot k covers (k-1, k] times `slot_ns`. The state turns unavailable at slot k when it and the following n-1 known
    slots all lost more than `threshold_ratio`, and available again when n in a row lost no more. An unknown slot
    (no probes) holds the state and neither starts, breaks nor lengthens a run.
    """

    slot_ns: int
    threshold_ratio: float
    consecutive: int
    next_slot: int
    available: bool | None = None
    counts: dict[int, tuple[float, int]] = field(default_factory=dict)
    waiting: list[tuple[int, float | None]] = field(default_factory=list)
    decided: list[tuple[int, bool, bool]] = field(default_factory=list)  # slot, available, known
    patience: int = (
        SLOTS_WAITING_MAX  # slots that may wait for a run to end, as unknown ones delay it
    )

    @classmethod
    def of(cls, definition: KpiDefinition, begin_ns: int) -> "AvailabilityTrack":
        """Return a track whose first slot is the first whole one after a time."""
        return cls(
            definition.slot_ns,
            definition.loss_threshold_ratio,
            definition.consecutive_slots,
            -(-begin_ns // definition.slot_ns) + 1,
        )

    def add(self, time_ns: Ints, lost: Floats) -> None:
        """Take probes in: when sent, and 1 (or a share) where lost; no probe is lost more than once."""
        shares = np.clip(lost, 0.0, 1.0)
        for at_ns, value in zip(time_ns.tolist(), shares.tolist(), strict=True):
            slot = -(-at_ns // self.slot_ns)
            total, count = self.counts.get(slot, (0.0, 0))
            self.counts[slot] = (total + value, count + 1)

    def advance(self, end_ns: int) -> None:
        """Close every slot that ends by `end_ns`."""
        last = end_ns // self.slot_ns
        self.next_slot = max(self.next_slot, last - SLOTS_WAITING_MAX)
        for slot in range(self.next_slot, last + 1):
            total, count = self.counts.pop(slot, (0.0, 0))
            self.close_slot(slot, total / count if count else None)
        self.next_slot = max(self.next_slot, last + 1)
        for slot in [slot for slot in self.counts if slot < self.next_slot]:
            del self.counts[slot]

    def close_slot(self, slot: int, loss: float | None) -> None:
        """Take a finished slot's loss ratio, None when nothing was sent; decide what can be."""
        self.waiting.append((slot, loss))
        while self.waiting and self._decide_first():
            pass
        del self.decided[: -SLOTS_WAITING_MAX - self.consecutive]

    def _decide_first(self) -> bool:
        slot, loss = self.waiting[0]
        if loss is not None:
            known = (item for _, item in self.waiting if item is not None)
            run = list(islice(known, self.consecutive))
            if len(run) == self.consecutive:
                self._turn(run)
            elif len(self.waiting) < self.patience:
                return False
        if self.available is not None:
            self.decided.append((slot, self.available, loss is not None))
        del self.waiting[0]
        return True

    def _turn(self, run: list[float]) -> None:
        lossy = all(loss > self.threshold_ratio for loss in run)
        if self.available is None:
            self.available = not lossy
        elif self.available and lossy:
            self.available = False
        elif not self.available and all(loss <= self.threshold_ratio for loss in run):
            self.available = True

    def share(self, end_ns: int, window_ns: int) -> float | None:
        """Return the share of available slots of the window that lies n-1 slots before `end_ns`.

        None when none of them is both decided and known.
        """
        last = end_ns // self.slot_ns - (self.consecutive - 1)
        first = last - max(1, window_ns // self.slot_ns) + 1
        within = [item for item in self.decided if first <= item[0] <= last]
        self.decided = [item for item in self.decided if item[0] >= first]
        if not any(known for _, _, known in within):
            return None
        return sum(available for _, available, _ in within) / len(within)

    def state(self) -> dict[str, Any]:
        """Return what changes, as JSON types."""
        return {
            "next_slot": self.next_slot,
            "available": self.available,
            "counts": [[slot, *self.counts[slot]] for slot in sorted(self.counts)],
            "waiting": self.waiting,
            "decided": self.decided,
        }

    @classmethod
    def from_state(cls, definition: KpiDefinition, state: dict[str, Any]) -> "AvailabilityTrack":
        """Return the track that `state` described."""
        track = cls.of(definition, 0)
        track.resume(state)
        return track

    def resume(self, state: dict[str, Any]) -> None:
        """Go on where the track stood that `state` described."""
        self.next_slot = state["next_slot"]
        self.available = state["available"]
        self.counts = {slot: (total, count) for slot, total, count in state["counts"]}
        self.waiting = [(slot, loss) for slot, loss in state["waiting"]]
        self.decided = [(slot, up, known) for slot, up, known in state["decided"]]
