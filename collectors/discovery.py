"""Who is to be scraped: lists in the configuration, in files and behind HTTP, in Prometheus's `*_sd` shapes."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from trimtab.errors import CollectorError

if TYPE_CHECKING:
    from httpx2 import AsyncClient

TARGETS_MAX = 5_000
LABELS_PER_TARGET_MAX = 60
LIST_BYTES_MAX = 4_194_304
PORT_MAX = 65_535
LIST_TIMEOUT_SECONDS = 5.0
TRUSTED_REFRESHES = 3  # how old a list may grow before its targets may be gone on purpose
_HOST_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})"
_ADDRESS = re.compile(rf"(\[[0-9a-fA-F:.]+\]|{_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?):([0-9]{{1,5}})")
_PATH = re.compile(r"/[!-~]*")


class TargetGroup(BaseModel):
    """Targets (`host:port`) that share labels: an element of `static`, of a file, or of an HTTP answer."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    targets: list[str] = Field(max_length=TARGETS_MAX)
    labels: dict[str, str] = Field(default_factory=dict, max_length=LABELS_PER_TARGET_MAX)


_GROUPS = TypeAdapter(list[TargetGroup])


@dataclass(frozen=True, slots=True)
class Target:
    """One place to scrape, and its labels, `instance` among them."""

    url: str
    labels: tuple[tuple[str, str], ...]


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `host:port` (`[::1]:80`). Raises CollectorError when it is not of that form."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match.group(2)) <= PORT_MAX:
        raise CollectorError(f"{address[:80]!r} is not of the form host:port")
    return match.group(1).strip("[]"), int(match.group(2))


def targets_of(groups: list[TargetGroup], scheme: str, path: str) -> list[Target]:
    """Flatten groups. Labels `__scheme__` and `__metrics_path__` override; other `__` labels are dropped.

    Raises CollectorError when an address is none.
    """
    found: list[Target] = []
    for group in groups:
        for address in group.targets:
            scheme_here = group.labels.get("__scheme__", scheme)
            path_here = group.labels.get("__metrics_path__", path)
            if scheme_here not in ("http", "https") or _PATH.fullmatch(path_here) is None:
                raise CollectorError(f"{scheme_here} {path_here} makes no URL")
            split_address(address)
            labels = {k: v for k, v in group.labels.items() if v and not k.startswith("__")}
            labels.setdefault("instance", address)
            found.append(
                Target(f"{scheme_here}://{address}{path_here}", tuple(sorted(labels.items())))
            )
    if len(found) > TARGETS_MAX:
        raise CollectorError(f"{len(found)} targets, at most {TARGETS_MAX} are taken")
    return found


def parse_groups(document: object) -> list[TargetGroup]:
    """Check a decoded list. Raises CollectorError with the first thing that is wrong."""
    try:
        return _GROUPS.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CollectorError(f"not a list of target groups: {where}: {first['msg']}") from None


def load_file(path: Path) -> list[TargetGroup]:
    """Read a list in JSON, or YAML if the name ends so. Raises CollectorError."""
    try:
        with path.open("rb") as file:
            content = file.read(LIST_BYTES_MAX + 1)
    except OSError as error:
        raise CollectorError(f"{path.name}: {error.strerror}") from None
    if len(content) > LIST_BYTES_MAX:
        raise CollectorError(f"{path.name}: longer than {LIST_BYTES_MAX} bytes")
    if path.suffix in (".yml", ".yaml"):
        return parse_groups(_from_yaml(content, path.name))
    return parse_groups(_from_json(content, path.name))


def _from_json(content: bytes, name: str) -> object:
    try:
        document: object = json.loads(content)
    except (ValueError, RecursionError):
        raise CollectorError(f"{name}: not JSON") from None
    return document


def _from_yaml(content: bytes, name: str) -> object:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document: object = YAML(typ="safe", pure=True).load(content)
    except (YAMLError, ValueError, RecursionError):
        raise CollectorError(f"{name}: not YAML") from None
    return document


@dataclass(slots=True)
class FileList:
    """A list in a file, read again when its time or size changes."""

    path: Path
    _stamp: tuple[int, int] | None = field(default=None, init=False)
    _groups: list[TargetGroup] = field(default_factory=list, init=False)

    async def groups(self) -> list[TargetGroup]:
        """Return the list as it stands. Raises CollectorError; the list before is then still good."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> list[TargetGroup]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise CollectorError(f"{self.path.name}: {error.strerror}") from None
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._groups = load_file(self.path)
            self._stamp = stamp
        return self._groups


@dataclass(slots=True)
class HttpList:
    """A list behind HTTP (Prometheus `http_sd`)."""

    url: str
    client: "AsyncClient"

    async def groups(self) -> list[TargetGroup]:
        """Ask for the list. Raises CollectorError; the list before is then still good."""
        import httpx2

        try:
            async with asyncio.timeout(LIST_TIMEOUT_SECONDS):
                async with self.client.stream("GET", self.url) as response:
                    if response.status_code != httpx2.codes.OK:
                        raise CollectorError(f"{self.url} answered {response.status_code}")
                    content = await _bounded(response)
        except TimeoutError:
            raise CollectorError(f"{self.url} gave no answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError) as error:
            raise CollectorError(f"{self.url}: {str(error) or type(error).__name__}") from None
        return parse_groups(_from_json(content, self.url))


async def _bounded(response: Any) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > LIST_BYTES_MAX:
            raise CollectorError(f"the list is longer than {LIST_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


@dataclass(slots=True)
class Discovery:
    """All lists of one collector. A list that can't be read keeps its last good content."""

    static: list[TargetGroup]
    lists: list[FileList | HttpList]
    scheme: str
    path: str
    refresh_seconds: float
    problems: list[str] = field(default_factory=list, init=False)
    _good: dict[int, list[Target]] = field(default_factory=dict, init=False)
    _read_at: dict[int, float] = field(default_factory=dict, init=False)

    @property
    def healthy(self) -> bool:
        """Return whether the last refresh read every list."""
        return not self.problems

    @property
    def trusted(self) -> bool:
        """Return whether every list was read not long ago."""
        if self.healthy:
            return True
        oldest = asyncio.get_running_loop().time() - TRUSTED_REFRESHES * self.refresh_seconds
        return all(self._read_at.get(n, oldest) > oldest for n in range(len(self.lists)))

    async def refresh(self) -> list[Target]:
        """Read every list anew, and return all targets; what went wrong is in `problems`. Never raises."""
        problems: list[str] = []
        for number, source in enumerate(self.lists):
            try:
                groups = await source.groups()
                self._good[number] = targets_of(groups, self.scheme, self.path)
                self._read_at[number] = asyncio.get_running_loop().time()
            except CollectorError as error:
                problems.append(str(error))
        self.problems = problems
        static = targets_of(self.static, self.scheme, self.path)
        return static + [target for _, good in sorted(self._good.items()) for target in good]
