"""What is under way with the world: a fold over the journal, so that a restart knows where each action stood."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Self

from trimtab.domain.action import TERMINAL, Action, ActionResult, ActionState, Operation
from trimtab.domain.codec import from_plain, to_plain
from trimtab.errors import TrimtabError

FORMAT = 1
CLAIMS_MAX = 1000


class Stage(IntEnum):
    """How far an attempt got; within one attempt it only grows."""

    INTENDED = 0
    SENDING = 1
    DEFERRED = 2
    ACCEPTED = 3


_STAGES = {
    ActionState.INTENDED: Stage.INTENDED,
    ActionState.SENDING: Stage.SENDING,
    ActionState.DEFERRED: Stage.DEFERRED,
    ActionState.ACCEPTED: Stage.ACCEPTED,
}


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One action that is not over: its latest content, how far its attempt got, and since when it may have left.

    `sent_at_ns` is the time of the attempt's SENDING, None before.
    """

    action: Action
    stage: Stage
    sent_at_ns: int | None = None
    operation: Operation | None = None


class ActionLedger:
    """Fold Action outputs and ActionResult inputs, in the journal's order, into what is still under way.

    An attempt's results may stand in the journal before the Decider's own Action that says the same, so
    an Action never takes an attempt back; only a higher attempt starts it anew. `claims` says whose a remote
    operation is (the latest CLAIMS_MAX), over or not: a later action must not take it for its own.
    """

    def __init__(self) -> None:
        self._entries: dict[str, LedgerEntry] = {}
        self.claims = Claims()

    def apply(self, value: object) -> None:
        """Take one journaled value; anything but an Action or ActionResult is passed over."""
        if isinstance(value, Action):
            self._apply_action(value)
        elif isinstance(value, ActionResult):
            self._apply_result(value)

    def _apply_action(self, action: Action) -> None:
        known = self._entries.get(action.id)
        if action.state in TERMINAL:
            self._entries.pop(action.id, None)
            return
        stage = _STAGES.get(action.state)
        if stage is None:  # PROPOSED: a person's turn
            return
        if known is None:
            # Only an intent opens an entry: a late echo of an action that is over must not revive it.
            if stage is Stage.INTENDED:
                self._entries[action.id] = LedgerEntry(action, stage)
        elif action.attempt > known.action.attempt:
            self._entries[action.id] = LedgerEntry(action, stage)
        elif action.attempt == known.action.attempt:
            self._entries[action.id] = replace(
                known,
                action=action,
                stage=max(stage, known.stage),
                operation=known.operation or action.operation,
            )

    def _apply_result(self, result: ActionResult) -> None:
        if result.operation is not None:
            self.claims.add(result.operation, result.action_id)
        known = self._entries.get(result.action_id)
        if known is None:
            return
        if result.state in TERMINAL:
            del self._entries[result.action_id]
            return
        stage = _STAGES.get(result.state)
        if stage is None or stage <= known.stage:
            return
        sent_at_ns = result.at_ns if stage is Stage.SENDING else known.sent_at_ns
        self._entries[result.action_id] = replace(
            known, stage=stage, sent_at_ns=sent_at_ns, operation=result.operation or known.operation
        )

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[LedgerEntry]:
        """Go through what is under way, in the order in which it was intended."""
        return iter(tuple(self._entries.values()))

    def get(self, action_id: str) -> LedgerEntry | None:
        """Return an action's entry, None when it is over or was never intended."""
        return self._entries.get(action_id)

    def snapshot(self) -> bytes:
        """Return the whole state; equal states give equal bytes."""
        entries = [
            {
                "action": to_plain(entry.action),
                "stage": entry.stage.value,
                "sent_at_ns": entry.sent_at_ns,
                "operation": None if entry.operation is None else to_plain(entry.operation),
            }
            for entry in self._entries.values()
        ]
        plain = {"format": FORMAT, "entries": entries, "claims": self.claims.plain()}
        return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def restore(cls, blob: bytes) -> Self:
        """Return a ledger in the state of a snapshot. Raises TrimtabError when it is of another format."""
        plain = json.loads(blob)
        if plain.get("format") != FORMAT:
            raise TrimtabError(f"an action ledger of format {plain.get('format')}, not {FORMAT}")
        ledger = cls()
        for item in plain["entries"]:
            entry = _entry(item)
            ledger._entries[entry.action.id] = entry
        ledger.claims = Claims(plain["claims"])
        return ledger


class Claims:
    """Remember which action each of the latest remote operations belongs to."""

    def __init__(self, known: Sequence[Sequence[str]] = ()) -> None:
        self._owners = {(actuator, reference): owner for actuator, reference, owner in known}

    def add(self, operation: Operation, action_id: str) -> None:
        """Note an operation's action; the first one to claim it keeps it."""
        self._owners.setdefault((operation.actuator, operation.reference), action_id)
        while len(self._owners) > CLAIMS_MAX:
            del self._owners[next(iter(self._owners))]

    def owner(self, operation: Operation) -> str | None:
        """Return the action that an operation is known to belong to."""
        return self._owners.get((operation.actuator, operation.reference))

    def plain(self) -> list[list[str]]:
        """Return (actuator, reference, action) rows, oldest first."""
        return [[*place, owner] for place, owner in self._owners.items()]


def _entry(item: dict[str, Any]) -> LedgerEntry:
    operation = item["operation"]
    return LedgerEntry(
        action=from_plain(item["action"]),
        stage=Stage(item["stage"]),
        sent_at_ns=item["sent_at_ns"],
        operation=None if operation is None else from_plain(operation),
    )
