"""MEF LSO Legato performance monitoring v5 (W143): one standing report per objective and granularity.

Each is the rolling record of its last periods, so it is always `inProgress`. Besides, there is one for each whole
period of a service, which is `completed` (mef_period.py). W143 has no result schema with SLS metrics; the framework's
extension point carries ours, published at `/schemas/`.
"""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.context import ApiContext, Caller, Context, base_url
from api.mef import ERRORS, PAGING, Parameter, Query, answer, answer_page, later, times
from api.mef_period import (
    COMPLETED,
    completed_find_body,
    completed_full_body,
    period_job_id,
)
from api.mef_words import OUTPUT_FORMATS, REPORT_STATES, RESULT_FORMATS
from api.problem import not_found
from api.scopes import Principal
from api.sls_results import CONFIGURATION_TYPE, result_body
from trimtab.domain.identity import content_id
from trimtab.domain.sls import SlsReport
from trimtab.domain.time import NS_PER_SECOND, rfc3339
from trimtab.store.questions import ObjectiveState, Page, PageRequest, SlsReportFilter, Span

PREFIX = "/mefApi/legato/performanceMonitoring/v5"
GRANULARITIES = ((1, "MIN", 60), (15, "MIN", 900), (1, "HOUR", 3_600))
PERIODS_MAX = 96
STATE = "inProgress"
PARAMETERS = (
    Parameter("performanceJobId"),
    Parameter("serviceFromId"),
    Parameter("serviceToId"),
    Parameter("serviceId"),
    Parameter("entityId"),
    Parameter("state", REPORT_STATES),
    *times("creationDateTime", "reportingTimeframe.startDate", "reportingTimeframe.endDate"),
    Parameter("outputFormat", OUTPUT_FORMATS),
    Parameter("resultFormat", RESULT_FORMATS),
    *PAGING,
)

router = APIRouter(prefix=PREFIX, tags=["MEF LSO Legato performance"], responses=ERRORS)


@dataclass(frozen=True, slots=True)
class Report:
    """One standing report: whose, of which objective, in which periods, over which of them."""

    service_id: str
    item: ObjectiveState
    granularity: tuple[int, str, int]
    start_ns: int
    end_ns: int

    @property
    def id(self) -> str:
        """Return the report's id, which never changes."""
        parts = (self.service_id, self.item.objective.name, self.granularity[2])
        return content_id("report", *parts)

    @property
    def job_id(self) -> str:
        """Return the id of the standing job that fills the report."""
        parts = (self.service_id, self.item.objective.name, self.granularity[2])
        return content_id("job", *parts)


@router.get(
    "/performanceReport",
    response_class=Response,
    openapi_extra={"parameters": [parameter.schema() for parameter in PARAMETERS]},
)
async def list_reports(request: Request, context: Context, principal: Caller) -> Response:
    """List or find reports, without their content (W143 listPerformanceReport)."""
    query = Query(request, PARAMETERS)
    wanted, throttled = query.page()
    standing = [r for r in await reports_of(context, principal) if _matches(r, query, context)]
    part = standing[wanted.offset : wanted.offset + wanted.limit]
    over = await _completed(query, context, principal, PageRequest(
        wanted.limit - len(part), offset=max(0, wanted.offset - len(standing)), oldest_first=True
    ))  # fmt: skip
    bodies = [*(find_body(r, context) for r in part), *map(completed_find_body, over.items)]
    return answer_page(
        Page(tuple(bodies), len(standing) + over.total), throttled, lambda body: body
    )


@router.get("/performanceReport/{id}", response_class=Response)
async def retrieve_report(
    id: str, request: Request, context: Context, principal: Caller
) -> Response:
    """Return one report with its content (W143 retrievePerformanceReport)."""
    for report in await reports_of(context, principal):
        if report.id == id:
            return answer(await full_body(report, context, base_url(request)))
    found = await context.assurance.sls_report(id)
    state = await context.assurance.service(found.object_id) if found is not None else None
    if found is not None and state is not None and principal.owns(found.object_id):
        href = f"{base_url(request)}{PREFIX}/performanceReport/{id}"
        return answer(completed_full_body(found, state, href))
    raise not_found(f"performance report {id}")


later(
    router,
    [
        *(("POST", f"/{name}") for name in (
            "performanceProfile", "performanceJob", "performanceReport", "cancelPerformanceJob",
            "modifyPerformanceJob", "performanceJobComplexQuery", "performanceReportComplexQuery",
            "hub",
        )),
        *(("GET", f"/{name}") for name in (
            "performanceProfile", "performanceJob", "cancelPerformanceJob", "modifyPerformanceJob",
            "trackingRecord",
        )),
        *(("GET", f"/{name}/{{id}}") for name in (
            "performanceProfile", "performanceJob", "cancelPerformanceJob", "modifyPerformanceJob",
            "hub",
        )),
        ("PATCH", "/performanceProfile/{id}"),
        ("DELETE", "/performanceProfile/{id}"),
        ("POST", "/performanceJob/{id}/suspend"),
        ("POST", "/performanceJob/{id}/resume"),
        ("DELETE", "/hub/{id}"),
    ],
)  # fmt: skip


async def reports_of(context: ApiContext, principal: Principal) -> list[Report]:
    """Return the caller's reports, ordered by service, objective and granularity."""
    now_ns = context.now_ns()
    found = []
    for state in await context.assurance.services():
        if not principal.owns(state.service.id):
            continue
        for item in sorted(state.objectives, key=lambda item: item.objective.name):
            for granularity in GRANULARITIES:
                period_ns = granularity[2] * NS_PER_SECOND
                end_ns = now_ns // period_ns * period_ns
                start_ns = end_ns - PERIODS_MAX * period_ns
                found.append(Report(state.service.id, item, granularity, start_ns, end_ns))
    return found


async def _completed(
    query: Query, context: ApiContext, principal: Principal, page: PageRequest
) -> Page[SlsReport]:
    """Return the completed reports that match a query, oldest first."""
    exact = {
        "serviceFromId": "",
        "serviceToId": "",
        "entityId": "",
        "state": COMPLETED,
        "outputFormat": "json",
        "resultFormat": "payload",
    }
    service_id, length_ns = query.text("serviceId"), None
    job_id = query.text("performanceJobId")
    if job_id is not None:
        jobs = {
            period_job_id(state.service.id, length): (state.service.id, length)
            for state in await context.assurance.services()
            for length in state.service.periods_ns
        }
        owner, length_ns = jobs.get(job_id, ("", None))
        if service_id not in {None, owner}:
            owner = ""
        service_id = owner
    if any(query.text(name) not in {None, value} for name, value in exact.items()):
        return Page((), 0)
    return await context.assurance.sls_reports(
        SlsReportFilter(
            principal.tenant, service_id, length_ns,
            query.span("reportingTimeframe.startDate"), query.span("reportingTimeframe.endDate"),
            query.span("creationDateTime"),
        ),
        page,
    )  # fmt: skip


def _matches(report: Report, query: Query, context: ApiContext) -> bool:
    exact = {
        "performanceJobId": report.job_id,
        "serviceId": report.service_id,
        "serviceFromId": "",
        "serviceToId": "",
        "entityId": "",
        "state": STATE,
        "outputFormat": "json",
        "resultFormat": "payload",
    }
    return (
        all(query.text(name) in {None, value} for name, value in exact.items())
        and holds(query.span("creationDateTime"), context.started_ns)
        and holds(query.span("reportingTimeframe.startDate"), report.start_ns)
        and holds(query.span("reportingTimeframe.endDate"), report.end_ns)
    )


def holds(span: Span, at_ns: int) -> bool:
    """Return whether a time lies within the bounds, which are exclusive (MEF's `.gt` and `.lt`)."""
    return (span.after_ns is None or at_ns > span.after_ns) and (
        span.before_ns is None or at_ns < span.before_ns
    )


def find_body(report: Report, context: ApiContext) -> dict[str, Any]:
    """Return W143's PerformanceReport_Find."""
    value, units, _ = report.granularity
    objective, kpi = report.item.objective, report.item.kpi
    configuration: dict[str, Any] = {
        "@type": CONFIGURATION_TYPE,
        "objectiveName": objective.name,
        "kpiName": objective.kpi,
    }
    if kpi is not None:
        configuration["windowMilliseconds"] = kpi.window_ns // 1_000_000
    return {
        "id": report.id,
        "creationDateTime": rfc3339(context.started_ns),
        "description": f"{objective.name} of {report.service_id}",
        "granularity": {"timeDurationValue": value, "timeDurationUnits": units},
        "monitoredObject": [{"@type": "ServiceRef", "serviceId": report.service_id}],
        "outputFormat": "json",
        "performanceJob": {"@type": "PerformanceJobRef", "performanceJobId": report.job_id},
        "reportingTimeframe": {
            "reportingStartDate": rfc3339(report.start_ns),
            "reportingEndDate": rfc3339(report.end_ns),
        },
        "resultFormat": "payload",
        "serviceSpecificConfiguration": configuration,
        "state": STATE,
    }


async def full_body(report: Report, context: ApiContext, base: str) -> dict[str, Any]:
    """Return W143's PerformanceReport; periods of which nothing is known are left out."""
    period_ns = report.granularity[2] * NS_PER_SECOND
    within = Span(after_ns=report.start_ns, before_ns=report.end_ns)
    found = await context.assurance.measurements(
        report.service_id, report.item.objective.name, period_ns, within, PERIODS_MAX
    )
    items = [
        {
            "measurementTime": {
                "measurementStartDate": rfc3339(measurement.start_ns),
                "measurementEndDate": rfc3339(measurement.end_ns),
            },
            "measurementData": [result_body(report.item, measurement)],
        }
        for measurement in found
    ]
    body = find_body(report, context)
    body["href"] = f"{base}{PREFIX}/performanceReport/{report.id}"
    body["reportContent"] = [
        {"monitoredObject": body["monitoredObject"][0], "reportContentItem": items}
    ]
    return body
