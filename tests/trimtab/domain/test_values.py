"""Times, identities, series and batches."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.domain.identity import content_id
from trimtab.domain.samples import ROWS_PER_BATCH_MAX, SampleBatch
from trimtab.domain.series import Series
from trimtab.domain.time import ns_from_rfc3339, ns_from_seconds, rfc3339, seconds_from_ns


@given(st.integers(0, 4_000_000_000_000))
def test_rfc3339_keeps_milliseconds(milliseconds: int) -> None:
    time_ns = milliseconds * 1_000_000
    assert ns_from_rfc3339(rfc3339(time_ns)) == time_ns


def test_rfc3339_reads_every_offset_and_refuses_none() -> None:
    assert ns_from_rfc3339("1970-01-01T01:00:00.000001+01:00") == 1_000
    assert rfc3339(1_999_999) == "1970-01-01T00:00:00.001Z"
    with pytest.raises(ValueError, match="offset"):
        ns_from_rfc3339("2026-01-01T00:00:00")


def test_seconds_are_rounded_to_whole_nanoseconds() -> None:
    assert ns_from_seconds(0.1) == 100_000_000
    assert seconds_from_ns(1_500_000_000) == 1.5


def test_identities_are_the_same_in_every_process() -> None:
    here = content_id("alarm", "acme/service/vpn", "delay", 5)
    code = (
        "from trimtab.domain.identity import content_id;"
        "print(content_id('alarm', 'acme/service/vpn', 'delay', 5))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env={"PYTHONHASHSEED": "1"},
    )  # fmt: skip
    assert there.stdout.strip() == here == "alarm-3cbf96590dc2b2294526"


def test_identities_do_not_run_their_parts_together() -> None:
    assert content_id("a", "bc", "d") != content_id("a", "b", "cd")
    assert content_id("a", "b") != content_id("b", "b")


def test_series_are_sorted_and_without_empty_labels() -> None:
    series = Series.of("up", {"job": "vnf", "a": "1", "none": ""})
    assert series.labels == (("a", "1"), ("job", "vnf"))
    assert series.label("job") == "vnf"
    assert series.label("none") is None
    assert str(series) == 'up{a="1",job="vnf"}'
    assert str(Series("up")) == "up"


def test_a_batch_is_whole_and_read_only() -> None:
    batch = SampleBatch.from_rows("s", [(1, 10, 0.5), (2, 20, 1.5), (3, 30, 2.5)])
    with pytest.raises(ValueError, match="read-only"):
        batch.value[0] = 1.0
    assert batch.take(slice(1, 2)) == SampleBatch.from_rows("s", [(2, 20, 1.5)])
    assert batch.take(np.array([True, False, True])).series_id.tolist() == [1, 3]
    assert batch != SampleBatch.from_rows("t", [(1, 10, 0.5), (2, 20, 1.5), (3, 30, 2.5)])


def test_a_crooked_or_huge_batch_is_refused() -> None:
    def columns(rows: int, times: int) -> SampleBatch:
        return SampleBatch(
            "s", np.zeros(rows, np.int32), np.zeros(times, np.int64), np.zeros(rows),
            np.zeros(rows, np.uint8),
        )  # fmt: skip

    with pytest.raises(ValueError, match="differ in length"):
        columns(2, 1)
    with pytest.raises(ValueError, match="at most"):
        columns(ROWS_PER_BATCH_MAX + 1, ROWS_PER_BATCH_MAX + 1)
