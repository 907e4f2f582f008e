"""Actions: an intent with its idempotency key and life, and the remote operation that it started."""

from dataclasses import dataclass, replace
from enum import StrEnum

from trimtab.domain.context import Context
from trimtab.domain.policy import ActionKind
from trimtab.errors import IllegalTransition


class ActionState(StrEnum):
    """The life of an action. INTENDED is durable before SENDING, SENDING before the first byte leaves."""

    PROPOSED = "proposed"  # awaits a person
    INTENDED = "intended"  # ours alone: nothing has left
    SENDING = "sending"  # bytes may have left; after a crash the target is asked
    DEFERRED = "deferred"  # the target refused for now (503, 429, 409); may be sent again
    ACCEPTED = "accepted"  # the target started an operation
    SUCCEEDED = (
        "succeeded"  # the operation completed; whether it helped is the verification's to say
    )
    FAILED = "failed"
    UNKNOWN = "unknown"  # may or may not have been accepted: people take it, it is never re-sent
    CANCELLED = "cancelled"  # by a person, before anything was sent, or rejected


_OVER: frozenset[ActionState] = frozenset()
TRANSITIONS: dict[ActionState, frozenset[ActionState]] = {
    ActionState.PROPOSED: frozenset({ActionState.INTENDED, ActionState.CANCELLED}),
    ActionState.INTENDED: frozenset({ActionState.SENDING, ActionState.CANCELLED, ActionState.FAILED}),
    ActionState.SENDING: frozenset(
        {ActionState.ACCEPTED, ActionState.SUCCEEDED, ActionState.DEFERRED, ActionState.FAILED,
         ActionState.UNKNOWN}
    ),
    ActionState.DEFERRED: frozenset(
        {ActionState.INTENDED, ActionState.CANCELLED, ActionState.FAILED}
    ),
    ActionState.ACCEPTED: frozenset({ActionState.SUCCEEDED, ActionState.FAILED, ActionState.UNKNOWN}),
    ActionState.SUCCEEDED: _OVER,
    ActionState.FAILED: _OVER,
    ActionState.UNKNOWN: _OVER,
    ActionState.CANCELLED: _OVER,
}  # fmt: skip
TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)


@dataclass(frozen=True, slots=True)
class Operation:
    """The remote operation that an action started (SOL003 VnfLcmOpOcc, a Nova migration).

    `state` is the target's own word; `done` and `succeeded` are our reading of it.
    """

    actuator: str
    reference: str  # the target's id or URL of the operation
    state: str
    done: bool
    succeeded: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """Intend one change to one object. `id` doubles as idempotency key and is echoed where a target allows.

    `native_ids` are the target's aliases when decided (source -> native id); `deadline_ns` is the time at
    which people are called if the operation is not over. `attempt` counts sends (1 is the first); only a refusal
    (DEFERRED) leads to another.
    """

    context: Context
    id: str
    decision_id: str
    incident_id: str
    kind: ActionKind
    target_id: str
    actuator: str
    state: ActionState
    created_at_ns: int
    changed_at_ns: int
    deadline_ns: int
    parameters: tuple[tuple[str, str], ...] = ()
    native_ids: tuple[tuple[str, str], ...] = ()
    attempt: int = 1
    operation: Operation | None = None
    detail: str = ""

    def transition(
        self,
        to: ActionState,
        at_ns: int,
        detail: str = "",
        operation: Operation | None = None,
    ) -> "Action":
        """Return the action in its next state. Raises IllegalTransition when that is not allowed."""
        if to not in TRANSITIONS[self.state]:
            raise IllegalTransition("action", self.id, self.state, to)
        again = self.state is ActionState.DEFERRED and to is ActionState.INTENDED
        return replace(
            self,
            state=to,
            changed_at_ns=at_ns,
            detail=detail,
            operation=operation or self.operation,
            attempt=self.attempt + 1 if again else self.attempt,
        )

    def parameter(self, name: str, default: str = "") -> str:
        """Return a parameter's text, or the default."""
        return dict(self.parameters).get(name, default)

    def native_id(self, source: str) -> str | None:
        """Return the target's native id at a source, None when it had none."""
        return dict(self.native_ids).get(source)


@dataclass(frozen=True, slots=True)
class ActionResult:
    """Report, as a journaled input, how an action stands with its target.

    `state` is one of SENDING, DEFERRED (with `retry_after_ns` from `at_ns`), ACCEPTED, SUCCEEDED, FAILED, UNKNOWN.
    """

    action_id: str
    state: ActionState
    at_ns: int
    detail: str = ""
    operation: Operation | None = None
    retry_after_ns: int | None = None
