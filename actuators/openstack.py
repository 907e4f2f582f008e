"""OpenStack Nova through openstacksdk: live-migrate a server.

The SDK blocks, so it runs in a small thread pool of its own, with a timeout on every request and no retries: a retry
inside would send twice what may have been accepted. Nova answers a live migration without naming it, so
what became of it is read from os-migrations (an administrator's view; without it, from the server's host).
"""

import asyncio
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from actuators.exchange import NotSent, read_secret
from actuators.openstack_errors import Judgement, judge
from trimtab.domain.action import Action, Operation
from trimtab.domain.policy import ActionKind
from trimtab.domain.time import ns_from_seconds
from trimtab.errors import ActuatorError
from trimtab.ports import Clock, Found, Submission, SubmissionOutcome

T = TypeVar("T")

THREADS = 4
REQUESTS_A_CALL_MAX = 6  # discovery, authentication and what the call itself asks
MIGRATIONS_READ_MAX = 200
CLOSE_SECONDS_MAX = 5.0
SUCCEEDED = frozenset({"completed", "done", "finished", "confirmed"})
FAILED = frozenset({"error", "failed", "cancelled", "reverted"})
LIVE = "live-migration"


class OpenStack:
    """A cloud. Needs the target's alias `vim` (server id); parameter `host` names a destination."""

    kind: ClassVar[str] = "openstack"

    class Login(BaseModel):
        """Who we are to Keystone; the password itself stays in a file or in the environment."""

        model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

        auth_url: str
        username: str
        password_file: str | None = None
        password_env: str | None = None
        project_name: str
        user_domain_name: str = "Default"
        project_domain_name: str = "Default"

        @model_validator(mode="after")
        def _one_password(self) -> Self:
            if (self.password_file is None) == (self.password_env is None):
                raise ValueError("give exactly one of password_file and password_env")
            return self

    class Config(BaseModel):
        """Which cloud: `cloud` names one in clouds.yaml, `auth` says it here. `timeout_seconds` is for one request."""

        model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

        cloud: str | None = None
        auth: "OpenStack.Login | None" = None
        region_name: str | None = None
        ca_file: str | None = None
        timeout_seconds: float = Field(default=10.0, gt=0, le=120, allow_inf_nan=False)
        clock_skew_seconds: float = Field(default=5.0, ge=0, le=600, allow_inf_nan=False)
        server_source: str = "vim"

        @model_validator(mode="after")
        def _one_cloud(self) -> Self:
            if (self.cloud is None) == (self.auth is None):
                raise ValueError("give exactly one of cloud (of clouds.yaml) and auth")
            return self

    def __init__(self, name: str, config: Config, clock: Clock) -> None:
        self.name = name
        self._config = config
        self._clock = clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=f"openstack {name}")
        self._opening = threading.Lock()
        self._connection: Any = None

    async def submit(self, action: Action) -> Submission:
        """Look at the server, then ask for its migration, once."""
        server_id = action.native_id(self._config.server_source)
        if action.kind is not ActionKind.MIGRATE or server_id is None:
            lack = f"{action.target_id} has no alias {self._config.server_source}"
            reason = lack if server_id is None else f"this target knows no {action.kind}"
            return Submission(SubmissionOutcome.FAILED, reason)
        host = action.parameter("host") or None
        try:
            before = await self._in_pool(lambda: self._look(server_id))
        except Exception as error:
            judged = _judge(error)
            if judged.outcome is SubmissionOutcome.FAILED:
                return Submission(judged.outcome, judged.detail)
            detail = f"before the request: {judged.detail}"
            return Submission(
                SubmissionOutcome.REFUSED, detail, retry_after_seconds=judged.retry_after_seconds
            )
        floor_ns = self._floor_ns(before)
        try:
            await self._in_pool(lambda: self._migrate(server_id, host))
        except Exception as error:
            judged = _judge(error)
            after = judged.retry_after_seconds
            return Submission(judged.outcome, judged.detail, retry_after_seconds=after)
        reference = _Reference(server_id, "", before.host, floor_ns)
        operation = Operation(self.name, str(reference), "accepted", False, False)
        return Submission(SubmissionOutcome.ACCEPTED, f"from {before.host or '?'}", operation)

    async def poll(self, action: Action, operation: Operation) -> Operation:
        """Return how the migration stands. Raises ActuatorError when Nova can't be asked."""
        reference = _Reference.parse(operation.reference)
        try:
            seen = await self._in_pool(lambda: self._look(reference.server_id))
        except Exception as error:
            raise ActuatorError(_judge(error).detail) from error
        migration = self._pick(seen.migrations, reference)
        if migration is not None:
            return self._operation(reference, migration, seen)
        if reference.migration_id:
            raise ActuatorError(f"Nova no longer lists migration {reference.migration_id}")
        return self._by_server(reference, seen, operation)

    async def find(self, action: Action, since_ns: int) -> Found:
        """Look for a live migration of the server since then; to the named host where one was named."""
        server_id = action.native_id(self._config.server_source)
        if server_id is None:
            lack = f"{action.target_id} has no alias {self._config.server_source}"
            return Found(asked=False, detail=lack)
        try:
            seen = await self._in_pool(lambda: self._look(server_id))
        except Exception as error:
            return Found(asked=False, detail=_judge(error).detail)
        if seen.migrations is None:
            return Found(asked=False, detail=f"os-migrations can't be read: {seen.hidden}")
        earliest = since_ns - ns_from_seconds(self._config.clock_skew_seconds)
        host = action.parameter("host")
        alike = [
            item for item in seen.migrations
            if item.kind == LIVE and item.created_ns >= earliest
            and (not host or item.destination == host)
        ]  # fmt: skip
        if len(alike) != 1:
            return Found(asked=True, detail=f"{len(alike)} live migrations since the intent match")
        reference = _Reference(server_id, alike[0].id, alike[0].source, earliest)
        return Found(True, self._operation(reference, alike[0], seen), "matched by server and time")

    async def close(self) -> None:
        """Let go of connections and threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        closing = asyncio.get_running_loop().run_in_executor(None, self._close)
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await asyncio.shield(closing)
        except TimeoutError:
            pass  # a request still hangs; its own timeout ends it

    def _close(self) -> None:
        self._pool.shutdown(wait=True)
        if self._connection is not None:
            self._connection.close()

    async def _in_pool(self, call: Callable[[], T]) -> T:
        """Run a blocking call in a thread. Raises TimeoutError when it takes longer than all its requests may."""
        budget = self._config.timeout_seconds * REQUESTS_A_CALL_MAX
        async with asyncio.timeout(budget):
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def _nova(self) -> Any:
        """Return the compute proxy of the one connection; made on first use, as the import takes seconds."""
        with self._opening:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection.compute

    def _connect(self) -> Any:
        config = self._config
        given: dict[str, Any] = {
            "app_name": "trimtab", "api_timeout": config.timeout_seconds,
            "connect_retries": 0, "status_code_retries": 0,
        }  # fmt: skip
        if config.region_name is not None:
            given["region_name"] = config.region_name
        if config.ca_file is not None:
            given["cacert"] = config.ca_file
        if config.auth is not None:
            auth = config.auth
            login = auth.model_dump(exclude={"password_file", "password_env"})
            login["password"] = read_secret(auth.password_file, auth.password_env)
            given |= {"auth": login, "load_yaml_config": False, "load_envvars": False}
        with warnings.catch_warnings():  # about its own future removals
            warnings.simplefilter("ignore")
            import openstack

            from actuators.openstack_transport import BoundedTransport

            connection = openstack.connect(cloud=config.cloud, **given)
            for scheme in ("http://", "https://"):
                connection.session.session.mount(scheme, BoundedTransport(config.timeout_seconds))
            nova = connection.compute
        nova.connect_retries = 0
        nova.status_code_retries = 0
        return connection

    def _look(self, server_id: str) -> "_Seen":
        from openstack import exceptions, utils

        nova = self._nova()
        utils.supports_microversion(
            nova, "2.30"
        )  # so that the request itself needs no other before it
        server = nova.get_server(server_id)
        migrations: list[_Migration] | None
        hidden = ""
        try:
            listed = islice(nova.migrations(server_id=server_id), MIGRATIONS_READ_MAX)
            migrations = [_migration(item) for item in listed]
        except exceptions.ForbiddenException as error:
            migrations, hidden = None, str(error)
        return _Seen(
            str(server.status or ""),
            server.task_state,
            server.compute_host or "",
            migrations,
            hidden,
        )

    def _migrate(self, server_id: str, host: str | None) -> None:
        self._nova().live_migrate_server(server_id, host=host, block_migration="auto")

    def _floor_ns(self, before: "_Seen") -> int:
        """Return what a migration that we start now is created after: by Nova's own clock, where it shows one."""
        if before.migrations:
            return max(item.created_ns for item in before.migrations) + 1
        return self._clock.now_ns() - ns_from_seconds(self._config.clock_skew_seconds)

    def _pick(
        self, migrations: "list[_Migration] | None", reference: "_Reference"
    ) -> "_Migration | None":
        wanted = reference.migration_id
        alike = [
            item for item in migrations or ()
            if (item.id == wanted if wanted
                else item.kind == LIVE and item.created_ns >= reference.floor_ns)
        ]  # fmt: skip
        return max(alike, key=lambda item: item.created_ns, default=None)

    def _operation(
        self, reference: "_Reference", migration: "_Migration", seen: "_Seen"
    ) -> Operation:
        state = migration.status
        source = migration.source or reference.source
        exact = _Reference(reference.server_id, migration.id, source, 0)
        moved = not seen.host or not exact.source or seen.host != exact.source
        succeeded = state in SUCCEEDED and moved
        detail = f"{exact.source or '?'} -> {migration.destination or '?'}"
        return Operation(
            self.name, str(exact), state, succeeded or state in FAILED, succeeded, detail
        )

    def _by_server(self, reference: "_Reference", seen: "_Seen", operation: Operation) -> Operation:
        """Judge by the server alone, where os-migrations is hidden or shows nothing yet."""
        moved = bool(seen.host and reference.source and seen.host != reference.source)
        broken = seen.status == "ERROR"
        over = broken or (moved and seen.task_state is None)
        detail = f"{reference.source or '?'} -> {seen.host if moved else '?'}; server {seen.status}"
        return Operation(
            self.name, operation.reference, seen.status.lower(), over, over and not broken, detail
        )


@dataclass(frozen=True, slots=True)
class _Migration:
    id: str
    kind: str
    status: str
    source: str
    destination: str
    created_ns: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """A server, and its migrations: None when we may not see them (`hidden` says why)."""

    status: str
    task_state: str | None
    host: str
    migrations: list[_Migration] | None
    hidden: str


@dataclass(frozen=True, slots=True)
class _Reference:
    """Name a migration: by its id once Nova shows it (the same text whoever names it), before that by server, source
    and a time before its creation.
    """

    server_id: str
    migration_id: str
    source: str
    floor_ns: int

    def __str__(self) -> str:
        return f"{self.server_id}/{self.migration_id}/{self.source}/{self.floor_ns}"

    @classmethod
    def parse(cls, text: str) -> Self:
        parts = text.split("/")
        if len(parts) != 4 or not parts[3].isdigit():
            raise ActuatorError(f"{text!r} is not a reference of a migration")
        return cls(parts[0], parts[1], parts[2], int(parts[3]))


def _migration(item: Any) -> _Migration:
    created = datetime.fromisoformat(str(item.created_at))
    if created.tzinfo is None:  # Nova writes UTC without saying so
        created = created.replace(tzinfo=UTC)
    return _Migration(
        id=str(item.uuid or item.id or ""),
        kind=str(item.migration_type or ""),
        status=str(item.status or "").lower(),
        source=str(item.source_compute or ""),
        destination=str(item.dest_compute or ""),
        created_ns=ns_from_seconds(created.timestamp()),
    )


def _judge(error: Exception) -> Judgement:
    if isinstance(error, NotSent):
        return Judgement(SubmissionOutcome.REFUSED, str(error))
    return judge(error)
