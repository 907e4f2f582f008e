"""MEF LSO Legato alarm management v3 (W146): the service-affecting alarms of the caller's services, read-only.

Threshold crossings carry the published TCA attributes. Their reading here: the PM metric calculation interval is
the KPI's granularity period; SET when all of `1 + raise_after / granularity` consecutive intervals are beyond the
bound, CLEAR when none of `1 + clear_after / granularity` is beyond the bound eased by the hysteresis.
"""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.context import Caller, Source, base_url
from api.mef import ERRORS, PAGING, Parameter, Query, answer, answer_page, later, times
from api.mef_words import (
    ALARM_STATES,
    ALARM_TYPES,
    PLANNED_OUTAGE,
    PROBABLE_CAUSES,
    SEVERITIES,
)
from api.metric_names import metric_name
from api.ports import Assurance
from api.problem import not_found
from api.scopes import Principal
from trimtab.domain.alarm import Alarm, AlarmState, AlarmType, PerceivedSeverity
from trimtab.domain.managed_object import ObjectKind, parse_object_id
from trimtab.domain.service import Comparator
from trimtab.domain.time import rfc3339
from trimtab.store.questions import AlarmFilter, ObjectiveState, Page

PREFIX = "/mefApi/legato/alarmManagement/v3"
SYSTEM_ID = "trimtab"
OBJECT_TYPE = "Service"
TCA_SET = "urn:mef:lso:spec:service:tca-stateful-set-alarm:v1.0.0:all"
TCA_CLEAR = "urn:mef:lso:spec:service:tca-stateful-clear-alarm:v1.0.0:all"
PARAMETERS = (
    Parameter("id"),
    *times("alarmChangedTime", "alarmClearedTime", "alarmReportingTime"),
    Parameter("alarmType", ALARM_TYPES),
    Parameter("alarmedObjectType"),
    Parameter("perceivedSeverity", SEVERITIES),
    Parameter("plannedOutageIndicator", PLANNED_OUTAGE),
    Parameter("reportingSystemId"),
    Parameter("serviceAffecting", form="boolean"),
    Parameter("state", ALARM_STATES),
    Parameter("affectedServiceId"),
    Parameter("correlatedAlarmId"),
    *PAGING,
)
OURS = frozenset(AlarmType)

router = APIRouter(prefix=PREFIX, tags=["MEF LSO Legato alarms"], responses=ERRORS)


@router.get(
    "/alarm",
    response_class=Response,
    openapi_extra={"parameters": [parameter.schema() for parameter in PARAMETERS]},
)
async def list_alarms(request: Request, source: Source, principal: Caller) -> Response:
    """List or find alarms, oldest first (W146 listAlarms)."""
    query = Query(request, PARAMETERS)
    wanted, throttled = query.page()
    where = _filter(query, principal)
    page: Page[Alarm] = Page((), 0)
    if where is not None:
        page = await source.alarms(where, wanted)
    base = base_url(request)
    return answer_page(page, throttled, lambda alarm: common_body(alarm, base))


def _filter(query: Query, principal: Principal) -> AlarmFilter | None:
    """Return what to look for, None when nothing of ours can match."""
    service_id = query.text("affectedServiceId")
    never = (
        query.text("plannedOutageIndicator") is not None  # Trimtab never sets it
        or query.text("correlatedAlarmId")
        is not None  # nor this: incidents tell what belongs together
        or query.boolean("serviceAffecting") is False
        or query.text("alarmedObjectType") not in {None, OBJECT_TYPE}
        or query.text("reportingSystemId") not in {None, SYSTEM_ID}
        or query.text("alarmType") not in {None, *OURS}
        or (service_id is not None and not principal.owns(service_id))
    )
    if never:
        return None
    alarm_type, severity, state = (
        query.text(name) for name in ("alarmType", "perceivedSeverity", "state")
    )
    return AlarmFilter(
        tenant=principal.tenant,
        id=query.text("id"),
        object_id=service_id,
        alarm_type=AlarmType(alarm_type) if alarm_type else None,
        severity=PerceivedSeverity(severity) if severity else None,
        state=AlarmState(state) if state else None,
        service_affecting=True,
        changed=query.span("alarmChangedTime"),
        cleared=query.span("alarmClearedTime"),
        reported=query.span("alarmReportingTime"),
    )


@router.get("/alarm/{id}", response_class=Response)
async def retrieve_alarm(id: str, request: Request, source: Source, principal: Caller) -> Response:
    """Return one alarm with its threshold crossing (W146 retrieveAlarm)."""
    alarm = await source.alarm(id)
    if alarm is None or not alarm.service_affecting or not principal.owns(alarm.object_id):
        raise not_found(f"alarm {id}")
    return answer(await full_body(alarm, base_url(request), source))


later(router, [("POST", "/hub"), ("GET", "/hub/{id}"), ("DELETE", "/hub/{id}")])


def common_body(alarm: Alarm, base: str) -> dict[str, Any]:
    """Return W146's Alarm_Common."""
    body: dict[str, Any] = {
        "id": alarm.id,
        "href": f"{base}{PREFIX}/alarm/{alarm.id}",
        "alarmDetails": alarm.text,
        "alarmRaisedTime": rfc3339(alarm.raised_at_ns),
        "alarmReportingTime": rfc3339(alarm.reported_at_ns),
        "alarmChangedTime": rfc3339(alarm.changed_at_ns),
        "alarmType": alarm.alarm_type.value,
        "alarmedObjectType": OBJECT_TYPE,
        "perceivedSeverity": alarm.severity.value,
        "serviceAffecting": alarm.service_affecting,
        "state": alarm.state.value,
        "affectedService": [{"id": alarm.object_id}],
        "reportingSystemId": SYSTEM_ID,
    }
    if alarm.cleared_at_ns is not None:
        body["alarmClearedTime"] = rfc3339(alarm.cleared_at_ns)
    return body


async def full_body(alarm: Alarm, base: str, source: Assurance) -> dict[str, Any]:
    """Return W146's Alarm."""
    body = common_body(alarm, base)
    body["alarmedObject"] = [{"id": alarm.object_id, "@referredType": OBJECT_TYPE}]
    body["isRootCause"] = False  # a service suffers; its causes are the provider's
    body["sourceSystemId"] = SYSTEM_ID
    body["specificProblem"] = alarm.symptom or alarm.objective
    if alarm.probable_cause in PROBABLE_CAUSES:
        body["probableCause"] = alarm.probable_cause
    crossing = await _crossing(alarm, source)
    if crossing is not None:
        body["alarmSpecificAttributes"] = crossing
    return body


async def _crossing(alarm: Alarm, source: Assurance) -> dict[str, Any] | None:
    """Return the TCA attributes; None without a value to state, or once the objective is gone."""
    if alarm.value is None or alarm.alarm_type is not AlarmType.QUALITY_OF_SERVICE:
        return None
    if parse_object_id(alarm.object_id)[1] is not ObjectKind.SERVICE:
        return None
    state = await source.service(alarm.object_id)
    found = [o for o in state.objectives if o.objective.name == alarm.objective] if state else []
    if not found or found[0].kpi is None:
        return None
    return _tca(alarm, found[0])


def _tca(alarm: Alarm, item: ObjectiveState) -> dict[str, Any] | None:
    objective, kpi = item.objective, item.kpi
    if kpi is None:
        return None
    cleared = alarm.state is AlarmState.CLEARED
    hold_ns = objective.clear_after_ns if cleared else objective.raise_after_ns
    intervals = 1 + -(-hold_ns // kpi.granularity_ns)
    ease = objective.hysteresis if cleared else 0.0
    if objective.comparator is Comparator.AT_MOST:
        ease = -ease
    return {
        "@type": TCA_CLEAR if cleared else TCA_SET,
        "performanceMetricName": metric_name(kpi),
        "performanceMetricValue": alarm.value,
        "tcaPerformanceThresholdValue": alarm.bound + ease,
        "tcaWindowThresholdValue": 0 if cleared else intervals,
        "tcaWindowSize": intervals,
    }
