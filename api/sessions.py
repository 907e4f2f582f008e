"""The console's sessions: a table in memory, bounded, and a brake on guessing tokens."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from api.scopes import Principal

COOKIE = "trimtab_session"
CSRF_HEADER = "x-csrf-token"
NS_PER_SECOND = 1_000_000_000
ADDRESSES_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Session:
    """A console session; `csrf` is what its page must echo with every order."""

    principal: Principal
    csrf: str
    expires_ns: int


class Sessions:
    """Holds sessions by the hash of their cookie; the oldest gives way when the table is full."""

    def __init__(self, seconds: float, sessions_max: int, monotonic_ns: Callable[[], int]) -> None:
        self._lifetime_ns = round(seconds * NS_PER_SECOND)
        self._sessions_max = sessions_max
        self._monotonic_ns = monotonic_ns
        self._table: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._table)

    def open(self, principal: Principal) -> str:
        """Start a session and return its cookie's value."""
        while len(self._table) >= self._sessions_max:
            self._table.popitem(last=False)
        cookie = secrets.token_urlsafe(32)
        expires_ns = self._monotonic_ns() + self._lifetime_ns
        self._table[_key(cookie)] = Session(principal, secrets.token_urlsafe(32), expires_ns)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """Return the live session of a cookie."""
        session = self._table.get(_key(cookie)) if cookie else None
        if session is not None and session.expires_ns <= self._monotonic_ns():
            del self._table[_key(cookie)]
            return None
        return session

    def lives(self, session: Session) -> bool:
        """Return whether a session that was found earlier has neither expired nor been ended."""
        known = any(other is session for other in self._table.values())
        return known and session.expires_ns > self._monotonic_ns()

    def close(self, cookie: str) -> None:
        """End a session, if it lives."""
        self._table.pop(_key(cookie), None)


def _key(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).digest()


class LoginBrake:
    """Allows each address so many failed logins a minute (a leaking bucket)."""

    def __init__(self, per_minute: int, monotonic_ns: Callable[[], int]) -> None:
        self._per_minute = per_minute
        self._monotonic_ns = monotonic_ns
        self._levels: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.failed = 0

    def wait_seconds(self, address: str) -> float:
        """Return how long an address must wait before its next attempt, 0 when it may go on."""
        excess = self._level(address) - (self._per_minute - 1)
        return max(0.0, excess * 60 / self._per_minute)

    def count(self, address: str) -> None:
        """Count a failed attempt."""
        self.failed += 1
        level = self._level(address) + 1
        self._levels[address] = (level, self._monotonic_ns())
        self._levels.move_to_end(address)
        while len(self._levels) > ADDRESSES_MAX:
            self._levels.popitem(last=False)

    def _level(self, address: str) -> float:
        level, at_ns = self._levels.get(address, (0.0, 0))
        leaked = (self._monotonic_ns() - at_ns) / NS_PER_SECOND * self._per_minute / 60
        return max(0.0, level - leaked)
