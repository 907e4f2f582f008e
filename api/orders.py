"""Orders of people: from a request to a journaled command and back to an answer."""

import asyncio
import secrets
from typing import Annotated

from fastapi import Body, Depends, Header
from pydantic import Field

from api.context import Caller, Context
from api.problem import ApiError
from api.view import Time, View
from trimtab.domain.command import Command, CommandKind, CommandResult
from trimtab.domain.identity import content_id
from trimtab.domain.time import rfc3339

REASON_CHARACTERS_MAX = 500


class OrderBody(View):
    """Why something is ordered; kept in the journal with who ordered it."""

    reason: Annotated[str, Field(max_length=REASON_CHARACTERS_MAX)] = ""


class OrderView(View):
    """The loop's answer to an order."""

    command_id: str
    applied: bool
    reason: str
    at: Time

    @classmethod
    def of(cls, item: CommandResult) -> "OrderView":
        """Build from the domain's value."""
        return cls(
            command_id=item.command_id,
            applied=item.applied,
            reason=item.reason,
            at=rfc3339(item.at_ns),
        )


class Orders:
    """Places orders in the caller's name."""

    def __init__(
        self,
        context: Context,
        principal: Caller,
        body: Annotated[OrderBody | None, Body()] = None,
        idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
    ) -> None:
        self._context = context
        self._principal = principal
        self._reason = body.reason if body else ""
        self._key = idempotency_key or secrets.token_hex(16)

    async def place(self, kind: CommandKind, subject_id: str = "") -> OrderView:
        """Have a command journaled and stepped. Raises ApiError 409 when it is refused, 503 without an answer.

        The same `Idempotency-Key` from the same caller for the same order gives the same command id.
        """
        command = Command(
            id=content_id("command", self._principal.name, self._key, kind, subject_id),
            kind=kind,
            actor=self._principal.name,
            at_ns=self._context.now_ns(),
            subject_id=subject_id,
            reason=self._reason,
        )
        try:
            async with asyncio.timeout(self._context.settings.command_timeout_seconds):
                result = await self._context.submit(command)
        except TimeoutError as error:
            detail = (
                f"the loop has not answered command {command.id} in time; look before repeating"
            )
            raise ApiError(503, detail, headers={"Retry-After": "5"}) from error
        if not result.applied:
            raise ApiError(409, result.reason or "the loop refused this")
        return OrderView.of(result)


Ordering = Annotated[Orders, Depends(Orders)]
