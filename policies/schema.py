"""The shape of a policy file and of a profile, and the JSON Schema that editors complete by."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policies.timings import CATEGORIES
from trimtab.domain.policy import (
    LADDER_RUNGS_MAX,
    ActionKind,
    ActionStep,
    Guard,
    PolicyMode,
    TargetSelector,
)

FORMAT = 1
TEXT_MAX = 500
PARAMETERS_MAX = 20
SCHEMA_ID = "https://trimtab.invalid/policy.schema.json"

Text = Annotated[str, Field(max_length=TEXT_MAX)]
Timing = Annotated[
    str, Field(description="a duration (250ms, 30s, 5m) or a name of the profile", max_length=40)
]
_GUARD = Guard(cooldown_ns=0, actions_per_hour_max=1)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Step(_Part):
    """How one rung acts."""

    target: TargetSelector = Field(
        TargetSelector.CAUSE, description="what to act on, seen from the first cause"
    )
    actuator: Text = Field("", description="an actuator's name; default: the one for this kind")
    parameters: Annotated[dict[str, Text], Field(max_length=PARAMETERS_MAX)] = Field(
        default_factory=dict, description="what the actuator is told besides, as texts"
    )
    deadline: Timing = Field("", description="how long the operation may take")
    retry: Timing = Field("", description="wait after a refusal that names no time itself")


class Rung(_Part):
    """One rung of the ladder: exactly one of these keys."""

    heal: Step | None = Field(None, description="SOL003 heal")
    scale_out: Step | None = Field(None, description="SOL003 scale out")
    scale_in: Step | None = Field(None, description="SOL003 scale in")
    migrate: Step | None = Field(None, description="live migration away from its host")
    notify: Step | None = Field(None, description="tell by webhook, then go on")
    hand_over: Step | None = Field(None, description="give the incident to people: the last rung")

    @model_validator(mode="after")
    def _exactly_one(self) -> "Rung":
        given = [kind for kind in ActionKind if getattr(self, kind.value) is not None]
        if len(given) != 1:
            kinds = ", ".join(kind.value for kind in ActionKind)
            raise ValueError(f"a rung has {len(given)} actions; give exactly one of {kinds}")
        return self

    def chosen(self) -> tuple[ActionKind, Step]:
        """Return the one action that is given."""
        for kind in ActionKind:
            step = getattr(self, kind.value)
            if step is not None:
                return kind, step
        raise ValueError("a rung without an action passed validation")


class GuardPart(_Part):
    """Bounds that are never bypassed."""

    cooldown: Timing = Field(
        ..., description="between two ladders of this policy on the same cause"
    )
    actions_per_hour: int = Field(..., ge=1, le=1_000, description="budget of this policy")
    concurrency: int = Field(
        _GUARD.concurrency_max, ge=1, le=100, description="ladders of this policy at once"
    )
    blast_radius: int = Field(
        _GUARD.blast_radius_max,
        ge=1,
        le=1_000,
        description="objects of the target's kind in trouble or under action at once",
    )
    common_cause: int = Field(
        _GUARD.common_cause_max,
        ge=1,
        le=1_000,
        description="objects of the cause's kind that show the cause's symptom at once",
    )
    confidence: float = Field(
        _GUARD.confidence_min, ge=0, le=1, description="least confidence in the cause"
    )
    approval: bool = Field(_GUARD.approval, description="ask a person first")


class VerifyPart(_Part):
    """When an action counts as having helped."""

    expect: Text = Field(..., min_length=1, description="CEL; see docs/policies.md")
    settle: Timing = Field(..., description="wait after the operation's end before looking")
    hold: Timing = Field(..., description="how long `expect` must hold without a break")
    within: Timing = Field(..., description="how long after the operation's end it may take")


class PolicyFile(_Part):
    """One policy, as a file."""

    format: int = Field(..., ge=1, le=FORMAT, description="version of this shape")
    policy: str = Field(..., pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="its name")
    description: Text = ""
    mode: PolicyMode = Field(..., description="how far it may go")
    priority: int = Field(5, ge=1, le=10, description="10 is the most important")
    when: Text = Field(..., min_length=1, description="CEL; see docs/policies.md")
    for_: Timing = Field(..., alias="for", description="how long `when` must hold")
    unless: Text = Field("", description="CEL; while it is true the policy does not apply")
    do: Annotated[list[Rung], Field(min_length=1, max_length=LADDER_RUNGS_MAX)] = Field(
        ..., description="the ladder: the next rung follows when one did not help"
    )
    guard: GuardPart
    verify: VerifyPart


class ProfileFile(_Part):
    """Named timings, as a file."""

    format: int = Field(..., ge=1, le=FORMAT)
    profile: str = Field(..., pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    description: Text = ""
    timings: dict[str, dict[str, str]]

    @model_validator(mode="after")
    def _known_categories(self) -> "ProfileFile":
        odd = sorted(set(self.timings) ^ set(CATEGORIES))
        if odd:
            raise ValueError(
                f"timings are not for exactly {', '.join(CATEGORIES)}; see to {', '.join(odd)}"
            )
        return self


def action_step(kind: ActionKind, step: Step, deadline_ns: int, retry_ns: int) -> ActionStep:
    """Return a rung as the domain has it."""
    return ActionStep(
        kind=kind,
        target=step.target,
        actuator=step.actuator,
        parameters=tuple(sorted(step.parameters.items())),
        deadline_ns=deadline_ns,
        retry_ns=retry_ns,
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy file."""
    schema = PolicyFile.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Trimtab policy",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def json_schema_text() -> str:
    """Return the schema as it is committed in policies/policy.schema.json."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"
