"""W143 reports that are completed: one for each whole period of a service, with MEF 10.4's metrics over it."""

from typing import Any

from api.sls_results import amount_of, objective_member
from trimtab.domain.identity import content_id
from trimtab.domain.service import Comparator
from trimtab.domain.sls import PairPerformance, Performance, SlsReport, measured_by
from trimtab.domain.time import NS_PER_MILLISECOND, NS_PER_SECOND, rfc3339
from trimtab.store.questions import ObjectiveState, ServiceState

PERIOD_RESULTS_TYPE = "urn:trimtab:spec:service:ce-sls-period-results:v1.0.0:all"
PERIOD_CONFIGURATION_TYPE = "urn:trimtab:spec:service:ce-sls-period-configuration:v1.0.0:all"
COMPLETED = "completed"
_UNITS = ((86_400, "DAY"), (3_600, "HOUR"), (60, "MIN"), (1, "SEC"))


def period_job_id(service_id: str, length_ns: int) -> str:
    """Return the id of the standing job behind a service's reports of one length."""
    return content_id("job", service_id, "sls", length_ns)


def duration_body(duration_ns: int) -> dict[str, Any]:
    """Return a TimeDuration in the largest unit that spells it exactly."""
    for seconds, unit in _UNITS:
        count, rest = divmod(duration_ns, seconds * NS_PER_SECOND)
        if count and not rest:
            return {"timeDurationValue": count, "timeDurationUnits": unit}
    return {
        "timeDurationValue": duration_ns // NS_PER_MILLISECOND,
        "timeDurationUnits": "MS",
    }


def completed_find_body(report: SlsReport) -> dict[str, Any]:
    """Return W143's PerformanceReport_Find."""
    length_ns, terms = report.end_ns - report.start_ns, report.terms
    job = {
        "@type": "PerformanceJobRef",
        "performanceJobId": period_job_id(report.object_id, length_ns),
    }
    return {
        "id": report.context.id,
        "creationDateTime": rfc3339(report.reckoned_at_ns),
        "description": f"service level metrics of {report.object_id}",
        "granularity": duration_body(length_ns),
        "monitoredObject": [_service_ref(report.object_id)],
        "outputFormat": "json",
        "performanceJob": job,
        "reportingTimeframe": {
            "reportingStartDate": rfc3339(report.start_ns),
            "reportingEndDate": rfc3339(report.end_ns),
        },
        "resultFormat": "payload",
        "serviceSpecificConfiguration": {
            "@type": PERIOD_CONFIGURATION_TYPE,
            "slotMilliseconds": terms.slot_ns // NS_PER_MILLISECOND,
            "lossThreshold": terms.loss_threshold_ratio,
            "consecutiveSlots": terms.consecutive_slots,
            "highLossRun": terms.high_loss_run,
            "separationMilliseconds": terms.separation_ns // NS_PER_MILLISECOND,
        },
        "state": COMPLETED,
    }


def completed_full_body(report: SlsReport, state: ServiceState, href: str) -> dict[str, Any]:
    """Return W143's PerformanceReport: the service as a whole, then each ordered pair."""
    body = completed_find_body(report)
    whole = {
        **_metrics(report, report.service),
        "groupAvailability": [
            {"name": group.name} | _some("availability", "ratio", group.ratio)
            for group in report.groups
        ],
        "objectives": [_objective(item, report) for item in state.objectives],
    }
    body["href"] = href
    body["reportContent"] = [
        _content(report, _service_ref(report.object_id), whole),
        *(
            _content(report, _pair_ref(report, pair), {
                **_metrics(report, pair.performance), "orderedPair": pair.pair,
            })
            for pair in report.pairs
        ),
    ]  # fmt: skip
    return body


def _service_ref(service_id: str) -> dict[str, Any]:
    return {"@type": "ServiceRef", "serviceId": service_id}


def _pair_ref(report: SlsReport, pair: PairPerformance) -> dict[str, Any]:
    labels = dict(pair.labels)
    if "from" in labels and "to" in labels:
        return {
            "@type": "ServiceFromToRef",
            "serviceFrom": {"serviceFromId": labels["from"]},
            "serviceTo": {"serviceToId": labels["to"]},
        }
    return _service_ref(report.object_id)


def _content(report: SlsReport, monitored: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    time = {
        "measurementStartDate": rfc3339(report.start_ns),
        "measurementEndDate": rfc3339(report.end_ns),
    }
    item = {"measurementTime": time, "measurementData": [data]}
    return {"monitoredObject": monitored, "reportContentItem": [item]}


def _some(name: str, unit: str, value: float | None) -> dict[str, Any]:
    """Return a member, none at all for what was not measured."""
    return {} if value is None else {name: amount_of(unit, value)}


def _metrics(report: SlsReport, found: Performance) -> dict[str, Any]:
    body: dict[str, Any] = {
        "@type": PERIOD_RESULTS_TYPE,
        "suspect": report.suspect,
        "slots": found.slots,
        "slotsKnown": found.slots_known,
        "slotsAvailable": found.slots_available,
        "framesSent": found.frames_sent,
        "framesLost": found.frames_lost,
        "exact": found.exact,
        "frameDelay": [
            {"percentile": percentile} | _some("measured", "seconds", seconds)
            for percentile, seconds in found.frame_delay
        ],
    }
    body |= _some("meanFrameDelay", "seconds", found.mean_frame_delay)
    body |= _some("frameDelayRange", "seconds", found.frame_delay_range)
    body |= _some("interFrameDelayVariation", "seconds", found.inter_frame_delay_variation)
    body |= _some("frameLossRatio", "ratio", found.frame_loss_ratio)
    body |= _some("availability", "ratio", found.availability_ratio)
    for name, count in (
        ("highLossIntervals", found.high_loss_intervals),
        ("consecutiveHighLossIntervals", found.consecutive_high_loss_intervals),
    ):
        if count is not None:
            body[name] = count
    return body


def _objective(item: ObjectiveState, report: SlsReport) -> dict[str, Any]:
    value = measured_by(item.kpi, report) if item.kpi is not None else None
    body: dict[str, Any] = {"objectiveName": item.objective.name}
    if value is not None:
        at_most = item.objective.comparator is Comparator.AT_MOST
        body["fulfilled"] = (
            value <= item.objective.bound if at_most else value >= item.objective.bound
        )
    return body | objective_member(item, value)
