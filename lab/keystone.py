"""The lab's identity service: as much of Keystone v3 as openstacksdk asks for (discovery, password, catalogue)."""

import hmac
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

TOKEN_SECONDS = 3600
TOKEN_LIMIT = 1_000
USERNAME = "trimtab"
PROJECT = "nfv"
DOMAIN = "Default"
REGION = "lab"


class Tokens:
    """Tokens that were given out, and the one account that gets them."""

    def __init__(self, password: str, identity_url: str, compute_url: str) -> None:
        self.password = password
        self.identity_url = identity_url
        self.compute_url = compute_url
        self.project_id = uuid.uuid5(uuid.NAMESPACE_DNS, PROJECT).hex
        self.user_id = uuid.uuid5(uuid.NAMESPACE_DNS, USERNAME).hex
        self._valid_until: dict[str, float] = {}

    def is_valid(self, token: str | None) -> bool:
        """Whether a request may pass."""
        return token is not None and self._valid_until.get(token, 0.0) > time.time()

    def issue(self) -> tuple[str, float]:
        """A new token and when it ends (Unix time)."""
        if len(self._valid_until) >= TOKEN_LIMIT:
            del self._valid_until[next(iter(self._valid_until))]
        token, until = uuid.uuid4().hex, time.time() + TOKEN_SECONDS
        self._valid_until[token] = until
        return token, until

    def document(self, until: float) -> dict[str, Any]:
        """The body that goes with a token."""
        domain = {"id": "default", "name": DOMAIN}
        return {
            "token": {
                "methods": ["password"],
                "user": {
                    "id": self.user_id,
                    "name": USERNAME,
                    "domain": domain,
                    "password_expires_at": None,
                },
                "project": {"id": self.project_id, "name": PROJECT, "domain": domain},
                "is_domain": False,
                "roles": [{"id": "admin", "name": "admin"}],
                "audit_ids": [uuid.uuid4().hex],
                "issued_at": _iso(time.time()),
                "expires_at": _iso(until),
                "catalog": [
                    _catalogue_entry("identity", "keystone", self.identity_url),
                    _catalogue_entry("compute", "nova", self.compute_url),
                ],
            }
        }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _catalogue_entry(kind: str, name: str, url: str) -> dict[str, Any]:
    return {
        "id": kind,
        "type": kind,
        "name": name,
        "endpoints": [
            {
                "id": f"{kind}-{interface}",
                "interface": interface,
                "region": REGION,
                "region_id": REGION,
                "url": url,
            }
            for interface in ("public", "internal", "admin")
        ],
    }


def _error(code: int, title: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "title": title, "message": message}}, code)


def _accepts(document: Any, password: str) -> bool:
    try:
        user = document["auth"]["identity"]["password"]["user"]
        return (
            "password" in document["auth"]["identity"]["methods"]
            and user["name"] == USERNAME
            and hmac.compare_digest(str(user["password"]), password)
        )
    except (KeyError, TypeError):
        return False


def create_router(tokens: Tokens) -> APIRouter:
    """Keystone's resources under /identity."""
    router = APIRouter(prefix="/identity")

    def version() -> dict[str, Any]:
        return {
            "id": "v3.14",
            "status": "stable",
            "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": f"{tokens.identity_url}/v3/"}],
            "media-types": [
                {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}
            ],
        }

    @router.get("")
    @router.get("/")
    async def versions() -> Response:
        return JSONResponse({"versions": {"values": [version()]}}, 300)

    @router.get("/v3")
    @router.get("/v3/")
    async def version_three() -> Response:
        return JSONResponse({"version": version()})

    @router.post("/v3/auth/tokens")
    async def authenticate(request: Request) -> Response:
        try:
            document = await request.json()
        except ValueError:
            return _error(400, "Bad Request", "the body is not JSON")
        if not _accepts(document, tokens.password):
            return _error(401, "Unauthorized", "The request you have made requires authentication.")
        token, until = tokens.issue()
        return JSONResponse(
            tokens.document(until), 201, {"X-Subject-Token": token, "Vary": "X-Auth-Token"}
        )

    return router
