"""The API's settings: who may call, and every limit."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.scopes import Scope

PAGE_SIZE_MAX = 1_000
TOKENS_MAX = 256


class TokenSettings(BaseModel):
    """One credential: known by its SHA-256 (hex), or by a file that holds the token itself.

    Without `tenant` it has the provider's view; with one it sees that tenant's services and nothing else.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=64)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    file: Path | None = None
    scopes: frozenset[Scope] = frozenset({Scope.READ})
    tenant: Annotated[str, Field(min_length=1, max_length=128)] | None = None

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        if (self.sha256 is None) == (self.file is None):
            raise ValueError("give exactly one of sha256 and file")
        return self


class ApiSettings(BaseModel):
    """Settings of the API and the console; every duration is in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: Annotated[tuple[TokenSettings, ...], Field(max_length=TOKENS_MAX)] = ()
    public_url: str = (
        ""  # what hrefs start with, e.g. https://assurance.example; empty: the request's own host
    )
    cookie_secure: bool = False  # set it where the console is served over TLS
    session_seconds: Annotated[float, Field(gt=0)] = 12 * 3_600.0
    sessions_max: Annotated[int, Field(ge=1)] = 256
    login_attempts_per_minute: Annotated[int, Field(ge=1)] = 10
    subscribers_max: Annotated[int, Field(ge=1)] = 64
    heartbeat_seconds: Annotated[float, Field(gt=0)] = 5.0
    command_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    body_bytes_max: Annotated[int, Field(ge=1)] = 64 * 1024
    page_size: Annotated[int, Field(ge=1, le=PAGE_SIZE_MAX)] = 100
