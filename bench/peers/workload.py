"""KPI series as Prometheus remote-write bodies: built once, then only values and times are patched.

Every series has eight labels, as an exporter of VNF components has them; ten of them speak of one VNFC. All bodies
come from a fixed seed, so that every server gets the same bytes but for the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

METRIC = "vnf_kpi"
PROBE_METRIC = "vnf_probe"
SERIES_PER_VNFC = 10
SAMPLES_PER_REQUEST = 2_000  # what a current Prometheus sends at once (max_samples_per_send)
SEED = 7
TIME_BYTES = 6  # a time in ms as a varint, until the year 2109
# A sample of 17 bytes: double value = 1, int64 timestamp = 2.
_SAMPLE = b"\x12\x10\x09" + bytes(8) + b"\x10" + bytes(TIME_BYTES)
_VALUE_AT, _TIME_AT = -15, -TIME_BYTES


def varint(number: int) -> bytes:
    """Return protobuf's encoding of a number that is not negative."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + varint(len(content)) + content


def series_bytes(labels: dict[str, str]) -> bytes:
    """Return one time series with one sample, whose value and time are still zero; the sample comes last."""
    ordered = sorted(labels.items())
    packed = b"".join(
        _field(0x0A, _field(0x0A, name.encode()) + _field(0x12, value.encode()))
        for name, value in ordered
    )
    return _field(0x0A, packed + _SAMPLE)


def kpi_labels(number: int, per_vnfc: int = SERIES_PER_VNFC, generation: int = 0) -> dict[str, str]:
    """Return the labels of a series; of another generation, the process that it speaks of is another."""
    vnfc = number // per_vnfc
    host = vnfc // 40
    return {
        "__name__": METRIC,
        "instance": f"10.{host >> 8 & 255}.{host & 255}.{vnfc % 40 + 1}:{9100 + generation}",
        "job": "vnf",
        "kpi": f"kpi_{number % per_vnfc:03d}",
        "ns": f"ns-{vnfc // 8:05d}",
        "vim": f"vim-{host % 5}",
        "vnf": f"vnf-{vnfc // 4:05d}",
        "vnfc": f"vnfc-{vnfc:06d}",
    }


def probe_labels(number: int) -> dict[str, str]:
    """Return the labels of a probe: a series whose crossing of the bound is waited for."""
    return {"__name__": PROBE_METRIC, "job": "vnf", "kpi": "probe", "vnfc": f"probe-{number}"}


@dataclass(slots=True)
class Request:
    """One request's message with room for values and times."""

    message: npt.NDArray[np.uint8]
    value_at: npt.NDArray[np.int64]
    time_at: npt.NDArray[np.int64]

    @classmethod
    def of(cls, label_sets: list[dict[str, str]]) -> "Request":
        """Lay out one sample of each of these series."""
        parts = [series_bytes(labels) for labels in label_sets]
        ends = np.cumsum([len(part) for part in parts])
        return cls(
            np.frombuffer(bytearray(b"".join(parts)), np.uint8),
            (ends + _VALUE_AT)[:, None] + np.arange(8),
            (ends + _TIME_AT)[:, None] + np.arange(TIME_BYTES),
        )

    def __len__(self) -> int:
        return len(self.value_at)

    def raw(self, time_ms: int, values: npt.NDArray[np.float64]) -> bytes:
        """Return the message, not packed."""
        columns = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(-1, 8)
        self.message[self.value_at] = columns
        self.message[self.time_at] = np.frombuffer(varint(time_ms), np.uint8)
        return self.message.tobytes()

    def body(self, time_ms: int, values: npt.NDArray[np.float64]) -> bytes:
        """Return the message as it goes over the wire."""
        import cramjam

        return bytes(cramjam.snappy.compress_raw(self.raw(time_ms, values)))


class Workload:
    """`series` series in requests of SAMPLES_PER_REQUEST samples; values from 10 to 79, below every bound."""

    def __init__(self, series: int, per_vnfc: int = SERIES_PER_VNFC) -> None:
        self.series = series
        self._per_vnfc = per_vnfc
        self._random = np.random.default_rng(SEED)
        self._requests = [
            self._request(first, 0) for first in range(0, series, SAMPLES_PER_REQUEST)
        ]

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def raw_bytes(self) -> int:
        """Return what one round has in bytes, not packed."""
        return sum(len(request.message) for request in self._requests)

    def renew(self, number: int, generation: int) -> int:
        """Let all series of a request end, and others begin in their place; return how many they are."""
        self._requests[number] = self._request(number * SAMPLES_PER_REQUEST, generation)
        return len(self._requests[number])

    def bodies(self, time_ms: int) -> Iterator[tuple[bytes, int]]:
        """Yield the requests of one round, each with its number of samples."""
        values = self._random.integers(10, 80, self.series).astype(np.float64)
        first = 0
        for request in self._requests:
            yield request.body(time_ms, values[first : first + len(request)]), len(request)
            first += len(request)

    def _request(self, first: int, generation: int) -> Request:
        last = min(self.series, first + SAMPLES_PER_REQUEST)
        return Request.of(
            [kpi_labels(number, self._per_vnfc, generation) for number in range(first, last)]
        )
