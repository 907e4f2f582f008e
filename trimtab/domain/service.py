"""What was promised to whom: services, service level specifications and objectives (MEF 10.4, MEF 61.1)."""

from dataclasses import dataclass, field
from enum import StrEnum

from trimtab.domain.alarm import AlarmType, PerceivedSeverity
from trimtab.domain.managed_object import ObjectKind
from trimtab.domain.sls import SlsTerms
from trimtab.domain.time import NS_PER_SECOND


class Comparator(StrEnum):
    """Say on which side of the bound a value fulfils its objective."""

    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class ServiceLevelObjective:
    """Bound a KPI, for one object (`object_id`) or for every object of `object_kind`.

    On a service it is a promise and a breach raises a service-affecting alarm. On a resource it is a
    health condition, and a breach is trouble called `symptom`, which the correlator may name as a cause.
    The value leaves NOT_FULFILLED only when it is better than the bound by `hysteresis` (in the KPI's
    unit), and either change must hold for `raise_after_ns` / `clear_after_ns` by the windows' own time.
    """

    name: str
    object_kind: ObjectKind
    kpi: str
    comparator: Comparator
    bound: float
    object_id: str | None = None
    hysteresis: float = 0.0
    raise_after_ns: int = 0
    clear_after_ns: int = 2 * NS_PER_SECOND
    severity: PerceivedSeverity = PerceivedSeverity.MAJOR
    alarm_type: AlarmType = AlarmType.QUALITY_OF_SERVICE
    probable_cause: str = "thresholdCrossed"
    symptom: str = ""
    target_ratio: float = (
        0.99  # share of the SLS interval's granularity periods that must be fulfilled
    )
    burn_rate_alarms: bool = False  # on a service: tell when the error budget goes too fast

    @property
    def trouble_name(self) -> str:
        """Return what the breach is called: the symptom, or the objective's own name."""
        return self.symptom or self.name


@dataclass(frozen=True, slots=True)
class Service:
    """Describe a service of one tenant: what carries it, over which interval its SLS is reckoned, and how."""

    id: str
    tenant: str
    name: str
    uses: tuple[str, ...] = ()
    interval_ns: int = 30 * 24 * 3_600 * NS_PER_SECOND
    labels: tuple[tuple[str, str], ...] = ()
    sls: SlsTerms = field(default_factory=SlsTerms)

    @property
    def periods_ns(self) -> tuple[int, ...]:
        """Return the lengths of the reported periods: measurement interval and, if a multiple, SLS interval."""
        shortest = self.sls.measurement_interval_ns
        if self.interval_ns <= shortest:
            return (self.interval_ns,)
        return (shortest,) if self.interval_ns % shortest else (shortest, self.interval_ns)
