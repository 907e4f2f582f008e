"""Arbitrary domain values, for property tests of whatever carries them."""

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import strategies as st

from trimtab.domain.input import Input, Output
from trimtab.domain.kpi import Kpi
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.samples import SampleBatch

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=12)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)


def strategy_for(hint: Any) -> st.SearchStrategy[Any]:
    """Return arbitrary values of a type as the domain's dataclasses declare it."""
    if hint is SampleBatch:
        return BATCHES
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return st.builds(hint, **{f.name: strategy_for(hints[f.name]) for f in fields(hint)})
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return st.one_of([strategy_for(item) for item in get_args(hint)])
    if origin is tuple:
        inside = get_args(hint)
        if inside[-1] is Ellipsis:
            return st.lists(strategy_for(inside[0]), max_size=2).map(tuple)
        return st.tuples(*(strategy_for(item) for item in inside))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    plain = {str: TEXT, int: INT64, float: FLOAT, bool: st.booleans(), type(None): st.none()}
    return plain[hint]


def _batch(source: str, rows: list[tuple[int, int, float, int]]) -> SampleBatch:
    return SampleBatch(
        source,
        np.array([row[0] for row in rows], dtype=np.int32),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float64),
        np.array([row[3] for row in rows], dtype=np.uint8),
    )


ROWS = st.tuples(st.integers(-(2**31), 2**31 - 1), INT64, FLOAT, st.integers(0, 255))
BATCHES = st.builds(_batch, TEXT, st.lists(ROWS, max_size=5))
# KPIs in bulk follow from a replay and are never written down.
JOURNALED = tuple(
    item
    for item in dict.fromkeys((*get_args(Input), *get_args(Output), Kpi))
    if item is not KpiBatch
)


@pytest.fixture(scope="session")
def arbitrary() -> Callable[[Any], st.SearchStrategy[Any]]:
    """Return how to get arbitrary values of a domain type."""
    return strategy_for


@pytest.fixture(scope="session")
def journaled_types() -> tuple[type, ...]:
    """Return every type that can stand in a journal."""
    return JOURNALED


@pytest.fixture(scope="session")
def journaled_values() -> st.SearchStrategy[Any]:
    """Return arbitrary inputs and outputs."""
    return st.one_of([strategy_for(item) for item in JOURNALED])
