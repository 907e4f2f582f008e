"""What a webhook tells people besides the action: the decision with its evidence, and the incident with its causes."""

from collections.abc import Mapping
from typing import Any

from api.views import DecisionView, IncidentView
from trimtab.domain.action import Action
from trimtab.errors import StoreError
from trimtab.store.read_model import ReadModel


def evidence_of(model: ReadModel, action: Action) -> Mapping[str, Any] | None:
    """Return the decision and incident behind an action as JSON types; None while the read model lacks them."""
    try:
        decision = model.decision(action.decision_id)
        incident = model.incident(action.incident_id)
    except StoreError:
        return None
    if decision is None:
        return None
    return {
        "decision": DecisionView.of(decision).model_dump(mode="json"),
        "incident": None if incident is None else IncidentView.of(incident).model_dump(mode="json"),
    }
