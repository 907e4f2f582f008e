"""The settings as values: what trimtab.yaml and the environment came to."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from trimtab.domain.configuration import Configuration
from trimtab.quota import SeriesLimits


@dataclass(frozen=True, slots=True)
class TokenSetting:
    """One credential: known by the SHA-256 (hex) of its token."""

    name: str
    sha256: str
    scopes: tuple[str, ...]
    tenant: str | None


@dataclass(frozen=True, slots=True)
class ApiSetting:
    """Where the API listens, and who may call."""

    host: str
    port: int
    public_url: str
    cookie_secure: bool
    tokens: tuple[TokenSetting, ...]


@dataclass(frozen=True, slots=True)
class InfluxSetting:
    """Where KPIs and assessments are written to; `token` is never shown."""

    url: str
    bucket: str
    organisation: str
    token: str = field(repr=False)
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Settings:
    """All of trimtab.yaml; plugins as (kind, name, their own Config)."""

    configuration: Configuration
    collectors: tuple[tuple[str, str, BaseModel], ...]
    actuators: tuple[tuple[str, str, BaseModel], ...]
    policy_paths: tuple[str, ...]
    profile: str
    api: ApiSetting
    directory: Path
    cadence_seconds: float
    snapshot_every_seconds: float
    influx: InfluxSetting | None
    limits: SeriesLimits
