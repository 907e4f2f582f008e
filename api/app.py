"""The HTTP application: routes, who may use them, and how errors read. Everything it uses is handed in."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from api import (
    actions,
    alarms,
    decisions,
    events,
    explain,
    figures,
    health,
    incidents,
    inventory,
    loop,
    mef_alarm,
    mef_performance,
    openapi,
    problem,
    services,
    sls_reports,
    sls_results,
    tmf_service,
    verifications,
)
from api.auth import Guard, Keyring
from api.body_limit import BodyLimit
from api.console import assets, pages
from api.console.rendering import error_page
from api.context import ApiContext, Subscribers
from api.headers import SecurityHeaders
from api.mounts import Mount, Mounts
from api.ports import Assurance, Submit
from api.recording import Recorder, Recording, Silent
from api.sessions import LoginBrake, Sessions
from api.settings import ApiSettings
from trimtab import __version__

ROUTERS = (
    health.router, services.router, incidents.router, alarms.router, decisions.router,
    actions.router, verifications.router, loop.router, inventory.router, explain.router,
    events.router, mef_alarm.router, mef_performance.router, tmf_service.router,
    sls_results.router, sls_reports.router, pages.router, assets.router,
)  # fmt: skip


def create_app(
    assurance: Assurance,
    commands: Submit,
    settings: ApiSettings,
    registry: CollectorRegistry,
    mounts: Mapping[str, Mount] | None = None,
    *,
    recorder: Recorder | None = None,
    now_ns: Callable[[], int] = time.time_ns,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
) -> FastAPI:
    """Build the application. Raises OSError or ValueError when a token file can't be used.

    `recorder` is told of every request; the registry is what `/metrics` exposes.

    `app.state.context.subscribers.close()` ends open event streams, so that a server can stop at once.
    """
    mounted = dict(mounts or {})
    keyring = Keyring.load(settings.tokens)
    sessions = Sessions(settings.session_seconds, settings.sessions_max, monotonic_ns)
    context = ApiContext(
        assurance=assurance,
        submit=commands,
        settings=settings,
        registry=registry,
        keyring=keyring,
        sessions=sessions,
        brake=LoginBrake(settings.login_attempts_per_minute, monotonic_ns),
        subscribers=Subscribers(settings.subscribers_max),
        recorder=recorder or Silent(),
        now_ns=now_ns,
        started_ns=now_ns(),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        context.subscribers.close()

    app = FastAPI(
        title="Trimtab",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    for router in ROUTERS:
        app.include_router(router)
    figures.install(registry, context)
    problem.install(app, error_page)
    openapi.install(app)
    _wrap(app, context, mounted)
    return app


def _wrap(app: FastAPI, context: ApiContext, mounted: Mapping[str, Mount]) -> None:
    # The last added is the outermost: headers on every answer, then who it is; mounts bound their own bodies.
    app.add_middleware(BodyLimit, bytes_max=context.settings.body_bytes_max)
    app.add_middleware(Mounts, mounts=mounted)
    app.add_middleware(
        Guard,
        keyring=context.keyring,
        sessions=context.sessions,
        mount_scopes={path: mount.scope for path, mount in mounted.items()},
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Recording, recorder=context.recorder)
