"""What is known now, as expressions see it (policies/names.py): absent where nothing is known."""

from typing import Any

from policies.containment import Containment
from policies.state import Check, State
from trimtab.domain.alarm import AlarmState
from trimtab.domain.assessment import ANOMALY, Assessment, FulfilmentStatus
from trimtab.domain.incident import Cause, Incident
from trimtab.domain.time import NS_PER_SECOND, seconds_from_ns

KPI_STALE_NS = 10 * NS_PER_SECOND  # beyond twice its window: what was not renewed is not known
VALUE_CHARACTERS_MAX = 300


class Facts:
    """Views of the state at one moment."""

    def __init__(self, state: State, containment: Containment, now_ns: int) -> None:
        self._state = state
        self._containment = containment
        self._now_ns = now_ns

    def condition_names(self, incident: Incident) -> dict[str, Any]:
        """Return what `when` and `unless` see."""
        causes = [self.cause(cause) for cause in incident.causes]
        services = [self.service(item) for item in incident.services]
        return {
            "incident": self._incident(incident),
            "cause": causes[0] if causes else {},
            "causes": causes,
            "kpi": causes[0]["kpi"] if causes else {},
            "services": services,
            "service": services[0] if services else {},
            "alarms": self._alarms(incident),
        }

    def verify_names(self, incident: Incident, check: Check) -> dict[str, Any]:
        """Return what `verify.expect` sees: services and cause as the ladder was started for."""
        names = self.condition_names(incident)
        suffering = sorted({*check.services, *incident.services})
        services = [self.service(item) for item in suffering]
        matters = check.cause.symptom if check.cause is not None else ""
        cause = self.cause(check.cause) if check.cause is not None else {}
        return names | {
            "cause": cause,
            "kpi": cause.get("kpi", {}),
            "services": services,
            "service": services[0] if services else {},
            "target": self.thing(check.action.target_id, matters),
            "action": {
                "kind": check.action.kind.value,
                "age_seconds": self._age(check.ended_at_ns),
            },
        }

    def thing(self, object_id: str, matters: str = "") -> dict[str, Any]:
        """Return the view of any managed object; `matters` as in `healthy`."""
        tenant, _, rest = object_id.partition("/")
        kind, _, name = rest.partition("/")
        symptoms = self.symptoms(object_id)
        view: dict[str, Any] = {
            "object": object_id,
            "kind": kind,
            "name": name,
            "tenant": tenant,
            "troubles": _with(symptoms, FulfilmentStatus.NOT_FULFILLED),
            "unknown": _with(symptoms, FulfilmentStatus.INDETERMINATE),
            "kpi": self._kpis(object_id),
        }
        healthy = self.healthy(object_id, matters)
        if healthy is not None:
            view["healthy"] = healthy
        return view

    def healthy(self, object_id: str, matters: str = "") -> bool | None:
        """Return whether an object and its parts show no symptom; None when that can't be told.

        With `matters`, only that symptom's silence counts: an idle VNFC has no drop ratio, and is well all the same.
        """
        seen = [
            status
            for item in (object_id, *self._containment.parts(object_id))
            for symptom, status in self.symptoms(item).items()
            # An anomaly alone makes nobody ill, unless it is the very symptom that is asked for.
            if symptom in (matters, "")
            or (symptom != ANOMALY and (status is FulfilmentStatus.NOT_FULFILLED or not matters))
        ]
        if FulfilmentStatus.NOT_FULFILLED in seen:
            return False
        return None if FulfilmentStatus.INDETERMINATE in seen else True

    def cause(self, cause: Cause) -> dict[str, Any]:
        """Return the view of a cause."""
        view = self.thing(cause.object_id)
        view |= {
            "symptom": cause.symptom,
            "confidence": float(cause.confidence),
            "score": float(cause.score),
            "age_seconds": self._age(cause.since_ns),
            "explains": list(cause.explains),
            "guests": list(self._containment.guests(cause.object_id)),
        }
        optional = {
            "value": cause.value,
            "bound": cause.bound,
            "vnf": self._containment.whole(cause.object_id),
            "host": self._containment.host(cause.object_id),
        }
        return view | {key: value for key, value in optional.items() if value is not None}

    def service_status(self, service_id: str) -> FulfilmentStatus | None:
        """Return a service's status over its objectives; None when it was never assessed."""
        seen = {item.observed for item in self.objectives(service_id)}
        for status in (
            FulfilmentStatus.NOT_FULFILLED,
            FulfilmentStatus.INDETERMINATE,
            FulfilmentStatus.FULFILLED,
        ):
            if status in seen:
                return status
        return None

    def service(self, service_id: str) -> dict[str, Any]:
        """Return the view of a service."""
        tenant, _, rest = service_id.partition("/")
        status = self.service_status(service_id) or FulfilmentStatus.INDETERMINATE
        view: dict[str, Any] = {
            "object": service_id,
            "name": rest.partition("/")[2],
            "tenant": tenant,
            "status": status.value,
            "objectives": [self._objective(item) for item in self.objectives(service_id)],
            "kpi": self._kpis(service_id),
        }
        if status is not FulfilmentStatus.INDETERMINATE:
            view["fulfilled"] = status is FulfilmentStatus.FULFILLED
        return view

    def objectives(self, service_id: str) -> list[Assessment]:
        """Return a service's latest assessments, by objective."""
        return [item for _, item in sorted(self._state.assessments.get(service_id, {}).items())]

    def symptoms(self, object_id: str) -> dict[str, FulfilmentStatus]:
        """Return what an object is known to show (NOT_FULFILLED), and what can't be told of it."""
        shown: dict[str, FulfilmentStatus] = {}
        for trouble in self._state.troubles.get(object_id, {}).values():
            if trouble.active or trouble.symptom not in shown:
                shown[trouble.symptom] = trouble.status
        return dict(sorted(shown.items()))

    def _kpis(self, object_id: str) -> dict[str, float]:
        return {
            name: kpi.value
            for name, kpi in sorted(self._state.kpis.get(object_id, {}).items())
            if kpi.value is not None
            and self._now_ns - kpi.end_ns <= 2 * kpi.window_ns + KPI_STALE_NS
        }

    def measured(self, services: tuple[str, ...], target_id: str) -> tuple[tuple[str, str], ...]:
        """Return, as texts, what a verification compares: objectives, and the target's symptoms."""
        rows = [
            (f"{item.object_id} {item.objective}", _assessed(item))
            for service in services
            for item in self.objectives(service)
        ]
        rows.append((f"{target_id} troubles", spelled_value(list(self.symptoms(target_id)))))
        return tuple(rows)

    def _objective(self, item: Assessment) -> dict[str, Any]:
        view: dict[str, Any] = {
            "name": item.objective,
            "kpi": item.kpi,
            "status": item.observed.value,
            "bound": float(item.bound),
            "age_seconds": self._age(item.since_ns),
        }
        if item.value is not None:
            view["value"] = float(item.value)
        if item.predicted is not None:
            view["predicted"] = item.predicted.value
        if item.budget_left_ratio is not None:
            view["budget_left_ratio"] = float(item.budget_left_ratio)
        return view

    def _incident(self, incident: Incident) -> dict[str, Any]:
        return {
            "id": incident.id,
            "state": incident.state.value,
            "age_seconds": self._age(incident.opened_at_ns),
            "services": list(incident.services),
            "troubled": list(incident.troubled),
            "unknown": list(incident.unknown),
        }

    def _alarms(self, incident: Incident) -> list[dict[str, Any]]:
        views = []
        for alarm_id in incident.alarm_ids:
            alarm = self._state.alarms.get(alarm_id)
            if alarm is None:
                continue
            view: dict[str, Any] = {
                "id": alarm.id,
                "object": alarm.object_id,
                "objective": alarm.objective,
                "symptom": alarm.symptom,
                "severity": alarm.severity.value,
                "acknowledged": alarm.state is AlarmState.ACKNOWLEDGED,
                "service_affecting": alarm.service_affecting,
                "bound": float(alarm.bound),
                "age_seconds": self._age(alarm.raised_at_ns),
            }
            if alarm.value is not None:
                view["value"] = float(alarm.value)
            views.append(view)
        return views

    def _age(self, since_ns: int) -> float:
        return seconds_from_ns(max(0, self._now_ns - since_ns))


def evidence(paths: tuple[str, ...], names: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the values of the names that an expression reads, as texts; absent ones say so."""
    rows = []
    for path in paths:
        value: Any = names
        for step in path.replace("]", "").replace("[", ".").split("."):
            if isinstance(value, list) and step.isdigit() and int(step) < len(value):
                value = value[int(step)]
            elif isinstance(value, dict) and step in value:
                value = value[step]
            else:
                value = None
                break
        rows.append((path, "absent" if value is None else spelled_value(value)))
    return tuple(rows)


def spelled_value(value: Any) -> str:
    """Return a value as a short text."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, list):
        text = ", ".join(spelled_value(item) for item in value) or "none"
    elif isinstance(value, dict):
        text = _headline(value)
    else:
        text = str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[: VALUE_CHARACTERS_MAX - 3] + "..."


def _headline(view: dict[str, Any]) -> str:
    named = view.get("object") or view.get("name") or view.get("id")
    if named is None:
        return ", ".join(f"{key}={spelled_value(item)}" for key, item in sorted(view.items()))
    said = view.get("status") or view.get("symptom") or ""
    return f"{named} {said}".strip()


def _with(symptoms: dict[str, FulfilmentStatus], status: FulfilmentStatus) -> list[str]:
    return [symptom for symptom, found in symptoms.items() if found is status]


def _assessed(item: Assessment) -> str:
    value = "no value" if item.value is None else f"{item.value:.6g} {item.unit}"
    return f"{item.observed.value} ({value}, bound {item.bound:.6g})"
