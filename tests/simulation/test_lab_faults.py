"""Wrong and hard things in the real lab: each ends verified, frozen, or with people and a reason; no action twice."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from lab.network import Lab
from lab.scenario import make_fault
from trimtab.config.lab import lab_configuration
from trimtab.demo.audit import audit
from trimtab.demo.client import LoopClient
from trimtab.demo.far_side import migrations
from trimtab.demo.loop_process import LoopProcess, secrets_of
from trimtab.demo.run import free_port

pytestmark = pytest.mark.alone

SECONDS_MAX = 100.0  # far above what it takes on an idle machine
Rows = list[dict[str, Any]]


class Site:
    """One lab, and one loop that watches it."""

    def __init__(self, lab: Lab, loop: LoopProcess, client: LoopClient, log: Path) -> None:
        self.lab, self.loop, self.client, self.log = lab, loop, client, log

    async def until(self, what: str, holds: Callable[[], Awaitable[object]]) -> None:
        """Wait for something; fail by its name."""
        until = time.monotonic() + SECONDS_MAX
        while not await holds():
            if time.monotonic() > until:
                told = [(row["outcome"], row["reason"]) for row in await self.list("decisions")]
                pytest.fail(f"not within {SECONDS_MAX:.0f} s: {what}; decisions: {told}")
            await asyncio.sleep(0.3)

    async def list(self, noun: str) -> Rows:
        return await self.client.list(noun, limit=200)

    async def calm(self) -> None:
        """Wait until every service is fulfilled, no incident is open and no action under way."""

        async def holds() -> bool:
            open_ones = await self.client.list("incidents", state="open", limit=1)
            pending = [row for row in await self.list("verifications") if row["verdict"] is None]
            return await self.client.all_fulfilled() and not open_ones and not pending

        await self.until("calm", holds)

    async def inject(self, kind: str, target: str | None = None, **parameters: object) -> str:
        return str((await self.lab.inject(make_fault(kind, target, None, parameters)))["id"])

    async def news(self, noun: str, before: Rows) -> Rows:
        """Return what a list holds that it did not hold before."""
        known = {row["id"] for row in before}
        return [row for row in await self.list(noun) if row["id"] not in known]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def site(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    stack = AsyncExitStack()

    async def up() -> Site:
        lab = await Lab.start(directory / "lab", seed=7)
        stack.push_async_callback(lab.stop)
        token, port = secrets.token_urlsafe(18), free_port()
        path = directory / "trimtab.yaml"
        path.write_text(lab_configuration(lab.state, port=port, directory=directory / "store"))
        loop = LoopProcess(path, directory / "loop.log", secrets_of(token, lab.state))
        await loop.start()
        stack.push_async_callback(loop.stop)
        client = LoopClient(f"http://127.0.0.1:{port}", token)
        stack.push_async_callback(client.close)
        await client.until_ready(60.0)
        site = Site(lab, loop, client, directory / "loop.log")
        await site.calm()
        return site

    try:
        yield runner.run(up())
    finally:
        runner.run(stack.aclose())


def test_a_collector_that_goes_blind_causes_no_action(runner: asyncio.Runner, site: Site) -> None:
    async def run() -> None:
        fault = await site.inject("silent_collector", "vnf")
        await asyncio.sleep(12.0)
        assert await site.list("actions") == []
        await site.lab.clear(fault)
        await site.calm()

    runner.run(run())


def test_a_vnfm_that_answers_garbage_is_asked_until_it_makes_sense(
    runner: asyncio.Runner, site: Site
) -> None:
    """Half a JSON neither stops the loop nor makes it act twice; once answers make sense, the heal helps."""

    async def run() -> None:
        before = await site.list("actions")
        garbage = await site.inject("vnfm_garbage")
        await site.inject("crash", "fw-0")

        async def held_up() -> bool:
            states = [(row["kind"], row["state"]) for row in await site.news("actions", before)]
            return ("heal", "deferred") in states or ("heal", "failed") in states

        await site.until("the heal is held up", held_up)
        assert (await site.client.ready())[0]
        await site.lab.clear(garbage)
        await site.calm()
        heals = [row for row in await site.news("actions", before) if row["kind"] == "heal"]
        assert len(heals) == 1

    runner.run(run())


def test_a_link_that_loses_packets_ends_with_people(runner: asyncio.Runner, site: Site) -> None:
    async def run() -> None:
        before, actions = await site.list("decisions"), await site.list("actions")
        fault = await site.inject("link_loss", "fw-rtr", loss_ratio=0.3)

        async def handed_over() -> bool:
            return any(
                row["outcome"] == "hand_over" for row in await site.news("decisions", before)
            )

        await site.until("handed over", handed_over)
        told = [
            row for row in await site.news("decisions", before) if row["outcome"] == "hand_over"
        ]
        assert all(row["reason"] for row in told)
        kinds = {row["kind"] for row in await site.news("actions", actions)}
        assert kinds <= {"hand_over"}
        await site.lab.clear(fault)
        await site.calm()

    runner.run(run())


def test_the_far_sides_records_show_each_action_once(runner: asyncio.Runner, site: Site) -> None:
    async def run() -> None:
        found = await audit(
            site.client, site.lab.state["vnfm_url"], await migrations(site.lab.state["vim"])
        )
        assert found.findings == []
        assert found.operations >= 1
        assert "Traceback" not in site.log.read_text(encoding="utf-8")

    runner.run(run())
