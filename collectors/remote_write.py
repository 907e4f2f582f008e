"""Prometheus remote-write receiver, 1.0 and 2.0: another Prometheus pushes; nothing is acknowledged undurable."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from collectors.label_book import LabelBook
from collectors.push import AsgiReceive, Message, header, path_below, read_body
from collectors.receiver import REFUSALS, SKIPPED, Receiver, ReceiverSettings, Reply, Rows
from collectors.write_request import (
    NS_PER_MILLISECOND,
    STALE_NAN_BITS,
    decode,
    decode_labels,
    unpack,
)
from collectors.write_request_v2 import Key, SymbolRequest, labels_of
from collectors.write_request_v2 import decode as decode_2
from trimtab.compiled import compiled_allowed
from trimtab.ports import Clock, Reading, ReadingSink, SeriesIndex

if TYPE_CHECKING:
    from collectors.write_walk import Walked

KEYS_KEPT_MAX = 500_000
REFS_KEPT_MAX = 10_000_000  # of all keys that are kept
# What is shorter is not worth loading compiled code for.
WALK_BYTES_MIN = 16_384
DECODE_HERE_BYTES_MAX = (
    65_536  # what is longer is decoded in a thread, and does not hold up the loop
)
WRITE_PATHS = ("", "/api/v1/write")
MEDIA_TYPES = ("", "application/x-protobuf", "application/x-protobuf;proto=prometheus.writerequest")
MEDIA_TYPE_2 = "application/x-protobuf;proto=io.prometheus.write.v2.request"
# Of a 2.0 request that is refused in part, the sender is told; that some values are no numbers is no mistake of its.
_TELLING = frozenset({*REFUSALS.values(), "histogram", "future", "invalid_series"})
_INVALID_SERIES = -100


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


class RemoteWriteCollector(Receiver):
    """Receive remote-write requests.

    204: durable. 400: malformed, and nothing of it was taken; 413: over a limit; 415: not remote-write 1.0 or 2.0; none
    of these is worth sending again. Of a 2.0 request what is right is taken even then: 400 says what was not, and its
    headers how much was written. 503 with Retry-After: not now, the sender keeps its data. Order and duplicates are
    passed on as they came. NaN, infinities, native histograms and times over 10 s ahead are counted, not taken;
    Prometheus' staleness markers become STALE rows.
    """

    kind: ClassVar[str] = "remote_write"

    class Config(ReceiverSettings):
        """Settings of a receiver of remote-write."""

    def __init__(self, name: str, config: Config, index: SeriesIndex, clock: Clock) -> None:
        super().__init__(name, config, index, clock)
        self._known: dict[bytes, int] = {}
        self._known_2: dict[Key, int] = {}
        self._refs_kept = 0
        self._book = LabelBook()
        self._walking = threading.Lock()
        self._compiled = compiled_allowed()

    def refusal(self, scope: Message) -> Reply | None:
        """Return why a request is none for this receiver, None when it is."""
        if path_below(scope) not in WRITE_PATHS:
            return Reply.text(404, "remote-write is received at /api/v1/write")
        if scope["method"] != "POST":
            return Reply.text(405, "POST only")
        if header(scope, "content-encoding") != "snappy":
            return Reply.text(415, "the body must be packed with snappy")
        if _media_type(scope) not in (*MEDIA_TYPES, MEDIA_TYPE_2):
            return Reply.text(415, "only remote-write 1.0 and 2.0 are spoken here")
        return None

    async def take(self, scope: Message, receive: AsgiReceive, sink: ReadingSink) -> Reply:
        """Take a request. Raises MalformedRequest, RequestTooLarge and what `read_body` raises."""
        body = await read_body(receive, self._limits.body_bytes_max)
        if _media_type(scope) == MEDIA_TYPE_2:
            return await self._take_2(scope, body, sink)
        if len(body) > DECODE_HERE_BYTES_MAX:
            request = await asyncio.to_thread(self._decode, body)
        else:
            request = self._decode(body)
        if not await self.put(sink, self._reading_of(request)):
            return self.failure(scope, 503, "the journal can't take it now")
        return Reply(204)

    async def _take_2(self, scope: Message, body: bytes, sink: ReadingSink) -> Reply:
        if len(body) > DECODE_HERE_BYTES_MAX:
            request = await asyncio.to_thread(self._decode_2, body)
        else:
            request = self._decode_2(body)
        rows = Rows(
            self._symbol_ids(request),
            request.time_ns,
            request.value,
            request.stale,
            Counter(histogram=request.histograms),
        )
        rows.refused["invalid_series"] = int(np.count_nonzero(rows.ids == _INVALID_SERIES))
        taken, refused = self.screen(rows)
        self.account.other["exemplars_not_taken"] += request.exemplars
        self.account.other["created_timestamps_not_taken"] += request.created
        if not await self.put(sink, self.reading_of(rows, taken, refused)):
            return self.failure(scope, 503, "the journal can't take it now")
        written = _written(int(np.count_nonzero(taken | (rows.ids == SKIPPED))))
        told = [f"{word}: {count}" for word, count in sorted(refused.items()) if word in _TELLING]
        if told:
            return Reply(400, f"not taken: {', '.join(told)}".encode(), headers=written)
        return Reply(204, headers=written)

    def _decode_2(self, body: bytes) -> SymbolRequest:
        message = unpack(body, self._limits.unpacked_bytes_max)
        return decode_2(message, self._limits.samples_per_request_max)

    def _symbol_ids(self, request: SymbolRequest) -> npt.NDArray[np.int64]:
        """Return the code of every row."""
        if len(self._known_2) > KEYS_KEPT_MAX or self._refs_kept > REFS_KEPT_MAX:
            self._known_2, self._refs_kept = {}, 0
        codes = np.empty(len(request.keys), dtype=np.int64)
        for place, key in enumerate(request.keys):
            code = self._known_2.get(key)
            if code is None:
                code = self._known_2[key] = self._symbol_code(key)
                self._refs_kept += len(key)
            codes[place] = code
        return codes[request.key]

    def _symbol_code(self, key: Key) -> int:
        labels = labels_of(key)
        return _INVALID_SERIES if labels is None else self.resolve(labels.pop("__name__"), labels)

    def _decode(self, body: bytes) -> Decoded:
        message = unpack(body, self._limits.unpacked_bytes_max)
        walked = None
        if len(message) >= WALK_BYTES_MIN and self._compiled:
            walked = self._walk(message)
        return walked or self._plainly(message)

    def _plainly(self, message: bytes) -> Decoded:
        request = decode(message, self._limits.samples_per_request_max)
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
            found = walk(message, book, self._limits.samples_per_request_max)
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
        codes = {key: self.resolve(labels.pop("__name__"), labels) for key, labels in fresh.items()}
        with self._walking:
            for key, code in codes.items():
                book.enter(key, code)
        new = np.array([codes[key] for key in found.unknown], dtype=np.int64)
        ids = np.empty(len(found.entry), dtype=np.int64)
        ids[known] = book.code[found.entry[known]]
        ids[~known] = new[-1 - found.entry[~known]]
        return ids

    def _reading_of(self, request: Decoded) -> Reading:
        """Turn a request into a reading. Raises MalformedRequest before any series of it is interned."""
        return self.reading(
            Rows(
                request.ids(), request.time_ns, request.value, request.stale,
                Counter(histogram=request.histograms),
            )
        )  # fmt: skip

    def _ids(self, keys: list[bytes]) -> npt.NDArray[np.int64]:
        if len(self._known) > KEYS_KEPT_MAX:
            self._known.clear()
        fresh = {key: decode_labels(key) for key in keys if key not in self._known}
        for key, labels in fresh.items():
            self._known[key] = self.resolve(labels.pop("__name__"), labels)
        return np.array([self._known[key] for key in keys], dtype=np.int64)


def _media_type(scope: Message) -> str:
    return header(scope, "content-type").replace(" ", "")


def _written(samples: int) -> tuple[tuple[str, str], ...]:
    """Return the headers by which a 2.0 sender learns what was written; without them it takes nothing for written."""
    prefix = "x-prometheus-remote-write"
    return (
        (f"{prefix}-samples-written", str(samples)),
        (f"{prefix}-histograms-written", "0"),
        (f"{prefix}-exemplars-written", "0"),
    )
