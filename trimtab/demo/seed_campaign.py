"""Random fault scripts through the lab: each must end fulfilled, frozen, or in the hands of people with a reason.

`python -m trimtab.demo.seed_campaign --seeds 10 --json OUT`. The far side's own records must show no action twice.
"""

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from lab.network import Lab, LabError
from lab.scenario import Fault, random_script
from trimtab.config.lab import lab_configuration
from trimtab.demo.audit import audit
from trimtab.demo.client import LoopClient
from trimtab.demo.far_side import migrations
from trimtab.demo.loop_process import LoopProcess, secrets_of
from trimtab.demo.report import Reporter
from trimtab.demo.run import free_port

READY_SECONDS = 60.0
SETTLE_SECONDS_MAX = 120.0
CALM_SECONDS = 3.0
POLL_SECONDS = 0.5
UNDER_WAY = frozenset({"intended", "sending", "accepted", "deferred"})


async def run_seed(seed: int, directory: Path) -> dict[str, Any]:
    """Run one seed's script; return how it ended."""
    ended = await run_script(random_script(seed), directory, seed=seed)
    return {"seed": seed, **ended}


async def run_script(
    faults: Sequence[Fault], directory: Path, *, seed: int = 0, settle_seconds: float = 0.0
) -> dict[str, Any]:
    """Inject faults at their times, wait until nothing moves any more; return how it ended, with the audit.

    `settle_seconds` is the least to wait after the last fault: for faults that take a while to be felt.
    """
    async with AsyncExitStack() as stack:
        lab = await Lab.start(directory / "lab", seed=seed)
        stack.push_async_callback(lab.stop)
        token, port = secrets.token_urlsafe(18), free_port()
        configuration = directory / "trimtab.yaml"
        text = lab_configuration(lab.state, port=port, directory=directory / "store")
        configuration.write_text(text, encoding="utf-8")
        loop = LoopProcess(configuration, directory / "loop.log", secrets_of(token, lab.state))
        await loop.start()
        stack.push_async_callback(loop.stop)
        client = LoopClient(f"http://127.0.0.1:{port}", token)
        stack.push_async_callback(client.close)
        await client.until_ready(READY_SECONDS)
        await _until_fulfilled(client, READY_SECONDS)
        injected = await _inject(lab, faults)
        await asyncio.sleep(settle_seconds)
        endings = await _ending(client)
        await _let_speak(lab)
        found = await audit(client, lab.state["vnfm_url"], await migrations(lab.state["vim"]))
        decisions = await client.list("decisions", limit=200)
        ready = await client.ready()
    return {
        "faults": injected,
        "services": endings,
        "good": all(item["ending"] != "broken" for item in endings),
        "decisions": decisions,
        "ready": ready,
        "audit": found.plain(),
    }


async def _inject(lab: Lab, faults: Sequence[Fault]) -> list[str]:
    started = time.monotonic()
    injected: list[str] = []
    for fault in faults:
        await asyncio.sleep(max(0.0, (fault.at_seconds or 0.0) - (time.monotonic() - started)))
        name = f"{fault.kind} {fault.target}"
        try:
            await lab.inject(fault)
            injected.append(name)
        except LabError as error:
            injected.append(f"{name} (not possible then: {error})")
    return injected


async def _let_speak(lab: Lab) -> None:
    """Clear what keeps the VNFM and the VIM from telling what they did."""
    for fault in await lab.faults():
        if str(fault["kind"]).startswith(("vnfm_", "vim_")):
            await lab.clear(str(fault["id"]))


async def _until_fulfilled(client: LoopClient, timeout_seconds: float) -> None:
    async with asyncio.timeout(timeout_seconds):
        fulfilled = False
        while not fulfilled:
            await asyncio.sleep(POLL_SECONDS)
            fulfilled = await client.all_fulfilled()


async def _ending(client: LoopClient) -> list[dict[str, Any]]:
    """Wait until nothing moves any more, and say of each service how it ended and why."""
    until = time.monotonic() + SETTLE_SECONDS_MAX
    calm_since: float | None = None
    endings = await _judge(client)
    while time.monotonic() < until:
        await asyncio.sleep(POLL_SECONDS)
        endings = await _judge(client)
        busy = any(item["state"] in UNDER_WAY for item in await client.list("actions", limit=100))
        watching = any(
            item["verdict"] is None for item in await client.list("verifications", limit=100)
        )
        if busy or watching or any(item["ending"] == "broken" for item in endings):
            calm_since = None
        elif calm_since is None:
            calm_since = time.monotonic()
        elif time.monotonic() - calm_since >= CALM_SECONDS:
            break
    return endings


async def _judge(client: LoopClient) -> list[dict[str, Any]]:
    services = await client.list("services")
    decisions = await client.list("decisions", limit=200)
    incidents = {item["id"]: item for item in await client.list("incidents", limit=200)}
    endings = []
    for service in services:
        status, reason = service["status"], ""
        ending = {"FULFILLED": "fulfilled", "INDETERMINATE": "frozen"}.get(status, "broken")
        for decision in decisions:
            incident = incidents.get(decision["incident_id"])
            concerns = incident is not None and service["id"] in incident["services"]
            still = incident is not None and incident["state"] == "open"
            if (
                ending == "broken"
                and concerns
                and still
                and decision["outcome"] in ("hand_over", "frozen")
            ):
                ending = "handed over" if decision["outcome"] == "hand_over" else "frozen"
                reason = decision["reason"]
        endings.append({"id": service["id"], "status": status, "ending": ending, "reason": reason})
    return endings


def main() -> None:
    """Run from the command line; exit 1 when a service ended broken or an account differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    reporter = Reporter()
    runs = []
    for seed in range(options.first, options.first + options.seeds):
        directory = Path(tempfile.mkdtemp(prefix=f"trimtab-seed-{seed}-"))
        try:
            found = asyncio.run(run_seed(seed, directory))
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        runs.append(found)
        ends = ", ".join(
            f"{item['id']} {item['ending']} {item['reason']}" for item in found["services"]
        )
        reporter.say(f"seed {seed}: {'; '.join(found['faults'])} -> {ends} {found['audit']}")
    if options.json is not None:
        options.json.write_text(json.dumps(runs, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if all(item["good"] and not item["audit"]["findings"] for item in runs) else 1)


if __name__ == "__main__":
    main()
