"""Kill -9 the loop again and again while it works; then hold the far side's records against its own.

`python -m trimtab.demo.kill_campaign --kills 200 --json OUT`: at least half of the kills at named points of the code,
the others at random times, each followed by a restart.
"""

import argparse
import asyncio
import json
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.network import Lab
from lab.scenario import make_fault
from trimtab.config.lab import lab_configuration
from trimtab.demo.audit import Audit, audit
from trimtab.demo.client import LoopClient
from trimtab.demo.far_side import migrations, put_right
from trimtab.demo.kill_plan import Life, route, storm
from trimtab.demo.loop_process import LoopProcess, secrets_of
from trimtab.demo.report import Reporter
from trimtab.demo.run import free_port
from trimtab.drivers.crashpoint import CRASH_POINTS, VARIABLE
from trimtab.errors import TrimtabError

READY_SECONDS = 60.0
REACH_SECONDS = 15.0
FIRST_REACH_SECONDS = 40.0  # to see the fault, wait, decide
SETTLE_SECONDS = 60.0
KILLS_FOR_EVERY_POINT = 100  # so many strike each point at least once
AT_RANDOM = "at random"
NOT_REACHED = "at random, the point was not reached"
FAULTS = (
    ("crash", "fw-0"), ("crash", "cpe-acme-0"), ("hang", "rtr-0"), ("crash", "cpe-globex-0"),
    ("overload", "acme-vpn"), ("noisy_host", "host-2"),
)  # fmt: skip


@dataclass(slots=True)
class Campaign:
    """What was done: kills by where they struck, lives, and how each fault ended."""

    wanted: int
    kills: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    restarts_seconds: list[float] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Return whether there were as many kills as were asked for."""
        return self.kills.total() >= self.wanted

    @property
    def named(self) -> int:
        """Return how many struck at a named point."""
        return self.kills.total() - self.kills[AT_RANDOM] - self.kills[NOT_REACHED]

    def shortfalls(self) -> list[str]:
        """Return what makes this campaign prove less than it should."""
        found = []
        if self.named * 2 < self.kills.total():
            found.append(f"only {self.named} of {self.kills.total()} kills struck a named point")
        if self.kills.total() >= KILLS_FOR_EVERY_POINT:
            missed = [point for point in CRASH_POINTS if not self.kills[f"at {point}"]]
            found.extend(f"no kill struck {point}" for point in missed)
        return found


async def run(kills: int, seed: int, directory: Path, reporter: Reporter) -> dict[str, Any]:
    """Run the campaign; return its facts."""
    campaign = Campaign(kills)
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        lab = await Lab.start(directory / "lab", seed=seed)
        stack.push_async_callback(lab.stop)
        token, port = secrets.token_urlsafe(18), free_port()
        configuration = directory / "trimtab.yaml"
        text = lab_configuration(lab.state, port=port, directory=directory / "store")
        configuration.write_text(text, encoding="utf-8")
        loop = LoopProcess(configuration, directory / "loop.log", secrets_of(token, lab.state))
        stack.push_async_callback(loop.stop)
        client = LoopClient(f"http://127.0.0.1:{port}", token)
        stack.push_async_callback(client.close)
        number = seed
        while not campaign.done:
            kind, target = FAULTS[number % len(FAULTS)]
            injected = await _survive(lab, loop, client, campaign, number, chance)
            await _start(loop, client, campaign)
            ending = await _settle(client)
            campaign.endings[f"{kind}: {ending}"] += 1
            reporter.say(
                f"{campaign.kills.total():4} kills, {campaign.named} named  {kind} {target}: {ending}"
            )
            await lab.clear(str(injected["id"]))
            if ending != "fulfilled":
                await put_right(lab, client)
                await _settle(client)
            await loop.kill()
            campaign.kills[AT_RANDOM] += 1
            number += 1
        await _start(loop, client, campaign)
        found = await audit(client, lab.state["vnfm_url"], await migrations(lab.state["vim"]))
    return _facts(campaign, found)


async def _survive(
    lab: Lab, loop: LoopProcess, client: LoopClient, campaign: Campaign, number: int,
    chance: random.Random,
) -> dict[str, Any]:  # fmt: skip
    """Have a fault befall a life, and this one and those after it end as planned; return the fault."""
    first, *others = route(number)
    await loop.start(_armed(first))
    await client.until_ready(READY_SECONDS)
    await _settle(client)
    kind, target = FAULTS[number % len(FAULTS)]
    injected: dict[str, Any] = await lab.inject(make_fault(kind, target))
    reached = await _end(loop, first, campaign, FIRST_REACH_SECONDS)
    for life in others:
        if not reached or campaign.done:
            break
        await loop.start(_armed(life))
        reached = await _end(loop, life, campaign, REACH_SECONDS)
    for life in storm(number, chance):
        if campaign.done:
            break
        await loop.start(_armed(life))
        await _end(loop, life, campaign, REACH_SECONDS)
    return injected


def _armed(life: Life) -> dict[str, str]:
    return {VARIABLE: f"{life.point}:{life.passing}" if life.point else ""}


async def _start(loop: LoopProcess, client: LoopClient, campaign: Campaign) -> None:
    """Start the loop and wait until it is ready."""
    started = time.monotonic()
    await loop.start({VARIABLE: ""})
    await client.until_ready(READY_SECONDS)
    campaign.restarts_seconds.append(time.monotonic() - started)


async def _end(
    loop: LoopProcess, life: Life, campaign: Campaign, reach_seconds: float
) -> bool:  # fmt: skip
    """Wait until the life ends as it should, else end it; return whether it ended as it should."""
    await asyncio.sleep(life.seconds if life.told_to_stop or not life.point else 0.0)
    if life.told_to_stop:
        loop.ask_to_stop()
    if life.point is None:
        await loop.kill()
        campaign.kills[AT_RANDOM] += 1
        return True
    try:
        code = await asyncio.wait_for(loop.wait(), reach_seconds)
    except TimeoutError:  # nothing led there in this life
        await loop.kill()
        campaign.kills[NOT_REACHED] += 1
        return False
    if code != -signal.SIGKILL:
        if life.told_to_stop:  # it had nothing to save yet: an orderly end, no kill
            return False
        raise TrimtabError(f"the loop ended by itself with {code}:\n{loop.log_tail()}")
    campaign.kills[f"at {life.point}"] += 1
    return True


async def _settle(client: LoopClient) -> str:
    """Wait until the services are well and nothing is under way, or people were called."""
    until = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < until:
        await asyncio.sleep(0.5)
        still = await client.list("incidents", state="open", limit=5)
        if await client.all_fulfilled() and not still:
            return "fulfilled"
    decisions = await client.list("decisions", limit=20)
    outcomes = {item["outcome"] for item in decisions}
    return next((name for name in ("hand_over", "frozen") if name in outcomes), "not settled")


def _facts(campaign: Campaign, found: Audit) -> dict[str, Any]:
    restarts = sorted(campaign.restarts_seconds)
    return {
        "format": 1,
        "kills": campaign.kills.total(),
        "named": campaign.named,
        "shortfalls": campaign.shortfalls(),
        "struck": dict(campaign.kills),
        "endings": dict(campaign.endings),
        "restart_seconds_median": restarts[len(restarts) // 2] if restarts else None,
        "restart_seconds_worst": restarts[-1] if restarts else None,
        "audit": found.plain(),
    }


def main() -> None:
    """Run from the command line; exit 1 when the accounts differ, or too few kills struck a named point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--directory", type=Path, default=None, help="keep everything here")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="trimtab-kill-"))
    directory.mkdir(parents=True, exist_ok=True)
    reporter = Reporter()
    try:
        facts = asyncio.run(run(options.kills, options.seed, directory, reporter))
    finally:
        if options.directory is None:
            shutil.rmtree(directory, ignore_errors=True)
    text = json.dumps(facts, indent=2)
    reporter.say(text)
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")
    sys.exit(1 if facts["audit"]["findings"] or facts["shortfalls"] else 0)


if __name__ == "__main__":
    main()
