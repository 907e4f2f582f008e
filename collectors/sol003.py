"""ETSI SOL003 notifications of VNF lifecycle operations: they spare waiting for the next poll, no more than that."""

import asyncio
import base64
import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from collectors.client import http_client
from collectors.delivery import Account, CollectorStats, Outlet
from collectors.push import (
    AsgiReceive,
    AsgiSend,
    BodyIncomplete,
    BodyTooLarge,
    Message,
    answer,
    read_body,
)
from collectors.settings import certificates
from trimtab.errors import CollectorError
from trimtab.ports import ActionNews, Clock, GapReason, Reading, ReadingSink, SeriesIndex

if TYPE_CHECKING:
    from httpx2 import AsyncClient

API_VERSION = "2.3.0"
NOTIFICATION = "VnfLcmOperationOccurrenceNotification"
OPERATION_STATES = ("COMPLETED", "FAILED_TEMP", "FAILED", "ROLLED_BACK")
NOTIFICATION_BYTES_MAX = 1_048_576
ANSWER_BYTES_MAX = 1_048_576
SEEN_KEPT = 10_000
TEXT_MAX = 512
CLOSE_TIMEOUT_SECONDS = 1.0
RETRY_AFTER_SECONDS = 5


class Secret(BaseModel):
    """A user and where the password lies; the password itself is in a file or in the environment."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    username: str = ""
    secret_file: Annotated[Path, Field(strict=False)] | None = None
    secret_env: str | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.secret_file is None) == (self.secret_env is None):
            raise ValueError("give exactly one of secret_file and secret_env")
        return self

    def read(self) -> str:
        """Return the secret. Raises CollectorError; blocks while reading a file."""
        if self.secret_file is not None:
            try:
                return self.secret_file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise CollectorError(f"{self.secret_file.name} can't be read: {error}") from None
        value = os.environ.get(self.secret_env or "")
        if not value:
            raise CollectorError(f"the variable {self.secret_env} is not set")
        return value


class Credentials(Secret):
    """Who we are to the VNFM."""

    kind: Literal["bearer", "basic"]

    def header(self) -> str:
        """Return the value of the Authorization header. Raises CollectorError."""
        secret = self.read()
        if self.kind == "bearer":
            return f"Bearer {secret}"
        pair = base64.b64encode(f"{self.username}:{secret}".encode()).decode("ascii")
        return f"Basic {pair}"


class Reply(NamedTuple):
    """What the VNFM answered; `text` is cut."""

    status: int
    location: str
    text: str


class Sol003Collector:
    """Subscribe at a VNF manager, and pass on what it tells of its operations as news for an actuator.

    The subscription is made at the start, looked after every `check_seconds`, made again when it is gone, and deleted
    at the end. `asgi` is the callback: GET answers 204 (the VNFM's test), POST takes a notification. Notifications
    come in any order and more than once; one id is passed on once. What they say is a hint to poll, never a fact.
    """

    kind: ClassVar[str] = "sol003"

    class Config(BaseModel):
        """Settings of a subscription.

        `callback_url` is where the VNFM reaches `asgi` from its side; `callback` what it shall say there (BASIC),
        `credentials` what we say to it. `actuator` is the name of the actuator whose operations these are.
        """

        model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

        api_root: str
        callback_url: str
        actuator: str = Field(min_length=1)
        ca_file: Annotated[Path, Field(strict=False)] | None = None
        credentials: Credentials | None = None
        callback: Secret | None = None
        timeout_seconds: float = Field(default=10.0, gt=0, le=300)
        check_seconds: float = Field(default=60.0, ge=0.1, le=86_400)
        retry_seconds: float = Field(default=5.0, ge=0.1, le=3_600)

        @field_validator("ca_file")
        @classmethod
        def _holds_certificates(cls, value: Path | None) -> Path | None:
            return certificates(value)

        @field_validator("api_root", "callback_url")
        @classmethod
        def _http(cls, text: str) -> str:
            parts = urlsplit(text)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
                raise ValueError("write it as http(s)://host[:port][/path]")
            return text.rstrip("/")

    def __init__(self, name: str, config: Config, index: SeriesIndex, clock: Clock) -> None:
        self.name = name
        self.source = f"{self.kind}/{name}"
        self.account = Account()
        self._config = config
        self._clock = clock
        self._outlet = Outlet(self.source, clock, self.account)
        self._root = f"{config.api_root}/vnflcm/v2"
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._sink: ReadingSink | None = None
        self._subscription: str | None = None
        self._subscribing: asyncio.Task[str] | None = None

    def stats(self) -> CollectorStats:
        """Return what was done so far. `other` counts notifications and subscriptions made."""
        return self.account.stats()

    async def run(self, sink: ReadingSink) -> None:
        """Keep the subscription until cancelled."""
        self._sink = sink
        async with await http_client(self._config.ca_file) as client:
            try:
                while True:
                    seconds = await self._look_after(client, sink)
                    await asyncio.sleep(seconds)
            finally:
                self._sink = None
                await self._unsubscribe(client)

    async def _look_after(self, client: "AsyncClient", sink: ReadingSink) -> float:
        """Make sure that there is a subscription; return in how many seconds to look again."""
        try:
            if self._subscription is not None:
                status = (await self._ask(client, "GET", self._subscription)).status
                if status == 404:
                    self._subscription = None
                elif status != 200:
                    raise CollectorError(f"{self._subscription} answered {status}")
            if self._subscription is None:
                self._subscribing = asyncio.create_task(self._subscribe(client))
                self._subscription = await asyncio.shield(self._subscribing)
                self._subscribing = None
                self.account.other["subscribed"] += 1
        except CollectorError as error:
            self._subscribing = None
            gap = self._outlet.gap(GapReason.UNREACHABLE, f"no subscription: {error}")
            await self._outlet.put(sink, self._outlet.reading(gaps=(gap,)))
            return self._config.retry_seconds
        self.account.last_success_ns = self._clock.now_ns()
        return self._config.check_seconds

    async def _subscribe(self, client: "AsyncClient") -> str:
        body: dict[str, Any] = {
            "callbackUri": self._config.callback_url,
            "filter": {
                "notificationTypes": [NOTIFICATION],
                "operationStates": list(OPERATION_STATES),
            },
            "verbosity": "SHORT",
        }
        if self._config.callback is not None:
            password = await asyncio.to_thread(self._config.callback.read)
            basic = {"userName": self._config.callback.username, "password": password}
            body["authentication"] = {"authType": ["BASIC"], "paramsBasic": basic}
        reply = await self._ask(client, "POST", f"{self._root}/subscriptions", body)
        # 303: an equal subscription exists, from a former life of ours (SOL003 clause 5.4.18.3.1).
        if reply.status not in (201, 303) or not reply.location:
            raise CollectorError(f"the VNFM answered {reply.status}: {reply.text}")
        return self._ours(reply.location, "subscriptions")

    async def _unsubscribe(self, client: "AsyncClient") -> None:
        """Delete the subscription, also one that is being made just now."""
        subscription, self._subscription = self._subscription, None
        subscribing, self._subscribing = self._subscribing, None
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                if subscribing is not None:
                    subscription = await subscribing
                if subscription is not None:
                    await self._ask(client, "DELETE", subscription)
        except (CollectorError, TimeoutError):
            self.account.other["subscription_left_behind"] += 1

    async def _ask(
        self, client: "AsyncClient", method: str, url: str, body: dict[str, Any] | None = None
    ) -> Reply:
        """Send one request. Raises CollectorError when no answer comes; the answer's body is read, within a limit."""
        import httpx2

        headers = {"version": API_VERSION, "accept": "application/json"}
        if self._config.credentials is not None:
            headers["authorization"] = await asyncio.to_thread(self._config.credentials.header)
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                async with client.stream(method, url, json=body, headers=headers) as response:
                    length = 0
                    parts = []
                    async for part in response.aiter_bytes():
                        length += len(part)
                        if length > ANSWER_BYTES_MAX:
                            raise CollectorError(
                                f"{url}: an answer of over {ANSWER_BYTES_MAX} bytes"
                            )
                        parts.append(part)
                    text = b"".join(parts).decode("utf-8", "replace")
                    location = response.headers.get("location", "")
                    return Reply(response.status_code, location, text[:TEXT_MAX])
        except TimeoutError:
            raise CollectorError(f"{url} gave no answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError) as error:
            raise CollectorError(f"{url}: {str(error) or type(error).__name__}") from None

    def _ours(self, location: str, collection: str) -> str:
        """Return a resource's URL, on the VNFM that we were told to talk to whatever the link says."""
        url = urljoin(f"{self._root}/", location)
        if urlsplit(url)[:2] == urlsplit(self._root)[:2]:
            return url
        return f"{self._root}/{collection}/{urlsplit(url).path.rstrip('/').rpartition('/')[2]}"

    async def asgi(self, scope: Message, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer the VNFM; an ASGI application."""
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            await answer(send, 204)
        elif scope["method"] == "POST":
            status, text = await self._notified(receive)
            self.account.other[f"answered_{status}"] += 1
            again = (("retry-after", str(RETRY_AFTER_SECONDS)),) if status == 503 else ()
            await answer(send, status, text, again)
        else:
            await answer(send, 405, "GET and POST only", (("allow", "GET, POST"),))

    async def _notified(self, receive: AsgiReceive) -> tuple[int, str]:
        try:
            document = json.loads(await read_body(receive, NOTIFICATION_BYTES_MAX))
            identifier, news = self._news(document)
        except BodyTooLarge as error:
            return 413, str(error)
        except (BodyIncomplete, ValueError, RecursionError) as error:
            self._outlet.remember(GapReason.MALFORMED, f"a notification: {error}"[:TEXT_MAX])
            return 400, "not a notification of SOL003"
        if news is None or identifier in self._seen:
            self.account.other["ignored" if news is None else "duplicate"] += 1
            return 204, ""
        sink = self._sink
        if sink is None or not await self._outlet.put(sink, Reading(self.source, news=(news,))):
            return 503, "not now"
        self._seen[identifier] = None
        if len(self._seen) > SEEN_KEPT:
            self._seen.popitem(last=False)
        self.account.other["notifications"] += 1
        self.account.last_success_ns = self._clock.now_ns()
        return 204, ""

    def _news(self, document: Any) -> tuple[str, ActionNews | None]:
        """Return a notification's id and its news, None for one of another type. Raises ValueError."""
        if not isinstance(document, dict):
            raise ValueError("not an object")
        identifier = _text(document, "id")
        if _text(document, "notificationType") != NOTIFICATION:
            return identifier, None
        occurrence = _text(document, "vnfLcmOpOccId")
        links = document.get("_links")
        link = links.get("vnfLcmOpOcc") if isinstance(links, dict) else None
        href = link.get("href") if isinstance(link, dict) else None
        reference = f"{self._root}/vnf_lcm_op_occs/{occurrence}"
        if isinstance(href, str) and len(href) <= TEXT_MAX:
            reference = self._ours(href, "vnf_lcm_op_occs")
        return identifier, ActionNews(
            self._config.actuator, reference, _text(document, "operationState")
        )


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX:
        raise ValueError(f"{name} is missing or no text")
    return value
