"""Applications of others under a path of their own: push receivers and notification end points."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from api.scopes import Scope


@dataclass(frozen=True, slots=True)
class Mount:
    """An application of somebody else's, and the scope that its callers need."""

    app: ASGIApp
    scope: Scope


class Mounts:
    """ASGI middleware that hands a path and everything below it to its application.

    Unlike a router's mount it takes the bare path too (`/api/v1/write`, not `/api/v1/write/`). The application
    sees the full `path`, and its own prefix in `root_path`.
    """

    def __init__(self, app: ASGIApp, mounts: Mapping[str, Mount]) -> None:
        self._app = app
        self._mounts = {path.rstrip("/"): mount for path, mount in mounts.items()}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Dispatch by the path's beginning."""
        if scope["type"] == "http":
            for prefix, mount in self._mounts.items():
                if scope["path"] == prefix or scope["path"].startswith(f"{prefix}/"):
                    inner = {**scope, "root_path": scope.get("root_path", "") + prefix}
                    await mount.app(inner, receive, send)
                    return
        await self._app(scope, receive, send)
