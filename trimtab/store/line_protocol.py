"""KPIs and assessments as InfluxDB line protocol: one point a KPI or objective and granularity period.

A field keeps the type of its first write for ever, so each has one type: `i` for whole numbers, a decimal point for
all others. States are numbers (1 fulfilled, 0 not fulfilled, -1 indeterminate), which every store of time series
keeps; texts it may drop. What is absent has no field: the protocol knows no NaN.
"""

import math
import re
from collections.abc import Iterable

from trimtab.domain.assessment import Assessment, FulfilmentStatus
from trimtab.domain.kpi import Kpi

KPI_MEASUREMENT = "trimtab_kpi"
ASSESSMENT_MEASUREMENT = "trimtab_assessment"

_STATUS = {
    FulfilmentStatus.FULFILLED: 1,
    FulfilmentStatus.NOT_FULFILLED: 0,
    FulfilmentStatus.INDETERMINATE: -1,
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SPECIAL = re.compile(r"([,= ])")

Field = float | int | bool


def lines(values: Iterable[object]) -> list[str]:
    """Return a line for each KPI that has a value and for each assessment; everything else is passed over."""
    found = []
    for value in values:
        if isinstance(value, Kpi):
            if value.value is not None:
                found.append(_kpi(value))
        elif isinstance(value, Assessment):
            found.append(_assessment(value))
    return found


def _kpi(kpi: Kpi) -> str:
    tags = {**_identity(kpi.object_id), "kpi": kpi.name, "unit": kpi.unit}
    fields = {"value": kpi.value, "samples": kpi.samples, "suspect": kpi.suspect}
    return _line(KPI_MEASUREMENT, tags, fields, kpi.end_ns)


def _assessment(assessment: Assessment) -> str:
    tags = {
        **_identity(assessment.object_id),
        "objective": assessment.objective,
        "kpi": assessment.kpi,
        "unit": assessment.unit,
    }
    predicted = assessment.predicted
    fields = {
        "observed": _STATUS[assessment.observed],
        "compliance": _STATUS[assessment.compliance],
        "predicted": None if predicted is None else _STATUS[predicted],
        "value": assessment.value,
        "bound": float(assessment.bound),
        "budget_left_ratio": assessment.budget_left_ratio,
        "suspect": assessment.suspect,
    }
    return _line(ASSESSMENT_MEASUREMENT, tags, fields, assessment.end_ns)


def _identity(object_id: str) -> dict[str, str]:
    tenant, _, rest = object_id.partition("/")
    return {"tenant": tenant, "kind": rest.partition("/")[0], "object": object_id}


def _line(name: str, tags: dict[str, str], fields: dict[str, Field | None], time_ns: int) -> str:
    # Sorted tags are what the servers index fastest.
    tag_text = "".join(f",{key}={tag_value(tags[key])}" for key in sorted(tags) if tags[key])
    field_text = ",".join(
        f"{key}={_field_value(value)}" for key, value in fields.items() if _present(value)
    )
    return f"{name}{tag_text} {field_text} {time_ns}"


def tag_value(text: str) -> str:
    """Escape a tag's value. Control characters become spaces: a line break would start another point."""
    clean = _SPECIAL.sub(r"\\\1", _CONTROL.sub(" ", text))
    # A backslash at the end would escape the separator: let it escape a space of its own.
    return clean + " " if clean.endswith("\\") else clean


def _present(value: Field | None) -> bool:
    return value is not None and (not isinstance(value, float) or math.isfinite(value))


def _field_value(value: Field | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value}i" if isinstance(value, int) else repr(value)
