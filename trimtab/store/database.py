"""The read model's SQLite file: opened, migrated, and read from other threads than the writer's."""

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.errors import StoreError

BUSY_TIMEOUT_SECONDS = 5.0
MIGRATIONS = Path(__file__).parent / "migrations"
_NUMBERED = re.compile(r"(\d{4})_\w+\.sql")


def migrations() -> list[tuple[int, str]]:
    """Return (version, SQL) of every migration, in order; raises StoreError when a number is missing."""
    found = []
    for path in sorted(MIGRATIONS.iterdir()):
        match = _NUMBERED.fullmatch(path.name)
        if match:
            found.append((int(match[1]), path.read_text("utf-8")))
    if [number for number, _ in found] != list(range(1, len(found) + 1)):
        raise StoreError("the read model's migrations are not numbered 1, 2, 3, ...")
    return found


class Database:
    """One file, one writer, and a read-only connection for each thread that asks."""

    def __init__(self, path: Path) -> None:
        """Open or make it, at the newest version. Raises StoreError when it is newer still, or can't be used.

        A file that SQLite calls damaged is thrown away: the read model can be rebuilt from the journal.
        """
        self.path = path
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._mutex = threading.Lock()
        self._closed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.writer = self._opened()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"{path} can't be used: {error}") from error
            self._discard()
            self.writer = self._opened()

    def reader(self) -> sqlite3.Connection:
        """Return this thread's read-only connection."""
        known: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if known is not None:
            return known
        with self._mutex:
            if self._closed:
                raise StoreError("the read model is closed")
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=ro",
                uri=True, timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False,
                isolation_level=None,
            )  # fmt: skip
            self._readers.append(connection)
        self._local.connection = connection
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold one consistent state for several questions. Raises StoreError when the file can't be read."""
        connection = self.reader()
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} can't be read: {error}") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Make changes all at once or not at all. Raises StoreError when the file can't be written."""
        try:
            self.writer.execute("BEGIN IMMEDIATE")
            try:
                yield self.writer
            except BaseException:
                self.writer.execute("ROLLBACK")
                raise
            self.writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} can't be written: {error}") from error

    def close(self) -> None:
        """Close every connection."""
        with self._mutex:
            self._closed = True
            for connection in self._readers:
                connection.close()
            self._readers.clear()
        self.writer.close()

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False, isolation_level=None
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # It can be rebuilt: a sync at checkpoints is enough to keep the file sound.
            connection.execute("PRAGMA synchronous = NORMAL")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        known = migrations()
        if version > len(known):
            raise StoreError(
                f"{self.path} has format {version}, newer than {len(known)}, the newest that this version knows:"
                " run the version that wrote it, or remove the file to have it rebuilt from the journal"
            )
        for number, sql in known[version:]:
            connection.executescript(f"BEGIN;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
