"""From the file's sections to what the machines are told, with the checks that need more than one of them."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import replace

from trimtab.config.complaint import did_you_mean
from trimtab.config.document import Document
from trimtab.config.document import Path as At
from trimtab.config.duration import format_duration, parse_duration
from trimtab.config.kpi_library import LIBRARY
from trimtab.config.model import (
    AnomaliesPart,
    BindingPart,
    Condition,
    File,
    KpiDefaults,
    KpiPart,
    Objective,
    ServicePart,
    TopologyPart,
)
from trimtab.config.sls import sls_findings, terms_of
from trimtab.domain.codec import encode
from trimtab.domain.configuration import ActuatorBinding, AnomalyRule, BindingRule, Configuration
from trimtab.domain.kpi import KpiDefinition, LabelMatcher
from trimtab.domain.managed_object import (
    Alias,
    InventoryChange,
    ObjectKind,
    Relation,
    RelationKind,
    managed_object,
    parse_object_id,
)
from trimtab.domain.service import Comparator, Service, ServiceLevelObjective
from trimtab.errors import Finding

REGEX_MARK = "~"
INVENTORY_SOURCE = "trimtab.yaml"


def all_kpis(file: File) -> list[KpiPart]:
    """Return the file's KPIs, and those of the library that it does not define itself."""
    own = {item.name for item in file.kpis}
    return [*file.kpis, *(item for item in LIBRARY if item.name not in own)]


def cross_check(document: Document, file: File) -> list[Finding]:
    """Return what is wrong between the sections."""
    kpis = {item.name: item for item in all_kpis(file)}
    findings = [
        *_twice(document, "kpis", [item.name for item in file.kpis]),
        *_twice(document, "services", [item.id for item in file.services]),
        *_twice(document, "conditions", [item.name for item in file.conditions]),
    ]
    for index, service in enumerate(file.services):
        at: At = ("services", index)
        tenant, kind, _ = parse_object_id(service.id)
        if kind is not ObjectKind.SERVICE:
            findings.append(
                document.finding(
                    (*at, "id"), f"`{service.id}` is no service", f"write {tenant}/service/NAME"
                )
            )
        if file.tenants and tenant not in file.tenants:
            mend = did_you_mean(tenant, file.tenants, "tenants")
            findings.append(document.finding((*at, "id"), f"`{tenant}` is no tenant", mend))
        names = [item.name for item in service.objectives]
        findings.extend(_twice(document, (*at, "objectives"), names))
        for number, objective in enumerate(service.objectives):
            where = (*at, "objectives", number)
            findings.extend(_of_kind(document, where, objective, ObjectKind.SERVICE, kpis))
        findings.extend(sls_findings(document, at, service, terms_of(service, kpis)))
    for index, condition in enumerate(file.conditions):
        findings.extend(_of_kind(document, ("conditions", index), condition, condition.of, kpis))
    findings.extend(_windows(document, file))
    for index, name in enumerate(file.anomalies.kpis if file.anomalies else ()):
        if name not in kpis:
            mend = did_you_mean(name, kpis, "KPIs")
            at = ("anomalies", "kpis", index)
            findings.append(document.finding(at, f"there is no KPI `{name}`", mend))
    return findings


def check_actions(document: Document, file: File, actuators: Collection[str]) -> list[Finding]:
    """Return the actions whose actuator is not configured."""
    return [
        document.finding(
            ("actions", kind.value), f"no actuator `{name}` is configured",
            did_you_mean(name, actuators, "actuators"),
        )
        for kind, name in file.actions.items()
        if name not in actuators
    ]  # fmt: skip


def _twice(document: Document, at: str | At, names: list[str]) -> Iterable[Finding]:
    path: At = (at,) if isinstance(at, str) else at
    for index, name in enumerate(names):
        if name in names[:index]:
            yield document.finding((*path, index), f"`{name}` is given twice", "keep one of them")


def _of_kind(
    document: Document, at: At, item: Objective, kind: ObjectKind, kpis: dict[str, KpiPart]
) -> Iterable[Finding]:
    kpi = kpis.get(item.kpi)
    if kpi is None:
        fitting = [name for name, other in kpis.items() if other.of is kind]
        mend = did_you_mean(item.kpi, fitting, f"KPIs of a {kind.value}")
        yield document.finding((*at, "kpi"), f"there is no KPI `{item.kpi}`", mend)
    elif kpi.of is not kind:
        fitting = sorted(name for name, other in kpis.items() if other.of is kind)
        yield document.finding(
            (*at, "kpi"), f"`{item.kpi}` is a KPI of a {kpi.of.value}, not of a {kind.value}",
            f"take one of {', '.join(fitting) or 'none defined yet'}",
        )  # fmt: skip


def _windows(document: Document, file: File) -> Iterable[Finding]:
    for index, item in enumerate(file.kpis):
        granularity, window = _rhythm(item, file.kpi_defaults)
        if granularity <= 0 or window < granularity or window % granularity:
            text = (
                f"window {format_duration(window)} and granularity {format_duration(granularity)}"
            )
            yield document.finding(
                ("kpis", index), text, "make the window a multiple of the granularity"
            )
    granularity, window = (
        parse_duration(file.kpi_defaults.granularity), parse_duration(file.kpi_defaults.window),
    )  # fmt: skip
    if granularity <= 0 or window < granularity or window % granularity:
        yield document.finding(
            ("kpi_defaults",), "the default window is no multiple of the granularity", "make it one"
        )


def _rhythm(item: KpiPart, defaults: KpiDefaults) -> tuple[int, int]:
    granularity = parse_duration(item.granularity or defaults.granularity)
    return granularity, parse_duration(item.window or defaults.window)


def configuration(file: File) -> Configuration:
    """Return what the machines are told; its hash is of the content."""
    objectives = [
        _objective(item, ObjectKind.SERVICE, service.id)
        for service in file.services
        for item in service.objectives
    ]
    objectives.extend(_objective(item, item.of, None) for item in file.conditions)
    kpis = {item.name: item for item in all_kpis(file)}
    without_hash = Configuration(
        hash="",
        services=tuple(_service(item, kpis) for item in file.services),
        objectives=tuple(objectives),
        kpis=tuple(_kpi(item, file.kpi_defaults) for item in all_kpis(file)),
        bindings=tuple(_binding(item) for item in file.bindings),
        inventory=_inventory(file.topology, file.services),
        actuators=tuple(ActuatorBinding(kind, name) for kind, name in sorted(file.actions.items())),
        anomalies=_anomalies(file.anomalies),
    )
    digest = hashlib.blake2b(encode(without_hash), digest_size=10).hexdigest()
    return replace(without_hash, hash=digest)


def _anomalies(part: AnomaliesPart | None) -> AnomalyRule | None:
    if part is None:
        return None
    return AnomalyRule(
        float(part.alarms_per_day), tuple(part.kpis), tuple(part.together),
        parse_duration(part.retrain_every),
    )  # fmt: skip


def _service(item: ServicePart, kpis: dict[str, KpiPart]) -> Service:
    tenant, _, name = parse_object_id(item.id)
    return Service(
        item.id, tenant, item.name or name, tuple(item.uses), parse_duration(item.interval),
        tuple(sorted(item.labels.items())), terms_of(item, kpis),
    )  # fmt: skip


def _objective(item: Objective, kind: ObjectKind, object_id: str | None) -> ServiceLevelObjective:
    at_most = item.at_most is not None
    bound = item.at_most if item.at_most is not None else item.at_least
    return ServiceLevelObjective(
        name=item.name,
        object_kind=kind,
        kpi=item.kpi,
        comparator=Comparator.AT_MOST if at_most else Comparator.AT_LEAST,
        bound=float(bound or 0.0),
        object_id=object_id,
        hysteresis=float(item.hysteresis),
        raise_after_ns=parse_duration(item.raise_after),
        clear_after_ns=parse_duration(item.clear_after),
        severity=item.severity,
        alarm_type=item.alarm_type,
        probable_cause=item.probable_cause,
        symptom=item.symptom if isinstance(item, Condition) else "",
        target_ratio=float(item.target),
        burn_rate_alarms=item.burn_rate_alarms,
    )


def _kpi(item: KpiPart, defaults: KpiDefaults) -> KpiDefinition:
    granularity, window = _rhythm(item, defaults)
    return KpiDefinition(
        name=item.name,
        object_kind=item.of,
        series=item.series,
        statistic=item.statistic,
        unit=item.unit,
        granularity_ns=granularity,
        window_ns=window,
        percentile=None if item.percentile is None else float(item.percentile),
        divisor_series=item.divisor,
        where=_matchers(item.where),
        separation=item.separation,
        slot_ns=parse_duration(item.slot),
        loss_threshold_ratio=float(item.loss_threshold),
        consecutive_slots=item.consecutive_slots,
        samples_min=item.samples_min,
        over=item.over,
    )


def _binding(item: BindingPart) -> BindingRule:
    return BindingRule(_matchers(item.match), item.object, item.alias_source)


def _matchers(where: dict[str, str]) -> tuple[LabelMatcher, ...]:
    """Return matchers; a value that begins with `~` is a regex."""
    return tuple(
        LabelMatcher(label, value.removeprefix(REGEX_MARK), value.startswith(REGEX_MARK))
        for label, value in sorted(where.items())
    )


def _inventory(part: TopologyPart, services: list[ServicePart]) -> InventoryChange:
    ids = dict.fromkeys(part.objects)
    relations: list[Relation] = []
    for service in services:
        ids[service.id] = None
        for used in service.uses:
            ids[used] = None
            relations.append(Relation(service.id, RelationKind.USES, used))
    for item in part.relations:
        ids.update({item.subject: None, item.object: None})
        relations.append(Relation(item.subject, item.relation, item.object))
    aliases = [Alias(item.object, item.source, item.native_id, 0) for item in part.aliases]
    ids.update((item.object, None) for item in part.aliases)
    return InventoryChange(
        INVENTORY_SOURCE,
        0,
        tuple(managed_object(text) for text in sorted(ids)),
        tuple(aliases),
        tuple(relations),
    )
