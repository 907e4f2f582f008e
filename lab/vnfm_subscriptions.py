"""Subscriptions to the VNFM's notifications, and their delivery (SOL003 clauses 5.4.18 to 5.4.20)."""

import asyncio
import base64
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import httpx2

from lab.inventory import Identifiers
from lab.sol013 import API_VERSION, ProblemError
from lab.vnfm_documents import ROOT, occurrence_notification
from lab.vnfm_operations import Operation

SUBSCRIPTION_LIMIT = 64
QUEUE_LIMIT = 1_000
DELIVERY_ATTEMPTS = 4
DELIVERY_TIMEOUT_SECONDS = 2.0
RETRY_SECONDS = 0.5


@dataclass(slots=True)
class Subscription:
    """One subscriber with its filter and credentials. Credentials are never given out again."""

    id: str
    callback_uri: str
    filter: dict[str, Any]
    authorization: str | None
    queue: "deque[dict[str, Any]]"
    wake: asyncio.Event
    task: "asyncio.Task[None] | None" = None

    def document(self, root: str) -> dict[str, Any]:
        """LccnSubscription (5.5.2.16)."""
        document: dict[str, Any] = {
            "id": self.id,
            "callbackUri": self.callback_uri,
            "verbosity": "FULL",
            "_links": {"self": {"href": f"{root}{ROOT}/subscriptions/{self.id}"}},
        }
        if self.filter:
            document["filter"] = self.filter
        return document

    def wants(self, operation: Operation) -> bool:
        """Whether the filter lets an occurrence's notification through."""
        kinds = self.filter.get("notificationTypes")
        instances = self.filter.get("vnfInstanceSubscriptionFilter", {}).get("vnfInstanceIds")
        return (
            (not kinds or "VnfLcmOperationOccurrenceNotification" in kinds)
            and (not instances or operation.vnf.id in instances)
            and operation.kind in self.filter.get("operationTypes", [operation.kind])
            and operation.state in self.filter.get("operationStates", [operation.state])
        )


class Subscriptions:
    """All subscribers. Each gets its notifications in order, and loses those that it does not take after some tries."""

    def __init__(self, ids: Identifiers, root: str) -> None:
        self._ids = ids
        self._root = root
        self._client = httpx2.AsyncClient(timeout=DELIVERY_TIMEOUT_SECONDS, trust_env=False)
        self.all: dict[str, Subscription] = {}
        self.lost = 0

    async def add(self, request: dict[str, Any]) -> tuple[Subscription, bool]:
        """The subscription for a request, and whether it is new. ProblemError 422 if the callback test fails."""
        callback = str(request["callbackUri"])
        wanted = request.get("filter") or {}
        for known in self.all.values():
            if (known.callback_uri, known.filter) == (callback, wanted):
                return known, False
        if len(self.all) >= SUBSCRIPTION_LIMIT:
            raise ProblemError(503, "too many subscriptions", {"Retry-After": "60"})
        authorization = _authorization(request.get("authentication"))
        await self._test(callback, authorization)
        subscription = Subscription(
            self._ids.new(),
            callback,
            wanted,
            authorization,
            deque(maxlen=QUEUE_LIMIT),
            asyncio.Event(),
        )
        subscription.task = asyncio.create_task(self._deliver(subscription), name="notifications")
        self.all[subscription.id] = subscription
        return subscription, True

    def remove(self, subscription: Subscription) -> None:
        """End a subscription."""
        del self.all[subscription.id]
        if subscription.task is not None:
            subscription.task.cancel()

    def publish(self, operation: Operation) -> None:
        """Tell every subscriber that wants it about an operation's new state: one event, one id for all of them."""
        event = self._ids.new()
        for subscription in self.all.values():
            if subscription.wants(operation):
                self.lost += len(subscription.queue) == QUEUE_LIMIT
                subscription.queue.append(
                    occurrence_notification(
                        operation, self._root, event, subscription.id, time.time()
                    )
                )
                subscription.wake.set()

    async def close(self) -> None:
        """End all subscriptions."""
        for subscription in list(self.all.values()):
            self.remove(subscription)
        await self._client.aclose()

    async def _test(self, callback: str, authorization: str | None) -> None:
        try:
            answer = await self._client.get(callback, headers=_headers(authorization))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ProblemError(
                422, f"callback test of {callback}: {type(error).__name__}"
            ) from error
        if answer.status_code != 204:
            raise ProblemError(
                422, f"callback test of {callback}: {answer.status_code}, wanted 204"
            )

    async def _deliver(self, subscription: Subscription) -> None:
        while True:
            await subscription.wake.wait()
            subscription.wake.clear()
            while subscription.queue:
                await self._send(subscription, subscription.queue.popleft())

    async def _send(self, subscription: Subscription, notification: dict[str, Any]) -> None:
        for attempt in range(DELIVERY_ATTEMPTS):
            try:
                answer = await self._client.post(
                    subscription.callback_uri,
                    json=notification,
                    headers=_headers(subscription.authorization),
                )
                if answer.is_success:
                    return
            except httpx2.HTTPError:
                pass  # tried again below
            await asyncio.sleep(RETRY_SECONDS * 2**attempt)
        self.lost += 1


def _authorization(wanted: dict[str, Any] | None) -> str | None:
    if not wanted:
        return None
    basic = wanted.get("paramsBasic")
    if "BASIC" not in wanted.get("authType", []) or not isinstance(basic, dict):
        raise ProblemError(422, "authentication: only BASIC is supported")
    pair = f"{basic.get('userName', '')}:{basic.get('password', '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _headers(authorization: str | None) -> dict[str, str]:
    headers = {"Version": API_VERSION}
    if authorization is not None:
        headers["Authorization"] = authorization
    return headers
