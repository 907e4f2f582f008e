"""Prometheus remote-write 1.0 receiver: another Prometheus, or an agent, pushes; nothing is acknowledged undurable."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from collectors.delivery import Account, CollectorStats, Outlet
from collectors.label_book import LabelBook
from collectors.push import (
    AsgiReceive,
    AsgiSend,
    BodyIncomplete,
    BodyTooLarge,
    Message,
    answer,
    header,
    path_below,
    read_body,
)
from collectors.settings import pattern
from collectors.write_request import (
    NS_PER_MILLISECOND,
    STALE_NAN_BITS,
    MalformedRequest,
    RequestTooLarge,
    decode,
    decode_labels,
    unpack,
)
from trimtab.compiled import compiled_allowed
from trimtab.domain.samples import SampleBatch, SampleFlag
from trimtab.domain.series import (
    LABEL_VALUE_BYTES_MAX,
    LABELS_PER_SERIES_MAX,
    Series,
    longer_than,
)
from trimtab.domain.time import NS_PER_SECOND
from trimtab.ports import Clock, GapReason, Reading, ReadingSink, SeriesIndex

if TYPE_CHECKING:
    from collectors.write_walk import Walked

FUTURE_LIMIT_NS = 10 * NS_PER_SECOND
KEYS_KEPT_MAX = 500_000
# What is shorter is not worth loading compiled code for.
WALK_BYTES_MIN = 16_384
DECODE_HERE_BYTES_MAX = (
    65_536  # what is longer is decoded in a thread, and does not hold up the loop
)
RETRY_AFTER_SECONDS = 5
WRITE_PATHS = ("", "/api/v1/write")
MEDIA_TYPES = ("", "application/x-protobuf", "application/x-protobuf;proto=prometheus.writerequest")
_SKIPPED, _LABEL_LIMIT, _SERIES_CAP = -1, -2, -3
_REFUSALS = {_LABEL_LIMIT: "label_limit", _SERIES_CAP: "series_cap"}


@dataclass(slots=True)
class Decoded:
    """The samples of a request in its order, and how to learn their series' ids once the request is known to be sound.

    time_ns int64, value float64, stale bool. `ids` gives int64 ids, or codes below 0 for what is not taken, and
    raises MalformedRequest before any series is interned.
    """

    time_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    stale: npt.NDArray[np.bool_]
    histograms: int
    ids: Callable[[], npt.NDArray[np.int64]]


class RemoteWriteCollector:
    """Receive pushes at `asgi`, which the API mounts; `run` only says where the readings go, and how long.

    204: durable. 400: malformed, and nothing of it was taken; 413: over a limit; 415: not remote-write 1.0; none of
    these is worth sending again. 503 with Retry-After: not now, the sender keeps its data. Order and duplicates are
    passed on as they came. NaN, infinities, native histograms and times over 10 s ahead are counted, not taken;
    Prometheus' staleness markers become STALE rows.
    """

    kind: ClassVar[str] = "remote_write"

    class Config(BaseModel):
        """Settings of a receiver. `drop_labels` are taken off every series, `labels` are put on."""

        model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

        keep: str | None = None
        drop: str | None = None
        drop_labels: list[str] = Field(default_factory=list, max_length=100)
        labels: dict[str, str] = Field(default_factory=dict, max_length=20)
        body_bytes_max: int = Field(default=8_388_608, ge=1_024, le=134_217_728)
        unpacked_bytes_max: int = Field(default=67_108_864, ge=1_024, le=536_870_912)
        samples_per_request_max: int = Field(default=100_000, ge=1, le=500_000)
        requests_max: int = Field(default=32, ge=1, le=1_000)

        @field_validator("keep", "drop")
        @classmethod
        def _is_a_pattern(cls, value: str | None) -> str | None:
            return pattern(value)

    def __init__(self, name: str, config: Config, index: SeriesIndex, clock: Clock) -> None:
        self.name = name
        self.source = f"{self.kind}/{name}"
        self.account = Account()
        self._config = config
        self._index = index
        self._clock = clock
        self._outlet = Outlet(self.source, clock, self.account)
        self._keep = re.compile(config.keep) if config.keep else None
        self._drop = re.compile(config.drop) if config.drop else None
        self._known: dict[bytes, int] = {}
        self._book = LabelBook()
        self._walking = threading.Lock()
        self._compiled = compiled_allowed()
        self._sink: ReadingSink | None = None
        self._requests = 0

    def stats(self) -> CollectorStats:
        """Return what was done so far. `other` counts requests by answer."""
        return self.account.stats()

    async def run(self, sink: ReadingSink) -> None:
        """Take pushes until cancelled; before and after, senders are told to come again."""
        self._sink = sink
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._sink = None

    async def asgi(self, scope: Message, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request; an ASGI application."""
        if scope["type"] != "http":
            return
        status, text = await self._answer(scope, receive)
        self.account.other[f"answered_{status}"] += 1
        again = (("retry-after", str(RETRY_AFTER_SECONDS)),) if status == 503 else ()
        await answer(send, status, text, again)

    async def _answer(self, scope: Message, receive: AsgiReceive) -> tuple[int, str]:
        if path_below(scope) not in WRITE_PATHS:
            return 404, "remote-write is received at /api/v1/write"
        if scope["method"] != "POST":
            return 405, "POST only"
        if header(scope, "content-encoding") != "snappy":
            return 415, "the body must be packed with snappy"
        if header(scope, "content-type").replace(" ", "") not in MEDIA_TYPES:
            return 415, "only remote-write 1.0 is spoken here"
        if self._sink is None or self._requests >= self._config.requests_max:
            return 503, "not now"
        self._requests += 1
        try:
            return await self._take(receive, self._sink)
        except (BodyTooLarge, RequestTooLarge) as error:
            self._outlet.remember(GapReason.TOO_LARGE, str(error))
            return 413, str(error)
        except (BodyIncomplete, MalformedRequest) as error:
            self._outlet.remember(GapReason.MALFORMED, str(error))
            return 400, str(error)
        finally:
            self._requests -= 1

    async def _take(self, receive: AsgiReceive, sink: ReadingSink) -> tuple[int, str]:
        body = await read_body(receive, self._config.body_bytes_max)
        if len(body) > DECODE_HERE_BYTES_MAX:
            request = await asyncio.to_thread(self._decode, body)
        else:
            request = self._decode(body)
        reading = self._reading(request)
        if reading.batch is None and not reading.refused:
            return 204, ""
        if not await self._outlet.put(sink, reading):
            return 503, "the journal can't take it now"
        self.account.last_success_ns = self._clock.now_ns()
        return 204, ""

    def _decode(self, body: bytes) -> Decoded:
        message = unpack(body, self._config.unpacked_bytes_max)
        walked = None
        if len(message) >= WALK_BYTES_MIN and self._compiled:
            walked = self._walk(message)
        return walked or self._plainly(message)

    def _plainly(self, message: bytes) -> Decoded:
        request = decode(message, self._config.samples_per_request_max)
        return Decoded(
            request.time_ns, request.value, request.stale, request.histograms,
            lambda: self._ids(request.keys)[request.key] if len(request.key) else request.key,
        )  # fmt: skip

    def _walk(self, message: bytes) -> Decoded | None:
        """Decode by compiled code; None when the message is not of the plain shape."""
        from collectors.write_walk import walk

        with self._walking:
            if self._book.full:
                self._book = LabelBook()
                self.account.other["label_book_renewed"] += 1
            book = self._book
            found = walk(message, book, self._config.samples_per_request_max)
        if not found.ok:
            return None
        return Decoded(
            found.time_ms * NS_PER_MILLISECOND,
            found.bits.view(np.float64),
            found.bits == STALE_NAN_BITS,
            found.histograms,
            lambda: self._walked_ids(book, found),
        )

    def _walked_ids(self, book: LabelBook, found: "Walked") -> npt.NDArray[np.int64]:
        """Enter what the book did not know, and return the codes of all rows."""
        known = found.entry >= 0
        if not found.unknown:
            return book.code[found.entry]
        fresh = {key: decode_labels(key) for key in dict.fromkeys(found.unknown)}
        codes = {key: self._resolve(labels) for key, labels in fresh.items()}
        with self._walking:
            for key, code in codes.items():
                book.enter(key, code)
        new = np.array([codes[key] for key in found.unknown], dtype=np.int64)
        ids = np.empty(len(found.entry), dtype=np.int64)
        ids[known] = book.code[found.entry[known]]
        ids[~known] = new[-1 - found.entry[~known]]
        return ids

    def _reading(self, request: Decoded) -> Reading:
        """Turn a request into a reading. Raises MalformedRequest before any series of it is interned."""
        ids = request.ids()
        refused: Counter[str] = Counter()
        refused["histogram"] = request.histograms
        for code, word in _REFUSALS.items():
            refused[word] = int(np.count_nonzero(ids == code))
        taken = ids >= 0
        for word, bad in (
            ("nan", np.isnan(request.value) & ~request.stale),
            ("infinite", np.isinf(request.value)),
            ("future", request.time_ns > self._clock.now_ns() + FUTURE_LIMIT_NS),
        ):
            refused[word] = int(np.count_nonzero(taken & bad))
            taken &= ~bad
        rows = int(np.count_nonzero(taken))
        stale = request.stale[taken]
        batch = SampleBatch(
            source=self.source,
            series_id=ids[taken].astype(np.int32),
            time_ns=request.time_ns[taken],
            value=np.where(stale, 0.0, request.value[taken]),
            flags=np.where(stale, SampleFlag.STALE, SampleFlag.NONE).astype(np.uint8),
        )
        return self._outlet.reading(batch if rows else None, refused=+refused)

    def _ids(self, keys: list[bytes]) -> npt.NDArray[np.int64]:
        if len(self._known) > KEYS_KEPT_MAX:
            self._known.clear()
        fresh = {key: decode_labels(key) for key in keys if key not in self._known}
        for key, labels in fresh.items():
            self._known[key] = self._resolve(labels)
        return np.array([self._known[key] for key in keys], dtype=np.int64)

    def _resolve(self, labels: dict[str, str]) -> int:
        name = labels.pop("__name__")
        if self._keep is not None and self._keep.fullmatch(name) is None:
            return _SKIPPED
        if self._drop is not None and self._drop.fullmatch(name) is not None:
            return _SKIPPED
        for gone in self._config.drop_labels:
            labels.pop(gone, None)
        labels.update(self._config.labels)
        texts = [name, *labels, *labels.values()]
        if len(labels) > LABELS_PER_SERIES_MAX or longer_than(texts, LABEL_VALUE_BYTES_MAX):
            return _LABEL_LIMIT
        found = self._index.intern(Series.of(name, labels))
        return _SERIES_CAP if found is None else found
