"""What a credential may do, and as whom."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """The rights that a credential can have; none implies another."""

    READ = "read"
    OPERATE = "operate"  # commands: acknowledge, approve, pause, kill
    INGEST = "ingest"  # push telemetry
    METRICS = "metrics"  # scrape Trimtab's own figures
    CALLBACK = "callback"  # notify Trimtab of operations


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever calls: a credential's name, its scopes, and its tenant (None: the provider's view)."""

    name: str
    scopes: frozenset[Scope]
    tenant: str | None = None

    @property
    def provider(self) -> bool:
        """Return whether everything is to be seen."""
        return self.tenant is None

    def may(self, scope: Scope) -> bool:
        """Return whether the credential has a scope."""
        return scope in self.scopes

    def owns(self, object_id: str) -> bool:
        """Return whether an object (`tenant/kind/name`) is to be seen."""
        return self.tenant is None or object_id.startswith(f"{self.tenant}/")
