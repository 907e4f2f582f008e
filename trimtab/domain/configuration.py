"""The configuration as a value: what the machines are told, by content hash."""

from dataclasses import dataclass

from trimtab.domain.kpi import KpiDefinition, LabelMatcher
from trimtab.domain.managed_object import InventoryChange, ObjectKind
from trimtab.domain.policy import ActionKind
from trimtab.domain.service import Service, ServiceLevelObjective
from trimtab.domain.time import NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class BindingRule:
    """Bind the series that match to an object: by a template over their labels, or through an alias.

    `object_template` is e.g. `provider/vnfc/{vnfc}`. With `alias_source`, `object_template` gives the native id,
    and the alias valid at the sample's own time names the object. The first matching rule wins; a rule
    whose template names a label that the series lacks does not match.
    """

    matchers: tuple[LabelMatcher, ...]
    object_template: str
    alias_source: str = ""


@dataclass(frozen=True, slots=True)
class ActuatorBinding:
    """Name the default actuator for an action kind."""

    kind: ActionKind
    actuator: str


@dataclass(frozen=True, slots=True)
class AnomalyRule:
    """Watch KPIs for what is unlike them: those named, or all of every object; so many alarms a day and KPI at most.

    The budget is an average over days, for values that are far off; what was never seen before is spared it at first.
    The KPIs of each object of the kinds `together` are also judged by a model, learnt anew every `retrain_every_ns`.
    """

    alarms_per_day: float = 1.0
    kpis: tuple[str, ...] = ()
    together: tuple[ObjectKind, ...] = ()
    retrain_every_ns: int = 24 * 3_600 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that the machines need to know of `trimtab.yaml`; the plugins' own settings stay at the edge."""

    hash: str
    services: tuple[Service, ...]
    objectives: tuple[ServiceLevelObjective, ...]
    kpis: tuple[KpiDefinition, ...]
    bindings: tuple[BindingRule, ...]
    inventory: InventoryChange
    actuators: tuple[ActuatorBinding, ...] = ()
    late_after_ns: int = 2 * NS_PER_SECOND  # grace behind the watermark of (source, object)
    future_limit_ns: int = 10 * NS_PER_SECOND
    anomalies: AnomalyRule | None = None
