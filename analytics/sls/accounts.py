"""The accounts of a shard's services, and which series tell of them."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from analytics.kpi import Bools, Floats, Ints
from analytics.sls.account import Account
from analytics.sls.pair import PairKey
from trimtab.domain.series import Series
from trimtab.domain.service import Service
from trimtab.domain.sls import SlsReport

_NOT_READ, _DELAY, _LOSS = 0, 1, 2
DELAY_MAX_SECONDS = 3_600.0  # of what is longer, or below zero, no frame tells


class Accounts:
    """Feed every service's account from the slots of the series table that its terms read."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.accounts: dict[str, Account] = {}
        self.refused = 0  # frames that came too late, were too many, or told what can't be
        self._role = np.zeros(1, dtype=np.int8)  # by slot
        self._reads: dict[int, tuple[str, PairKey, int]] = {}  # slot: service, pair, series

    def prepare(self, services: Iterable[Service]) -> None:
        """Reckon these services; nothing is read yet."""
        self.services = {service.id: service for service in services}
        self.accounts, self._reads = {}, {}
        self._role = np.zeros(1, dtype=np.int8)

    def attach(self, slot: int, series_id: int, series: Series, object_id: str, at_ns: int) -> None:
        """Read a slot from now on, if the terms of its service say so."""
        service = self.services.get(object_id)
        if service is None:
            return
        terms = service.sls
        roles = {terms.delay_series: _DELAY, terms.loss_series: _LOSS}
        role = roles.get(series.name, _NOT_READ)
        if role == _NOT_READ:
            return
        if slot >= len(self._role):
            more = np.zeros(slot + 1, dtype=np.int8)
            self._role = np.concatenate((self._role, more))
        self._role[slot] = role
        key = tuple(series.label(name) or "" for name in terms.pair_labels)
        self._reads[slot] = (object_id, key, series_id)
        if object_id not in self.accounts:
            closed = (at_ns - terms.late_after_ns) // terms.slot_ns
            self.accounts[object_id] = Account(object_id, terms, service.periods_ns, closed)

    def release(self, slots: Iterable[int]) -> None:
        """Read slots no more."""
        for slot in slots:
            if self._reads.pop(slot, None) is not None:
                self._role[slot] = _NOT_READ

    def remove(self, object_id: str) -> None:
        """Forget a service; what its periods held is not reported."""
        self.accounts.pop(object_id, None)
        self.release([slot for slot, read in self._reads.items() if read[0] == object_id])

    def take(self, slot: Ints, time_ns: Ints, value: Floats, doubt: Bools) -> None:
        """Take rows in, of whatever slots."""
        if not self._reads:
            return
        read = self._role[np.where(slot < len(self._role), slot, 0)] != _NOT_READ
        most = np.where(self._role[np.where(read, slot, 0)] == _LOSS, 1.0, DELAY_MAX_SECONDS)
        sound = (value >= 0) & (value <= most)
        self.refused += int(np.count_nonzero(read & ~sound))
        read &= sound
        if not read.any():
            return
        slot, time_ns, value, doubt = slot[read], time_ns[read], value[read], doubt[read]
        # Stable: of two at one time the first to arrive stays first.
        order = np.lexsort((time_ns, slot))
        slot, time_ns, value, doubt = slot[order], time_ns[order], value[order], doubt[order]
        starts = np.flatnonzero(np.diff(slot, prepend=-1))
        ends = [*starts[1:].tolist(), len(slot)]
        for first, last in zip(starts.tolist(), ends, strict=True):
            number = int(slot[first])
            object_id, key, series = self._reads[number]
            account, times = self.accounts[object_id], time_ns[first:last]
            lossy = bool(self._role[number] == _LOSS)
            self.refused += account.add(key, series, times, value[first:last], lossy=lossy)
            for at_ns in times[doubt[first:last]].tolist():
                account.doubt(at_ns, at_ns)

    def doubt(self, start_ns: int, end_ns: int) -> None:
        """Call every service's periods suspect that a span lies in."""
        for account in self.accounts.values():
            account.doubt(start_ns, end_ns)

    def advance(self, at_ns: int) -> list[SlsReport]:
        """Return the reports of all periods that are over and decided."""
        return [
            report
            for object_id in sorted(self.accounts)
            for report in self.accounts[object_id].advance(at_ns)
        ]

    def state(self) -> dict[str, Any]:
        """Return what is held, as JSON types and arrays; what is read follows from the series."""
        held = [
            [object_id, self.accounts[object_id].state()] for object_id in sorted(self.accounts)
        ]
        return {"refused": self.refused, "accounts": held}

    def load(self, state: dict[str, Any]) -> None:
        """Take accounts back whose terms are still the same; the others begin anew."""
        self.refused = state["refused"]
        for object_id, held in state["accounts"]:
            service = self.services.get(object_id)
            if service is None or service.sls != held["terms"]:
                continue
            if list(service.periods_ns) == held["lengths"]:
                self.accounts[object_id] = Account.from_state(object_id, service.sls, held)
