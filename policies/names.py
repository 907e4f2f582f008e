"""The names that `when`, `unless` and `verify.expect` see: public, fixed here, printed in docs/policies.md.

A name that is optional is absent when nothing is known; an expression that needs it is UNKNOWN then. Numbers
are doubles, in SI units.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class View:
    """Name a structure that expressions see, and its fields."""

    name: str
    fields: dict[str, "Name"]


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one kind of thing."""

    item: "Shape"


@dataclass(frozen=True, slots=True)
class KpiMap:
    """KPI values by KPI name; a KPI without a fresh value is absent."""


@dataclass(frozen=True, slots=True)
class Name:
    """One field: its shape, what it means, whether it may be absent."""

    shape: "Shape"
    text: str
    optional: bool = False


Shape: TypeAlias = str | View | ListOf | KpiMap
STRING, DOUBLE, BOOL = "string", "double", "bool"

_OBJECT = {
    "object": Name(STRING, "id of the managed object, `tenant/kind/name`"),
    "kind": Name(STRING, "`host`, `vm`, `vnfc`, `vnf`, `link`, `ns` or `service`"),
    "name": Name(STRING, "the last part of the id"),
    "tenant": Name(STRING, "the first part of the id"),
    "troubles": Name(ListOf(STRING), "symptoms that it is known to show now"),
    "unknown": Name(ListOf(STRING), "symptoms whose sources are silent"),
    "healthy": Name(
        BOOL,
        "it and its parts show no symptom; absent when one of them can't be told",
        optional=True,
    ),
    "kpi": Name(KpiMap(), "its KPI values by name"),
}
OBJECTIVE = View(
    "objective",
    {
        "name": Name(STRING, "the objective's name"),
        "kpi": Name(STRING, "the KPI that it bounds"),
        "status": Name(STRING, "`FULFILLED`, `NOT_FULFILLED` or `INDETERMINATE`, as observed"),
        "value": Name(DOUBLE, "the KPI's value, in its SI unit", optional=True),
        "bound": Name(DOUBLE, "the bound, in the same unit"),
        "age_seconds": Name(DOUBLE, "since when the status holds"),
        "predicted": Name(
            STRING,
            "the status that a forecast expects: `NOT_FULFILLED` for a KPI that heads for its bound,"
            " `INDETERMINATE` after a step",
            optional=True,
        ),
        "budget_left_ratio": Name(
            DOUBLE, "error budget left: 1 untouched, 0 spent, negative beyond", optional=True
        ),
    },
)
SERVICE = View(
    "service",
    {
        "object": _OBJECT["object"],
        "name": _OBJECT["name"],
        "tenant": _OBJECT["tenant"],
        "status": Name(
            STRING,
            "`NOT_FULFILLED` if any objective is, else `INDETERMINATE` if any is, else `FULFILLED`",
        ),
        "fulfilled": Name(BOOL, "status as a truth; absent when INDETERMINATE", optional=True),
        "objectives": Name(ListOf(OBJECTIVE), "its objectives"),
        "kpi": _OBJECT["kpi"],
    },
)
CAUSE = View(
    "cause",
    {
        **_OBJECT,
        "symptom": Name(STRING, "what is wrong with it, e.g. `process-gone`"),
        "confidence": Name(DOUBLE, "0..1, the margin over the next candidate"),
        "score": Name(DOUBLE, "how much it explains; comparable within one incident"),
        "value": Name(DOUBLE, "the value that showed the symptom", optional=True),
        "bound": Name(DOUBLE, "the bound that it broke", optional=True),
        "age_seconds": Name(DOUBLE, "since when it shows the symptom"),
        "explains": Name(ListOf(STRING), "ids of the troubled objects that it accounts for"),
        "vnf": Name(STRING, "id of the VNF that it is part of", optional=True),
        "host": Name(STRING, "id of the host that it runs on", optional=True),
        "guests": Name(ListOf(STRING), "ids of the VNFCs that run on it"),
    },
)
ALARM = View(
    "alarm",
    {
        "id": Name(STRING, "the alarm's id"),
        "object": _OBJECT["object"],
        "objective": Name(STRING, "the objective that is breached"),
        "symptom": Name(STRING, "what the breach is called"),
        "severity": Name(STRING, "`critical`, `major`, `minor`, `warning` or `indeterminate`"),
        "acknowledged": Name(BOOL, "a person has taken note of it"),
        "service_affecting": Name(BOOL, "a service suffers"),
        "value": Name(DOUBLE, "the value that raised it", optional=True),
        "bound": Name(DOUBLE, "the bound that it broke"),
        "age_seconds": Name(DOUBLE, "since when it is raised"),
    },
)
INCIDENT = View(
    "incident",
    {
        "id": Name(STRING, "the incident's id"),
        "state": Name(STRING, "`open` or `resolved`"),
        "age_seconds": Name(DOUBLE, "since when it is open"),
        "services": Name(ListOf(STRING), "ids of the services that suffer"),
        "troubled": Name(ListOf(STRING), "ids of all objects in trouble"),
        "unknown": Name(ListOf(STRING), "ids of objects that may matter and are silent"),
    },
)
TARGET = View(
    "target",
    _OBJECT
    | {
        "healthy": Name(
            BOOL,
            "it and its parts show no symptom; absent when the symptom that the ladder was"
            " started for can't be told",
            optional=True,
        )
    },
)
ACTION = View(
    "action",
    {
        "kind": Name(STRING, "`heal`, `scale_out`, `scale_in` or `migrate`"),
        "age_seconds": Name(DOUBLE, "since when its operation has ended"),
    },
)

CONDITION_NAMES: dict[str, Name] = {
    "incident": Name(INCIDENT, "the incident that is looked at"),
    "cause": Name(
        CAUSE, "its first cause; absent when no cause was found: use `causes`", optional=True
    ),
    "causes": Name(ListOf(CAUSE), "all ranked causes, the likeliest first"),
    "kpi": Name(KpiMap(), "the KPI values of the cause, by name; short for `cause.kpi`"),
    "services": Name(
        ListOf(SERVICE), "the services that suffer, or did since the ladder was started"
    ),
    "service": Name(SERVICE, "the first of them; absent when none suffers", optional=True),
    "alarms": Name(ListOf(ALARM), "the incident's alarms that are not cleared"),
}
VERIFY_NAMES: dict[str, Name] = {
    **CONDITION_NAMES,
    "cause": Name(CAUSE, "the cause that the ladder was started for"),
    "target": Name(TARGET, "what the action acted on"),
    "action": Name(ACTION, "the action that is verified"),
}

FUNCTIONS = (
    "size", "has", "in", "startsWith", "endsWith", "contains", "matches", "double", "int", "string",
    "all", "exists", "exists_one", "filter", "map", "max", "min",
)  # fmt: skip


def example(shape: Shape, kpis: Collection[str]) -> Any:
    """Return a value of a shape with everything present, for trying an expression out."""
    if isinstance(shape, View):
        return {key: example(name.shape, kpis) for key, name in shape.fields.items()}
    if isinstance(shape, ListOf):
        return [example(shape.item, kpis)]
    if isinstance(shape, KpiMap):
        return dict.fromkeys(sorted(kpis), 1.0)
    return {STRING: "text", DOUBLE: 1.0, BOOL: True}[shape]


def spelled(shape: Shape) -> str:
    """Return a shape as the documentation spells it."""
    if isinstance(shape, View):
        return shape.name
    if isinstance(shape, ListOf):
        return f"list of {spelled(shape.item)}"
    return "map of double" if isinstance(shape, KpiMap) else shape
