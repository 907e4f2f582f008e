"""Service level reports: what a service's performance was over a whole period, by MEF 10.4's definitions."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.context import Caller, Source
from api.paging import Paging
from api.problem import not_found
from api.responses import READS
from api.view import ListView, Time, View, next_cursor
from trimtab.domain.sls import Performance, SlsReport
from trimtab.domain.time import NS_PER_SECOND, rfc3339, seconds_from_ns
from trimtab.store.questions import SlsReportFilter

router = APIRouter(prefix="/api/v1/sls-reports", tags=["services"], responses=READS)


class FrameDelayView(View):
    """A percentile of one-way (or two-way) frame delay; null when no frame qualified."""

    percentile: float
    seconds: float | None


class PerformanceView(View):
    """The metrics of a period; null where there was nothing to measure by. Ratios are 0 to 1, delays seconds."""

    slots: int
    slots_known: int
    slots_available: int
    frames_sent: float
    frames_lost: float
    delays: int
    frame_delay: list[FrameDelayView]
    mean_frame_delay_seconds: float | None
    frame_delay_range_seconds: float | None
    inter_frame_delay_variation_seconds: float | None
    frame_loss_ratio: float | None
    availability_ratio: float | None
    high_loss_intervals: int | None
    consecutive_high_loss_intervals: int | None
    exact: bool

    @classmethod
    def of(cls, item: Performance) -> "PerformanceView":
        """Build from the domain's value."""
        return cls(
            slots=item.slots,
            slots_known=item.slots_known,
            slots_available=item.slots_available,
            frames_sent=item.frames_sent,
            frames_lost=item.frames_lost,
            delays=item.delays,
            frame_delay=[
                FrameDelayView(percentile=percentile, seconds=seconds)
                for percentile, seconds in item.frame_delay
            ],
            mean_frame_delay_seconds=item.mean_frame_delay,
            frame_delay_range_seconds=item.frame_delay_range,
            inter_frame_delay_variation_seconds=item.inter_frame_delay_variation,
            frame_loss_ratio=item.frame_loss_ratio,
            availability_ratio=item.availability_ratio,
            high_loss_intervals=item.high_loss_intervals,
            consecutive_high_loss_intervals=item.consecutive_high_loss_intervals,
            exact=item.exact,
        )


class PairView(View):
    """The performance of one ordered pair of end points."""

    pair: str
    performance: PerformanceView


class GroupView(View):
    """The share of slots in which enough sets of pairs were available; null when a pair is not measured."""

    name: str
    availability_ratio: float | None


class SlsReportView(View):
    """A service's performance over one period: the worst of its pairs, each pair, and its groups."""

    id: str
    service_id: str
    start: Time
    end: Time
    reckoned: Time
    slot_seconds: float
    loss_threshold_ratio: float
    consecutive_slots: int
    suspect: bool
    performance: PerformanceView
    pairs: list[PairView]
    groups: list[GroupView]

    @classmethod
    def of(cls, item: SlsReport) -> "SlsReportView":
        """Build from the domain's value."""
        return cls(
            id=item.context.id,
            service_id=item.object_id,
            start=rfc3339(item.start_ns),
            end=rfc3339(item.end_ns),
            reckoned=rfc3339(item.reckoned_at_ns),
            slot_seconds=seconds_from_ns(item.terms.slot_ns),
            loss_threshold_ratio=item.terms.loss_threshold_ratio,
            consecutive_slots=item.terms.consecutive_slots,
            suspect=item.suspect,
            performance=PerformanceView.of(item.service),
            pairs=[
                PairView(pair=pair.pair, performance=PerformanceView.of(pair.performance))
                for pair in item.pairs
            ],
            groups=[
                GroupView(name=group.name, availability_ratio=group.ratio) for group in item.groups
            ],
        )


@router.get("")
async def list_reports(
    source: Source,
    principal: Caller,
    paging: Paging,
    service_id: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
    period_seconds: Annotated[
        int | None, Query(ge=1, le=400 * 86_400, description="900, or the service's interval")
    ] = None,
) -> ListView[SlsReportView]:
    """Return reports of the caller's services, newest period first."""
    length_ns = None if period_seconds is None else period_seconds * NS_PER_SECOND
    where = SlsReportFilter(principal.tenant, service_id, length_ns)
    page = await source.sls_reports(where, paging)
    items = [SlsReportView.of(item) for item in page.items]
    return ListView(items=items, total=page.total, next=next_cursor(page))


@router.get("/{report_id}")
async def get_report(report_id: str, source: Source, principal: Caller) -> SlsReportView:
    """Return one report."""
    found = await source.sls_report(report_id)
    if found is None or not principal.owns(found.object_id):
        raise not_found(f"SLS report {report_id}")
    return SlsReportView.of(found)
