"""The far side as a person sees it: its own records, and putting right by hand what the loop gave up."""

import asyncio
from typing import Any

import httpx2

from lab.network import Lab
from trimtab.demo.client import LoopClient

REQUEST_TIMEOUT_SECONDS = 10.0
OPERATION_TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.3
VERSION = {"Version": "2.0.0"}
ACTIONS_MAX = 200
UNDER_WAY = frozenset({"STARTING", "PROCESSING", "ROLLING_BACK"})


async def migrations(vim: dict[str, str]) -> list[dict[str, Any]]:
    """Return the VIM's own list of migrations, through Keystone and Nova."""
    password = {
        "user": {
            "name": vim["username"],
            "password": vim["password"],
            "domain": {"name": vim["user_domain_name"]},
        }
    }
    scope = {
        "project": {"name": vim["project_name"], "domain": {"name": vim["project_domain_name"]}}
    }
    body = {"auth": {"identity": {"methods": ["password"], "password": password}, "scope": scope}}
    async with httpx2.AsyncClient(timeout=REQUEST_TIMEOUT_SECONDS) as http:
        answer = await http.post(f"{vim['auth_url']}/auth/tokens", json=body)
        answer.raise_for_status()
        token = answer.headers["X-Subject-Token"]
        compute = next(
            endpoint["url"]
            for service in answer.json()["token"]["catalog"]
            if service["type"] == "compute"
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "public"
        )
        listed = await http.get(
            f"{compute}/os-migrations",
            headers={"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.80"},
        )
        listed.raise_for_status()
    found: list[dict[str, Any]] = listed.json()["migrations"]
    return found


async def put_right(lab: Lab, client: LoopClient) -> None:
    """Do what people would: end stuck operations, heal each VNF, release what the loop holds locked."""
    base = f"{lab.state['vnfm_url']}/vnflcm/v2"
    async with httpx2.AsyncClient(timeout=REQUEST_TIMEOUT_SECONDS, headers=VERSION) as http:
        await _unlock(http, base)
        for vnf in lab.state["vnfs"]:
            await http.post(
                f"{base}/vnf_instances/{vnf['vnf_instance_id']}/heal", json={"cause": "by hand"}
            )
        await _until_idle(http, base)
    for action in await client.list("actions", state="unknown", limit=ACTIONS_MAX):
        await client.order(f"actions/{action['id']}/reset")
    for incident in await client.list("incidents", state="open", limit=ACTIONS_MAX):
        await client.order(f"incidents/{incident['id']}/reset")


async def _unlock(http: httpx2.AsyncClient, base: str) -> None:
    await _until_idle(http, base)
    occurrences = (await http.get(f"{base}/vnf_lcm_op_occs")).json()
    for item in occurrences:
        if item["operationState"] == "FAILED_TEMP":
            await http.post(f"{base}/vnf_lcm_op_occs/{item['id']}/fail")


async def _until_idle(http: httpx2.AsyncClient, base: str) -> None:
    async with asyncio.timeout(OPERATION_TIMEOUT_SECONDS):
        while True:
            occurrences = (await http.get(f"{base}/vnf_lcm_op_occs")).json()
            if not any(item["operationState"] in UNDER_WAY for item in occurrences):
                return
            await asyncio.sleep(POLL_SECONDS)
