"""What the journal writes through: a directory of append-only files, and what can be made durable when."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from trimtab.errors import JournalError

LOCK_NAME = "lock"


class AppendFile(Protocol):
    """A file open for appending. Every method raises OSError when the device says no."""

    def append(self, data: bytes) -> None:
        """Write at the end; after an error any part of `data` may be there."""
        ...

    def sync(self) -> None:
        """Return once all that was appended is durable; after an error none of it may be trusted."""
        ...

    def close(self) -> None:
        """Let go, without making anything durable."""
        ...


class Storage(Protocol):
    """One directory. Every method raises OSError when the device says no."""

    def lock(self) -> None:
        """Take the directory for this process alone. Raises JournalError when another one has it."""
        ...

    def unlock(self) -> None:
        """Let others have the directory."""
        ...

    def names(self) -> list[str]:
        """Return the files there, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        ...

    def size(self, name: str) -> int:
        """Return a file's length in bytes, 0 when there is none."""
        ...

    def create(self, name: str) -> AppendFile:
        """Make a new, empty file; its name is durable after `sync_directory`."""
        ...

    def truncate(self, name: str, size: int) -> None:
        """Cut a file to a length, giving the space back."""
        ...

    def preallocate(self, name: str, size: int) -> None:
        """Make a file of that length whose space is taken from the device for sure."""
        ...

    def rename(self, before: str, after: str) -> None:
        """Give a file another name, replacing what had it."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file."""
        ...

    def sync_directory(self) -> None:
        """Return once all names made, changed and removed are durable."""
        ...

    def free_bytes(self) -> int:
        """Return how much may still be written."""
        ...

    def location(self, name: str) -> str:
        """Return what to call a file in a message to people."""
        ...


class _OpenFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.write(self._descriptor, rest)
            rest = rest[written:]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class FileStorage:
    """A real directory, made when it is not there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = -1
        directory.mkdir(parents=True, exist_ok=True)

    def lock(self) -> None:
        """Take the directory by flock; it ends with the process, however that ends."""
        descriptor = os.open(
            self.directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise JournalError(
                f"{self.directory} is in use by process {holder}: stop it,"
                " or give this one a store directory of its own"
            ) from error
        self._lock = descriptor
        self._note_holder(descriptor)

    def unlock(self) -> None:
        """Give the directory up."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def names(self) -> list[str]:
        """Return the files there, sorted."""
        return sorted(entry.name for entry in os.scandir(self.directory) if entry.is_file())

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        return (self.directory / name).read_bytes()

    def size(self, name: str) -> int:
        """Return a file's length, 0 when there is none."""
        try:
            return (self.directory / name).stat().st_size
        except FileNotFoundError:
            return 0

    def create(self, name: str) -> AppendFile:
        """Make a new file; fails when it is there already."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return _OpenFile(os.open(self.directory / name, flags, 0o644))

    def truncate(self, name: str, size: int) -> None:
        """Cut a file."""
        os.truncate(self.directory / name, size)

    def preallocate(self, name: str, size: int) -> None:
        """Take space for a file by posix_fallocate, so that it is there when it is needed."""

        def allocate(descriptor: int) -> None:
            if size > os.fstat(descriptor).st_size:
                os.posix_fallocate(descriptor, 0, size)
            os.fsync(descriptor)

        self._with_descriptor(name, os.O_RDWR | os.O_CREAT, allocate)

    def rename(self, before: str, after: str) -> None:
        """Rename within the directory, atomically."""
        os.replace(self.directory / before, self.directory / after)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(self.directory / name)

    def sync_directory(self) -> None:
        """Sync the directory itself: a new file's name is durable only then."""
        self._with_descriptor(".", os.O_RDONLY | os.O_DIRECTORY, os.fsync)

    def free_bytes(self) -> int:
        """Return what an unprivileged process may still write."""
        state = os.statvfs(self.directory)
        return state.f_bavail * state.f_frsize

    def location(self, name: str) -> str:
        """Return the file's path."""
        return str(self.directory / name)

    def _note_holder(self, descriptor: int) -> None:
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except OSError:
            return  # a full disk: the lock holds all the same, only its holder's number is not told

    def _with_descriptor(self, name: str, flags: int, use: Callable[[int], None]) -> None:
        descriptor = os.open(self.directory / name, flags | os.O_CLOEXEC, 0o644)
        try:
            use(descriptor)
        finally:
            os.close(descriptor)
