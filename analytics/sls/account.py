"""The account of one service: its ordered pairs, and a report for each period once all slots of it are decided."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analytics.kpi import Floats, Ints
from analytics.sls.pair import SILENT_SLOTS_MAX, Pair, PairKey, PeriodKey
from trimtab.domain.context import Context
from trimtab.domain.identity import content_id
from trimtab.domain.sls import (
    GroupAvailability,
    PairPerformance,
    SlsReport,
    SlsTerms,
    worst,
)

PAIRS_PER_SERVICE_MAX = 256
# After a longer sleep the slots in between are not gone through one by one: their periods stay short of them.
SLOTS_AT_ONCE_MAX = 3_600


@dataclass(slots=True)
class Account:
    """Reckon a service by its terms. Periods are `lengths` long, ascending, each a multiple of the shortest."""

    service_id: str
    terms: SlsTerms
    lengths: tuple[int, ...]
    closed: int  # all slots up to this one are closed
    pairs: dict[PairKey, Pair] = field(default_factory=dict)
    doubted: set[PeriodKey] = field(default_factory=set)
    states: dict[int, dict[str, tuple[bool, bool]]] = field(default_factory=dict)
    groups: dict[PeriodKey, dict[str, list[int]]] = field(default_factory=dict)

    def slot_of(self, time_ns: Ints) -> Ints:
        """Return the slots that times fall into; a slot is open at its start."""
        found: Ints = -(-time_ns // self.terms.slot_ns)
        return found

    def pair(self, key: PairKey) -> bool:
        """Make room for a pair; return whether there is any."""
        if key in self.pairs:
            return True
        if len(self.pairs) >= PAIRS_PER_SERVICE_MAX:
            return False
        self.pairs[key] = Pair(self.terms, self.closed, self.closed)
        return True

    def add(self, key: PairKey, series: int, time_ns: Ints, value: Floats, *, lossy: bool) -> int:
        """Take in what came of frames, in the order of their times; return how many were too late, or too many."""
        if not self.pair(key):
            return len(time_ns)
        self.pairs[key].rouse(self.closed)
        slots = self.slot_of(time_ns)
        late = int(np.searchsorted(slots, self.closed, side="right"))
        if late == len(slots):
            return late
        frames = (series, time_ns[late:], value[late:])
        return late + self.pairs[key].add(slots[late:], frames, lossy=lossy)

    def doubt(self, start_ns: int, end_ns: int) -> None:
        """Call the periods suspect that a span lies in, of those that are not reported yet."""
        settled_ns = self._settled() * self.terms.slot_ns
        for length in self.lengths:
            first, last = (start_ns - 1) // length, (end_ns - 1) // length
            self.doubted |= {
                (length, number) for number in {first, last} if (number + 1) * length > settled_ns
            }

    def advance(self, at_ns: int) -> list[SlsReport]:
        """Close the slots that are over, and report the periods of which everything is decided."""
        last = (at_ns - self.terms.late_after_ns) // self.terms.slot_ns
        if last <= self.closed:
            return []
        first = max(self.closed + 1, last - SLOTS_AT_ONCE_MAX)
        awake = sorted(key for key, pair in self.pairs.items() if not pair.resting)
        for key in awake:
            self.pairs[key].close(first, last)
        for key in awake:
            self._settle(key, first, last)
        for key in awake:
            self.pairs[key].decided.clear()
        self.closed = last
        self._meet_groups()
        return self._reports(at_ns)

    def guide_of(self, key: PairKey) -> PairKey | None:
        """Return the pair whose losses speak for a pair: its own, or those that tell fewer labels; None without."""
        fitting = [
            other
            for other, pair in self.pairs.items()
            if not pair.resting
            and (pair.track is not None or pair.losses)
            and all(mine == theirs or not theirs for mine, theirs in zip(key, other, strict=True))
        ]
        return max(fitting, key=lambda other: (sum(map(bool, other)), other), default=None)

    def _settle(self, key: PairKey, first: int, last: int) -> None:
        pair, guide = self.pairs[key], self.guide_of(key)
        if guide is None:
            slots, through = pair.unguided(max(first, pair.settled + 1), last), last
        else:
            through = self.pairs[guide].decided_through(last)
            slots = self.pairs[guide].decided
        if self.terms.groups:
            name = self.terms.pair_name(key)
            for slot in slots:
                if slot.number > pair.settled:
                    self.states.setdefault(slot.number, {})[name] = (slot.available, slot.excluded)
        pair.settle(slots, through, self.lengths)

    def _settled(self) -> int:
        awake = [pair.settled for pair in self.pairs.values() if not pair.resting]
        return min(awake, default=self.closed)

    def _meet_groups(self) -> None:
        """Count the slots in which enough sets of each group were available, as far as all pairs are decided."""
        settled = self._settled()
        for number in sorted(number for number in self.states if number <= settled):
            found = self.states.pop(number)
            end_ns = number * self.terms.slot_ns
            for group in self.terms.groups:
                named = [name for pairs in group.sets for name in pairs]
                if any(name not in found or found[name][1] for name in named):
                    continue
                up = sum(all(found[name][0] for name in pairs) for pairs in group.sets)
                for length in self.lengths:
                    key = (length, (end_ns - 1) // length)
                    counts = self.groups.setdefault(key, {}).setdefault(group.name, [0, 0])
                    counts[0] += 1
                    counts[1] += up >= group.least

    def _reports(self, at_ns: int) -> list[SlsReport]:
        settled_ns = self._settled() * self.terms.slot_ns
        over = sorted(
            ((number + 1) * length, length, number)
            for length, number in {key for pair in self.pairs.values() for key in pair.totals}
            if (number + 1) * length <= settled_ns
        )
        return [self._report((length, number), at_ns) for _, length, number in over]

    def _report(self, period: PeriodKey, at_ns: int) -> SlsReport:
        length, number = period
        start_ns, end_ns = number * length, (number + 1) * length
        held = {
            key: totals
            for key in sorted(self.pairs)
            if (totals := self.pairs[key].totals.pop(period, None)) is not None
        }
        # A pair that only speaks of the losses of others is told by these.
        guides = {guide for key in held if (guide := self.guide_of(key)) not in (None, key)}
        pairs: list[PairPerformance] = []
        for key, totals in held.items():
            if length == self.lengths[0]:
                for longer in self.lengths[1:]:
                    whole = self.pairs[key].totals[(longer, (end_ns - 1) // longer)]
                    whole.merge_delays(totals)
            if key not in guides:
                labels = tuple(zip(self.terms.pair_labels, key, strict=True))
                pairs.append(
                    PairPerformance(
                        self.terms.pair_name(key), tuple(item for item in labels if item[1]),
                        totals.performance(self.terms),
                    )
                )  # fmt: skip
        found = worst([pair.performance for pair in pairs])
        groups = self._groups_of(period)
        excluded = self._excluded_slots(start_ns, end_ns)
        whole_slots = length // self.terms.slot_ns - excluded
        suspect = (
            period in self.doubted
            or any(pair.performance.slots_known < whole_slots for pair in pairs)
            or any(group.ratio is None for group in groups)
        )
        self.doubted.discard(period)
        if length == self.lengths[0]:
            self._let_rest(start_ns // self.terms.slot_ns)
        return SlsReport(
            Context(content_id("sls", self.service_id, length, end_ns)), self.service_id, start_ns,
            end_ns, at_ns, self.terms, suspect, found, tuple(pairs), groups,
        )  # fmt: skip

    def _groups_of(self, period: PeriodKey) -> tuple[GroupAvailability, ...]:
        counted = self.groups.pop(period, {})
        found = []
        for group in self.terms.groups:
            slots, up = counted.get(group.name, [0, 0])
            found.append(GroupAvailability(group.name, slots, up / slots if slots else None))
        return tuple(found)

    def _excluded_slots(self, start_ns: int, end_ns: int) -> int:
        slot_ns, counted, through = self.terms.slot_ns, 0, 0
        for item in sorted(self.terms.maintenance, key=lambda item: item.start_ns):
            first = max(max(item.start_ns, start_ns) // slot_ns, through)
            last = -(-min(item.end_ns, end_ns) // slot_ns)
            counted += max(0, last - first)
            through = max(through, last)
        return counted

    def _let_rest(self, slot: int) -> None:
        """Reckon no more with pairs that nothing was told of since a slot, while others were."""
        silent = {key for key, pair in self.pairs.items() if pair.last <= slot - SILENT_SLOTS_MAX}
        if len(silent) == len(self.pairs):
            return
        for key in silent:
            self.pairs[key].rest(self.lengths[0])
            if not self.pairs[key].totals:
                del self.pairs[key]

    def state(self) -> dict[str, Any]:
        """Return what is held, as JSON types and arrays."""
        return {
            "terms": self.terms,
            "lengths": list(self.lengths),
            "closed": self.closed,
            "pairs": [[list(key), self.pairs[key].state()] for key in sorted(self.pairs)],
            "doubted": sorted(self.doubted),
            "states": [
                [slot, sorted((name, *found) for name, found in self.states[slot].items())]
                for slot in sorted(self.states)
            ],
            "groups": [[*key, self.groups[key]] for key in sorted(self.groups)],
        }

    @classmethod
    def from_state(cls, service_id: str, terms: SlsTerms, state: dict[str, Any]) -> "Account":
        """Return what `state` described."""
        account = cls(service_id, terms, tuple(state["lengths"]), state["closed"])
        account.pairs = {tuple(key): Pair.from_state(terms, found) for key, found in state["pairs"]}
        account.doubted = {(length, number) for length, number in state["doubted"]}
        account.states = {
            slot: {name: (up, excluded) for name, up, excluded in found}
            for slot, found in state["states"]
        }
        account.groups = {(length, number): found for length, number, found in state["groups"]}
        return account
