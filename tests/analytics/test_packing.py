"""What is packed comes back as it was; equal states give equal bytes; damaged bytes are refused, nothing worse."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.packing import Plain, Texts, pack, unpack
from trimtab.domain.input import Tick


def state(texts: list[str]) -> dict[str, Any]:
    return {
        "b": Texts(texts),
        "a": {"array": np.arange(6).reshape(2, 3), "none": None, "tick": Tick(5)},
        "c": Plain([(number, text) for number, text in enumerate(texts)]),
    }


@given(st.lists(st.text()))
@settings(deadline=None)
def test_everything_comes_back(texts: list[str]) -> None:
    blob = pack(state(texts))
    found = unpack(blob)
    assert found["b"] == texts
    assert found["c"] == [[number, text] for number, text in enumerate(texts)]
    assert found["a"]["array"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["a"]["tick"] == Tick(5)
    assert pack(dict(reversed(state(texts).items()))) == blob


@given(st.integers(0, 400), st.binary(max_size=4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_damage_is_an_error_of_value(at: int, put: bytes, cut: bool) -> None:
    blob = pack(state(["one", "zwei \u00fc", ""]))
    at %= len(blob)
    damaged = blob[:at] if cut else blob[:at] + put + blob[at + len(put) :]
    try:
        found = unpack(damaged)
    except (ValueError, LookupError, TypeError):
        return
    assert not cut
    assert isinstance(found, dict)


@pytest.mark.parametrize("head", [b'{"x":{"@array":["|O",[1]]}}', b'{"x":{"@array":["<i8",[-1]]}}'])
def test_no_objects_and_no_negative_sizes(head: bytes) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        unpack(len(head).to_bytes(4, "little") + head + bytes(8))
