"""Percentiles of many values: exact while they are few, by a mergeable sketch of bounded relative error beyond."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analytics.kpi import Floats, Ints, percentile

# A quarter of an hour of probes ten times a second, twice over.
EXACT_MAX = 20_000
# Buckets grow by this factor: a percentile is off by at most half of it less one, a thousandth.
GROWTH = 1.002
LEAST = 1e-9  # what is smaller counts as this
_LOG_GROWTH = float(np.log(GROWTH))


@dataclass(slots=True)
class Quantiles:
    """Hold values of at least 0, in any order; two of them merge into what one would have held.

    >>> found = Quantiles()
    >>> found.add(np.array([10.0, 12.0, 11.0, 50.0]))
    >>> found.percentile(75.0), found.exact
    (12.0, True)
    """

    count: int = 0
    values: list[Floats] = field(default_factory=list)
    buckets: Ints | None = (
        None  # sorted numbers of buckets; bucket i holds (GROWTH ** (i - 1), GROWTH ** i]
    )
    counts: Ints | None = None

    @property
    def exact(self) -> bool:
        """Return whether every value is still held as it was."""
        return self.buckets is None

    def add(self, values: Floats) -> None:
        """Take values in."""
        if not len(values):
            return
        self.count += len(values)
        if self.exact:
            self.values.append(values)
            if self.count <= EXACT_MAX:
                return
            values, self.values = np.concatenate(self.values), []
        numbers, counts = np.unique(_bucket_of(values), return_counts=True)
        self._take(numbers, counts)

    def merge(self, other: "Quantiles") -> None:
        """Take in all that another one holds."""
        if other.buckets is None or other.counts is None:
            for values in other.values:
                self.add(values)
            return
        held, self.values = self.values, []
        if held:
            numbers, counts = np.unique(_bucket_of(np.concatenate(held)), return_counts=True)
            self._take(numbers, counts)
        self.count += other.count
        self._take(other.buckets, other.counts)

    def _take(self, numbers: Ints, counts: Ints) -> None:
        if self.buckets is not None and self.counts is not None:
            numbers = np.concatenate((self.buckets, numbers))
            counts = np.concatenate((self.counts, counts))
        self.buckets, at = np.unique(numbers, return_inverse=True)
        self.counts = np.bincount(at, weights=counts).astype(np.int64)

    def percentile(self, percent: float) -> float | None:
        """Return the least value with at least that share of all at or below it, None without values."""
        if self.buckets is None or self.counts is None:
            return percentile(np.concatenate(self.values), percent) if self.values else None
        rank = np.ceil(percent / 100.0 * self.count - 1e-9)
        at = int(np.searchsorted(np.cumsum(self.counts), max(rank, 1.0)))
        # The middle of the bucket, in terms of relative error.
        return float(2.0 * GROWTH ** int(self.buckets[at]) / (1.0 + GROWTH))

    def state(self) -> dict[str, Any]:
        """Return what is held, as JSON types and arrays."""
        values = np.concatenate(self.values) if self.values else np.zeros(0)
        return {
            "count": self.count,
            "values": values,
            "buckets": self.buckets,
            "counts": self.counts,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Quantiles":
        """Return what `state` described."""
        values = [state["values"]] if len(state["values"]) else []
        return cls(state["count"], values, state["buckets"], state["counts"])


def _bucket_of(values: Floats) -> Ints:
    numbers: Ints = np.ceil(np.log(np.maximum(values, LEAST)) / _LOG_GROWTH).astype(np.int64)
    return numbers
