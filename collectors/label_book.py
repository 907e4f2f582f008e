"""Which series some label bytes stand for, exactly: the bytes themselves are kept and compared, never a hash alone.

A sender repeats its series in nearly the same order with every request. So the book remembers which entry came after
which: the next one is guessed, and one comparison of bytes confirms the guess. What was guessed wrong is looked up by
a keyed hash, and compared again.
"""

import secrets
from typing import TypeVar

import numpy as np
import numpy.typing as npt

ENTRIES_MAX = 2_000_000
ARENA_BYTES_MAX = 512 * 1024 * 1024
_ENTRIES_FIRST = 1_024
_ARENA_FIRST_BYTES = 128 * 1_024
NONE = -1

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
ColumnT = TypeVar("ColumnT", bound=np.generic)


class LabelBook:
    """Map label bytes to codes (a series' id, or why it has none). Columns, by entry; not safe for two threads at once.

    arena uint8 (the label bytes of all entries), start int64, length int64, hash uint64, code int64, follower int64
    (the entry that came next the last time, -1 when none did), table int64 (open addressing, entry + 1, 0 is free).
    """

    def __init__(self) -> None:
        # Keyed, so that nobody can choose labels that all fall into one place.
        self.seed = np.uint64(secrets.randbits(64))
        self.arena: Bytes = np.zeros(_ARENA_FIRST_BYTES, dtype=np.uint8)
        self.arena_used = 0
        self.start: Numbers = np.zeros(_ENTRIES_FIRST, dtype=np.int64)
        self.length: Numbers = np.zeros(_ENTRIES_FIRST, dtype=np.int64)
        self.hash: npt.NDArray[np.uint64] = np.zeros(_ENTRIES_FIRST, dtype=np.uint64)
        self.code: Numbers = np.zeros(_ENTRIES_FIRST, dtype=np.int64)
        self.follower: Numbers = np.full(_ENTRIES_FIRST, NONE, dtype=np.int64)
        self.table: Numbers = np.zeros(4 * _ENTRIES_FIRST, dtype=np.int64)
        self.entries = 0
        self.cursor = NONE  # the entry that was seen last

    def __len__(self) -> int:
        return self.entries

    @property
    def full(self) -> bool:
        """Return whether it is time for a new book: this one holds all that it may."""
        return self.entries >= ENTRIES_MAX or self.arena_used >= ARENA_BYTES_MAX

    def enter(self, key: bytes, code: int) -> int:
        """Return the entry of label bytes, now in the book with their code. Entered twice, either one is right."""
        from collectors.write_walk import hash_of

        self._reach(len(key))
        entry, start = self.entries, self.arena_used
        self.arena[start : start + len(key)] = np.frombuffer(key, dtype=np.uint8)
        self.start[entry], self.length[entry], self.code[entry] = start, len(key), code
        self.arena_used += len(key)
        self.entries += 1
        self.hash[entry] = found = hash_of(self.arena, start, len(key), self.seed)
        self._place(entry, int(found))
        return entry

    def _place(self, entry: int, found: int) -> None:
        mask = len(self.table) - 1
        at = found & mask
        while self.table[at]:
            at = (at + 1) & mask
        self.table[at] = entry + 1

    def _reach(self, more_bytes: int) -> None:
        if self.arena_used + more_bytes > len(self.arena):
            size = max(2 * len(self.arena), self.arena_used + more_bytes)
            self.arena = _grown(self.arena, size, 0)
        if self.entries == len(self.start):
            size = 2 * len(self.start)
            self.start = _grown(self.start, size, 0)
            self.length = _grown(self.length, size, 0)
            self.hash = _grown(self.hash, size, 0)
            self.code = _grown(self.code, size, 0)
            self.follower = _grown(self.follower, size, NONE)
            self.table = np.zeros(4 * size, dtype=np.int64)
            for entry, found in enumerate(self.hash[: self.entries].tolist()):
                self._place(entry, found)


def _grown(column: npt.NDArray[ColumnT], size: int, fill: int) -> npt.NDArray[ColumnT]:
    more = np.full(size, fill, dtype=column.dtype)
    more[: len(column)] = column
    return more
