"""The bench runs on whatever it finds, says what the contract asks for, and never looks ahead or at the answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.quality import __main__ as quality
from bench.quality.average_precision import average_precision, tally
from bench.quality.layouts import recordings
from bench.quality.part import Said
from bench.quality.recording import Recording


def said_of(recording: Recording) -> Said:
    said = Said()
    for part in quality.PARTS.values():
        said = part.say(recording, said)
    return said


def test_the_document_holds_what_was_said_and_how_it_scored(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert quality.main(["--data", str(recorded), "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    assert len(document["recordings"]) == 8
    one = document["recordings"][0]
    assert one["name"] == "nab/cat/one.csv"
    assert {"alarms", "causes", "warnings"} <= one.keys()
    jump = next(alarm for alarm in one["alarms"] if alarm["row"] == 40)
    assert jump["time"] == "2024-01-01T00:40:00.000Z"
    assert jump["series"] == "one value"
    assert jump["score"] > 0
    assert document["scores"]["nab_standard"]["nab"] > 50
    printed = capsys.readouterr().out
    assert "nab_standard" in printed
    assert "ms_cloud" in printed


def test_only_what_is_asked_for_is_read(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    quality.main(["--data", str(recorded), "--json", str(out), "--only", "alarms,ms_cloud"])
    names = [each["name"] for each in json.loads(out.read_text())["recordings"]]
    assert names == ["ms_cloud/latency/x-01"]


def test_what_was_said_before_a_cut_does_not_change(recorded: Path) -> None:
    spoken = 0
    for recording in recordings(recorded):
        rows = len(recording.times)
        whole = said_of(recording.unlabelled())
        for cut in (rows // 2, rows - 2):
            part = said_of(recording.until(cut))
            seen = recording.times[cut - 1]
            assert part.alarms == tuple(each for each in whole.alarms if each.row < cut)
            assert part.causes == tuple(each for each in whole.causes if each.time_ns <= seen)
            assert part.warnings == tuple(each for each in whole.warnings if each.time_ns <= seen)
            if whole.row_scores is not None:
                assert part.row_scores is not None
                assert part.row_scores.tolist() == whole.row_scores[:cut].tolist()
            spoken += len(part.alarms)
    assert spoken > 0


def test_a_folder_of_nothing_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quality.main(["--data", str(tmp_path)]) == 2
    assert "no recording" in capsys.readouterr().err
    assert quality.main(["--data", str(tmp_path / "absent")]) == 2
    assert "no directory" in capsys.readouterr().err


def test_a_damaged_file_is_named(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recorded / "d" / "week" / "rx-pps.tsv.gz").write_bytes(b"\x1f\x8bdamaged")
    (recorded / "c" / "omi-3.npz").write_bytes(b"PK damaged")
    out = recorded / "out.json"
    assert quality.main(["--data", str(recorded), "--json", str(out)]) == 1
    said = capsys.readouterr().err
    assert "omi-3.npz" in said
    assert "rx-pps.tsv.gz" in said
    document = json.loads(out.read_text())
    assert len(document["recordings"]) == 6
    assert len(document["unreadable"]) == 2


def test_average_precision_takes_equal_scores_together() -> None:
    anomalous = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 1.0, 3.0, 2.0]), anomalous) == pytest.approx(1.0)
    assert average_precision(np.zeros(4), anomalous) == pytest.approx(0.5)
    assert average_precision(np.array([1.0, 4.0, 2.0, 3.0]), anomalous) == pytest.approx(
        0.5 * (1 / 3) + 0.5 * (2 / 4)
    )


def test_a_stretch_is_found_once_and_a_run_of_false_alarms_counts_once() -> None:
    anomalous = np.array([0, 1, 1, 0, 0, 0, 1, 0], dtype=np.bool_)
    alarmed = np.array([0, 1, 1, 1, 1, 0, 0, 0], dtype=np.bool_)
    counted = tally(alarmed, anomalous)
    assert (counted.found, counted.missed, counted.false) == (1, 1, 1)
    assert counted.f1 == pytest.approx(0.5)
