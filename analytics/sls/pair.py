"""One ordered pair of a service: its frames wait by slot until it is decided whether they qualify."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analytics.availability import AvailabilityTrack
from analytics.kpi import Floats, Ints
from analytics.sls.totals import Slot, Totals
from trimtab.domain.sls import SlsTerms

# A pair with more frames a slot than this gives up the rest, counted.
FRAMES_PER_SLOT_MAX = 20_000
# So many slots beyond n may be silent before those that wait for a run to end are decided as things stood.
SILENT_SLOTS_MAX = 60

PairKey = tuple[str, ...]
Frames = tuple[int, Ints, Floats]  # series, when sent, value
PeriodKey = tuple[int, int]  # length, number


@dataclass(slots=True)
class Pair:
    """Hold what waits to be decided, and the totals of the periods that are not over."""

    terms: SlsTerms
    settled: int  # all slots up to this one are in the totals
    last: int  # the newest slot that anything was told of
    losses: dict[int, list[Frames]] = field(default_factory=dict)
    delays: dict[int, list[Frames]] = field(default_factory=dict)
    resting: bool = False  # silent for long: it only waits for its long periods to end
    track: AvailabilityTrack | None = None
    closed: dict[int, tuple[float, float]] = field(default_factory=dict)  # undecided: sent, lost
    decided: list[Slot] = field(default_factory=list)
    tails: dict[int, tuple[Ints, Floats]] = field(default_factory=dict)
    totals: dict[PeriodKey, Totals] = field(default_factory=dict)

    def add(self, slots: Ints, frames: Frames, *, lossy: bool) -> int:
        """Let frames wait, by slot in ascending order; return how many were too many."""
        series, time_ns, value = frames
        table, refused = (self.losses if lossy else self.delays), 0
        starts = np.flatnonzero(np.diff(slots, prepend=slots[0] - 1))
        ends = [*starts[1:].tolist(), len(slots)]
        for first, last in zip(starts.tolist(), ends, strict=True):
            held = table.setdefault(int(slots[first]), [])
            room = FRAMES_PER_SLOT_MAX - sum(len(times) for _, times, _ in held)
            refused += max(0, last - first - room)
            last = min(last, first + room)
            if last > first:
                held.append((series, time_ns[first:last], value[first:last]))
        self.last = max(self.last, int(slots[-1]))
        return refused

    def rest(self, shortest: int) -> None:
        """Let nothing wait any more, and slots go by; what the shortest periods hold of it is silence."""
        self.resting, self.track = True, None
        self.totals = {key: found for key, found in self.totals.items() if key[0] != shortest}
        self.losses, self.delays, self.closed, self.tails = {}, {}, {}, {}

    def rouse(self, closed: int) -> None:
        """Begin anew behind a slot, if it rested."""
        if self.resting:
            self.resting, self.settled = False, closed

    def close(self, first: int, last: int) -> None:
        """Close slots whose frames have all been told of; those that can be decided are."""
        if self.track is None:
            if not self.losses:
                return
            self.track = self._track(min(self.losses))
        for slot in range(max(first, self.track.next_slot), last + 1):
            sent = lost = 0.0
            for _, _, values in distinct(self.losses.pop(slot, [])):
                sent += len(values)
                lost += float(values.sum())
            self.closed[slot] = (sent, lost)
            self.track.close_slot(slot, lost / sent if sent else None)
        self.track.next_slot = max(self.track.next_slot, last + 1)
        self.losses = {slot: held for slot, held in self.losses.items() if slot > last}
        for slot, available, _ in self.track.decided:
            sent, lost = self.closed.pop(slot)
            excluded = self._excluded(slot)
            self.decided.append(Slot(slot, available, excluded, sent, lost))
        self.track.decided.clear()
        through = self.decided_through(last)
        self.closed = {slot: item for slot, item in self.closed.items() if slot > through}

    def decided_through(self, closed_through: int) -> int:
        """Return the last slot of which all is decided."""
        if self.track is None:
            return closed_through
        return self.track.waiting[0][0] - 1 if self.track.waiting else closed_through

    def _track(self, first: int) -> AvailabilityTrack:
        terms = self.terms
        patience = terms.consecutive_slots + SILENT_SLOTS_MAX
        return AvailabilityTrack(
            terms.slot_ns, terms.loss_threshold_ratio, terms.consecutive_slots, first,
            patience=patience,
        )  # fmt: skip

    def unguided(self, first: int, last: int) -> list[Slot]:
        """Return slots of a pair whose losses nobody tells: always available, never known."""
        return [Slot(slot, True, self._excluded(slot), 0.0, 0.0) for slot in range(first, last + 1)]

    def _excluded(self, slot: int) -> bool:
        end_ns = slot * self.terms.slot_ns
        return any(
            item.touches(end_ns - self.terms.slot_ns, end_ns) for item in self.terms.maintenance
        )

    def settle(self, slots: list[Slot], through: int, lengths: tuple[int, ...]) -> None:
        """Add decided slots, and the frames that qualify by them, to the totals of their periods.

        Delays go to the shortest period only: the longer ones merge them when it is over.
        """
        for slot in slots:
            if slot.number <= self.settled:
                continue
            end_ns = slot.number * self.terms.slot_ns
            for length in lengths:
                key = (length, (end_ns - 1) // length)
                self.totals.setdefault(key, Totals()).take_slot(slot, self.terms)
            frames = self.delays.pop(slot.number, None)
            if frames and slot.qualifies:
                key = (lengths[0], (end_ns - 1) // lengths[0])
                for one in distinct(frames):
                    self.totals[key].take_delays(one[2], self._variations(one))
        if through > self.settled:
            self.settled = through
            self.delays = {slot: found for slot, found in self.delays.items() if slot > through}

    def _variations(self, frames: Frames) -> Floats:
        """Return |d_k - d_l| of frames of one series that were sent `separation_ns` apart, by their later one."""
        series, times, values = frames
        before = self.tails.get(series)
        if before is not None:
            times = np.concatenate((before[0], times))
            values = np.concatenate((before[1], values))
        terms = self.terms
        fresh = np.arange(len(times) - len(frames[1]), len(times))
        wanted = times[fresh] - terms.separation_ns
        right = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
        left = np.maximum(right - 1, 0)
        nearest = np.where(wanted - times[left] <= times[right] - wanted, left, right)
        apart = np.abs(times[nearest] - wanted) <= terms.separation_tolerance_ns
        found: Floats = np.abs(values[fresh] - values[nearest])[apart & (nearest < fresh)]
        kept = times > times[-1] - terms.separation_ns - terms.separation_tolerance_ns
        self.tails[series] = (times[kept], values[kept])
        return found

    def state(self) -> dict[str, Any]:
        """Return what is held, as JSON types and arrays."""
        return {
            "settled": self.settled,
            "last": self.last,
            "resting": self.resting,
            "losses": _by_slot(self.losses),
            "delays": _by_slot(self.delays),
            "track": self.track.state() if self.track else None,
            "closed": sorted((slot, *found) for slot, found in self.closed.items()),
            "tails": [[series, *self.tails[series]] for series in sorted(self.tails)],
            "totals": [[*key, self.totals[key].state()] for key in sorted(self.totals)],
        }

    @classmethod
    def from_state(cls, terms: SlsTerms, state: dict[str, Any]) -> "Pair":
        """Return what `state` described."""
        pair = cls(terms, state["settled"], state["last"], resting=state["resting"])
        pair.losses, pair.delays = _from_slots(state["losses"]), _from_slots(state["delays"])
        if state["track"] is not None:
            pair.track = pair._track(0)
            pair.track.resume(state["track"])
        pair.closed = {slot: (sent, lost) for slot, sent, lost in state["closed"]}
        pair.tails = {series: (times, values) for series, times, values in state["tails"]}
        pair.totals = {
            (length, number): Totals.from_state(found) for length, number, found in state["totals"]
        }
        return pair


def distinct(held: list[Frames]) -> list[Frames]:
    """Return the frames of each series in the order of their times; of two at one time the first to arrive counts."""
    found: list[Frames] = []
    for series in sorted({number for number, _, _ in held}):
        times = np.concatenate([times for number, times, _ in held if number == series])
        values = np.concatenate([values for number, _, values in held if number == series])
        times, first = np.unique(times, return_index=True)
        found.append((series, times, values[first]))
    return found


def _by_slot(table: dict[int, list[Frames]]) -> list[Any]:
    return [[slot, [list(frames) for frames in table[slot]]] for slot in sorted(table)]


def _from_slots(state: list[Any]) -> dict[int, list[Frames]]:
    return {
        slot: [(series, times, values) for series, times, values in held] for slot, held in state
    }
