"""The HTTP client that collectors ask their sources with."""

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx2 import AsyncClient

CONNECTIONS_IDLE_MAX = 500


async def http_client(ca_file: Path | None = None) -> "AsyncClient":
    """Return a client that trusts the system's certificates, or those of `ca_file`. Raises OSError if it has none.

    It has no timeout of its own: each exchange is bounded as a whole, where it is made. Proxies of the environment
    are not for sources. Reading certificates takes tens of milliseconds, so it happens beside the event loop.
    """
    import httpx2

    context = await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS_IDLE_MAX)
    return httpx2.AsyncClient(verify=context, limits=limits, timeout=None, trust_env=False)
