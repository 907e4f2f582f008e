"""Nobody sees anything but liveness without a credential, and nobody more than their credential allows."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from api.auth import Keyring
from api.scopes import Principal, Scope
from api.sessions import ADDRESSES_MAX, LoginBrake, Sessions
from api.settings import TokenSettings

pytestmark = pytest.mark.anyio
Client = Callable[[str], httpx2.AsyncClient]

EVERYTHING = [
    "/", "/readyz", "/metrics", "/openapi.json", "/api/v1/services", "/api/v1/events", "/nowhere",
    "/docs", "/static/console.js", "/mefApi/legato/alarmManagement/v3/alarm", "/callbacks/sol003",
    "/mefApi/legato/performanceMonitoring/v5/performanceReport", "/api/v1/write",
    "/tmf-api/serviceInventoryManagement/v5/service",
]  # fmt: skip


@pytest.mark.parametrize("path", EVERYTHING)
async def test_without_a_credential_everything_is_401(client_of: Client, path: str) -> None:
    answer = await client_of("").get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_liveness_is_open(client_of: Client) -> None:
    answer = await client_of("").get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "alive"}


async def test_a_browser_is_sent_to_the_login(client_of: Client) -> None:
    answer = await client_of("").get("/decisions?id=1", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fdecisions%3Fid%3D1"


async def test_an_unknown_token_is_told_so(client_of: Client) -> None:
    answer = await client_of("").get("/readyz", headers={"Authorization": "Bearer guess"})
    assert answer.status_code == 401
    assert "not known" in answer.json()["detail"]


@pytest.mark.parametrize(
    "name, path, status",
    [
        ("noc", "/metrics", 200),
        ("viewer", "/metrics", 403),
        ("scraper", "/metrics", 200),
        ("scraper", "/api/v1/services", 403),
        ("pusher", "/api/v1/write", 204),
        ("noc", "/api/v1/write", 403),
        ("callback", "/callbacks/sol003", 204),
        ("pusher", "/callbacks/sol003", 403),
        ("callback", "/api/v1/services", 403),
    ],
)
async def test_scopes_are_apart(client_of: Client, name: str, path: str, status: int) -> None:
    assert (await client_of(name).get(path)).status_code == status


async def test_reading_does_not_allow_orders(client_of: Client, world: Any) -> None:
    answer = await client_of("viewer").post("/api/v1/loop/pause")
    assert answer.status_code == 403
    assert "operate" in answer.json()["detail"]
    assert world.commands == []


async def test_basic_carries_the_token_as_password(
    client_of: Client, tokens: dict[str, str]
) -> None:
    secret = b64encode(f"vnfm:{tokens['callback']}".encode()).decode()
    client = client_of("")
    answer = await client.post("/callbacks/sol003", headers={"Authorization": f"Basic {secret}"})
    assert answer.status_code == 204
    answer = await client.post("/callbacks/sol003", headers={"Authorization": "Basic %%%"})
    assert answer.status_code == 401


async def test_influx_clients_say_token_where_others_say_bearer(
    client_of: Client, tokens: dict[str, str]
) -> None:
    said = {"Authorization": f"Token {tokens['viewer']}"}
    assert (await client_of("").get("/api/v1/services", headers=said)).status_code == 200
    said = {"Authorization": "Token wrong"}
    assert (await client_of("").get("/api/v1/services", headers=said)).status_code == 401


async def test_login_gives_a_strict_cookie_and_orders_need_the_csrf_token(
    client_of: Client, tokens: dict[str, str], world: Any
) -> None:
    client = client_of("")
    answer = await client.post("/login", data={"token": tokens["noc"], "next": "/"})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert tokens["noc"] not in cookie
    assert (await client.get("/api/v1/services")).status_code == 200
    refused = await client.post("/api/v1/loop/pause")
    assert refused.status_code == 403
    assert world.commands == []
    page = (await client.get("/")).text
    csrf = page.partition('name="csrf" content="')[2].partition('"')[0]
    foreign = {"X-CSRF-Token": csrf, "Origin": "https://elsewhere.example"}
    assert (await client.post("/api/v1/loop/pause", headers=foreign)).status_code == 403
    done = await client.post("/api/v1/loop/pause", headers={"X-CSRF-Token": csrf})
    assert done.status_code == 200
    assert world.commands[0].actor == "noc"
    gone = await client.post("/logout", headers={"X-CSRF-Token": csrf})
    assert gone.status_code == 303
    assert (await client.get("/api/v1/services")).status_code == 401


async def test_a_wrong_token_does_not_log_in_and_guessing_is_braked(
    make_app: Callable[..., FastAPI], world: Any, tokens: dict[str, str]
) -> None:
    transport = httpx2.ASGITransport(make_app(world, login_attempts_per_minute=3))
    async with httpx2.AsyncClient(transport=transport, base_url="http://trimtab.test") as client:
        for _ in range(3):
            answer = await client.post("/login", data={"token": "guess"})
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
        answer = await client.post("/login", data={"token": tokens["noc"]})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
async def test_login_never_leads_elsewhere(
    client_of: Client, tokens: dict[str, str], target: str
) -> None:
    answer = await client_of("").post("/login", data={"token": tokens["noc"], "next": target})
    assert answer.headers["location"] == "/"


async def test_a_token_without_read_does_not_open_the_console(
    client_of: Client, tokens: dict[str, str]
) -> None:
    answer = await client_of("").post("/login", data={"token": tokens["pusher"]})
    assert answer.status_code == 403


async def test_every_answer_carries_the_security_headers(client_of: Client) -> None:
    for name, path in (("", "/healthz"), ("", "/nowhere"), ("noc", "/"), ("noc", "/nowhere")):
        headers = (await client_of(name).get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_sessions_expire_and_are_bounded() -> None:
    now = [0]
    sessions = Sessions(10, 2, lambda: now[0])
    principal = Principal("noc", frozenset({Scope.READ}))
    first, second, third = (sessions.open(principal) for _ in range(3))
    assert sessions.find(first) is None
    living = sessions.find(second)
    assert living is not None
    assert sessions.lives(living)
    assert len(sessions) == 2
    now[0] = 10_000_000_000
    assert not sessions.lives(living)
    assert sessions.find(third) is None
    assert sessions.find("") is None


def test_the_brake_recovers_and_is_bounded() -> None:
    now = [0]
    brake = LoginBrake(2, lambda: now[0])
    brake.count("a")
    assert brake.wait_seconds("a") == 0
    brake.count("a")
    assert brake.wait_seconds("a") == 30
    assert brake.wait_seconds("b") == 0
    now[0] = 30_000_000_000
    assert brake.wait_seconds("a") == 0
    for index in range(ADDRESSES_MAX + 5):
        brake.count(str(index))
    assert len(brake._levels) == ADDRESSES_MAX


def test_tokens_come_from_files_or_hashes(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret\n")
    digest = hashlib.sha256(b"other").hexdigest()
    keyring = Keyring.load(
        (TokenSettings(name="a", file=path), TokenSettings(name="b", sha256=digest, tenant="t"))
    )
    assert keyring.principal("secret") == Principal("a", frozenset({Scope.READ}))
    assert keyring.principal("other") == Principal("b", frozenset({Scope.READ}), "t")
    assert keyring.principal("secret ") is None
    assert keyring.principal("") is None
    path.write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        Keyring.load((TokenSettings(name="a", file=path),))
    with pytest.raises(ValidationError, match="exactly one"):
        TokenSettings(name="a")
