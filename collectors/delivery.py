"""What every collector shares with its surroundings: handing readings over, and an account of what it did."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from trimtab.domain.samples import SampleBatch
from trimtab.ports import Clock, Gap, GapReason, Reading, ReadingSink

PUT_TIMEOUT_SECONDS = 30.0
GAPS_WAITING_MAX = 100


@dataclass(frozen=True, slots=True)
class CollectorStats:
    """What a collector has done since it was made; every figure only grows.

    `refused` counts samples by why they were turned away, `gaps` by GapReason, `other` whatever else a kind of
    collector counts (duplicates, failed scrapes by reason, ...). `last_success_ns` is the loop's time at which the
    source last gave what was due and it was taken, None before that.
    """

    samples: int
    refused: tuple[tuple[str, int], ...]
    gaps: tuple[tuple[str, int], ...]
    other: tuple[tuple[str, int], ...]
    last_success_ns: int | None


@dataclass(slots=True)
class Account:
    """Count what one collector does."""

    samples: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    last_success_ns: int | None = None

    def stats(self) -> CollectorStats:
        """Return the figures as they stand."""
        return CollectorStats(
            self.samples,
            tuple(sorted(self.refused.items())),
            tuple(sorted(self.gaps.items())),
            tuple(sorted(self.other.items())),
            self.last_success_ns,
        )


class Outlet:
    """Hand readings to the sink, one source's name on all of them; what the sink does not take is counted.

    A reading that was not taken leaves a gap behind, which travels with the next one that is.
    """

    def __init__(self, source: str, clock: Clock, account: Account) -> None:
        self.source = source
        self._clock = clock
        self._account = account
        self._gaps_waiting: list[Gap] = []

    def gap(self, reason: GapReason, detail: str, at_ns: int | None = None) -> Gap:
        """Make a gap of this source, and count it."""
        self._account.gaps[reason.value] += 1
        return Gap(self.source, self._clock.now_ns() if at_ns is None else at_ns, reason, detail)

    def remember(self, reason: GapReason, detail: str) -> None:
        """Count a gap now, and send it along with the next reading: for what came from outside, at its pace."""
        self._gaps_waiting = [*self._gaps_waiting, self.gap(reason, detail)][-GAPS_WAITING_MAX:]

    async def put(self, sink: ReadingSink, reading: Reading) -> bool:
        """Return whether the reading is durable. Counts its rows and refusals either way."""
        rows = 0 if reading.batch is None else len(reading.batch)
        for reason, count in reading.refused:
            self._account.refused[reason] += count
        waiting, self._gaps_waiting = self._gaps_waiting, []
        whole = Reading(
            reading.source, reading.batch, (*waiting, *reading.gaps), reading.inventory,
            reading.news, reading.refused,
        )  # fmt: skip
        try:
            async with asyncio.timeout(PUT_TIMEOUT_SECONDS):
                taken = await sink.put(whole)
        except TimeoutError:
            taken = False
        if taken:
            self._account.samples += rows
            return True
        self._account.refused["not_durable"] += rows
        lost = self.gap(GapReason.REFUSED, f"the journal could not take {rows} samples")
        self._gaps_waiting = [*whole.gaps, lost, *self._gaps_waiting][-GAPS_WAITING_MAX:]
        return False

    def reading(self, batch: SampleBatch | None = None, *, gaps: tuple[Gap, ...] = (),
                refused: Counter[str] | None = None) -> Reading:  # fmt: skip
        """Build a reading of this source."""
        return Reading(
            self.source,
            batch=batch,
            gaps=gaps,
            refused=tuple(sorted((+(refused or Counter())).items())),
        )
