"""A series: a metric name and its labels, as Prometheus has it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from sys import intern

LABELS_PER_SERIES_MAX = 64
LABEL_VALUE_BYTES_MAX = 2_048
PAIRS_REMEMBERED_MAX = 8_192
SHARED_CHARACTERS_MAX = 256


@dataclass(frozen=True, slots=True)
class Series:
    """Name a stream of samples. `labels` are sorted by name, without `__name__`, values never empty."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, labels: dict[str, str] | None = None) -> "Series":
        """Build a series from a mapping; sorts, and drops empty values as Prometheus does."""
        pairs = sorted((key, value) for key, value in (labels or {}).items() if value)
        return cls(intern(name), tuple(_shared(key, value) for key, value in pairs))

    def label(self, name: str) -> str | None:
        """Return a label's value, None when the series has no such label."""
        for key, value in self.labels:
            if key == name:
                return value
        return None

    def __str__(self) -> str:
        inside = ",".join(f'{key}="{value}"' for key, value in self.labels)
        return f"{self.name}{{{inside}}}" if inside else self.name


def _shared(key: str, value: str) -> tuple[str, str]:
    return _pair(key, value) if len(value) <= SHARED_CHARACTERS_MAX else (key, value)


@lru_cache(maxsize=PAIRS_REMEMBERED_MAX)
def _pair(key: str, value: str) -> tuple[str, str]:
    """Return the pair itself, one for all series that share it, as far as it was seen lately."""
    return intern(key), value


def longer_than(texts: Iterable[str], bytes_max: int) -> bool:
    """Return whether some text has more bytes than that in UTF-8; encodes only what could have."""
    return any(4 * len(text) > bytes_max and len(text.encode()) > bytes_max for text in texts)
