"""Service level metrics over a period (MEF 10.4 section 8.8, MEF 61.1 section 10.9, as digested): terms and results.

The digest's formulae are checked against vectors, not against the standards' own text.
"""

from dataclasses import dataclass

from trimtab.domain.context import Context
from trimtab.domain.kpi import KpiDefinition, Statistic
from trimtab.domain.time import NS_PER_SECOND

PairLabels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Maintenance:
    """An agreed span (start_ns, end_ns] whose slots and frames count for nothing."""

    start_ns: int
    end_ns: int

    def touches(self, start_ns: int, end_ns: int) -> bool:
        """Return whether any moment of (start_ns, end_ns] is within."""
        return start_ns < self.end_ns and self.start_ns < end_ns


@dataclass(frozen=True, slots=True)
class PairGroup:
    """Sets of ordered pairs of which at least `least` must be available at once (MEF group availability).

    A pair is named as `SlsTerms.pair_name` writes it; a set is available while each of its pairs is.
    """

    name: str
    sets: tuple[tuple[str, ...], ...]
    least: int = 1


@dataclass(frozen=True, slots=True)
class SlsTerms:
    """Say how a service's performance is reckoned.

    `delay_series` holds one-way (or two-way) delays in seconds, a sample a frame that came through, at the time it was
    sent; `loss_series` 0 or 1 for each frame sent. Both are split into ordered pairs by `pair_labels`; a loss that
    lacks a label speaks for every pair that has it. Defaults are those of MEF 35.1.
    """

    delay_series: str = "probe_delay_seconds"
    loss_series: str = "probe_lost"
    pair_labels: tuple[str, ...] = ("from", "to", "direction")
    slot_ns: int = NS_PER_SECOND  # delta t
    loss_threshold_ratio: float = 0.1  # C
    consecutive_slots: int = 10  # n
    high_loss_run: int = 3  # p of consecutive high loss intervals, 1 < p < n
    delay_percentiles: tuple[float, ...] = (95.0,)
    range_percentile: float = 95.0
    variation_percentile: float = 95.0
    separation_ns: int = NS_PER_SECOND  # delta tau of inter-frame delay variation
    separation_tolerance_ns: int = NS_PER_SECOND // 20
    measurement_interval_ns: int = 900 * NS_PER_SECOND
    late_after_ns: int = 5 * NS_PER_SECOND
    maintenance: tuple[Maintenance, ...] = ()
    groups: tuple[PairGroup, ...] = ()

    def pair_name(self, key: tuple[str, ...]) -> str:
        """Return e.g. `from=a,to=b`; `all` for the pair of a service that tells none apart."""
        named = zip(self.pair_labels, key, strict=True)
        return ",".join(f"{label}={value}" for label, value in named if value) or "all"


@dataclass(frozen=True, slots=True)
class Performance:
    """What was measured over a period: of one ordered pair, or the worst of several. None: nothing to measure by.

    Delays in seconds. `slots` are those of the period that count (delta t outside maintenance), `slots_known` those
    with a loss ratio of their own, `slots_available` the available ones. `frames_sent` and `frames_lost` are of
    qualified frames: sent in available slots outside maintenance. `exact` False: percentiles come from a sketch.
    """

    slots: int
    slots_known: int
    slots_available: int
    frames_sent: float
    frames_lost: float
    delays: int
    frame_delay: tuple[tuple[float, float | None], ...]  # percentile, seconds
    mean_frame_delay: float | None
    frame_delay_range: float | None
    inter_frame_delay_variation: float | None
    frame_loss_ratio: float | None
    availability_ratio: float | None
    high_loss_intervals: int | None
    consecutive_high_loss_intervals: int | None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class PairPerformance:
    """The performance of one ordered pair."""

    pair: str
    labels: PairLabels
    performance: Performance


@dataclass(frozen=True, slots=True)
class GroupAvailability:
    """The share of slots in which enough sets of a group were available."""

    name: str
    slots: int
    ratio: float | None


@dataclass(frozen=True, slots=True)
class SlsReport:
    """A service's performance over the period (start_ns, end_ns], given out once, when every slot of it is decided.

    `suspect`: part of it was not measured, was measured under doubt, or was still undecided when its time had run out.
    """

    context: Context
    object_id: str
    start_ns: int
    end_ns: int
    reckoned_at_ns: int
    terms: SlsTerms
    suspect: bool
    service: Performance
    pairs: tuple[PairPerformance, ...]
    groups: tuple[GroupAvailability, ...] = ()


def worst(found: list[Performance]) -> Performance:
    """Return a set of pairs' performance: delay and loss are the greatest of its pairs, availability the least.

    Raises ValueError for an empty set.
    """
    delays = [
        (percentile, _greatest([dict(one.frame_delay).get(percentile) for one in found]))
        for percentile, _ in found[0].frame_delay
    ]
    return Performance(
        slots=max(one.slots for one in found),
        slots_known=min(one.slots_known for one in found),
        slots_available=min(one.slots_available for one in found),
        frames_sent=sum(one.frames_sent for one in found),
        frames_lost=sum(one.frames_lost for one in found),
        delays=sum(one.delays for one in found),
        frame_delay=tuple(delays),
        mean_frame_delay=_greatest([one.mean_frame_delay for one in found]),
        frame_delay_range=_greatest([one.frame_delay_range for one in found]),
        inter_frame_delay_variation=_greatest([one.inter_frame_delay_variation for one in found]),
        frame_loss_ratio=_greatest([one.frame_loss_ratio for one in found]),
        availability_ratio=_least([one.availability_ratio for one in found]),
        high_loss_intervals=_most([one.high_loss_intervals for one in found]),
        consecutive_high_loss_intervals=_most(
            [one.consecutive_high_loss_intervals for one in found]
        ),
        exact=all(one.exact for one in found),
    )


def _greatest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _least(values: list[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _most(values: list[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def pairs_read_by(kpi: KpiDefinition, report: SlsReport) -> list[Performance]:
    """Return the pairs that a KPI's `where` lets through, as far as it speaks of labels that tell pairs apart."""
    asked = [
        item for item in kpi.where if not item.regex and item.label in report.terms.pair_labels
    ]
    return [
        pair.performance
        for pair in report.pairs
        if all(dict(pair.labels).get(item.label, item.value) == item.value for item in asked)
    ]


def measured_by(kpi: KpiDefinition, report: SlsReport) -> float | None:
    """Return the value of a KPI over a report's whole period, None when the report does not hold it."""
    pairs = pairs_read_by(kpi, report)
    if not pairs:
        return None
    found, terms = worst(pairs), report.terms
    if kpi.series == terms.delay_series:
        return _delay_of(kpi, found, terms)
    if kpi.series != terms.loss_series:
        return None
    if kpi.statistic is Statistic.MEAN:
        return found.frame_loss_ratio
    return found.availability_ratio if kpi.statistic is Statistic.AVAILABILITY else None


def _delay_of(kpi: KpiDefinition, found: Performance, terms: SlsTerms) -> float | None:
    match kpi.statistic:
        case Statistic.PERCENTILE:
            return dict(found.frame_delay).get(kpi.percentile or 100.0)
        case Statistic.MEAN:
            return found.mean_frame_delay
        case Statistic.RANGE if kpi.percentile in (None, terms.range_percentile):
            return found.frame_delay_range
        case Statistic.VARIATION if kpi.percentile in (None, terms.variation_percentile):
            return found.inter_frame_delay_variation
        case _:
            return None
