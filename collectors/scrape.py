"""One target: fetch its page, within limits, and turn page or failure into rows."""

import asyncio
import re
import zlib
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from collectors.exposition import (
    ACCEPT,
    SKIPPED,
    MalformedExposition,
    Page,
    PageReader,
    is_openmetrics,
)
from collectors.stall import LoopWatch
from trimtab.domain.samples import SampleBatch, SampleFlag
from trimtab.domain.series import LABEL_VALUE_BYTES_MAX, LABELS_PER_SERIES_MAX, Series
from trimtab.domain.time import NS_PER_SECOND
from trimtab.errors import CollectorError
from trimtab.ports import GapReason, SeriesIndex

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

FUTURE_LIMIT_NS = 10 * NS_PER_SECOND
EXTENSIONS_MAX = 2  # of a timeout, while our own loop is late
TEXTS_PER_SERIES = (
    4  # texts kept for each series that a target may have, before all are learnt anew
)
_GZIP = 16 + zlib.MAX_WBITS
# Why a series has no id, beside SKIPPED; the word is what is counted.
_LABELS_TOO_LONG, _SERIES_OF_TARGET, _SERIES_OF_ALL = -2, -3, -4
_REFUSALS = {
    _LABELS_TOO_LONG: "label_limit",
    _SERIES_OF_TARGET: "series_per_target",
    _SERIES_OF_ALL: "series_cap",
}


class ScrapeFailed(CollectorError):
    """Report why a target gave no page. `ours` says that this is nothing against the target: a limit, a late loop."""

    def __init__(self, reason: GapReason, detail: str, *, ours: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.ours = ours


@dataclass(frozen=True, slots=True)
class Limits:
    """What one scrape may cost, and which series it may bring."""

    timeout_seconds: float
    body_bytes_max: int
    samples_per_scrape_max: int
    series_per_target_max: int
    keep: re.Pattern[str] | None
    drop: re.Pattern[str] | None
    honor_labels: bool
    honor_timestamps: bool


async def fetch(
    client: "AsyncClient", url: str, limits: Limits, headers: Mapping[str, str], watch: LoopWatch
) -> tuple[str, bool]:
    """Return the page at `url`, and whether it is OpenMetrics. Raises ScrapeFailed.

    A target is given as much more time as our own event loop was late: an answer may lie there unread. If the loop
    is late even then, the failure is ours.
    """
    loop = asyncio.get_running_loop()
    asking = asyncio.create_task(_ask(client, url, limits, headers))
    seconds, start, late = limits.timeout_seconds, loop.time(), 0.0
    try:
        for _ in range(1 + EXTENSIONS_MAX):
            await asyncio.wait({asking}, timeout=seconds)
            if asking.done():
                return asking.result()
            late = watch.worst_since(start)
            if not late:
                break
            seconds, start = min(late, limits.timeout_seconds), loop.time()
        detail = f"{url} gave no whole answer in {limits.timeout_seconds:g} s"
        if late:
            detail += f", but our own loop was {late:.1f} s late"
        raise ScrapeFailed(GapReason.TIMEOUT, detail, ours=bool(late))
    finally:
        asking.cancel()
        await asyncio.wait({asking})


async def _ask(
    client: "AsyncClient", url: str, limits: Limits, headers: Mapping[str, str]
) -> tuple[str, bool]:
    import httpx2

    asked = {"accept": ACCEPT, "accept-encoding": "gzip", **headers}
    try:
        try:
            return await _get(client, url, limits, asked)
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
            # An idle connection may be closed just when it is used again: one fresh attempt tells.
            return await _get(client, url, limits, asked)
    except (httpx2.RemoteProtocolError, httpx2.DecodingError) as error:
        raise ScrapeFailed(GapReason.MALFORMED, f"{url}: {error}") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, ValueError) as error:
        detail = f"{url}: {str(error) or type(error).__name__}"
        raise ScrapeFailed(GapReason.UNREACHABLE, detail) from None


async def _get(
    client: "AsyncClient", url: str, limits: Limits, headers: Mapping[str, str]
) -> tuple[str, bool]:
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code != 200:
            raise ScrapeFailed(GapReason.UNREACHABLE, f"{url} answered {response.status_code}")
        body = await _body(response, limits.body_bytes_max)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            raise ScrapeFailed(GapReason.MALFORMED, f"{url}: not UTF-8") from None
        return text, is_openmetrics(response.headers.get("content-type", ""))


async def _body(response: "Response", bytes_max: int) -> bytes:
    """Read a body, unpacking gzip with a bound: a few bytes can unpack to gigabytes, or break off in the middle."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity", ""):
        raise ScrapeFailed(GapReason.MALFORMED, f"{response.url}: unknown encoding {encoding}")
    unpack = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    body = bytearray()
    async for part in response.aiter_raw():
        try:
            body += unpack.decompress(part, bytes_max + 1 - len(body)) if unpack else part
        except zlib.error:
            raise ScrapeFailed(GapReason.MALFORMED, f"{response.url}: damaged gzip") from None
        if len(body) > bytes_max:
            detail = f"{response.url}: a page of more than {bytes_max} bytes"
            raise ScrapeFailed(GapReason.TOO_LARGE, detail, ours=True)
    if unpack is not None and not unpack.eof:
        raise ScrapeFailed(GapReason.MALFORMED, f"{response.url}: gzip cut off")
    return bytes(body)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one scrape, those that were turned away by reason, and the ids that the page held."""

    batch: SampleBatch
    refused: Counter[str]
    present: npt.NDArray[np.int32]


@dataclass(slots=True)
class TargetSeries:
    """The series of one target: how its texts become ids, and which of them the page before held.

    `labels` are those that the target puts on all its series.
    """

    source: str
    labels: dict[str, str]
    index: SeriesIndex
    limits: Limits
    present: npt.NDArray[np.int32] = field(init=False)
    _reader: PageReader = field(init=False)
    _ids: set[int] = field(default_factory=set, init=False)
    _own: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.present = np.empty(0, dtype=np.int32)
        texts_max = TEXTS_PER_SERIES * self.limits.series_per_target_max
        self._reader = PageReader(self._resolve, texts_max)

    def _resolve(self, name: str, labels: dict[str, str]) -> int:
        limits = self.limits
        if limits.keep is not None and limits.keep.fullmatch(name) is None:
            return SKIPPED
        if limits.drop is not None and limits.drop.fullmatch(name) is not None:
            return SKIPPED
        merged = dict(self.labels)
        for key, value in labels.items():
            if key in self.labels and not limits.honor_labels:
                key = f"exported_{key}"
            merged[key] = value
        texts = [name, *merged, *merged.values()]
        longest = max(len(text.encode()) for text in texts)
        if len(merged) > LABELS_PER_SERIES_MAX or longest > LABEL_VALUE_BYTES_MAX:
            return _LABELS_TOO_LONG
        if len(self._ids) >= limits.series_per_target_max:
            return _SERIES_OF_TARGET
        found = self.index.intern(Series.of(name, merged))
        if found is None:
            return _SERIES_OF_ALL
        self._ids.add(found)
        return found

    async def page(self, text: str, *, openmetrics: bool) -> Page:
        """Decode a page, letting others run meanwhile. Raises ScrapeFailed."""
        steps = self._reader.steps(text, openmetrics=openmetrics)
        try:
            page = await _finish(steps)
        except MalformedExposition as error:
            raise ScrapeFailed(GapReason.MALFORMED, str(error)) from None
        wanted = int(np.count_nonzero(page.series_id != SKIPPED))
        if wanted > self.limits.samples_per_scrape_max:
            detail = f"{wanted} samples, at most {self.limits.samples_per_scrape_max} are taken"
            raise ScrapeFailed(GapReason.TOO_LARGE, detail, ours=True)
        return page

    def rows(self, page: Page | None, own: Mapping[str, float], at_ns: int) -> Rows:
        """Turn a page (None: there was none) and the collector's own series into rows of `at_ns`.

        A series of the page before that is not in this one gets a last row, flagged STALE.
        """
        refused: Counter[str] = Counter()
        ids, times, values, present = _columns(page, at_ns, self.limits.honor_timestamps, refused)
        gone = np.setdiff1d(self.present, present)
        own_rows = [
            (found, value)
            for name, value in own.items()
            if (found := self._own_id(name, refused)) is not None
        ]
        batch = SampleBatch(
            source=self.source,
            series_id=np.concatenate(
                [ids, gone, np.array([row[0] for row in own_rows], dtype=np.int32)]
            ),
            time_ns=np.concatenate(
                [times, np.full(len(gone) + len(own_rows), at_ns, dtype=np.int64)]
            ),
            value=np.concatenate(
                [values, np.zeros(len(gone)), np.array([row[1] for row in own_rows], dtype=float)]
            ),
            flags=np.concatenate(
                [
                    np.zeros(len(ids), dtype=np.uint8),
                    np.full(len(gone), SampleFlag.STALE, dtype=np.uint8),
                    np.zeros(len(own_rows), dtype=np.uint8),
                ]
            ),
        )
        return Rows(batch, refused, present)

    def farewell(self, at_ns: int) -> SampleBatch:
        """Return last rows, flagged STALE, for every series of a target that is no more."""
        own = np.array(sorted(self._own.values()), dtype=np.int32)
        ids = np.union1d(self.present, own).astype(np.int32)
        return SampleBatch(
            source=self.source,
            series_id=ids,
            time_ns=np.full(len(ids), at_ns, dtype=np.int64),
            value=np.zeros(len(ids)),
            flags=np.full(len(ids), SampleFlag.STALE, dtype=np.uint8),
        )

    def _own_id(self, name: str, refused: Counter[str]) -> int | None:
        found = self._own.get(name)
        if found is None:
            found = self.index.intern(Series.of(name, self.labels))
            if found is None:
                refused[_REFUSALS[_SERIES_OF_ALL]] += 1
                return None
            self._own[name] = found
        return found


async def _finish(steps: Generator[None, None, Page]) -> Page:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            page: Page = done.value
            return page
        await asyncio.sleep(0)


def _columns(
    page: Page | None, at_ns: int, honor_timestamps: bool, refused: Counter[str]
) -> tuple[
    npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int32]
]:
    """Return ids, times and values of the rows that are good, and the ids present at the scrape's own time."""
    if page is None:
        none = np.empty(0, dtype=np.int32)
        return none, np.empty(0, dtype=np.int64), np.empty(0), none
    for code, word in _REFUSALS.items():
        refused[word] += int(np.count_nonzero(page.series_id == code))
    stamped = (page.time_ns != 0) & honor_timestamps
    times = np.where(stamped, page.time_ns, at_ns)
    taken = page.series_id >= 0
    for word, bad in (
        ("nan", np.isnan(page.value)),
        ("infinite", np.isinf(page.value)),
        ("future", times > at_ns + FUTURE_LIMIT_NS),
        ("duplicate", _repeated(page.series_id, times)),
    ):
        refused[word] += int(np.count_nonzero(taken & bad))
        taken &= ~bad
    ids = page.series_id[taken].astype(np.int32)
    present = np.unique(page.series_id[(page.series_id >= 0) & ~stamped]).astype(np.int32)
    return ids, times[taken], page.value[taken], present


def _repeated(ids: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which rows repeat the series and time of an earlier one."""
    order = np.lexsort((times, ids))
    same = np.zeros(len(ids), dtype=np.bool_)
    same[order[1:]] = (np.diff(ids[order]) == 0) & (np.diff(times[order]) == 0)
    return same
