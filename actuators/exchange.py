"""One HTTP exchange with a target, told apart by what a failure means: nothing left, or nobody knows.

An actuator must never send twice what may have been accepted. So a new connection is made for every request
(a kept one that the target has just closed would turn a certain refusal into doubt), nothing is retried
and no redirect is followed here.
"""

import asyncio
import base64
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, Self

import httpx2
from pydantic import BaseModel, ConfigDict, Field, model_validator

from trimtab.domain.time import seconds_from_ns
from trimtab.errors import ActuatorError
from trimtab.ports import Clock

BODY_BYTES_MAX = 8 * 1024 * 1024
CONNECTIONS_MAX = 8
RETRY_AFTER_SECONDS_MAX = 3600.0
PROBLEM_TEXT_MAX = 300


class NotSent(ActuatorError):
    """Report that the request certainly did not reach the target."""


class OutcomeUnknown(ActuatorError):
    """Report that the request may have reached the target, and no usable answer came."""

    def __init__(self, text: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class Credentials(BaseModel):
    """Who we are to a target; the secret itself stays in a file or in the environment."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: Literal["none", "bearer", "basic"] = "none"
    username: str = ""
    secret_file: str | None = None
    secret_env: str | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        given = [item for item in (self.secret_file, self.secret_env) if item is not None]
        if self.kind != "none" and len(given) != 1:
            raise ValueError("give exactly one of secret_file and secret_env")
        if self.kind == "none" and given:
            raise ValueError("a secret is given but kind is none: write bearer or basic")
        if (self.kind == "basic") != bool(self.username):
            raise ValueError("username belongs to kind basic, and to no other")
        return self

    def header(self) -> dict[str, str]:
        """Return the Authorization header. Raises NotSent when the secret can't be had."""
        if self.kind == "none":
            return {}
        secret = read_secret(self.secret_file, self.secret_env)
        if self.kind == "bearer":
            return {"Authorization": f"Bearer {secret}"}
        pair = base64.b64encode(f"{self.username}:{secret}".encode()).decode("ascii")
        return {"Authorization": f"Basic {pair}"}


def read_secret(file: str | None, env: str | None) -> str:
    """Return a secret from a file (read anew each time: it may be rotated) or a variable. Raises NotSent."""
    if file is not None:
        try:
            secret = Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NotSent(f"the secret file {file} can't be read: {error}") from error
    else:
        secret = os.environ.get(env or "", "").strip()
    if not secret:
        raise NotSent(f"the secret in {file or env} is empty")
    return secret


class HttpConfig(BaseModel):
    """What every HTTP target's configuration holds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    credentials: Credentials = Credentials()
    ca_file: str | None = None
    timeout_seconds: float = Field(default=10.0, gt=0, le=120, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: status, headers with lower-case names, body as bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def certainly_not(self) -> bool:
        """Return whether the status says that nothing was accepted: redirects, client errors, not implemented."""
        return (300 <= self.status < 500 and self.status != 408) or self.status == 501

    def json(self) -> Any:
        """Return the parsed body. Raises OutcomeUnknown when it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise OutcomeUnknown(f"{self.url} answered {self.status} without JSON") from error

    def problem(self) -> str:
        """Return `status: detail` from a ProblemDetails body (RFC 9457), or the body's first characters."""
        text = self.body[:PROBLEM_TEXT_MAX].decode("utf-8", "replace")
        try:
            parsed = json.loads(self.body)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict):
            text = str(parsed.get("detail") or parsed.get("title") or text)
        return f"{self.status}: {text[:PROBLEM_TEXT_MAX]}".strip()

    def retry_after_seconds(self, now_ns: int) -> float | None:
        """Return Retry-After, given as seconds or as an HTTP date; None when absent or senseless."""
        text = self.headers.get("retry-after", "").strip()
        if not text:
            return None
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), RETRY_AFTER_SECONDS_MAX)
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, IndexError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp() - seconds_from_ns(now_ns)
        return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)


class Exchange:
    """An HTTP client for one target: bounded in time, in size and in connections."""

    def __init__(self, config: HttpConfig, clock: Clock) -> None:
        self._config = config
        self.clock = clock
        # Made at once: the first makes its library load, for which no action should wait.
        self._plain = self._made(False)
        self._trusting: httpx2.AsyncClient | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Reply:
        """Exchange one request for one answer. Raises NotSent or OutcomeUnknown."""
        wanted = {"Accept": "application/json", **self._config.credentials.header()}
        wanted.update(headers or {})
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                return await self._once(method, url, wanted, content)
        except (
            httpx2.ConnectError,
            httpx2.ConnectTimeout,
            httpx2.PoolTimeout,
            httpx2.ProxyError,
            httpx2.UnsupportedProtocol,
            httpx2.LocalProtocolError,
            httpx2.InvalidURL,
        ) as error:
            raise NotSent(f"{url} can't be reached: {_words(error)}") from error
        except (httpx2.HTTPError, httpx2.StreamError, TimeoutError, OSError, ValueError) as error:
            raise OutcomeUnknown(f"{url} gave no answer: {_words(error)}") from error

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> Reply:
        client = self._plain if url.startswith("http:") else await self._secure()
        async with client.stream(method, url, headers=dict(headers), content=content) as response:
            chunks = []
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise OutcomeUnknown(f"{url} answered more than {BODY_BYTES_MAX} bytes")
                chunks.append(chunk)
            lower = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, lower, b"".join(chunks), url)

    async def _secure(self) -> httpx2.AsyncClient:
        if self._trusting is None:
            self._trusting = self._made(await asyncio.to_thread(self._trust))
        return self._trusting

    def _made(self, verify: ssl.SSLContext | bool) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            verify=verify,
            timeout=self._config.timeout_seconds,
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )

    def _trust(self) -> ssl.SSLContext:
        """Return whom to trust; reading all of a system's certificates takes a while."""
        try:
            return ssl.create_default_context(cafile=self._config.ca_file)
        except OSError as error:
            raise NotSent(f"ca_file {self._config.ca_file} can't be read: {error}") from error

    async def close(self) -> None:
        """Let go of connections."""
        await self._plain.aclose()
        if self._trusting is not None:
            await self._trusting.aclose()


def _words(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()[:PROBLEM_TEXT_MAX]
