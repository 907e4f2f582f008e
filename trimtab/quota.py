"""Quotas: how many series one source, and one tenant, may have awake, so that none takes the room of the others."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trimtab.domain.series import Series

SERIES_MAX = 2_000_000  # that do not sleep
NAMES_MAX = 10_000  # sources and tenants; what is beyond shares one account
OTHERS = "others"


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """The caps: of all series, of one source's, of one tenant's."""

    all: int = SERIES_MAX
    per_source: int = SERIES_MAX
    per_tenant: int = SERIES_MAX


@dataclass(slots=True)
class Account:
    """Who has how many series, of one kind of holder; who holds each, by its id, 0 when nobody knows it yet."""

    limit: int
    numbers: dict[str, int] = field(default_factory=lambda: {"": 0})
    counts: list[int] = field(default_factory=lambda: [0])
    holder: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))

    def name(self, name: str) -> str:
        """Return under which name a holder goes."""
        return OTHERS if name not in self.numbers and len(self.numbers) >= NAMES_MAX else name

    def number(self, name: str) -> int:
        """Return the number of a holder."""
        name = self.name(name)
        if name not in self.numbers:
            self.numbers[name] = len(self.counts)
            self.counts.append(0)
        return self.numbers[name]

    def full(self, name: str) -> bool:
        """Return whether a holder has as many series as it may."""
        return self.counts[self.number(name)] >= self.limit

    def take(self, series_id: int, name: str) -> None:
        """Count a series that is awake."""
        if series_id >= len(self.holder):
            more = max(series_id + 1, 2 * len(self.holder)) - len(self.holder)
            self.holder = np.concatenate((self.holder, np.zeros(more, dtype=np.int32)))
        number = self.holder[series_id] = self.number(name)
        self.counts[number] += 1

    def meet(self, ids: npt.NDArray[np.int32], name: str) -> None:
        """Note whose series are that were restored: nobody knew until they spoke."""
        strange = np.unique(ids[self.holder[ids] == 0])
        if len(strange) and name:
            number = self.number(name)
            self.holder[strange] = number
            self.counts[0] -= len(strange)
            self.counts[number] += len(strange)

    def change(self, series_id: int, by: int) -> None:
        """Count a series more, as it woke up, or less, as it went to sleep."""
        self.counts[self.holder[series_id]] += by


class Quota:
    """Say whether a source and a tenant may have one more series; `tenant_of` tells whose a series is.

    A cap that is no narrower than that of all series is not reckoned with at all.
    """

    def __init__(
        self, limits: SeriesLimits | None = None,
        tenant_of: Callable[[Series], str] = lambda series: "",
    ) -> None:  # fmt: skip
        self.limits = limits or SeriesLimits()
        self._tenant_of = tenant_of
        self._sources = self._account(self.limits.per_source)
        self._tenants = self._account(self.limits.per_tenant)
        self.refused: Counter[tuple[str, str]] = Counter()  # cap, whose: requests turned away

    def _account(self, limit: int) -> Account | None:
        return Account(limit) if limit < self.limits.all else None

    def admit(self, series: Series, source: str, awake: int) -> bool:
        """Return whether there is room beside so many; what is refused is counted."""
        if awake >= self.limits.all:
            self.refused["all", ""] += 1
            return False
        if self._sources is not None and self._sources.full(source):
            self.refused["source", self._sources.name(source)] += 1
            return False
        if self._tenants is not None and self._tenants.full(tenant := self._tenant_of(series)):
            self.refused["tenant", self._tenants.name(tenant)] += 1
            return False
        return True

    def take(self, series_id: int, series: Series, source: str) -> None:
        """Count a series that is awake."""
        if self._sources is not None:
            self._sources.take(series_id, source)
        if self._tenants is not None:
            self._tenants.take(series_id, self._tenant_of(series))

    def meet(self, ids: npt.NDArray[np.int32], source: str) -> None:
        """Note that series speak through a source."""
        if self._sources is not None:
            self._sources.meet(ids, source)

    def change(self, series_id: int, by: int) -> None:
        """Count a series that woke up (1), or went to sleep (-1)."""
        for account in (self._sources, self._tenants):
            if account is not None:
                account.change(series_id, by)
