"""Silence: objects that may matter to an incident, and of which nothing at all is known."""

from collections.abc import Mapping, Sequence

from analytics.binding import kind_of
from analytics.cause import GONE, is_service
from analytics.measures import Key
from analytics.topology import Dependencies
from trimtab.domain.assessment import FulfilmentStatus, Trouble
from trimtab.domain.configuration import Configuration


def unknown_beneath(
    troubled: Mapping[str, Sequence[Trouble]],
    troubles: Mapping[Key, Trouble],
    dependencies: Dependencies,
    configuration: Configuration | None,
) -> tuple[str, ...]:
    """Return the objects beneath the troubled ones of which nothing at all is known.

    `troubles` are all that there are. The silence of what rests on something that is known to be gone is explained: no
    link speaks without the router that it ends in.
    """
    silent: dict[str, set[str]] = {}
    for (name, objective), trouble in troubles.items():
        if trouble.status is FulfilmentStatus.INDETERMINATE:
            silent.setdefault(name, set()).add(objective)
    if not silent:
        return ()
    known = {name for (name, _), trouble in troubles.items() if trouble.active}
    below = {name for above in troubled for name in dependencies.support_of(above)}
    gone = [
        name
        for name, found in troubled.items()
        if any(item.active and item.symptom in GONE for item in found)
    ]
    return tuple(
        name
        for name in sorted((below & silent.keys()) - known)
        if not is_service(name)
        and silent[name] >= _expected_of(name, configuration)
        and not any(dependencies.rests_on(name, cause) for cause in gone)
    )


def _expected_of(object_id: str, configuration: Configuration | None) -> set[str]:
    """Return the objectives that an object must answer to, as the assessor expects them."""
    if configuration is None:
        return set()
    kind = kind_of(object_id)
    whole = {item.name: not item.where for item in configuration.kpis if item.object_kind == kind}
    return {
        item.name
        for item in configuration.objectives
        if (item.object_id == object_id and item.kpi in whole)
        or (item.object_id is None and item.object_kind == kind and whole.get(item.kpi, False))
    }
