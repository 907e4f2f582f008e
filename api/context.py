"""What every route needs, made once for an application and handed in through dependencies: no globals."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from api.auth import Keyring
from api.ports import Assurance, Submit
from api.recording import Recorder
from api.scopes import Principal
from api.sessions import LoginBrake, Sessions
from api.settings import ApiSettings


@dataclass(slots=True)
class Subscribers:
    """Counts open event streams and ends them when the process stops."""

    limit: int
    open: int = 0
    refused: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def close(self) -> None:
        """Tell every stream to end now."""
        self.closing.set()


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Everything that routes use."""

    assurance: Assurance
    submit: Submit
    settings: ApiSettings
    registry: CollectorRegistry
    keyring: Keyring
    sessions: Sessions
    brake: LoginBrake
    subscribers: Subscribers
    recorder: Recorder
    now_ns: Callable[[], int]
    started_ns: int


def context_of(request: Request) -> ApiContext:
    """Return the application's context."""
    return cast(ApiContext, request.app.state.context)


def principal_of(request: Request) -> Principal:
    """Return whoever calls; the guard has put it there."""
    return cast(Principal, request.state.principal)


def assurance_of(request: Request) -> Assurance:
    """Return what answers questions."""
    return context_of(request).assurance


Context = Annotated[ApiContext, Depends(context_of)]
Caller = Annotated[Principal, Depends(principal_of)]
Source = Annotated[Assurance, Depends(assurance_of)]


def base_url(request: Request) -> str:
    """Return what hrefs start with: the configured public URL, else the request's own."""
    configured = context_of(request).settings.public_url
    return (configured or str(request.base_url)).rstrip("/")
