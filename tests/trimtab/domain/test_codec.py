"""Canonical bytes: every value comes back equal, equal values give equal bytes."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.domain import codec
from trimtab.domain.context import Context
from trimtab.domain.incident import Cause
from trimtab.domain.input import Input, Output, Tick
from trimtab.domain.kpi import Kpi
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.domain.samples import SampleBatch

Arbitrary = Callable[[Any], st.SearchStrategy[Any]]
KPI = Kpi(Context("kpi-1"), "acme/service/vpn", "delay", 10, 5, 0.25, 3, "seconds")


def by_json(kind: type) -> bool:
    return kind is not SampleBatch


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_every_type_comes_back_equal(
    journaled_types: tuple[type, ...], arbitrary: Arbitrary, data: st.DataObject
) -> None:
    for kind in filter(by_json, journaled_types):
        value = data.draw(arbitrary(kind))
        blob = codec.encode(value)
        again = codec.decode(blob)
        assert again == value
        assert type(again) is kind
        assert codec.encode(again) == blob


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_batch_comes_back_equal_and_read_only(arbitrary: Arbitrary, data: st.DataObject) -> None:
    batch = data.draw(arbitrary(SampleBatch))
    again = codec.decode_batch(codec.encode_batch(batch))
    assert again == batch
    assert codec.encode_batch(again) == codec.encode_batch(batch)
    assert not again.value.flags.writeable
    assert (again.series_id.dtype, again.time_ns.dtype) == (np.dtype(np.int32), np.dtype(np.int64))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_batch_of_another_length_is_refused(arbitrary: Arbitrary, data: st.DataObject) -> None:
    blob = codec.encode_batch(data.draw(arbitrary(SampleBatch)))
    cut = data.draw(st.integers(0, len(blob) - 1))
    with pytest.raises(ValueError, match=r"cut off|another length"):
        codec.decode_batch(blob[:cut])
    with pytest.raises(ValueError, match="another length"):
        codec.decode_batch(blob + b"\0")


def test_the_bytes_are_fixed() -> None:
    # Journals of earlier versions hold these bytes: a change here is a new format.
    assert codec.encode(Tick(5)) == b'{"@type":"Tick","at_ns":5,"closing":true}'
    assert codec.encode(KPI) == (
        b'{"@type":"Kpi","context":{"@type":"Context","id":"kpi-1","parent_id":null},"end_ns":10,'
        b'"name":"delay","object_id":"acme/service/vpn","samples":3,"suspect":false,'
        b'"unit":"seconds","value":0.25,"window_ns":5}'
    )
    batch = SampleBatch.from_rows("a", [(1, 2, 0.5)])
    assert codec.encode_batch(batch).hex() == (
        "0100" "01000000" "61" "01000000" "0200000000000000" "000000000000e03f" "00"
    )  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0.0, -0.0), (np.float64(0.1), 0.1)])
def test_equal_numbers_give_equal_bytes(one: float, other: float) -> None:
    first, second = replace(KPI, value=one), replace(KPI, value=other)
    assert first == second
    assert codec.encode(first) == codec.encode(second)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_number_is_refused(value: float) -> None:
    cause = Cause("a", "s", value, 0.5, 0, (), ())
    with pytest.raises(ValueError, match="JSON"):
        codec.encode(cause)


@pytest.mark.parametrize(
    "text",
    ['{"@type":"Nothing"}', "{}", '{"@type":"Tick","at":1}', '{"@type":"Tick"', "[]"],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        codec.decode(text.encode())


def test_every_input_and_output_can_be_encoded() -> None:
    known = set(codec._TYPES.values()) | {SampleBatch}
    assert set(Input.__args__) <= known
    assert set(Output.__args__) - {KpiBatch} <= known


def test_a_field_added_with_a_default_reads_older_bytes() -> None:
    plain = json.loads(codec.encode(KPI))
    del plain["suspect"]
    assert codec.from_plain(plain) == KPI
