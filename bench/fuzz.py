"""`python -m bench.fuzz [TARGET ...] --seconds N`: atheris looks for bytes that a receiver does not bear.

Each target decodes bytes from strangers. Bytes may be refused in the words that the decoder documents; anything else
that is raised, and two decoders that read the same bytes differently, is a finding: it is printed, the bytes are kept
in bench/results/fuzz, and the exit code is not 0. Coverage guides the search (atheris, libFuzzer); it begins with
sound messages.
"""

import argparse
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.peers.workload import series_bytes, varint
from collectors.exposition import MalformedExposition, PageReader
from collectors.label_book import LabelBook
from collectors.line_protocol import LineReader, MalformedLine
from collectors.otlp_json import decode_json
from collectors.otlp_metrics import decode_protobuf
from collectors.otlp_series import translate
from collectors.push import MalformedRequest, RequestTooLarge
from collectors.write_request import decode, unpack
from collectors.write_request_v2 import decode as decode_2
from collectors.write_request_v2 import labels_of
from collectors.write_walk import walk

ROWS_MAX = 200
UNPACKED_BYTES_MAX = 65_536
INPUT_BYTES_MAX = 4_096
SECONDS_DEFAULT = 60
STDERR_SHOWN_MAX = 4_000
NOW_NS = 1_700_000_000_000_000_000
RESULTS = Path(__file__).resolve().parent / "results" / "fuzz"


REFUSALS = (MalformedRequest, RequestTooLarge, MalformedExposition, MalformedLine)


class Finding(Exception):
    """Two ways to read the same bytes did not agree."""


def walked(data: bytes) -> None:
    """Read a remote-write message by compiled code and plainly; the second time its label sets are known."""
    plain = _plain_rows(data)
    book = LabelBook()
    for _ in range(2):
        found = walk(data, book, ROWS_MAX)
        if not found.ok:
            return
        keys = [
            found.unknown[-1 - entry]
            if entry < 0
            else bytes(book.arena[book.start[entry] : book.start[entry] + book.length[entry]])
            for entry in found.entry.tolist()
        ]
        rows = list(zip(keys, found.time_ms.tolist(), found.bits.tolist(), strict=True))
        if rows != plain:
            raise Finding(f"compiled {rows!r}, plain {plain!r}")
        for key in dict.fromkeys(found.unknown):
            book.enter(key, 0)


def _plain_rows(data: bytes) -> list[tuple[bytes, int, int]] | None:
    try:
        found = decode(data, ROWS_MAX)
    except (MalformedRequest, RequestTooLarge):
        return None
    return [
        (found.keys[key], time_ns // 1_000_000, struct.unpack("<Q", struct.pack("<d", value))[0])
        for key, time_ns, value in zip(
            found.key.tolist(), found.time_ns.tolist(), found.value.tolist(), strict=True
        )
    ]


def packed(data: bytes) -> None:
    """Undo snappy."""
    unpack(data, UNPACKED_BYTES_MAX)


def symbols(data: bytes) -> None:
    """Read a remote-write 2.0 message."""
    for key in decode_2(data, ROWS_MAX).keys:
        labels_of(key)


def otlp_protobuf(data: bytes) -> None:
    """Read an OTLP message and name its series."""
    translate(decode_protobuf(data, ROWS_MAX), ROWS_MAX)


def otlp_json(data: bytes) -> None:
    """Read an OTLP message in JSON and name its series."""
    translate(decode_json(data, ROWS_MAX), ROWS_MAX)


def _numbered() -> Callable[[str, dict[str, str]], int]:
    known: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    return lambda name, labels: known.setdefault((name, tuple(sorted(labels.items()))), len(known))


def lines(data: bytes) -> None:
    """Read lines of Influx, twice: what is remembered of the first time must not change the rows."""
    text = data.decode("utf-8", "replace")
    reader = LineReader(_numbered())
    first = reader.read(text, 1, NOW_NS, ROWS_MAX)
    ids = reader.ids(first).tolist()
    second = reader.read(text, 1, NOW_NS, ROWS_MAX)
    again = reader.ids(second).tolist()
    if repr((ids, first.time_ns, first.value)) != repr((again, second.time_ns, second.value)):
        raise Finding(f"first {ids, first.value}, then {again, second.value}")


def page(data: bytes) -> None:
    """Read an exposition in both formats, twice."""
    text = data.decode("utf-8", "replace")
    for openmetrics in (False, True):
        reader = PageReader(_numbered(), ROWS_MAX)
        try:
            first = reader.read(text, openmetrics=openmetrics)
        except MalformedExposition:
            continue
        second = reader.read(text, openmetrics=openmetrics)
        if first.series_id.tolist() != second.series_id.tolist():
            raise Finding(f"first {first.series_id}, then {second.series_id}")


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


_SAMPLE = b"\x09" + struct.pack("<d", 2.0) + b"\x10" + varint(NOW_NS // 1_000_000)
_SYMBOLS = b"".join(_field(4, text) for text in (b"", b"__name__", b"up", b"job", b"vnf"))
_POINT = b"\x19" + struct.pack("<Q", NOW_NS) + b"\x21" + struct.pack("<d", 2.0)
_METRIC = _field(1, b"load") + _field(3, b"s") + _field(5, _field(1, _POINT))
# Of each target: what it does, and sound bytes to begin with.
TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
    "remote_write": (
        walked,
        (series_bytes({"__name__": "up", "job": "vnf"}), series_bytes({}) * 2),
    ),
    "snappy": (packed, (b"\x05\x10hello",)),
    "remote_write_2": (
        symbols,
        (_SYMBOLS + _field(5, _field(1, b"\x01\x02\x03\x04") + _field(2, _SAMPLE)),),
    ),
    "otlp": (otlp_protobuf, (_field(1, _field(2, _field(2, _METRIC))),)),
    "otlp_json": (
        otlp_json,
        (
            b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":'
            b'[{"timeUnixNano":"1","asDouble":1.5,"attributes":[]}]}}]}]}]}',
        ),
    ),
    "line_protocol": (lines, (b'load,host=a\\ b,x=y v=1.5,n=2i,t="z\\"" 17\nup v=t\n',)),
    "exposition": (page, (b'# TYPE a counter\na{x="y\\n",z="w"} 1.5 17\nb 2\n# EOF\n',)),
}


def bear(target: str, data: bytes) -> None:
    """Have a target read bytes. Raises what it must not raise."""
    with suppress(*REFUSALS):
        TARGETS[target][0](data)


def main(arguments: list[str] | None = None) -> int:
    """Fuzz targets one after the other, each in a process of its own; 1 when one found something."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument(
        "--seconds", type=int, default=SECONDS_DEFAULT, help="a target; default %(default)s"
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.targets) - set(TARGETS)):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    failed = [name for name in options.targets or TARGETS if _outside(name, options.seconds)]
    print(f"findings in: {', '.join(failed)}; see {RESULTS}" if failed else "nothing was found")
    return 1 if failed else 0


# In a process of its own, as only what is imported within this is watched; what is compiled can't be.
_INSIDE = """
import sys
import atheris
with atheris.instrument_imports(include=["collectors"], exclude=["collectors.write_walk"]):
    from bench.fuzz import fuzz
fuzz(sys.argv[1], int(sys.argv[2]))
"""


def _outside(target: str, seconds: int) -> bool:
    print(f"{target}: {seconds} s ...", flush=True)
    found = subprocess.run(
        [sys.executable, "-c", _INSIDE, target, str(seconds)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    done = [line for line in found.stderr.splitlines() if line.startswith("Done ")]
    print(f"  {done[-1]}" if done else found.stderr[-STDERR_SHOWN_MAX:], flush=True)
    return found.returncode != 0 or not done


def fuzz(target: str, seconds: int) -> None:
    """Fuzz one target for a while; never returns."""
    import atheris

    corpus = RESULTS / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[target][1]):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}",
            f"-artifact_prefix={RESULTS / target}-", "-rss_limit_mb=2048",
        ],
        lambda data: bear(target, data),
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
