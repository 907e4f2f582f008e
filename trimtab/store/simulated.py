"""Storage with all the vices that POSIX allows: what was not synced may be lost, torn, or written in any order.

For the simulation driver and the tests. A kill -9 can't show any of this, as the page cache survives it.
"""

import errno
from dataclasses import dataclass, field
from random import Random

from trimtab.errors import JournalError

PAGE_BYTES = 512


class SimulatedCrash(BaseException):
    """Power fails in the middle of an operation. Not an Exception: no handler may swallow it."""


@dataclass(slots=True)
class _Content:
    """What a file holds, and what of it the device holds."""

    current: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)
    shrunk_to: int | None = None
    synced_bytes: int = 0


class _SimulatedFile:
    def __init__(self, storage: "SimulatedStorage", content: _Content) -> None:
        self._storage = storage
        self._content = content
        self._life = storage.life

    def append(self, data: bytes) -> None:
        storage = self._storage
        storage.require(self._life)
        room = max(0, storage.capacity_bytes - storage.used_bytes())
        short = len(data) > room
        wanted = data[:room] if short else data
        if storage.crashes_now() or storage.fails_now("append"):
            wanted = wanted[: storage.random.randint(0, len(wanted))]
            self._put(wanted)
            storage.give_way()
        self._put(wanted)
        if short:
            raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self) -> None:
        storage = self._storage
        storage.require(self._life)
        if storage.crashes_now():
            storage.give_way()
        if storage.fails_now("sync"):
            # As Linux does it: some pages made it, the rest are called clean though they are not.
            for page in sorted(self._content.dirty):
                if storage.random.random() < 0.5:
                    _write_page(self._content, page)
            self._content.dirty.clear()
            storage.give_way()
        _make_durable(self._content)

    def close(self) -> None:
        """Do nothing: closing makes nothing durable."""

    def _put(self, data: bytes) -> None:
        content = self._content
        start = len(content.current)
        content.current.extend(data)
        if data:
            content.dirty.update(
                range(start // PAGE_BYTES, (start + len(data) - 1) // PAGE_BYTES + 1)
            )


class SimulatedStorage:
    """One directory in memory; the same seed and the same calls give the same faults.

    `crash_after` operations from now power fails within one; `fail` makes the next operations of a name (append,
    sync, create, rename, sync_directory, ...) raise an OSError; `capacity_bytes` can be set at any time.
    """

    def __init__(self, seed: int = 0, capacity_bytes: int = 1 << 40) -> None:
        self.random = Random(seed)
        self.capacity_bytes = capacity_bytes
        self.life = 0
        self.operations = 0
        self._crash_at: int | None = None
        self._failing: dict[str, list[int]] = {}
        self._failed_with = 0
        self._current: dict[str, _Content] = {}
        self._durable: dict[str, _Content] = {}
        self._locked = False

    def crash_after(self, operations: int | None) -> None:
        """Let power fail during the operation that comes after so many (None: not at all)."""
        self._crash_at = None if operations is None else self.operations + operations

    def fail(self, operation: str, error: int = errno.EIO, times: int = 1) -> None:
        """Let the next so many operations of that name fail."""
        self._failing.setdefault(operation, []).extend([error] * times)

    def crash(self) -> None:
        """Lose power: keep what is durable, and of the rest whatever chance leaves."""
        self.life += 1
        self._locked = False
        self._crash_at = None
        self._failing.clear()
        names = sorted(self._current.keys() | self._durable.keys())
        survivors: dict[str, _Content] = {}
        for name in names:
            current, durable = self._current.get(name), self._durable.get(name)
            kept = current if self.random.random() < 0.5 else durable
            if kept is not None:
                survivors[name] = kept
        for content in {id(item): item for item in survivors.values()}.values():
            self._tear(content)
        self._current = dict(survivors)
        self._durable = dict(survivors)

    def flip_bit(self, name: str, bit: int) -> None:
        """Damage a file: invert one bit of it, durably."""
        content = self._current[name]
        for side in (content.current, content.durable):
            side[bit // 8] ^= 1 << (bit % 8)

    def crashes_now(self) -> bool:
        """Count an operation; return whether power fails during it."""
        self.operations += 1
        return self._crash_at is not None and self.operations > self._crash_at

    def fails_now(self, operation: str) -> bool:
        """Return whether an operation of that name is to fail now."""
        waiting = self._failing.get(operation)
        if not waiting:
            return False
        self._failed_with = waiting.pop(0)
        return True

    def give_way(self) -> None:
        """Raise what was arranged: the crash, or the operation's error."""
        if self._crash_at is not None and self.operations > self._crash_at:
            raise SimulatedCrash
        raise OSError(self._failed_with, "simulated failure")

    def require(self, life: int) -> None:
        """Refuse a handle from before a crash."""
        if life != self.life:
            raise OSError(errno.EBADF, "this file was open before the crash")

    def used_bytes(self) -> int:
        """Return what all files take."""
        return sum(len(content.current) for content in self._current.values())

    def lock(self) -> None:
        """Take the directory."""
        if self._locked:
            raise JournalError("the simulated directory is in use: stop the other one")
        self._locked = True

    def unlock(self) -> None:
        """Give the directory up."""
        self._locked = False

    def names(self) -> list[str]:
        """Return the files there, sorted."""
        return sorted(self._current)

    def read(self, name: str) -> bytes:
        """Return a file's content as a living process sees it."""
        return bytes(self._found(name).current)

    def size(self, name: str) -> int:
        """Return a file's length, 0 when there is none."""
        return len(self._current[name].current) if name in self._current else 0

    def create(self, name: str) -> _SimulatedFile:
        """Make a new file."""
        self._begin("create")
        if name in self._current:
            raise OSError(errno.EEXIST, "File exists", name)
        self._current[name] = _Content()
        return _SimulatedFile(self, self._current[name])

    def truncate(self, name: str, size: int) -> None:
        """Cut a file; not durable by itself."""
        self._begin("truncate")
        content = self._found(name)
        del content.current[size:]
        content.shrunk_to = min(size, content.shrunk_to or size)

    def preallocate(self, name: str, size: int) -> None:
        """Take space for a file."""
        self._begin("preallocate")
        missing = size - self.size(name)
        if missing > self.free_bytes():
            raise OSError(errno.ENOSPC, "No space left on device")
        content = self._current.setdefault(name, _Content())
        content.current.extend(bytes(max(0, missing)))
        _make_durable(content)

    def rename(self, before: str, after: str) -> None:
        """Rename; durable after `sync_directory`."""
        self._begin("rename")
        self._current[after] = self._found(before)
        del self._current[before]

    def remove(self, name: str) -> None:
        """Remove; durable after `sync_directory`."""
        self._begin("remove")
        self._found(name)
        del self._current[name]

    def sync_directory(self) -> None:
        """Make the names durable."""
        self._begin("sync_directory")
        self._durable = dict(self._current)

    def free_bytes(self) -> int:
        """Return the room left."""
        return max(0, self.capacity_bytes - self.used_bytes())

    def location(self, name: str) -> str:
        """Return what to call a file."""
        return f"simulated/{name}"

    def _begin(self, operation: str) -> None:
        if self.crashes_now() or self.fails_now(operation):
            self.give_way()

    def _found(self, name: str) -> _Content:
        if name not in self._current:
            raise OSError(errno.ENOENT, "No such file or directory", name)
        return self._current[name]

    def _tear(self, content: _Content) -> None:
        """Leave of the unsynced pages any subset, of the unsynced length any part, down to the byte."""
        if content.shrunk_to is not None and self.random.random() < 0.5:
            del content.durable[content.shrunk_to :]
            content.synced_bytes = min(content.synced_bytes, content.shrunk_to)
        odds = self.random.choice((0.0, 0.5, 0.9))
        for page in sorted(content.dirty):
            if self.random.random() < odds:
                _write_page(content, page)
        before = len(content.durable)
        if len(content.current) > before and self.random.random() < 0.3:
            content.durable.extend(bytes(len(content.current) - before))  # length kept, pages lost
        unsynced = len(content.durable) - content.synced_bytes
        if unsynced > 0 and self.random.random() < 0.5:
            del content.durable[len(content.durable) - self.random.randint(0, unsynced) :]
        content.current = bytearray(content.durable)
        content.dirty.clear()
        content.shrunk_to = None
        content.synced_bytes = len(content.durable)


def _write_page(content: _Content, page: int) -> None:
    start = page * PAGE_BYTES
    data = content.current[start : start + PAGE_BYTES]
    if not data:
        return
    if len(content.durable) < start:
        content.durable.extend(bytes(start - len(content.durable)))
    content.durable[start : start + len(data)] = data


def _make_durable(content: _Content) -> None:
    if content.shrunk_to is not None:
        del content.durable[content.shrunk_to :]
        content.shrunk_to = None
    for page in sorted(content.dirty):
        _write_page(content, page)
    content.dirty.clear()
    content.synced_bytes = len(content.durable)
