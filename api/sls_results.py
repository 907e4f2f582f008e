"""Our own `@type` for W143 reports: SLS metrics as measured, with MEF's property names.

A value that was not measured is absent and the result is suspect: never zero.
"""

import json
from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from api.metric_names import direction_of, metric_of
from api.problem import not_found
from api.responses import READS
from trimtab.store.questions import Measurement, ObjectiveState

RESULTS_TYPE = "urn:trimtab:spec:service:ce-sls-monitoring-results:v1.0.0:all"
CONFIGURATION_TYPE = "urn:trimtab:spec:service:ce-sls-monitoring-configuration:v1.0.0:all"
SCHEMAS = frozenset(
    {
        "ce-sls-monitoring-results-v1.0.0.json",
        "ce-sls-monitoring-configuration-v1.0.0.json",
        "ce-sls-period-results-v1.0.0.json",
        "ce-sls-period-configuration-v1.0.0.json",
    }
)
MICROSECONDS = 1_000_000
PERCENT = 100
DIGITS = 9  # of a percentage: enough for one frame in ten thousand million

router = APIRouter(prefix="/schemas", tags=["MEF LSO Legato performance"], responses=READS)


@router.get("/{name}", response_class=Response)
async def get_schema(name: str) -> Response:
    """Return a published JSON Schema; its `$id` is the `@type` of what it describes."""
    if name not in SCHEMAS:
        raise not_found(f"schema {name}")
    schema = json.loads(files("api").joinpath("schemas", name).read_text("utf-8"))
    return JSONResponse(schema, media_type="application/schema+json")


def result_body(item: ObjectiveState, measurement: Measurement) -> dict[str, Any]:
    """Return the result of one period of one objective."""
    unknown = measurement.value is None
    body: dict[str, Any] = {
        "@type": RESULTS_TYPE,
        "objectiveName": item.objective.name,
        "suspect": measurement.suspect or unknown or measurement.known < measurement.windows,
        "windows": measurement.windows,
        "windowsKnown": measurement.known,
        "windowsFulfilled": measurement.met,
    }
    return body | objective_member(item, measurement.value)


def objective_member(item: ObjectiveState, value: float | None) -> dict[str, Any]:
    """Return an objective's metric with its bound and what was measured, under the name that MEF has for it."""
    metric = metric_of(item.kpi) if item.kpi else None
    if item.kpi is None or metric is None:
        other: dict[str, Any] = {"kpiName": item.objective.kpi, "objective": item.objective.bound}
        if item.kpi is not None:
            other["unit"] = item.kpi.unit
        if value is not None:
            other["measured"] = value
        return {"kpi": other}
    direction, unit = direction_of(item.kpi), item.kpi.unit
    capital = direction[0].upper() + direction[1:]
    inner: dict[str, Any] = {
        f"{direction}{metric.short}Objective": amount_of(unit, item.objective.bound)
    }
    if metric.percentile and item.kpi.percentile is not None:
        inner[f"{direction}{metric.short}Percentile"] = item.kpi.percentile
    if value is not None:
        inner[f"measured{capital}{metric.short}"] = amount_of(unit, value)
    return {f"{direction}{metric.long}": inner}


def amount_of(unit: str, value: float) -> object:
    """Return a delay as TimeDuration in microseconds, a ratio in percent, as CarrierEthernetSls has them."""
    if unit == "seconds":
        return {"timeDurationValue": round(value * MICROSECONDS), "timeDurationUnits": "US"}
    return round(value * PERCENT, DIGITS)
