"""Each layout is recognised by what lies in a folder, whatever its name, with or without labels."""

from pathlib import Path

import numpy as np
import pytest

from bench.quality.layouts import recordings
from bench.quality.recording import Fault, Link, Recording, RecordingError, SeriesKey
from bench.quality.table import time_ns
from trimtab.domain.time import NS_PER_SECOND, ns_from_rfc3339


@pytest.fixture
def found(recorded: Path) -> dict[str, Recording]:
    return {recording.dataset: recording for recording in recordings(recorded)}


def test_every_layout_is_recognised_wherever_it_lies(recorded: Path) -> None:
    assert [recording.name for recording in recordings(recorded)] == [
        "nab/cat/one.csv",
        "nab/cat/two.csv",
        "ms_cloud/latency/x-01",
        "asd/omi-3",
        "kddi_ipcore/week",
        "kddi_5gc/01_x",
        "petshop/calm/train/issue_0",
        "plain/g/site",
    ]


def test_nab_windows_become_rows(recorded: Path) -> None:
    one, two = [each for each in recordings(recorded) if each.dataset == "nab"]
    assert one.labels is not None
    assert two.labels is not None
    assert one.labels.windows == ((39, 46),)
    assert two.labels.windows == ()
    assert one.values.shape == (60, 1)
    assert one.interval_ns == 60 * NS_PER_SECOND


def test_history_before_the_test_part_is_judged_by_nobody(found: dict[str, Recording]) -> None:
    labels = found["asd"].labels
    assert labels is not None
    assert labels.anomalous is not None
    assert np.flatnonzero(labels.anomalous).tolist() == [70, 71, 72]
    assert not labels.judged[:60].any()
    assert labels.judged[60:].all()
    assert labels.faults == (Fault("", 70, 72, ("metric_1", "metric_3")),)
    assert found["asd"].interval_ns == 300 * NS_PER_SECOND


def test_tables_of_metrics_are_joined_by_time(found: dict[str, Recording]) -> None:
    core = found["kddi_ipcore"]
    assert core.series == (
        SeriesKey("A-1", "cpu_util"),
        SeriesKey("A-1+link-a-b", "rx-pps"),
        SeriesKey("B-1+link-a-b", "rx-pps"),
    )
    assert core.times[0] == ns_from_rfc3339("2020-01-01T00:00:00Z")
    assert core.values[41].tolist() == [1.0, 500.0, 1.0]
    assert core.labels is not None
    assert core.labels.faults == (Fault("node-down", 40, 42, ("A-1",)),)
    assert np.flatnonzero(core.labels.judged).tolist() == list(range(30, 50))
    assert core.topology is not None
    assert Link("A-1", "runs_on", "host") in core.topology.links
    assert Link("link-a-b", "connects", "B-1+link-a-b") in core.topology.links


def test_the_first_row_of_counters_is_left_out(found: dict[str, Recording]) -> None:
    core = found["kddi_5gc"]
    assert core.values.shape == (59, 33)
    assert core.series[9] == SeriesKey("udm", "cpu0_user")
    assert core.labels is not None
    assert core.labels.faults == (Fault("memory-stress", 19, 25),)


def test_the_normal_period_comes_before_the_issue(found: dict[str, Recording]) -> None:
    shop = found["petshop"]
    assert shop.values.shape == (65, 2)
    assert (np.diff(shop.times) == 300 * NS_PER_SECOND).all()
    assert np.isnan(shop.values[-1, 1])
    assert shop.questions[0].series == SeriesKey("front", "latency p90", "s")
    assert shop.topology is not None
    assert shop.topology.links == (Link("front", "calls", "back"),)
    assert shop.labels is not None
    assert shop.labels.faults[0].objects == ("back",)


def test_columns_that_are_no_numbers_are_left_out(found: dict[str, Recording]) -> None:
    assert [key.kpi for key in found["plain"].series] == ["delay", "loss"]
    assert found["plain"].labels is None


def test_labels_are_not_needed(recorded: Path) -> None:
    before = [each.name for each in recordings(recorded)]
    for path in recorded.rglob("*"):
        if path.name in ("combined_windows.json", "failure.tsv.gz", "01_x_label.txt", "omi-3.txt",
                         "target.json"):  # fmt: skip
            path.unlink()
    after = [each for each in recordings(recorded) if each.dataset not in ("ms_cloud", "asd")]
    assert [each.name for each in after] == [
        name for name in before if not name.startswith(("ms_cloud", "asd"))
    ]
    assert all(each.labels is None for each in after)


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("b/latency/x-01.csv", "TimeStamp,Value\n2024-01-01,1\nyesterday,2\n", "x-01.csv:3: 'yesterday'"),
        ("b/latency/x-01.csv", "TimeStamp,Value\n2024-01-01,much\n", "x-01.csv:2: 'much' in column 2"),
        ("a/labels/combined_windows.json", "{", "combined_windows.json: "),
        ("c/omi-3.txt", "ten-12:1\n", "omi-3.txt:1: 'ten-12:1'"),
        ("e/01_x_label.txt", "0\n", "01_x_label.txt: 1 labels for 60 rows"),
        ("f/calm/train/issue_0/target.json", "{}", "target.json: 'target'"),
    ],
)  # fmt: skip
def test_what_is_out_of_form_is_named(recorded: Path, name: str, text: str, said: str) -> None:
    (recorded / name).write_text(text)
    with pytest.raises(RecordingError, match=said):
        list(recordings(recorded))


@pytest.mark.parametrize(
    "text",
    [
        "2020-06-29 10:53:00",
        "2020-06-29T10:53:00Z",
        "06/29/2020 10:53:00",
        "6/29/2020 10:53",
        "6/29/2020 10:53:00 AM",
        "2020-06-29T12:53:00+02:00",
        "20200629105300",
        "1593427980",
        "1593427980.0",
        "1593427980000",
        "1593427980000000000",
    ],
)
def test_times_are_read_in_the_forms_that_occur(text: str) -> None:
    assert time_ns(text) == ns_from_rfc3339("2020-06-29T10:53:00Z")
