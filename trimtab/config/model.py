"""The shape of trimtab.yaml, as pydantic reads it: strict, every key known, durations as people write them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trimtab.config.duration import parse_duration
from trimtab.domain.alarm import AlarmType, PerceivedSeverity
from trimtab.domain.kpi import Statistic
from trimtab.domain.managed_object import ObjectKind, RelationKind, parse_object_id
from trimtab.domain.policy import ActionKind
from trimtab.domain.time import ns_from_rfc3339
from trimtab.quota import SERIES_MAX

FORMAT = 1
LIST_MAX = 10_000
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"


def _object_id(text: str) -> str:
    """Check that a text is `tenant/kind/name`."""
    try:
        parse_object_id(text)
    except ValueError:
        kinds = ", ".join(kind.value for kind in ObjectKind)
        raise ValueError(
            f"`{text}` is not an object's id; write tenant/kind/name, kind one of {kinds}"
        ) from None
    return text


def _format(number: int) -> int:
    """Refuse what a newer version wrote."""
    if number > FORMAT:
        raise ValueError(
            f"format {number} is newer than this version knows; upgrade Trimtab, or write {FORMAT}"
        )
    return number


def _duration(text: str) -> str:
    """Check that a text is a duration; it stays a text so that a message can show it."""
    parse_duration(text)
    return text


def _moment(value: Any) -> Any:
    """Check that a value is a time with an offset; YAML may have read it already."""
    if isinstance(value, str):
        ns_from_rfc3339(value)
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    raise ValueError("this is no time with an offset; write e.g. 2026-01-01T00:00:00Z")


ScopeName = Literal["read", "operate", "ingest", "metrics", "callback"]
ObjectId = Annotated[str, AfterValidator(_object_id)]
Duration = Annotated[str, AfterValidator(_duration)]
Moment = Annotated[str, BeforeValidator(_moment)]
Name = Annotated[str, Field(pattern=NAME)]


class Part(BaseModel):
    """Base of every section: unknown keys are errors, types are not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Objective(Part):
    """A bound on a KPI: exactly one of `at_most` and `at_least`, in the KPI's SI unit."""

    name: Name
    kpi: str
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    hysteresis: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    raise_after: Duration = "0"
    clear_after: Duration = "2s"
    severity: PerceivedSeverity = PerceivedSeverity.MAJOR
    alarm_type: AlarmType = AlarmType.QUALITY_OF_SERVICE
    probable_cause: str = "thresholdCrossed"
    target: float = Field(default=0.99, ge=0, le=1)
    burn_rate_alarms: bool = False

    @model_validator(mode="after")
    def _one_bound(self) -> "Objective":
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("an objective has one bound; give exactly one of at_most and at_least")
        return self


class Condition(Objective):
    """A health condition of every object of a kind; its breach is trouble called `symptom`."""

    of: ObjectKind
    symptom: Name


class MaintenancePart(Part):
    """An agreed span of time that counts for nothing: RFC 3339, with an offset."""

    model_config = ConfigDict(populate_by_name=True)

    begin: Moment = Field(alias="from")
    end: Moment = Field(alias="to")


class PairGroupPart(Part):
    """Sets of ordered pairs of which `least` are to be available at once; pairs as reports name them."""

    name: Name
    sets: list[list[str]] = Field(min_length=1, max_length=100)
    least: int = Field(default=1, ge=1, le=100)


class SlsPart(Part):
    """How a service's performance is reckoned for reports; what is not given follows from its objectives' KPIs."""

    measurement_interval: Duration = "15m"
    pair_labels: list[str] = Field(
        default_factory=lambda: ["from", "to", "direction"], min_length=1, max_length=8
    )
    slot: Duration | None = None
    loss_threshold: float | None = Field(default=None, ge=0, le=1)
    consecutive_slots: int | None = Field(default=None, ge=1, le=1_000)
    high_loss_run: int | None = None
    separation: Duration = "1s"
    late_after: Duration = "5s"
    maintenance: list[MaintenancePart] = Field(default_factory=list, max_length=1_000)
    groups: list[PairGroupPart] = Field(default_factory=list, max_length=100)


class ServicePart(Part):
    """A service of one tenant: what carries it, and what was promised."""

    id: ObjectId
    name: str = ""
    uses: list[ObjectId] = Field(default_factory=list, max_length=LIST_MAX)
    interval: Duration = "30d"
    labels: dict[str, str] = Field(default_factory=dict)
    objectives: list[Objective] = Field(min_length=1, max_length=100)
    sls: SlsPart | None = None


class RelationPart(Part):
    """`subject` suffers when `object` does."""

    subject: ObjectId
    relation: RelationKind
    object: ObjectId


class AliasPart(Part):
    """`native_id` is what `source` calls the object."""

    object: ObjectId
    source: str
    native_id: str


class TopologyPart(Part):
    """Inventory that no source tells of."""

    objects: list[ObjectId] = Field(default_factory=list, max_length=LIST_MAX)
    relations: list[RelationPart] = Field(default_factory=list, max_length=LIST_MAX)
    aliases: list[AliasPart] = Field(default_factory=list, max_length=LIST_MAX)


class KpiPart(Part):
    """A KPI of every object of a kind (`of`); see domain/kpi.py for the statistics."""

    name: Name
    of: ObjectKind
    series: str = Field(min_length=1)
    statistic: Statistic
    unit: str = Field(min_length=1)
    granularity: Duration | None = None
    window: Duration | None = None
    percentile: float | None = Field(default=None, gt=0, le=100)
    divisor: str | None = None
    where: dict[str, str] = Field(default_factory=dict)
    separation: int = Field(default=1, ge=1, le=1_000)
    slot: Duration = "1s"
    loss_threshold: float = Field(default=0.1, ge=0, le=1)
    consecutive_slots: int = Field(default=10, ge=1, le=1_000)
    samples_min: int = Field(default=1, ge=1)
    over: ObjectKind | None = None

    @model_validator(mode="after")
    def _complete(self) -> "KpiPart":
        percentiles = (Statistic.PERCENTILE, Statistic.RANGE, Statistic.VARIATION)
        if self.statistic in percentiles and self.percentile is None:
            raise ValueError(f"`{self.statistic.value}` needs a percentile; write percentile: 95.0")
        ratios = (Statistic.RATIO, Statistic.MEAN_RATIO)
        if self.statistic in ratios and self.divisor is None:
            raise ValueError(f"`{self.statistic.value}` divides; name the other series as divisor")
        if self.over is self.of:
            raise ValueError(
                f"a {self.of.value} has no parts of its own kind; leave `over` out, or name another"
            )
        return self


class BindingPart(Part):
    """Which series belong to which object: all of `match` hold (`~` in front of a value: a regex)."""

    match: dict[str, str] = Field(default_factory=dict)
    object: str = Field(min_length=1)
    alias_source: str = ""


class TokenPart(Part):
    """A credential of the API: its secret is in a file or in the environment, never here."""

    name: Name
    token_file: str | None = None
    token_env: str | None = None
    scopes: list[ScopeName] = ["read"]
    tenant: str | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> "TokenPart":
        if (self.token_file is None) == (self.token_env is None):
            raise ValueError(
                "a token's secret stands elsewhere; give one of token_file and token_env"
            )
        return self


class ApiPart(Part):
    """Where the API and the console listen, and who may call."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    public_url: str = ""
    cookie_secure: bool = False
    tokens: list[TokenPart] = Field(default_factory=list, max_length=256)


class StorePart(Part):
    """Where the journal and what is derived from it stand."""

    directory: str = "var/trimtab"


class LoopPart(Part):
    """How often the loop turns at least; results and commands turn it at once."""

    cadence: Duration = "1s"
    snapshot_every: Duration = "5m"


class LimitsPart(Part):
    """How many series may be awake: in all, of one source, of one tenant."""

    series: int = Field(default=SERIES_MAX, ge=1, le=SERIES_MAX)
    series_per_source: int = Field(default=SERIES_MAX, ge=1, le=SERIES_MAX)
    series_per_tenant: int = Field(default=SERIES_MAX, ge=1, le=SERIES_MAX)


class PoliciesPart(Part):
    """Which rules apply (`shipped`, files, folders), and which profile's timings."""

    paths: list[str] = Field(default_factory=lambda: ["shipped"])
    profile: str = "production"


class InfluxPart(Part):
    """An InfluxDB v2 write end point for KPIs and assessments."""

    url: str
    bucket: str
    organisation: str = ""
    token_file: str | None = None
    token_env: str | None = None
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)


class AnomaliesPart(Part):
    """Watch KPIs (all, or those named) for what is unlike them, within a budget of alarms a day and KPI."""

    alarms_per_day: float = Field(default=1.0, gt=0, le=1_000, allow_inf_nan=False)
    kpis: list[Name] = Field(default_factory=list, max_length=LIST_MAX)
    together: list[ObjectKind] = Field(default_factory=list, max_length=len(ObjectKind))
    retrain_every: Duration = "1d"


class KpiDefaults(Part):
    """Granularity and window of the KPIs that do not say their own."""

    granularity: Duration = "10s"
    window: Duration = "1m"


class File(Part):
    """trimtab.yaml."""

    format: Annotated[int, Field(ge=1), AfterValidator(_format)]
    tenants: list[Name] = Field(default_factory=list, max_length=LIST_MAX)
    services: list[ServicePart] = Field(default_factory=list, max_length=LIST_MAX)
    topology: TopologyPart = TopologyPart()
    kpi_defaults: KpiDefaults = KpiDefaults()
    kpis: list[KpiPart] = Field(default_factory=list, max_length=LIST_MAX)
    conditions: list[Condition] = Field(default_factory=list, max_length=LIST_MAX)
    anomalies: AnomaliesPart | None = None
    bindings: list[BindingPart] = Field(default_factory=list, max_length=LIST_MAX)
    collectors: list[dict[str, Any]] = Field(default_factory=list, max_length=LIST_MAX)
    actuators: list[dict[str, Any]] = Field(default_factory=list, max_length=LIST_MAX)
    actions: dict[ActionKind, str] = Field(default_factory=dict)
    policies: PoliciesPart = PoliciesPart()
    loop: LoopPart = LoopPart()
    limits: LimitsPart = LimitsPart()
    api: ApiPart = ApiPart()
    store: StorePart = StorePart()
    influx: InfluxPart | None = None
