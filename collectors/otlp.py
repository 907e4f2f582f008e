"""OTLP/HTTP metrics receiver (`/v1/metrics`): OpenTelemetry SDKs and collectors push to it, protobuf or JSON."""

import asyncio
import json
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from collectors.otlp_json import decode_json
from collectors.otlp_metrics import decode_protobuf
from collectors.otlp_series import Translated, translate
from collectors.protobuf import BYTES, VARINT
from collectors.push import AsgiReceive, Message, header, path_below, read_body, unpack_gzip
from collectors.receiver import SKIPPED, Receiver, ReceiverSettings, Reply, Rows
from trimtab.ports import Clock, ReadingSink, SeriesIndex

METRICS_PATHS = ("", "/v1/metrics")
PROTOBUF, JSON = "application/x-protobuf", "application/json"
DECODE_HERE_BYTES_MAX = (
    16_384  # what is longer is decoded in a thread, and does not hold up the loop
)
SERIES_KEPT_MAX = 500_000
_RPC_CODES = {400: 3, 404: 5, 405: 12, 413: 11, 415: 3, 503: 14}  # google.rpc.Code
_MENDS = {
    "delta": "only cumulative temporality is taken: set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative",
    "exponential_histogram": "histograms need explicit buckets",
}


class OtlpCollector(Receiver):
    """Receive OTLP metrics: gauges, cumulative sums and histograms with explicit buckets.

    200: durable; the answer's `partial_success` says how many points were not taken, and why. 400: malformed, and
    nothing of it was taken; 413: over a limit; 503 with Retry-After: not now, the sender keeps its data. Delta
    temporality, exponential histograms and summaries are counted, not taken.
    """

    kind: ClassVar[str] = "otlp"

    class Config(ReceiverSettings):
        """Settings of a receiver of OTLP metrics."""

        # JSON takes twenty times its size while it is decoded.
        unpacked_bytes_max: int = Field(default=16_777_216, ge=1_024, le=536_870_912)

    def __init__(self, name: str, config: Config, index: SeriesIndex, clock: Clock) -> None:
        super().__init__(name, config, index, clock)
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}

    def refusal(self, scope: Message) -> Reply | None:
        """Return why a request is none for this receiver, None when it is."""
        if path_below(scope) not in METRICS_PATHS:
            return _failure(scope, 404, "metrics are received at /v1/metrics")
        if scope["method"] != "POST":
            return _failure(scope, 405, "POST only")
        if header(scope, "content-encoding") not in ("", "identity", "gzip"):
            return _failure(scope, 415, "the body may be plain or gzip")
        if _media_type(scope) not in (PROTOBUF, JSON):
            return _failure(scope, 415, f"{PROTOBUF} and {JSON} are spoken here")
        return None

    def failure(self, scope: Message, status: int, error: Exception | str) -> Reply:
        """Say it as a google.rpc.Status, in the request's own encoding."""
        return _failure(scope, status, str(error))

    async def take(self, scope: Message, receive: AsgiReceive, sink: ReadingSink) -> Reply:
        """Take a request. Raises MalformedRequest, RequestTooLarge and what `read_body` raises."""
        packed = header(scope, "content-encoding") == "gzip"
        as_json = _media_type(scope) == JSON
        body = await read_body(receive, self._limits.body_bytes_max)
        if packed or len(body) > DECODE_HERE_BYTES_MAX:
            found = await asyncio.to_thread(self._decode, body, packed, as_json)
        else:
            found = self._decode(body, packed, as_json)
        rows = Rows(
            self._ids(found),
            np.array(found.time_ns, dtype=np.int64),
            np.array(found.value, dtype=np.float64),
            np.array(found.stale, dtype=np.bool_),
            found.refused,
        )
        taken, refused = self.screen(rows)
        if not await self.put(sink, self.reading_of(rows, taken, refused)):
            return self.failure(scope, 503, "the journal can't take it now")
        lost = ~taken & (rows.ids != SKIPPED)
        rejected = found.rejected + len(np.unique(np.array(found.point, dtype=np.int64)[lost]))
        reasons = "; ".join(_reason(word, count) for word, count in sorted(refused.items()))
        return _success(as_json, rejected, reasons)

    def _decode(self, body: bytes, packed: bool, as_json: bool) -> Translated:
        if packed:
            body = unpack_gzip(body, self._limits.unpacked_bytes_max)
        decode = decode_json if as_json else decode_protobuf
        return translate(
            decode(body, self._limits.samples_per_request_max),
            self._limits.samples_per_request_max,
        )

    def _ids(self, found: Translated) -> npt.NDArray[np.int64]:
        if len(self._known) > SERIES_KEPT_MAX:
            self._known = {}
        ids = np.empty(len(found.series), dtype=np.int64)
        for row, (name, labels) in enumerate(found.series):
            key = (name, tuple(labels.items()))
            code = self._known.get(key)
            if code is None:
                code = self._known[key] = self.resolve(name, labels)
            ids[row] = code
        return ids


def _reason(word: str, count: int) -> str:
    mend = _MENDS.get(word)
    return f"{word}: {count} ({mend})" if mend else f"{word}: {count}"


def _media_type(scope: Message) -> str:
    return header(scope, "content-type").partition(";")[0].strip()


def _success(as_json: bool, rejected: int, reasons: str) -> Reply:
    """Return an ExportMetricsServiceResponse; `partial_success` stands in it only when something was rejected."""
    if as_json:
        partial = {"rejectedDataPoints": str(rejected), "errorMessage": reasons}
        document = {"partialSuccess": partial} if rejected else {}
        return Reply(200, json.dumps(document).encode(), JSON)
    if not rejected:
        return Reply(200, b"", PROTOBUF)
    partial_success = _tag(1, VARINT) + _varint(rejected) + _block(2, reasons.encode())
    return Reply(200, _block(1, partial_success), PROTOBUF)


def _failure(scope: Message, status: int, text: str) -> Reply:
    code = _RPC_CODES[status]
    if _media_type(scope) == JSON:
        return Reply(status, json.dumps({"code": code, "message": text}).encode(), JSON)
    return Reply(status, _tag(1, VARINT) + _varint(code) + _block(2, text.encode()), PROTOBUF)


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _block(number: int, content: bytes) -> bytes:
    return _tag(number, BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
