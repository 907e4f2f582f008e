"""What one ordered pair adds up over one period: slots, frames and delays that qualify."""

from dataclasses import dataclass, field
from typing import Any

from analytics.kpi import Floats
from analytics.sls.quantiles import Quantiles
from trimtab.domain.sls import Performance, SlsTerms

_PLAIN = (
    "slots", "excluded", "known", "available", "high", "runs", "run", "sent", "lost", "delay_sum", "delay_least"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot:
    """A decided slot: did the state machine call it available, was it excluded, and what was sent and lost in it."""

    number: int
    available: bool
    excluded: bool
    sent: float
    lost: float

    @property
    def qualifies(self) -> bool:
        """Return whether frames sent in it count for delay and loss."""
        return self.available and not self.excluded

    def lossy(self, threshold_ratio: float) -> bool:
        """Return whether it lost more than a share of what was sent."""
        return self.sent > 0 and self.lost / self.sent > threshold_ratio


@dataclass(slots=True)
class Totals:
    """Sums of a period. Nothing is divided before its end, so that periods of a pair can be merged."""

    slots: int = 0
    excluded: int = 0
    known: int = 0
    available: int = 0
    high: int = 0
    runs: int = 0
    run: int = 0  # length of the run of high loss slots that the newest slot belongs to
    sent: float = 0.0
    lost: float = 0.0
    delay_sum: float = 0.0
    delay_least: float | None = None
    delays: Quantiles = field(default_factory=Quantiles)
    variations: Quantiles = field(default_factory=Quantiles)

    def take_slot(self, slot: Slot, terms: SlsTerms) -> None:
        """Take in a decided slot; slots come in order."""
        high = slot.qualifies and slot.lossy(terms.loss_threshold_ratio)
        if slot.excluded:
            self.excluded += 1
            self.run = 0
            return
        self.slots += 1
        self.known += slot.sent > 0
        self.available += slot.available
        if slot.available:
            self.sent += slot.sent
            self.lost += slot.lost
        self.high += high
        self.run = self.run + 1 if high else 0
        self.runs += self.run == terms.high_loss_run

    def take_delays(self, delays: Floats, variations: Floats) -> None:
        """Take in the delays of qualified frames, and the differences between those that lie far enough apart."""
        if len(delays):
            least = float(delays.min())
            self.delay_least = least if self.delay_least is None else min(self.delay_least, least)
            self.delay_sum += float(delays.sum())
            self.delays.add(delays)
        self.variations.add(variations)

    def merge_delays(self, other: "Totals") -> None:
        """Take in the delays of a shorter period that lies within this one."""
        if other.delay_least is not None:
            least = other.delay_least
            self.delay_least = least if self.delay_least is None else min(self.delay_least, least)
        self.delay_sum += other.delay_sum
        self.delays.merge(other.delays)
        self.variations.merge(other.variations)

    def performance(self, terms: SlsTerms) -> Performance:
        """Return the metrics of the period."""
        count, at = self.delays.count, self.delays.percentile
        spread = at(terms.range_percentile)
        known = self.known > 0
        return Performance(
            slots=self.slots,
            slots_known=self.known,
            slots_available=self.available,
            frames_sent=self.sent,
            frames_lost=self.lost,
            delays=count,
            frame_delay=tuple((percent, at(percent)) for percent in terms.delay_percentiles),
            mean_frame_delay=self.delay_sum / count if count else None,
            frame_delay_range=(
                None
                if spread is None or self.delay_least is None
                else max(0.0, spread - self.delay_least)
            ),
            inter_frame_delay_variation=self.variations.percentile(terms.variation_percentile),
            frame_loss_ratio=self.lost / self.sent if self.sent else None,
            availability_ratio=self._availability(),
            high_loss_intervals=self.high if known else None,
            consecutive_high_loss_intervals=self.runs if known else None,
            exact=self.delays.exact and self.variations.exact,
        )

    def _availability(self) -> float | None:
        if not self.slots:
            return 1.0 if self.excluded else None  # all of it was agreed to count for nothing
        return self.available / self.slots if self.known else None

    def state(self) -> dict[str, Any]:
        """Return all sums, as JSON types and arrays."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {**plain, "delays": self.delays.state(), "variations": self.variations.state()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Totals":
        """Return what `state` described."""
        plain = {name: state[name] for name in _PLAIN}
        delays, variations = (
            Quantiles.from_state(state["delays"]),
            Quantiles.from_state(state["variations"]),
        )
        return cls(**plain, delays=delays, variations=variations)
