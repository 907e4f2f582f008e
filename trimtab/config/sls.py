"""The section `sls` of a service: what it does not say follows from the KPIs of the service's objectives."""

from collections.abc import Iterable

from trimtab.config.document import Document
from trimtab.config.document import Path as At
from trimtab.config.duration import format_duration, parse_duration
from trimtab.config.kpi_library import LIBRARY
from trimtab.config.model import KpiPart, MaintenancePart, ServicePart, SlsPart
from trimtab.domain.kpi import Statistic
from trimtab.domain.sls import Maintenance, PairGroup, SlsTerms
from trimtab.domain.time import ns_from_rfc3339
from trimtab.errors import Finding

_DELAYS = (Statistic.PERCENTILE, Statistic.RANGE, Statistic.VARIATION)
HIGH_LOSS_RUN = 3
_AVAILABILITY = next(item for item in LIBRARY if item.statistic is Statistic.AVAILABILITY)


def terms_of(service: ServicePart, kpis: dict[str, KpiPart]) -> SlsTerms:
    """Return by which terms a service is reckoned; `kpis` by name."""
    part = service.sls or SlsPart()
    read = [kpis[item.kpi] for item in service.objectives if item.kpi in kpis]
    delays = [item for item in read if item.statistic in _DELAYS and item.unit == "seconds"]
    losses = [item for item in read if item.statistic is Statistic.AVAILABILITY]
    plain = SlsTerms()
    shares = {
        kind: [item.percentile for item in delays if item.statistic is kind and item.percentile]
        for kind in _DELAYS
    }
    first = (losses or [_AVAILABILITY])[0]
    consecutive = (
        first.consecutive_slots if part.consecutive_slots is None else part.consecutive_slots
    )
    separation = parse_duration(part.separation)
    return SlsTerms(
        delay_series=delays[0].series if delays else plain.delay_series,
        loss_series=first.series,
        pair_labels=tuple(part.pair_labels),
        slot_ns=parse_duration(part.slot or first.slot),
        loss_threshold_ratio=float(
            first.loss_threshold if part.loss_threshold is None else part.loss_threshold
        ),
        consecutive_slots=consecutive,
        high_loss_run=part.high_loss_run or max(2, min(HIGH_LOSS_RUN, consecutive - 1)),
        delay_percentiles=tuple(sorted({*map(float, shares[Statistic.PERCENTILE])}))
        or plain.delay_percentiles,
        range_percentile=float((shares[Statistic.RANGE] or [plain.range_percentile])[0]),
        variation_percentile=float(
            (shares[Statistic.VARIATION] or [plain.variation_percentile])[0]
        ),
        separation_ns=separation,
        separation_tolerance_ns=separation // 20,
        measurement_interval_ns=parse_duration(part.measurement_interval),
        late_after_ns=parse_duration(part.late_after),
        maintenance=tuple(_maintenance(item) for item in part.maintenance),
        groups=tuple(
            PairGroup(item.name, tuple(map(tuple, item.sets)), item.least) for item in part.groups
        ),
    )


def _maintenance(item: MaintenancePart) -> Maintenance:
    return Maintenance(ns_from_rfc3339(item.begin), ns_from_rfc3339(item.end))


def sls_findings(
    document: Document, at: At, service: ServicePart, terms: SlsTerms
) -> Iterable[Finding]:
    """Return what is wrong with a service's terms; `at` is where the service stands."""
    here: At = (*at, "sls") if service.sls is not None else at
    slot, interval = terms.slot_ns, terms.measurement_interval_ns
    if slot <= 0 or interval < slot or interval % slot:
        text = f"measurement interval {format_duration(interval)} and slot {format_duration(slot)}"
        yield document.finding(here, text, "make the interval a multiple of the slot")
    longest = parse_duration(service.interval)
    if slot > 0 and longest % slot:
        text = f"interval {format_duration(longest)} and slot {format_duration(slot)}"
        yield document.finding(here, text, "make the service's interval a multiple of the slot")
    given = service.sls.high_loss_run if service.sls else None
    if given is not None and not 1 < given < terms.consecutive_slots:
        text = f"high_loss_run {given} of {terms.consecutive_slots} consecutive slots"
        mend = "write more than 1 and less than consecutive_slots"
        yield document.finding((*here, "high_loss_run"), text, mend)
    for index, item in enumerate(terms.maintenance):
        if item.end_ns <= item.start_ns:
            where: At = (*here, "maintenance", index)
            yield document.finding(
                where, "the maintenance ends before it begins", "swap from and to"
            )
    for index, group in enumerate(terms.groups):
        if group.least > len(group.sets):
            where = (*here, "groups", index)
            text = f"`{group.name}` wants {group.least} of {len(group.sets)} sets"
            yield document.finding(where, text, f"write least: {len(group.sets)} or less")
