"""Read one file after the other: what is wrong with one is told, and keeps nobody from reading the next."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bench.quality.recording import Recording, RecordingError

Read = Iterator[Recording | RecordingError]


def attempt(paths: Iterable[Path], read: Callable[[Path], Recording | None]) -> Read:
    """Yield the recording of each path, or what is wrong with it; nothing for a path without one."""
    for path in paths:
        try:
            found = read(path)
        except RecordingError as fault:
            yield fault
        except (ValueError, LookupError, OSError, TypeError) as fault:
            yield RecordingError(f"{path}: {fault!r}; it is not in the form of its layout")
        else:
            if found is not None:
                yield found
