"""Disk space kept back, so that actions under way can be recorded to their end on a full disk."""

from trimtab.store.storage import Storage

RESERVE_NAME = "reserve"
_RELEASE_STEP_BYTES = 1024 * 1024


class Reserve:
    """A file of nothing: shrunk to make room, grown back when others have given space back."""

    def __init__(self, storage: Storage, bytes_wanted: int, free_bytes_min: int) -> None:
        self._storage = storage
        self._wanted = bytes_wanted
        self._free_bytes_min = free_bytes_min
        self.held = min(storage.size(RESERVE_NAME), bytes_wanted)

    @property
    def whole(self) -> bool:
        """Return whether all of it is held."""
        return self.held >= self._wanted

    def restore(self) -> bool:
        """Take back what was released, if there is space for it and the usual rest. Return whether it is whole."""
        if self.whole:
            return True
        missing = self._wanted - self.held
        try:
            if self._storage.free_bytes() < missing + self._free_bytes_min:
                return False
            self._storage.preallocate(RESERVE_NAME, self._wanted)
            self._storage.sync_directory()
        except OSError:
            self.held = min(self._storage.size(RESERVE_NAME), self.held)
            return False
        self.held = self._wanted
        return True

    def release(self, need_bytes: int) -> bool:
        """Give room for so many bytes, in steps, so that nobody else takes the rest. Return whether any was left."""
        if self.held <= 0:
            return False
        step = max(need_bytes * 2, min(_RELEASE_STEP_BYTES, self._wanted // 16))
        left = max(0, self.held - step)
        try:
            self._storage.truncate(RESERVE_NAME, left)
        except OSError:
            return False
        self.held = left
        return True
