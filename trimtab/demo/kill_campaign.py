"""Kill -9 the loop again and again while it works; then hold the far side's records against its own.

`python -m trimtab.demo.kill_campaign --kills 200 --json OUT`: half of the kills at named points of the code, half at
random times, each followed by a restart.
"""

import argparse
import asyncio
import json
import random
import secrets
import shutil
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
from trimtab.demo.loop_process import LoopProcess, secrets_of
from trimtab.demo.report import Reporter
from trimtab.demo.run import free_port
from trimtab.drivers.crashpoint import (
    AFTER_INPUTS_JOURNALED,
    AFTER_STEP,
    CRASH_POINTS,
    VARIABLE,
)

READY_SECONDS = 60.0
REACH_SECONDS = 10.0
SETTLE_SECONDS = 60.0
FIRST_LIFE_SECONDS = (0.5, 8.0)  # from the fault: before, while and after it is acted on
RANDOM_LIFE_SECONDS = (0.5, 7.0)  # from the start: recovery is struck, too
KILLS_PER_FAULT = 7
EVERY_TURN = (AFTER_INPUTS_JOURNALED, AFTER_STEP)
FAULTS = (
    ("crash", "fw-0"), ("crash", "cpe-acme-0"), ("hang", "rtr-0"), ("crash", "cpe-globex-0"),
    ("overload", "acme-vpn"), ("noisy_host", "host-2"),
)  # fmt: skip


@dataclass(slots=True)
class Campaign:
    """What was done: kills by where they struck, lives, and how each fault ended."""

    kills: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    restarts_seconds: list[float] = field(default_factory=list)


async def run(kills: int, seed: int, directory: Path, reporter: Reporter) -> dict[str, Any]:
    """Run the campaign; return its facts."""
    campaign = Campaign()
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
        await _start(loop, client, campaign)
        await _settle(client)
        number = 0
        while campaign.kills.total() < kills:
            kind, target = FAULTS[number % len(FAULTS)]
            number += 1
            injected = await lab.inject(make_fault(kind, target))
            await asyncio.sleep(chance.uniform(*FIRST_LIFE_SECONDS))
            await loop.kill()
            campaign.kills["at random"] += 1
            for _ in range(min(KILLS_PER_FAULT, kills - campaign.kills.total())):
                await _kill_once(loop, campaign, chance)
            await _start(loop, client, campaign)
            ending = await _settle(client)
            campaign.endings[f"{kind}: {ending}"] += 1
            reporter.say(f"{campaign.kills.total():4} kills  {kind} {target}: {ending}")
            await lab.clear(str(injected["id"]))
            if ending != "fulfilled":
                await put_right(lab, client)
                await _settle(client)
        found = await audit(client, lab.state["vnfm_url"], await migrations(lab.state["vim"]))
    return _facts(campaign, found)


async def _start(loop: LoopProcess, client: LoopClient, campaign: Campaign) -> None:
    """Start the loop and wait until it is ready."""
    started = time.monotonic()
    await loop.start({VARIABLE: ""})
    await client.until_ready(READY_SECONDS)
    campaign.restarts_seconds.append(time.monotonic() - started)


async def _kill_once(loop: LoopProcess, campaign: Campaign, chance: random.Random) -> None:
    """Let the loop live a life that ends by kill -9, at a named point or at a random time in turn."""
    if campaign.kills.total() % 2:
        await loop.start({VARIABLE: ""})
        await asyncio.sleep(chance.uniform(*RANDOM_LIFE_SECONDS))
        await loop.kill()
        campaign.kills["at random"] += 1
        return
    point = CRASH_POINTS[campaign.kills.total() // 2 % len(CRASH_POINTS)]
    often = chance.randint(1, 12) if point in EVERY_TURN else 1
    await loop.start({VARIABLE: f"{point}:{often}"})
    try:
        await asyncio.wait_for(loop.wait(), REACH_SECONDS)
        campaign.kills[f"at {point}"] += 1
    except TimeoutError:  # nothing led there in this life
        await loop.kill()
        campaign.kills["at random, the point was not reached"] += 1


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
        "struck": dict(campaign.kills),
        "endings": dict(campaign.endings),
        "restart_seconds_median": restarts[len(restarts) // 2] if restarts else None,
        "restart_seconds_worst": restarts[-1] if restarts else None,
        "audit": found.plain(),
    }


def main() -> None:
    """Run from the command line; exit 1 when the accounts differ."""
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
    sys.exit(1 if facts["audit"]["findings"] else 0)


if __name__ == "__main__":
    main()
