"""InfluxDB v2 write API receiver (`/api/v2/write`): Telegraf and Influx's clients push line protocol to it."""

import asyncio
import json
from collections import Counter
from typing import ClassVar
from urllib.parse import parse_qs

import numpy as np

from collectors.line_protocol import PRECISIONS, TEXTS_KEPT_MAX, LineReader, MalformedLine, Points
from collectors.push import (
    AsgiReceive,
    MalformedRequest,
    Message,
    header,
    path_below,
    read_body,
    unpack_gzip,
)
from collectors.receiver import Receiver, ReceiverSettings, Reply, Rows
from trimtab.ports import Clock, ReadingSink, SeriesIndex

WRITE_PATHS = ("", "/api/v2/write")
BUCKETS_MAX = 100
QUERY_FIELDS_MAX = 20
DECODE_HERE_BYTES_MAX = (
    16_384  # what is longer is decoded in a thread, and does not hold up the loop
)
_CODES = {
    400: "invalid",
    404: "not found",
    405: "method not allowed",
    413: "request too large",
    415: "unsupported media type",
    503: "unavailable",
}


class InfluxCollector(Receiver):
    """Receive line protocol: precision s, ms, us or ns, plain or gzip.

    204: durable. 400: malformed (`line` says where), and nothing of it was taken; 413: over a limit; 503 with
    Retry-After: not now, the sender keeps its data. Errors are Influx's JSON. The bucket becomes a label; the
    organisation is not looked at. Texts, infinities and times over 10 s ahead are counted, not taken; true is 1.
    """

    kind: ClassVar[str] = "influx"

    class Config(ReceiverSettings):
        """Settings of a receiver of line protocol. `bucket_label` names the label that holds the bucket, if any."""

        bucket_label: str | None = "bucket"

    def __init__(self, name: str, config: Config, index: SeriesIndex, clock: Clock) -> None:
        super().__init__(name, config, index, clock)
        self._bucket_label = config.bucket_label
        self._readers: dict[str, LineReader] = {}

    def refusal(self, scope: Message) -> Reply | None:
        """Return why a request is none for this receiver, None when it is."""
        if path_below(scope) not in WRITE_PATHS:
            return self.failure(scope, 404, "line protocol is received at /api/v2/write")
        if scope["method"] != "POST":
            return self.failure(scope, 405, "POST only")
        if header(scope, "content-encoding") not in ("", "identity", "gzip"):
            return self.failure(scope, 415, "the body may be plain or gzip")
        return None

    def failure(self, scope: Message, status: int, error: Exception | str) -> Reply:
        """Say it in Influx's JSON."""
        document: dict[str, str | int] = {"code": _CODES[status], "message": str(error)}
        if isinstance(error, MalformedLine):
            document["line"] = error.line
        return Reply(status, json.dumps(document).encode(), "application/json")

    async def take(self, scope: Message, receive: AsgiReceive, sink: ReadingSink) -> Reply:
        """Take a request. Raises MalformedRequest, RequestTooLarge and what `read_body` raises."""
        unit_ns, bucket = _parameters(scope)
        packed = header(scope, "content-encoding") == "gzip"
        body = await read_body(receive, self._limits.body_bytes_max)
        reader = self._reader(bucket)
        if packed or len(body) > DECODE_HERE_BYTES_MAX:
            points = await asyncio.to_thread(self._decode, body, packed, reader, unit_ns)
        else:
            points = self._decode(body, packed, reader, unit_ns)
        rows = Rows(
            reader.ids(points),
            np.array(points.time_ns, dtype=np.int64),
            np.array(points.value, dtype=np.float64),
            np.zeros(len(points.value), dtype=np.bool_),
            Counter(not_numeric=points.not_numeric),
        )
        if not await self.put(sink, self.reading(rows)):
            return self.failure(scope, 503, "the journal can't take it now")
        return Reply(204)

    def _decode(self, body: bytes, packed: bool, reader: LineReader, unit_ns: int) -> Points:
        if packed:
            body = unpack_gzip(body, self._limits.unpacked_bytes_max)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedLine(body.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
        return reader.read(
            text, unit_ns, self._clock.now_ns(), self._limits.samples_per_request_max
        )

    def _reader(self, bucket: str) -> LineReader:
        """Return what knows the texts of a bucket; with too many buckets or texts, all is learnt anew."""
        found = self._readers.get(bucket)
        if found is None or sum(each.texts for each in self._readers.values()) > TEXTS_KEPT_MAX:
            if found is not None or len(self._readers) >= BUCKETS_MAX:
                self._readers = {}
            found = self._readers[bucket] = LineReader(
                lambda name, labels: self._resolve_in(bucket, name, labels)
            )
        return found

    def _resolve_in(self, bucket: str, name: str, labels: dict[str, str]) -> int:
        label = self._bucket_label
        if label is not None and bucket:
            if label in labels:
                moved = label
                while moved in labels:
                    moved = f"exported_{moved}"
                labels[moved] = labels.pop(label)
            labels[label] = bucket
        return self.resolve(name, labels)


def _parameters(scope: Message) -> tuple[int, str]:
    """Return the length of the precision's unit in ns, and the bucket."""
    query = scope.get("query_string", b"").decode("latin-1")
    try:
        given = parse_qs(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        raise MalformedRequest(f"more than {QUERY_FIELDS_MAX} parameters") from None
    precision = given.get("precision", ["ns"])[-1] or "ns"
    if precision not in PRECISIONS:
        raise MalformedRequest(f"precision is one of {', '.join(PRECISIONS)}")
    return PRECISIONS[precision], given.get("bucket", [""])[-1]
