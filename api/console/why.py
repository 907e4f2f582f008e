"""Why a decision was taken: evidence, guards, causes, what was done, and whether it helped."""

from dataclasses import dataclass
from typing import Any

from api.console.words import ACTION_KIND, short, spaced
from api.ports import Assurance
from api.problem import not_found
from trimtab.domain.action import Action
from trimtab.domain.verification import Verification
from trimtab.store.questions import ActionFilter, DecisionFilter, PageRequest, VerificationFilter

ITEMS_MAX = 50


@dataclass(frozen=True, slots=True)
class Change:
    """One figure before and after an action."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Deed:
    """An action and its verifications."""

    action: Action
    title: str
    verifications: tuple[Verification, ...]


def changes(item: Verification) -> list[Change]:
    """Return a verification's figures side by side; what one side lacks is shown as absent."""
    before, after = dict(item.before), dict(item.after)
    names = list(dict.fromkeys([*before, *after]))
    return [Change(name, before.get(name, "–"), after.get(name, "–")) for name in names]


async def why(source: Assurance, decision_id: str) -> dict[str, Any]:
    """Return what the page shows. Raises ApiError 404 when there is no such decision."""
    decision = await source.decision(decision_id)
    if decision is None:
        raise not_found(f"decision {decision_id}")
    page = PageRequest(ITEMS_MAX)
    incident = await source.incident(decision.incident_id)
    deeds = []
    for action_id in decision.action_ids[:ITEMS_MAX]:
        action = await source.action(action_id)
        if action is None:
            continue
        found = await source.verifications(VerificationFilter(action_id=action_id), page)
        title = f"{ACTION_KIND[action.kind]} {short(action.target_id)}"
        deeds.append(Deed(action, title, found.items))
    same = await source.decisions(DecisionFilter(incident_id=decision.incident_id), page)
    title = deeds[0].title if deeds else spaced(decision.policy)
    return {
        "page": "decisions",
        "decision": decision,
        "title": title,
        "incident": incident,
        "deeds": deeds,
        "others": [item for item in reversed(same.items) if item.id != decision.id],
        "changes": changes,
    }


async def decision_list(source: Assurance, page: PageRequest) -> dict[str, Any]:
    """Return what the list of decisions shows."""
    found = await source.decisions(DecisionFilter(), page)
    actions = await source.actions(ActionFilter(), PageRequest(ITEMS_MAX))
    by_id = {action.id: action for action in actions.items}
    return {"page": "decisions", "found": found, "actions": by_id}
