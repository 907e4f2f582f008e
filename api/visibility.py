"""What a caller gets to see: a tenant its own services, and of everything else only that it exists.

A cause outside the tenant's services reads "provider infrastructure" (DESIGN section 4); what is not
the caller's is 404, never 403.
"""

from dataclasses import replace

from api.problem import not_found
from api.scopes import Principal
from trimtab.domain.alarm import Alarm
from trimtab.domain.assessment import Assessment
from trimtab.domain.incident import Cause, Incident
from trimtab.domain.sls import SlsReport
from trimtab.store.questions import Streamed, StreamEvent

PROVIDER_INFRASTRUCTURE = "provider infrastructure"


def provider_only(principal: Principal, what: str) -> None:
    """Let only the provider's view pass; to a tenant the thing does not exist."""
    if not principal.provider:
        raise not_found(what)


def incident_for(principal: Principal, incident: Incident | None) -> Incident | None:
    """Return an incident as the caller may see it, None when no service of theirs is touched."""
    if incident is None or principal.provider:
        return incident
    services = tuple(item for item in incident.services if principal.owns(item))
    if not services:
        return None
    return replace(
        incident,
        services=services,
        alarm_ids=(),  # they may name alarms of others; one's own are listed by service
        troubled=_own_or_infrastructure(principal, incident.troubled),
        causes=_causes_for(principal, incident.causes),
        unknown=_own_or_infrastructure(principal, incident.unknown),
    )


def _own_or_infrastructure(principal: Principal, ids: tuple[str, ...]) -> tuple[str, ...]:
    own = tuple(item for item in ids if principal.owns(item))
    return own if len(own) == len(ids) else (*own, PROVIDER_INFRASTRUCTURE)


def _causes_for(principal: Principal, causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """Keep causes among the tenant's own services, and melt all others into one without detail."""
    own = [
        replace(cause, explains=_own_or_infrastructure(principal, cause.explains))
        for cause in causes
        if principal.owns(cause.object_id)
    ]
    others = [cause for cause in causes if not principal.owns(cause.object_id)]
    if others:
        first = others[0]
        own.append(
            Cause(
                object_id=PROVIDER_INFRASTRUCTURE,
                symptom="",
                score=first.score,
                confidence=first.confidence,
                since_ns=first.since_ns,
                explains=tuple(item for item in first.explains if principal.owns(item)),
                evidence=(),
            )
        )
    return tuple(own)


def streamed_for(principal: Principal, value: Streamed) -> Streamed | None:
    """Return a streamed value as the caller may see it, None when it is not theirs."""
    if principal.provider:
        return value
    if isinstance(value, Assessment | Alarm | SlsReport):
        return value if principal.owns(value.object_id) else None
    if isinstance(value, Incident):
        return incident_for(principal, value)
    return None


def events_for(principal: Principal, events: tuple[StreamEvent, ...]) -> list[StreamEvent]:
    """Return the events that a caller may see, as they may see them."""
    return [
        StreamEvent(event.id, value)
        for event in events
        if (value := streamed_for(principal, event.value)) is not None
    ]
