"""A webhook: tell people or their tools, with the evidence, as JSON.

One POST a message, with the action's id as `Idempotency-Key`, so that a receiver can tell a repetition. With a secret,
`Trimtab-Signature: sha256=<hex>` is the HMAC-SHA256 of the body. The body (`format` 1):

    {"format": 1, "id": the action's id, "kind": "notify" | "hand_over", "sent_at": RFC 3339,
     "target": object id, "incident_id": ..., "decision_id": ..., "attempt": 1,
     "parameters": {of the policy's step}, "action": {the action as journaled},
     "evidence": {what the decision rested on} | null, "console_url": ... | null}
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlsplit

from pydantic import field_validator, model_validator

from actuators.exchange import Exchange, HttpConfig, NotSent, OutcomeUnknown, read_secret
from trimtab.domain.action import Action, Operation
from trimtab.domain.codec import to_plain
from trimtab.domain.policy import ActionKind
from trimtab.domain.time import rfc3339
from trimtab.errors import ActuatorError
from trimtab.ports import Clock, Found, Submission, SubmissionOutcome

FORMAT = 1
AGAIN_LATER = frozenset({409, 413, 425, 429, 503})
KINDS = frozenset({ActionKind.NOTIFY, ActionKind.HAND_OVER})
Explain = Callable[[Action], Mapping[str, Any] | None]


class Webhook:
    """A receiver of JSON. `explain` gives the evidence of an action's decision, as JSON."""

    kind: ClassVar[str] = "webhook"

    class Config(HttpConfig):
        """Where to post. `status_url`, with `{id}` in it, answers 200 for a message that arrived and 404 for another.

        Without it a message whose answer was lost can't be asked after: it ends UNKNOWN.
        """

        url: str
        status_url: str | None = None
        console_url: str | None = None
        signature_secret_file: str | None = None
        signature_secret_env: str | None = None

        @field_validator("url", "status_url", "console_url")
        @classmethod
        def _http(cls, text: str | None) -> str | None:
            if text is not None:
                parts = urlsplit(text)
                if parts.scheme not in ("http", "https") or not parts.hostname:
                    raise ValueError("write it as http(s)://host[:port]/path")
            return text

        @model_validator(mode="after")
        def _consistent(self) -> Self:
            if self.status_url is not None and "{id}" not in self.status_url:
                raise ValueError("status_url must hold {id}, where the action's id goes")
            if self.signature_secret_file is not None and self.signature_secret_env is not None:
                raise ValueError("give one of signature_secret_file and signature_secret_env")
            return self

    def __init__(
        self, name: str, config: Config, clock: Clock, explain: Explain | None = None
    ) -> None:
        self.name = name
        self._config = config
        self._clock = clock
        self._exchange = Exchange(config, clock)
        self.explain = explain

    async def submit(self, action: Action) -> Submission:
        """Post the message, once."""
        if action.kind not in KINDS:
            detail = f"a webhook tells, it does not {action.kind}"
            return Submission(SubmissionOutcome.FAILED, detail)
        body = json.dumps(self._message(action), sort_keys=True).encode()
        try:
            headers = self._headers(action, body)
            reply = await self._exchange.request(
                "POST", self._config.url, headers=headers, content=body
            )
        except NotSent as error:
            return Submission(SubmissionOutcome.REFUSED, str(error))
        except OutcomeUnknown as error:
            return Submission(SubmissionOutcome.UNKNOWN, str(error))
        if 200 <= reply.status < 300:
            operation = self._arrived(action, f"answered {reply.status}")
            return Submission(SubmissionOutcome.DONE, operation.detail, operation)
        if reply.status in AGAIN_LATER:
            after = reply.retry_after_seconds(self._clock.now_ns())
            return Submission(SubmissionOutcome.REFUSED, reply.problem(), retry_after_seconds=after)
        if reply.certainly_not:
            return Submission(SubmissionOutcome.FAILED, reply.problem())
        return Submission(SubmissionOutcome.UNKNOWN, reply.problem())

    async def poll(self, action: Action, operation: Operation) -> Operation:
        """Return the operation: a message that arrived is done."""
        return operation

    async def find(self, action: Action, since_ns: int) -> Found:
        """Ask whether the message arrived, where the receiver can be asked."""
        if self._config.status_url is None:
            return Found(asked=False, detail="no status_url is configured")
        url = self._config.status_url.replace("{id}", quote(action.id, safe=""))
        try:
            reply = await self._exchange.request("GET", url)
        except ActuatorError as error:
            return Found(asked=False, detail=str(error))
        if reply.status == 200:
            return Found(True, self._arrived(action, "the receiver has it"))
        return Found(asked=reply.status == 404, detail=reply.problem())

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()

    def _arrived(self, action: Action, detail: str) -> Operation:
        return Operation(self.name, action.id, "delivered", True, True, detail)

    def _message(self, action: Action) -> dict[str, Any]:
        console = self._config.console_url
        evidence = self.explain(action) if self.explain is not None else None
        return {
            "format": FORMAT,
            "id": action.id,
            "kind": action.kind.value,
            "sent_at": rfc3339(self._clock.now_ns()),
            "target": action.target_id,
            "incident_id": action.incident_id,
            "decision_id": action.decision_id,
            "attempt": action.attempt,
            "parameters": dict(action.parameters),
            "action": to_plain(action),
            "evidence": None if evidence is None else dict(evidence),
            "console_url": console and f"{console.rstrip('/')}/decisions/{action.decision_id}",
        }

    def _headers(self, action: Action, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": action.id}
        config = self._config
        if config.signature_secret_file is not None or config.signature_secret_env is not None:
            secret = read_secret(config.signature_secret_file, config.signature_secret_env)
            digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            headers["Trimtab-Signature"] = f"sha256={digest}"
        return headers
