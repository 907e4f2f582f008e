from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab.domain.input import Tick
from trimtab.store.journal import Journal, JournalLimits
from trimtab.store.simulated import SimulatedStorage
from trimtab.store.storage import Storage

SMALL = JournalLimits(
    segment_bytes=2_000, reserve_bytes=4_096, free_bytes_min=2_048, pending_bytes_max=100_000
)


@pytest.fixture(scope="session")
def small() -> JournalLimits:
    """Return limits that make segments roll after a handful of frames."""
    return SMALL


@pytest.fixture(scope="session")
def opened() -> Callable[[Storage], Journal]:
    """Return how to open a journal with small limits on any storage."""
    return lambda storage: Journal.open(Path("unused"), storage, SMALL)


@pytest.fixture
def storage() -> SimulatedStorage:
    """Return simulated storage without faults."""
    return SimulatedStorage(seed=1)


@pytest.fixture(scope="session")
def ticks() -> Callable[[int, int], list[Tick]]:
    """Return how to make ticks from..to."""
    return lambda start, stop: [Tick(number) for number in range(start, stop)]
