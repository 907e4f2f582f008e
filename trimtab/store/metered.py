"""A storage that tells how much is written to the storage under it, and how long its syncs take."""

import time
from typing import Protocol

from trimtab.store.storage import AppendFile, Storage


class JournalMeter(Protocol):
    """Who counts; trimtab.telemetry.Telemetry does."""

    def journal_appended(self, size_bytes: int) -> None:
        """Account for bytes appended."""
        ...

    def journal_synced(self, seconds: float) -> None:
        """Account for a group commit."""
        ...


class _MeteredFile:
    def __init__(self, file: AppendFile, meter: JournalMeter) -> None:
        self._file = file
        self._meter = meter

    def append(self, data: bytes) -> None:
        self._file.append(data)
        self._meter.journal_appended(len(data))

    def sync(self) -> None:
        begin = time.perf_counter()
        self._file.sync()
        self._meter.journal_synced(time.perf_counter() - begin)

    def close(self) -> None:
        self._file.close()


class MeteredStorage:
    """Another storage, measured; what fails is not counted."""

    def __init__(self, storage: Storage, meter: JournalMeter) -> None:
        self._storage = storage
        self._meter = meter
        self.lock = storage.lock
        self.unlock = storage.unlock
        self.names = storage.names
        self.read = storage.read
        self.size = storage.size
        self.truncate = storage.truncate
        self.preallocate = storage.preallocate
        self.rename = storage.rename
        self.remove = storage.remove
        self.sync_directory = storage.sync_directory
        self.free_bytes = storage.free_bytes
        self.location = storage.location

    def create(self, name: str) -> AppendFile:
        """Make a new, empty file whose writes and syncs are measured."""
        return _MeteredFile(self._storage.create(name), self._meter)
