"""The walk from any value to what caused it, and to what was done about it. The provider's own."""

from fastapi import APIRouter

from api.context import Caller, Source
from api.problem import not_found
from api.responses import READS
from api.view import Time, View, time_or_none
from trimtab.store.questions import ExplainStep

router = APIRouter(prefix="/api/v1/explain", tags=["explain"], responses=READS)


class StepView(View):
    """One link of the walk."""

    id: str
    parent_id: str | None
    kind: str
    at: Time | None
    text: str

    @classmethod
    def of(cls, step: ExplainStep) -> "StepView":
        """Build from the port's value."""
        return cls(
            id=step.id,
            parent_id=step.parent_id,
            kind=step.kind,
            at=time_or_none(step.at_ns),
            text=step.text,
        )


class ExplanationView(View):
    """Causes from the value up, effects in the order in which they followed."""

    subject: StepView
    causes: list[StepView]
    effects: list[StepView]


@router.get("/{value_id}")
async def explain(value_id: str, source: Source, principal: Caller) -> ExplanationView:
    """Explain an alarm, incident, decision, action, verification or assessment by its id."""
    found = await source.explain(value_id) if principal.provider else None
    if found is None:
        raise not_found(f"value {value_id}")
    return ExplanationView(
        subject=StepView.of(found.subject),
        causes=[StepView.of(step) for step in found.causes],
        effects=[StepView.of(step) for step in found.effects],
    )
