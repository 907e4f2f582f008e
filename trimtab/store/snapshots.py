"""Snapshots of the machines: a shortcut past the journal's beginning, thrown away whenever there is doubt.

    "TRIMTABS" | format u16 | head length u32 | CRC-32 u32 of all that follows | head | the parts, one after another

The head is JSON: the journal's sequence number that the state includes, the code version that wrote it, and each
part's name and length.
"""

import json
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import StoreError

SNAPSHOT_FORMAT = 1
SNAPSHOTS_KEPT = 2
_MAGIC = b"TRIMTABS"
_HEADER = struct.Struct("<8sHII")
_PREFIX, _SUFFIX = "state-", ".snapshot"
_UNFINISHED = "unfinished.snapshot"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State by part name after everything up to and including frame `seq`."""

    seq: int
    code_version: str
    parts: Mapping[str, bytes]


class Snapshots:
    """A directory of snapshots, the newest SNAPSHOTS_KEPT of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def save(self, seq: int, code_version: str, parts: Mapping[str, bytes]) -> int:
        """Write a snapshot, whole or not at all; returns its length in bytes. Raises StoreError."""
        blob = encode_snapshot(Snapshot(seq, code_version, parts))
        unfinished = self.directory / _UNFINISHED
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self.directory / f"{_PREFIX}{seq:020d}{_SUFFIX}")
            self._sync_directory()
            for path in self._paths()[SNAPSHOTS_KEPT:]:
                path.unlink(missing_ok=True)
        except OSError as error:
            with suppress(OSError):  # it is never read, and the next one replaces it
                unfinished.unlink()
            raise StoreError(f"{self.directory}: the snapshot can't be written: {error}") from error
        return len(blob)

    def load_latest(self, code_version: str | None, seq_max: int | None = None) -> Snapshot | None:
        """Return the newest sound snapshot of that code (None: of any), not beyond `seq_max`.

        None when there is none: then everything is replayed. Raises StoreError when the directory can't be read.
        """
        try:
            for path in self._paths():
                found = decode_snapshot(path.read_bytes())
                if found is None or code_version not in (None, found.code_version):
                    continue
                if seq_max is None or found.seq <= seq_max:
                    return found
        except OSError as error:
            raise StoreError(f"{self.directory}: snapshots can't be read: {error}") from error
        return None

    def _paths(self) -> list[Path]:
        """Return the snapshots' files, newest first."""
        return sorted(self.directory.glob(f"{_PREFIX}*{_SUFFIX}"), reverse=True)

    def _sync_directory(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot's bytes; equal snapshots give equal bytes."""
    names = sorted(snapshot.parts)
    head = json.dumps(
        {
            "seq": snapshot.seq,
            "code_version": snapshot.code_version,
            "parts": [[name, len(snapshot.parts[name])] for name in names],
        },
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    body = b"".join((head, *(snapshot.parts[name] for name in names)))
    return _HEADER.pack(_MAGIC, SNAPSHOT_FORMAT, len(head), zlib.crc32(body)) + body


def decode_snapshot(blob: bytes) -> Snapshot | None:
    """Return what `encode_snapshot` made these bytes of; None when damaged, or of another format."""
    if len(blob) < _HEADER.size:
        return None
    magic, format_, head_bytes, crc = _HEADER.unpack_from(blob)
    body = blob[_HEADER.size :]
    if magic != _MAGIC or format_ != SNAPSHOT_FORMAT or crc != zlib.crc32(body):
        return None
    head = json.loads(body[:head_bytes])
    parts = {}
    offset = head_bytes
    for name, length in head["parts"]:
        parts[name] = body[offset : offset + length]
        offset += length
    return Snapshot(head["seq"], head["code_version"], parts)
