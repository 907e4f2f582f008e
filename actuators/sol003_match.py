"""Which operation occurrence of a VNFM did an action of ours start?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.domain.time import ns_from_rfc3339

ACTION_ID = "trimtabActionId"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What our request said.

    `aspect` empty: we named none; `steps` is what was asked before clamping; `vnf_id` None: only the VNFC is known.
    """

    action_id: str
    vnf_id: str | None
    operation: str  # HEAL or SCALE
    direction: str  # SCALE_OUT or SCALE_IN, of a scale
    aspect: str
    steps: int
    vnfc_id: str | None


def match_occurrence(
    occurrences: Sequence[dict[str, Any]], wanted: Wanted
) -> tuple[dict[str, Any] | None, str]:
    """Return the occurrence, or None and why not.

    One that echoes our id is ours. One that echoes another id, that echoes parameters without ours, or that the
    VNFM started by itself, is not. Of the rest, a single one with the same operation and parameters is taken; two are
    one too many to tell which.
    """
    alike = [
        item for item in occurrences
        if item.get("operation") == wanted.operation
        and wanted.vnf_id in (None, item.get("vnfInstanceId"))
    ]  # fmt: skip
    echoing = [item for item in alike if _extra(item).get(ACTION_ID) == wanted.action_id]
    if echoing:
        first = min(echoing, key=started_ns)
        more = f"; {len(echoing)} occurrences echo it" if len(echoing) > 1 else ""
        return first, f"echoes our id{more}"
    silent = [
        item
        for item in alike
        if not _extra(item)
        and item.get("isAutomaticInvocation") is not True
        and _same(item.get("operationParams"), wanted)
    ]
    if len(silent) == 1:
        return silent[0], "matched by operation and parameters"
    if silent:
        return None, f"ambiguous: {len(silent)} occurrences have these parameters, none our id"
    return None, f"none of {len(occurrences)} occurrences since the intent matches"


def started_ns(occurrence: dict[str, Any]) -> int:
    """Return startTime; one that can't be read counts as just now, so that it is looked at."""
    try:
        return ns_from_rfc3339(str(occurrence.get("startTime", "")))
    except (ValueError, OverflowError):
        return 2**63 - 1


def _extra(occurrence: dict[str, Any]) -> dict[str, Any]:
    parameters = occurrence.get("operationParams")
    extra = parameters.get("additionalParams") if isinstance(parameters, dict) else None
    return extra if isinstance(extra, dict) else {}


def _same(parameters: Any, wanted: Wanted) -> bool:
    if not isinstance(parameters, dict):
        return False
    if wanted.operation == "HEAL":
        healed = parameters.get("vnfcInstanceId") or []
        return healed == ([wanted.vnfc_id] if wanted.vnfc_id is not None else [])
    steps = parameters.get("numberOfSteps", 1)
    return (
        parameters.get("type") == wanted.direction
        and (not wanted.aspect or parameters.get("aspectId") == wanted.aspect)
        and isinstance(steps, int)
        and 1 <= steps <= wanted.steps
    )
