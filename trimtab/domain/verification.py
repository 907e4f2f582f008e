"""Verifications: did the action help (ZSM 009)?"""

from dataclasses import dataclass
from enum import StrEnum

from trimtab.domain.context import Context


class Verdict(StrEnum):
    """What the measurements after an action say about it."""

    EFFECTIVE = "EFFECTIVE"
    INEFFECTIVE = "INEFFECTIVE"
    INCONCLUSIVE = "INCONCLUSIVE"  # nothing to judge by: telemetry was missing


@dataclass(frozen=True, slots=True)
class Verification:
    """Judge one action; `verdict` None while it is under way. `before` and `after` hold what was compared."""

    context: Context
    id: str
    action_id: str
    incident_id: str
    policy: str
    expect: str
    started_at_ns: int
    due_at_ns: int
    verdict: Verdict | None = None
    ended_at_ns: int | None = None
    before: tuple[tuple[str, str], ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    reason: str = ""
