"""Hold the loop's own account of its actions against the far side's records: each once, none forgotten."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

from trimtab.demo.client import LoopClient

ACTIONS_MAX = 1_000
VERSION = "2.0.0"
LCM_KINDS = frozenset({"heal", "scale_out", "scale_in"})
OVER = frozenset({"succeeded", "failed", "unknown", "cancelled", "proposed"})
REQUEST_TIMEOUT_SECONDS = 10.0


@dataclass(slots=True)
class Audit:
    """What was found: `findings` is empty when the two accounts agree."""

    actions: int = 0
    operations: int = 0
    migrations: int = 0
    states: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return the audit as JSON types."""
        return {
            "actions": self.actions, "operations": self.operations, "migrations": self.migrations,
            "states": dict(self.states), "findings": self.findings,
        }  # fmt: skip


async def audit(client: LoopClient, vnfm_url: str, migrations: list[dict[str, Any]]) -> Audit:
    """Compare the loop's actions with the VNFM's occurrences and the VIM's migrations."""
    actions = await all_items(client, "actions")
    found = Audit(len(actions), states=Counter(item["state"] for item in actions))
    occurrences = await _occurrences(vnfm_url)
    found.operations = len(occurrences)
    echoed = Counter(_echo(item) for item in occurrences)
    for action_id, times in echoed.items():
        if action_id and times > 1:
            found.findings.append(f"the VNFM accepted {action_id} {times} times")
    known = {item["id"] for item in actions}
    for action_id in echoed:
        if action_id and action_id not in known:
            found.findings.append(f"the VNFM knows {action_id}, which the loop forgot")
    _agree(found, actions, echoed)
    _migrated(found, actions, migrations)
    return found


async def all_items(client: LoopClient, noun: str) -> list[dict[str, Any]]:
    """Return a whole list resource."""
    return await client.list(noun, limit=ACTIONS_MAX)


async def _occurrences(vnfm_url: str) -> list[dict[str, Any]]:
    async with httpx2.AsyncClient(timeout=REQUEST_TIMEOUT_SECONDS) as http:
        answer = await http.get(
            f"{vnfm_url}/vnflcm/v2/vnf_lcm_op_occs", headers={"Version": VERSION}
        )
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found


def _echo(occurrence: dict[str, Any]) -> str:
    parameters = occurrence.get("operationParams") or {}
    return str((parameters.get("additionalParams") or {}).get("trimtabActionId", ""))


def _agree(found: Audit, actions: list[dict[str, Any]], echoed: Counter[str]) -> None:
    for item in actions:
        times = echoed.get(item["id"], 0)
        if item["state"] not in OVER:
            found.findings.append(f"{item['id']} is still {item['state']}: forgotten")
        if item["kind"] not in LCM_KINDS:
            continue
        if item["state"] == "succeeded" and times != 1:
            found.findings.append(f"{item['id']} succeeded, but the VNFM has it {times} times")
        if item["state"] == "cancelled" and times:
            found.findings.append(f"{item['id']} was cancelled, but the VNFM accepted it")


def _migrated(
    found: Audit, actions: list[dict[str, Any]], migrations: list[dict[str, Any]]
) -> None:
    found.migrations = len(migrations)
    sent = [item for item in actions if item["kind"] == "migrate"]
    done = [item for item in sent if item["state"] == "succeeded"]
    doubtful = [item for item in sent if item["state"] in ("unknown", "failed")]
    if not len(done) <= len(migrations) <= len(done) + len(doubtful):
        found.findings.append(
            f"the VIM migrated {len(migrations)} times, the loop says {len(done)} done, {len(doubtful)} in doubt"
        )
