"""Reading a recording by its mapping."""

import gzip
from pathlib import Path

import pytest

from trimtab.domain.series import Series
from trimtab.drivers.known_faults import FaultLabels
from trimtab.drivers.recording import (
    RecordedFile,
    RecordingMapping,
    TimeColumn,
    read_recording,
)
from trimtab.errors import ConfigurationError

MINUTE_NS = 60 * 1_000_000_000


def a_mapping(**changes: object) -> RecordingMapping:
    plain = {
        "format": 1,
        "name": "small",
        "configuration": "trimtab.yaml",
        "time": TimeColumn(column="timestamp", format="%Y%m%d%H%M%S", utc_offset_hours=9.0),
        "granularity_seconds": 60.0,
        "files": [
            RecordedFile(
                path="cpu.tsv.gz", series="cpu_ratio", columns="(?P<vnf>[A-Z]+)", scale=0.01
            )
        ],
    }
    return RecordingMapping.model_validate({**plain, **changes})


def write(path: Path, text: str) -> None:
    with gzip.open(path, "wt") as handle:
        handle.write(text)


def test_reads_unsorted_rows_with_gaps_as_sorted_samples(tmp_path: Path) -> None:
    write(
        tmp_path / "cpu.tsv.gz",
        "\tA\tB\ttimestamp\n0\t50\t\t20200101090100\n1\t40\t20\t20200101090000\n",
    )
    recording = read_recording(a_mapping(), tmp_path)
    assert [item.series for item in recording.series] == [
        Series.of("cpu_ratio", {"vnf": "A"}),
        Series.of("cpu_ratio", {"vnf": "B"}),
    ]
    midnight_utc = 1_577_836_800 * 1_000_000_000
    assert recording.time_ns.tolist() == [midnight_utc, midnight_utc, midnight_utc + MINUTE_NS]
    assert recording.value.tolist() == [0.4, 0.2, 0.5]
    batches = list(recording.batches())
    assert [(moment, len(batch)) for moment, batch in batches] == [
        (midnight_utc, 2),
        (midnight_utc + MINUTE_NS, 1),
    ]


def test_joins_labelled_minutes_to_runs(tmp_path: Path) -> None:
    write(tmp_path / "cpu.tsv.gz", "\tA\ttimestamp\n0\t50\t20200101090000\n")
    rows = "".join(
        f"{n}\t{status}\tfw\t202001010900{n:02d}\n".replace(f"0900{n:02d}", f"09{n:02d}00")
        for n, status in enumerate(["0.0", "3.0", "3.0", "0.0", "0.0", "0.0", "3.0"])
    )
    write(tmp_path / "failure.tsv.gz", "\tstatus\tnode\ttimestamp\n" + rows)
    labels = FaultLabels(
        path="failure.tsv.gz", kind_column="status", kinds={"3.0": "down"}, object_column="node"
    )
    faults = read_recording(a_mapping(faults=labels), tmp_path).known.faults
    assert [(fault.kind, fault.place, fault.end_ns - fault.start_ns) for fault in faults] == [
        ("down", "fw", 2 * MINUTE_NS),
        ("down", "fw", MINUTE_NS),
    ]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("\tA\ttime\n0\t1\t2\n", 1, "no column 'timestamp'"),
        ("\tA\ttimestamp\n0\t1\tyesterday\n", 2, "does not fit the mapping"),
        ("\tA\ttimestamp\n0\tmuch\t20200101090000\n", 2, "does not fit the mapping"),
    ],
)
def test_a_file_that_does_not_fit_names_its_line(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    write(tmp_path / "cpu.tsv.gz", text)
    with pytest.raises(ConfigurationError) as caught:
        read_recording(a_mapping(), tmp_path)
    (finding,) = caught.value.findings
    assert finding.file.endswith("cpu.tsv.gz")
    assert finding.line == line
    assert says in finding.problem


def test_a_missing_file_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_recording(a_mapping(), tmp_path)
    assert "can't be read" in caught.value.findings[0].problem
