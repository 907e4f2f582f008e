"""How the demo sees the loop: through its API, as any client."""

import asyncio
from typing import Any, cast

import httpx2

from trimtab.errors import TrimtabError

REQUEST_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.2


class LoopClient:
    """Ask the loop's API; answers are its JSON, times RFC 3339."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=REQUEST_TIMEOUT_SECONDS,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def ready(self) -> tuple[bool, str]:
        """Return whether the loop is ready, and why not."""
        try:
            answer = await self._http.get("/readyz")
        except httpx2.HTTPError as error:
            return False, str(error) or type(error).__name__
        if answer.status_code == httpx2.codes.OK:
            return True, ""
        return False, answer.text

    async def until_ready(self, timeout_seconds: float) -> None:
        """Wait for readiness. Raises TrimtabError with the reason when it does not come."""
        reason = ""
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    ready, reason = await self.ready()
                    if ready:
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise TrimtabError(
                f"the loop is not ready after {timeout_seconds:.0f} s: {reason}"
            ) from None

    async def list(self, noun: str, **query: str | int) -> list[dict[str, Any]]:
        """Return a list resource of /api/v1, newest first; empty while the API can't answer."""
        try:
            answer = await self._http.get(f"/api/v1/{noun}", params=query)
            answer.raise_for_status()
            plain = answer.json()
        except (httpx2.HTTPError, ValueError):
            return []
        items = plain["items"] if isinstance(plain, dict) else plain
        return cast("list[dict[str, Any]]", items)

    async def all_fulfilled(self) -> bool:
        """Return whether every service's `observed` is FULFILLED."""
        services = await self.list("services")
        return bool(services) and all(item["status"] == "FULFILLED" for item in services)

    async def order(self, path: str) -> bool:
        """Give an order, e.g. `loop/reset`; return whether it was applied."""
        try:
            answer = await self._http.post(f"/api/v1/{path}", json={})
        except httpx2.HTTPError:
            return False
        return answer.is_success
