"""Prometheus remote-write 1.0 messages: snappy block, then protobuf, decoded with every length checked.

`WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }`
`TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; exemplars = 3; histograms = 4; }`
`Label { string name = 1; string value = 2; }`, `Sample { double value = 1; int64 timestamp = 2 (ms); }`

No generated code and no general protobuf runtime: what is asked of the bytes is little, and of a series that came
before, only its label bytes are looked at.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from collectors.protobuf import BYTES, FIXED64, VARINT, fields, varint
from collectors.push import MalformedRequest, RequestTooLarge

NS_PER_MILLISECOND = 1_000_000
TIME_MS_MAX = (2**63 - 1) // NS_PER_MILLISECOND
STALE_NAN_BITS = 0x7FF0_0000_0000_0002
LABELS_REMEMBERED_MAX = 16_384
_LABELS, _SAMPLES, _HISTOGRAMS = 1, 2, 4
_ZERO = bytes(8)
_LABEL_TAG = _LABELS << 3 | BYTES
_TIME_TAG = 2 << 3 | VARINT
# A sample of 16 bytes, and its value's tag.
_PLAIN_HEAD = bytes([_SAMPLES << 3 | BYTES, 16, 1 << 3 | FIXED64])
_PLAIN_BYTES = 18


@dataclass(slots=True)
class WriteRequest:
    """The samples of a request in its order: `key` picks the label bytes of each row out of `keys`.

    key int64, time_ns int64, value float64, stale bool. `histograms` counts native histograms, which are not taken.
    """

    keys: list[bytes]
    key: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    stale: npt.NDArray[np.bool_]
    histograms: int


@dataclass(slots=True)
class Columns:
    """What is read of a request so far; `rows` makes arrays of it."""

    samples_max: int
    keys: list[bytes] = field(default_factory=list)
    key: list[int] = field(default_factory=list)
    time_ms: list[int] = field(default_factory=list)
    value: list[bytes] = field(default_factory=list)
    histograms: int = 0
    stamps: dict[bytes, int] = field(default_factory=dict)  # times by their bytes: few differ
    started: int = 0  # samples that say since when they count

    def rows(
        self,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return time_ns, value and stale of the samples."""
        bits = np.frombuffer(b"".join(self.value), dtype="<u8")
        time_ns = np.array(self.time_ms, dtype=np.int64) * NS_PER_MILLISECOND
        return time_ns, bits.view("<f8").astype(np.float64), bits == STALE_NAN_BITS


def unpack(body: bytes, bytes_max: int) -> bytes:
    """Undo snappy's block format. Raises MalformedRequest or RequestTooLarge before anything large is made."""
    import cramjam

    declared, _ = varint(body, 0, len(body))
    if declared > bytes_max:
        raise RequestTooLarge(f"{declared} bytes unpacked, at most {bytes_max} are taken")
    try:
        unpacked = bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise MalformedRequest(str(error)) from None
    if len(unpacked) != declared:
        raise MalformedRequest("snappy: the length is not the announced one")
    return unpacked


def decode(message: bytes, samples_max: int) -> WriteRequest:
    """Decode a WriteRequest. Raises MalformedRequest, or RequestTooLarge over `samples_max` samples."""
    columns = Columns(samples_max)
    for number, kind, start, end in fields(message, 0, len(message)):
        if number == 1:
            if kind != BYTES:
                raise MalformedRequest("a time series is not a message")
            _time_series(message, start, end, columns)
    return WriteRequest(
        columns.keys, np.array(columns.key, dtype=np.int64), *columns.rows(), columns.histograms
    )


def decode_labels(key: bytes) -> dict[str, str]:
    """Decode a series' label bytes. Raises MalformedRequest: no name, a label twice, not UTF-8."""
    labels: dict[str, str] = {}
    for _number, _kind, start, end in fields(key, 0, len(key)):
        name, value = _label(key[start:end])
        if name in labels:
            raise MalformedRequest(f"the label {name[:80]} comes twice")
        labels[name] = value
    if not labels.get("__name__"):
        raise MalformedRequest("a series has no name")
    return labels


@lru_cache(maxsize=LABELS_REMEMBERED_MAX)
def _label(message: bytes) -> tuple[str, str]:
    """Return name and value of a label message. Remembered: most labels of a new series have come with others."""
    parts = {1: "", 2: ""}
    for number, kind, inner, inner_end in fields(message, 0, len(message)):
        if number in parts:
            if kind != BYTES:
                raise MalformedRequest("a label is not text")
            try:
                parts[number] = message[inner:inner_end].decode("utf-8")
            except UnicodeDecodeError:
                raise MalformedRequest("a label is not UTF-8") from None
    if not parts[1]:
        raise MalformedRequest("a label has no name")
    return parts[1], parts[2]


def _time_series(message: bytes, start: int, end: int, columns: Columns) -> None:
    """Take one series. Senders put labels first, then samples of one shape: that is read fast, the rest in general."""
    before = len(columns.time_ms)
    position = _end_of_labels(message, start, end)
    labels = message[start:position]
    position = plain_samples(message, position, end, columns)
    for number, kind, inner, inner_end in fields(message, position, end):
        if number in (_LABELS, _SAMPLES, _HISTOGRAMS) and kind != BYTES:
            raise MalformedRequest(f"field {number} of a time series is not a message")
        if number == _LABELS:
            labels += message[position:inner_end]
        elif number == _SAMPLES:
            sample(message, inner, inner_end, columns)
        elif number == _HISTOGRAMS:
            columns.histograms += 1
        position = inner_end
    if max(len(columns.time_ms), len(columns.keys)) > columns.samples_max:
        raise RequestTooLarge(f"more than {columns.samples_max} samples in a request")
    columns.key += [len(columns.keys)] * (len(columns.time_ms) - before)
    columns.keys.append(labels)


def _end_of_labels(message: bytes, position: int, end: int) -> int:
    """Return where the labels end that a series begins with."""
    while position < end and message[position] == _LABEL_TAG:
        length, inner = varint(message, position + 1, end)
        position = inner + length
    if position > end:
        raise MalformedRequest("a field ends after its message")
    return position


def plain_samples(message: bytes, position: int, end: int, columns: Columns) -> int:
    """Take samples of 16 bytes: a double, then a time of six varint bytes (1970 + 2 months until the year 2109)."""
    while (
        position + _PLAIN_BYTES <= end
        and message[position : position + 3] == _PLAIN_HEAD
        and message[position + 11] == _TIME_TAG
    ):
        stamp = message[position + 12 : position + _PLAIN_BYTES]
        time_ms = columns.stamps.get(stamp)
        if time_ms is None:
            time_ms, after = varint(stamp, 0, len(stamp))
            if after != len(stamp) or not 0 < time_ms <= TIME_MS_MAX:
                break
            columns.stamps[stamp] = time_ms
        columns.time_ms.append(time_ms)
        columns.value.append(message[position + 3 : position + 11])
        position += _PLAIN_BYTES
    return position


def sample(message: bytes, start: int, end: int, columns: Columns) -> None:
    """Take a sample of any shape. Raises MalformedRequest."""
    value, time_ms = _ZERO, 0
    for number, kind, inner, inner_end in fields(message, start, end):
        if number == 1:
            if kind != FIXED64:
                raise MalformedRequest("a value is not a double")
            value = message[inner:inner_end]
        elif number == 2:
            if kind != VARINT:
                raise MalformedRequest("a time is not an integer")
            time_ms, _ = varint(message, inner, inner_end)
        elif number == 3:
            columns.started += 1
    if time_ms >= 1 << 63:
        time_ms -= 1 << 64
    if not 0 < time_ms <= TIME_MS_MAX:
        raise MalformedRequest(f"an impossible time: {time_ms} ms")
    columns.time_ms.append(time_ms)
    columns.value.append(value)
