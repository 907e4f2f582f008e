"""Follow one fault through the loop: detected, cause, action, verdict, recovery."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from trimtab.demo.client import LoopClient
from trimtab.domain.time import ns_from_rfc3339

FOLLOW_SECONDS = 0.25
SENT = ("sending", "accepted", "succeeded", "failed", "unknown")


@dataclass(slots=True)
class FaultRow:
    """What became of one fault; times RFC 3339, None for what has not happened."""

    kind: str
    target: str
    injected_at: str
    detected_at: str | None = None
    incident: str | None = None
    cause: str | None = None
    action: str | None = None
    acted_at: str | None = None
    verdict: str | None = None
    verified_at: str | None = None
    recovered_at: str | None = None
    outcome: str | None = None  # how it ended: effective, handed_over, frozen, resolved, timeout
    reason: str | None = None
    sla_seconds_lost: float | None = None
    sla_seconds_lost_without_loop: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return the row as JSON types."""
        return asdict(self)

    def seconds_after(self, moment: str | None) -> float | None:
        """Return how long after the injection something was."""
        if moment is None:
            return None
        return (ns_from_rfc3339(moment) - ns_from_rfc3339(self.injected_at)) / 1e9


async def follow(client: LoopClient, row: FaultRow, timeout_seconds: float) -> None:
    """Fill the row in as the loop goes on, until the fault has ended in one way or another."""
    row.outcome = None
    try:
        async with asyncio.timeout(timeout_seconds):
            while row.outcome is None:
                await observe(client, row)
                await asyncio.sleep(FOLLOW_SECONDS)
    except TimeoutError:
        row.outcome = "timeout"
        row.reason = row.reason or f"nothing conclusive within {timeout_seconds:.0f} s"


async def observe(client: LoopClient, row: FaultRow) -> None:
    """Bring the row up to date once."""
    incidents = [
        item
        for item in await client.list("incidents", limit=20)
        if item["opened_at"] >= row.injected_at
    ]
    if not incidents:
        return
    incidents.sort(key=lambda item: str(item["opened_at"]))
    row.detected_at = row.detected_at or incidents[0]["opened_at"]
    ids = {item["id"] for item in incidents}
    decisions = [
        item for item in await client.list("decisions", limit=50) if item["incident_id"] in ids
    ]
    actions = [
        item for item in await client.list("actions", limit=50) if item["incident_id"] in ids
    ]
    verifications = [
        item for item in await client.list("verifications", limit=50) if item["incident_id"] in ids
    ]
    _acted(row, actions)
    _cause(row, incidents, decisions)
    judged = [item for item in verifications if item["verdict"] is not None]
    if judged:
        last = max(judged, key=lambda item: str(item["ended_at"]))
        row.verdict, row.verified_at = last["verdict"], last["ended_at"]
        row.reason = last["reason"]
    pending = any(item["verdict"] is None for item in verifications)
    under_way = any(
        item["state"] in ("intended", "sending", "accepted", "deferred") for item in actions
    )
    await _end(client, row, incidents, decisions, busy=pending or under_way)


def _acted(row: FaultRow, actions: list[dict[str, Any]]) -> None:
    sent = sorted(
        (item for item in actions if item["state"] in SENT),
        key=lambda item: str(item["created_at"]),
    )
    if sent:
        row.acted_at = sent[0]["created_at"]
        row.action = ", ".join(f"{item['kind']} {_name(item['target_id'])}" for item in sent)


def _cause(row: FaultRow, incidents: list[dict[str, Any]], decisions: list[dict[str, Any]]) -> None:
    chosen = {item["incident_id"] for item in decisions if item["action_ids"]}
    told = [item for item in incidents if item["causes"]]
    told.sort(key=lambda item: item["id"] not in chosen)
    if told and (row.cause is None or told[0]["id"] in chosen):
        row.incident = told[0]["id"]
        row.cause = f"{_name(told[0]['causes'][0]['object_id'])}: {told[0]['causes'][0]['symptom']}"


async def _end(
    client: LoopClient,
    row: FaultRow,
    incidents: list[dict[str, Any]],
    decisions: list[dict[str, Any]],
    *,
    busy: bool,
) -> None:
    outcomes = {item["outcome"]: item["reason"] for item in decisions}
    if "hand_over" in outcomes and not busy and row.verdict != "EFFECTIVE":
        row.outcome, row.reason = "handed_over", outcomes["hand_over"]
        return
    if busy:
        return
    resolved = all(item["state"] == "resolved" for item in incidents)
    effective = row.verdict == "EFFECTIVE"
    services = await client.list("services")
    fulfilled = bool(services) and all(item["status"] == "FULFILLED" for item in services)
    # The cause may still be in trouble (a host stays noisy): what counts is that no service suffers from it any more.
    if fulfilled and (resolved or effective):
        row.recovered_at = _fulfilled_since(row, services)
        row.outcome = "effective" if effective else "resolved"
    elif "frozen" in outcomes and not row.action:
        row.reason = outcomes["frozen"]


def _fulfilled_since(row: FaultRow, services: list[dict[str, Any]]) -> str | None:
    """Return when the last objective that the fault broke was met again; the verification's end if none was."""
    since = [
        objective["assessment"]["since"]
        for service in services
        for objective in service["objectives"]
        if objective["assessment"]
    ]
    after = [moment for moment in since if moment > row.injected_at]
    return max(after, default=row.verified_at)


def _name(object_id: str) -> str:
    return object_id.rsplit("/", 1)[-1]
