"""Prometheus scrape: text exposition 0.0.4 and OpenMetrics 1.0, targets from lists, files and HTTP discovery."""

import asyncio
import re
import zlib
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from collectors.client import http_client
from collectors.delivery import Account, CollectorStats, Outlet
from collectors.discovery import Discovery, FileList, HttpList, Target, TargetGroup, targets_of
from collectors.exposition import Page
from collectors.scrape import Limits, ScrapeFailed, TargetSeries, fetch
from collectors.settings import certificates, pattern
from collectors.stall import LoopWatch
from collectors.templates import RULES_MAX, InventoryRule, InventoryTracker, identifying, survey
from trimtab.errors import CollectorError
from trimtab.ports import Clock, GapReason, Reading, ReadingSink, SeriesIndex

if TYPE_CHECKING:
    from httpx2 import AsyncClient

DISCOVERY_SPACING_SECONDS = (
    0.5  # targets that fail ask for a new list, but not more often than this
)
ASK_ANEW_SECONDS = 2.0
Role = tuple[tuple[str, str], ...]
Present = npt.NDArray[np.int32]
LoosePath = Annotated[Path, Field(strict=False)]


@dataclass(slots=True)
class _Watched:
    """A role that is scraped: its target changes with heal and migrate, its series do not."""

    target: Target
    series: TargetSeries
    task: asyncio.Task[None] | None = None


class PrometheusCollector:
    """Scrape every target each interval, and say `up` 1 or 0 of it.

    `up` is 0 when the target refused, did not answer in time or answered what is no exposition. It is absent, and a
    gap is told instead, when it is us who failed: our event loop was late, a limit of ours was hit, or the discovery
    has been silent for three refreshes, so that nobody knows whether the target should still be there. Of a page
    that is cut off or damaged nothing is used; that is `up` 0 and a MALFORMED gap.

    Row times are those of the scrape's start. Labels named in `drop_labels` do not reach the series, so that those
    stay the same when a heal changes port, host or server; inventory rules still see them, and a label that names a
    target's own object (`object: provider/host/{host}`) stays on that target's series.
    """

    kind: ClassVar[str] = "prometheus"

    class Config(BaseModel):
        """Settings of a scrape; one of `static`, `files`, `http` at least."""

        model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

        static: list[TargetGroup] = Field(default_factory=list)
        files: list[LoosePath] = Field(default_factory=list, max_length=100)
        http: list[str] = Field(default_factory=list, max_length=100)
        refresh_seconds: float = Field(default=15.0, ge=0.1, le=3_600)
        removal_refreshes: int = Field(default=3, ge=1, le=1_000)
        interval_seconds: float = Field(default=15.0, ge=0.1, le=3_600)
        timeout_seconds: float | None = Field(default=None, gt=0, le=3_600)
        scheme: Literal["http", "https"] = "http"
        metrics_path: str = "/metrics"
        honor_labels: bool = False
        honor_timestamps: bool = True
        drop_labels: list[str] = Field(default_factory=list, max_length=100)
        keep: str | None = None
        drop: str | None = None
        bearer_token_file: LoosePath | None = None
        ca_file: LoosePath | None = None
        body_bytes_max: int = Field(default=16_777_216, ge=1_024, le=1_073_741_824)
        samples_per_scrape_max: int = Field(default=50_000, ge=1, le=500_000)
        series_per_target_max: int = Field(default=100_000, ge=1, le=1_000_000)
        inventory: list[InventoryRule] = Field(default_factory=list, max_length=RULES_MAX)

        @field_validator("keep", "drop")
        @classmethod
        def _is_a_pattern(cls, value: str | None) -> str | None:
            return pattern(value)

        @field_validator("http")
        @classmethod
        def _are_urls(cls, value: list[str]) -> list[str]:
            for text in value:
                parts = urlsplit(text)
                if parts.scheme not in ("http", "https") or not parts.hostname:
                    raise ValueError(f"{text!r} is no URL: write it as http(s)://host[:port]/path")
            return value

        @field_validator("ca_file")
        @classmethod
        def _holds_certificates(cls, value: Path | None) -> Path | None:
            return certificates(value)

        @model_validator(mode="after")
        def _has_targets(self) -> "PrometheusCollector.Config":
            if not (self.static or self.files or self.http):
                raise ValueError("nothing to scrape: give one of static, files, http")
            try:
                targets_of(self.static, self.scheme, self.metrics_path)
            except CollectorError as error:
                raise ValueError(str(error)) from None
            return self

    def __init__(self, name: str, config: Config, index: SeriesIndex, clock: Clock) -> None:
        self.name = name
        self.source = f"{self.kind}/{name}"
        self.account = Account()
        self._config = config
        self._index = index
        self._clock = clock
        self._outlet = Outlet(self.source, clock, self.account)
        self._tracker = InventoryTracker(self.source, config.removal_refreshes)
        self._limits = _limits(config)
        self._watched: dict[Role, _Watched] = {}

    def stats(self) -> CollectorStats:
        """Return what was done so far. `other` counts scrapes, and failed ones by reason."""
        return self.account.stats()

    def recall(self, object_ids: Iterable[str]) -> None:
        """Be told, before `run`, which objects the inventory holds that nobody configured.

        Those that an inventory rule can have made are removed when healthy discoveries do not list them: what was
        scaled in while this process was down would otherwise stay for ever, silent.
        """
        self._tracker.recall(self._config.inventory, object_ids)

    async def run(self, sink: ReadingSink) -> None:
        """Scrape until cancelled."""
        self._watched = {}
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(await http_client(self._config.ca_file))
            watch = LoopWatch()
            stack.callback(watch.close)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            session = _Session(sink, client, self._discovery(client), watch, group)
            while True:
                await self._refresh(session)
                await session.rest(self._config.refresh_seconds)

    def _discovery(self, client: "AsyncClient") -> Discovery:
        config = self._config
        lists: list[FileList | HttpList] = [FileList(path) for path in config.files]
        lists += [HttpList(url, client) for url in config.http]
        return Discovery(
            config.static, lists, config.scheme, config.metrics_path, config.refresh_seconds
        )

    async def _refresh(self, session: "_Session") -> None:
        """Look who is to be scraped, start and stop accordingly, and tell what the inventory has become."""
        targets = await session.discovery.refresh()
        problems = session.discovery.problems
        gone, clashes = self._assign(targets, session)
        at_ns = self._clock.now_ns()
        gaps = [self._outlet.gap(GapReason.UNREACHABLE, text, at_ns) for text in problems]
        if clashes:
            text = f"{len(clashes)} targets have the labels of another, {clashes[0]} for one"
            gaps.append(self._outlet.gap(GapReason.MALFORMED, text, at_ns))
        found = survey(self._config.inventory, [dict(target.labels) for target in targets])
        if session.discovery.healthy:
            self._tracker.count_missing(found)
        change = self._tracker.change(found, at_ns)
        session.refreshed()
        for watched in gone:
            farewell = watched.series.farewell(at_ns)
            await self._outlet.put(session.sink, self._outlet.reading(farewell))
        if not gaps and change is None:
            return
        taken = await self._outlet.put(
            session.sink, Reading(self.source, gaps=tuple(gaps), inventory=change)
        )
        if taken and change is not None:
            self._tracker.taken(change, found)

    def _assign(
        self, targets: list[Target], session: "_Session"
    ) -> tuple[list[_Watched], list[str]]:
        """Give every target to its role. Return the roles that are no more, and targets whose role was taken."""
        clashes: list[str] = []
        seen: set[Role] = set()
        for target in targets:
            role = self._role(target)
            if role in seen:
                clashes.append(target.url)
                continue
            seen.add(role)
            if role in self._watched:
                self._watched[role].target = target
                continue
            series = TargetSeries(self.source, dict(role), self._index, self._limits)
            watched = self._watched[role] = _Watched(target, series)
            offset = zlib.crc32(repr(role).encode()) / 2**32 * self._config.interval_seconds
            watched.task = session.group.create_task(self._keep_scraping(watched, session, offset))
        gone = [role for role in self._watched if role not in seen]
        for role in gone:
            task = self._watched[role].task
            if task is not None:
                task.cancel()
        return [self._watched.pop(role) for role in gone], clashes

    def _role(self, target: Target) -> Role:
        """Return the labels that a target puts on its series."""
        stay = identifying(self._config.inventory, dict(target.labels))
        gone = set(self._config.drop_labels) - stay
        return tuple(pair for pair in target.labels if pair[0] not in gone)

    async def _keep_scraping(self, watched: _Watched, session: "_Session", offset: float) -> None:
        """Scrape one role at its own phase of the interval, which spreads targets evenly."""
        loop = asyncio.get_running_loop()
        interval = self._config.interval_seconds
        due = loop.time() + offset
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            reading = await self._scrape(watched, session)
            present = reading[1]
            if await self._outlet.put(session.sink, reading[0]):
                watched.series.present = present
            else:
                watched.series.present = np.union1d(present, watched.series.present)
            due += interval
            missed = int(max(0.0, loop.time() - due) // interval)
            if missed:
                due += missed * interval
                self.account.other["scrapes_skipped"] += missed

    async def _scrape(self, watched: _Watched, session: "_Session") -> tuple[Reading, Present]:
        """Return what one scrape brought, and the series that the target now has."""
        loop = asyncio.get_running_loop()
        at_ns, start = self._clock.now_ns(), loop.time()
        self.account.other["scrapes"] += 1
        series = watched.series
        try:
            page = await self._page(watched, session)
        except ScrapeFailed as error:
            return await self._failed(watched, session, error, at_ns, start)
        own = {
            "up": 1.0,
            "scrape_duration_seconds": loop.time() - start,
            "scrape_samples_scraped": float(len(page)),
        }
        rows = series.rows(page, own, at_ns)
        self.account.last_success_ns = at_ns
        return self._outlet.reading(rows.batch, refused=rows.refused), rows.present

    async def _page(self, watched: _Watched, session: "_Session") -> Page:
        """Fetch and decode; where nobody answers, ask the discovery first whether the target has moved."""
        headers = await self._headers()
        asked = watched.target
        try:
            text, openmetrics = await fetch(
                session.client, asked.url, self._limits, headers, session.watch
            )
        except ScrapeFailed as error:
            if error.reason is not GapReason.UNREACHABLE or not session.discovery.lists:
                raise
            await session.ask_anew()
            if watched.target == asked:
                raise
            url = watched.target.url
            text, openmetrics = await fetch(
                session.client, url, self._limits, headers, session.watch
            )
        return await watched.series.page(text, openmetrics=openmetrics)

    async def _failed(
        self, watched: _Watched, session: "_Session", error: ScrapeFailed, at_ns: int, start: float
    ) -> tuple[Reading, Present]:
        """Say `up` 0 where the fault is the target's, a gap where it may be ours."""
        self.account.other[f"failed_{error.reason}"] += 1
        series = watched.series
        ours = str(error) if error.ours else ""
        if not ours and not session.discovery.trusted:
            ours = f"{error}, and the discovery is silent: the target may be gone on purpose"
        if not ours:
            took = asyncio.get_running_loop().time() - start
            own = {"up": 0.0, "scrape_duration_seconds": took, "scrape_samples_scraped": 0.0}
            rows = series.rows(None, own, at_ns)
            malformed = error.reason is GapReason.MALFORMED
            gaps = (self._outlet.gap(error.reason, str(error), at_ns),) if malformed else ()
            return self._outlet.reading(rows.batch, gaps=gaps, refused=rows.refused), rows.present
        gap = self._outlet.gap(error.reason, ours, at_ns)
        return self._outlet.reading(gaps=(gap,)), series.present

    async def _headers(self) -> dict[str, str]:
        path = self._config.bearer_token_file
        if path is None:
            return {}
        try:
            token = await asyncio.to_thread(path.read_text, "utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScrapeFailed(
                GapReason.REFUSED, f"the token can't be read: {error}", ours=True
            ) from None
        return {"authorization": f"Bearer {token.strip()}"}


class _Session:
    """What one `run` holds."""

    def __init__(
        self,
        sink: ReadingSink,
        client: "AsyncClient",
        discovery: Discovery,
        watch: LoopWatch,
        group: asyncio.TaskGroup,
    ) -> None:
        self.sink = sink
        self.client = client
        self.discovery = discovery
        self.watch = watch
        self.group = group
        self._asked = asyncio.Event()
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def rest(self, seconds: float) -> None:
        """Wait for the next refresh: that long, or less when somebody asks."""
        await asyncio.sleep(min(seconds, DISCOVERY_SPACING_SECONDS))
        try:
            async with asyncio.timeout(max(0.0, seconds - DISCOVERY_SPACING_SECONDS)):
                await self._asked.wait()
        except TimeoutError:
            pass
        self._asked.clear()

    def refreshed(self) -> None:
        """Tell those who asked that the lists have been read anew."""
        self._answered.set_result(None)
        self._answered = asyncio.get_running_loop().create_future()

    async def ask_anew(self) -> None:
        """Have the lists read anew, and wait for it, but not for long."""
        self._asked.set()
        try:
            async with asyncio.timeout(ASK_ANEW_SECONDS):
                await asyncio.shield(self._answered)
        except TimeoutError:
            pass


def _limits(config: PrometheusCollector.Config) -> Limits:
    return Limits(
        timeout_seconds=config.timeout_seconds or config.interval_seconds,
        body_bytes_max=config.body_bytes_max,
        samples_per_scrape_max=config.samples_per_scrape_max,
        series_per_target_max=config.series_per_target_max,
        keep=re.compile(config.keep) if config.keep else None,
        drop=re.compile(config.drop) if config.drop else None,
        honor_labels=config.honor_labels,
        honor_timestamps=config.honor_timestamps,
    )
