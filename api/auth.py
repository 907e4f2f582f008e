"""Who calls: bearer tokens for machines, a session cookie for the console, and a guard in front of everything.

Only `/healthz` and the login itself are open. Whoever has no credential learns nothing else, not even which
paths exist.
"""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from api.problem import ApiError, error_response
from api.scopes import Principal, Scope
from api.sessions import COOKIE, CSRF_HEADER, Session, Sessions
from api.settings import TokenSettings

OPEN_PATHS = frozenset({"/healthz", "/login"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOKEN_BYTES_MAX = 4_096


@dataclass(frozen=True, slots=True)
class _Credential:
    digest: bytes
    principal: Principal


class Keyring:
    """Knows the credentials by their SHA-256 and compares in constant time."""

    def __init__(self, credentials: tuple[_Credential, ...]) -> None:
        self._credentials = credentials

    @classmethod
    def load(cls, tokens: tuple[TokenSettings, ...]) -> "Keyring":
        """Build from settings. Raises OSError when a file can't be read, ValueError when it is empty."""
        found = []
        for token in tokens:
            if token.sha256 is not None:
                digest = bytes.fromhex(token.sha256)
            else:
                assert token.file is not None  # TokenSettings has exactly one
                text = token.file.read_text("utf-8").strip()
                if not text:
                    raise ValueError(f"token {token.name}: {token.file} is empty")
                digest = hashlib.sha256(text.encode()).digest()
            found.append(_Credential(digest, Principal(token.name, token.scopes, token.tenant)))
        return cls(tuple(found))

    def principal(self, token: str) -> Principal | None:
        """Return whose token this is. Every credential is compared, so that time tells nothing."""
        if not token or len(token) > TOKEN_BYTES_MAX:
            return None
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        match: Principal | None = None
        for credential in self._credentials:
            if hmac.compare_digest(digest, credential.digest):
                match = credential.principal
        return match


def presented_token(header: str) -> str | None:
    """Return the token of an Authorization header: Bearer's, Token's (InfluxDB), or Basic's password (SOL013)."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return None


def cookie_value(headers: Headers) -> str:
    """Return the session cookie, an empty text when there is none."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


class Guard:
    """ASGI middleware: lets in whoever has a credential with the scope that the path asks for."""

    def __init__(
        self,
        app: ASGIApp,
        keyring: Keyring,
        sessions: Sessions,
        mount_scopes: Mapping[str, Scope],
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._sessions = sessions
        self._mount_scopes = dict(mount_scopes)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer 401 or 403, or hand on with the principal in the request's state."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks WebSocket
            return
        answer = self._admit(scope)
        if answer is None:
            await self._app(scope, receive, send)
        else:
            await answer(scope, receive, send)

    def _admit(self, scope: AsgiScope) -> Response | None:
        path = scope["path"]
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        session = self._sessions.find(cookie_value(headers))
        state["session"] = session
        if path in OPEN_PATHS:
            return None
        header = headers.get("authorization")
        token = presented_token(header) if header else None
        principal = self._keyring.principal(token) if token else None
        if principal is None and header is None and session is not None:
            principal = session.principal
            if scope["method"] not in SAFE_METHODS and not _same_site(headers, session):
                return error_response(path, ApiError(403, "the CSRF token is missing or wrong"))
        if principal is None:
            return _unauthorised(scope, headers, header is not None)
        wanted = self._wanted(path, scope["method"])
        if not principal.may(wanted):
            detail = f"this credential lacks the scope {wanted!r}"
            return error_response(path, ApiError(403, detail))
        state["principal"] = principal
        return None

    def _wanted(self, path: str, method: str) -> Scope:
        for prefix, wanted in self._mount_scopes.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return wanted
        if path == "/metrics":
            return Scope.METRICS
        if path == "/logout":
            return Scope.READ
        return Scope.READ if method in SAFE_METHODS else Scope.OPERATE


def _same_site(headers: Headers, session: Session) -> bool:
    """Whether a request with a cookie was made by our own page: it knows the CSRF token, and says so."""
    origin = headers.get("origin")
    if origin and urlsplit(origin).netloc != headers.get("host"):
        return False
    return hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), session.csrf.encode())


def _unauthorised(scope: AsgiScope, headers: Headers, presented: bool) -> Response:
    path = scope["path"]
    if not presented and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        query = scope["query_string"].decode("latin-1")
        target = f"{path}?{query}" if query else path
        return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
    if presented:
        detail, code = "the credential is not known, or has expired", "invalidCredentials"
    else:
        detail, code = "a bearer token is needed", "missingCredentials"
    challenge = {"WWW-Authenticate": 'Bearer realm="trimtab"'}
    return error_response(path, ApiError(401, detail, code=code, headers=challenge))
