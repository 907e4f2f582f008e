"""The benches run, compare like with like, and say what they compare with; small here, for speed is not judged."""

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench import __main__ as bench
from bench import comparison, core, exposition, history, journal, loop
from collectors.exposition import PageReader
from trimtab.app.machines import machines
from trimtab.domain.alarm import Alarm
from trimtab.domain.incident import Incident
from trimtab.domain.kpi_batch import KpiBatch
from trimtab.drivers.loop import Loop


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ROUNDS", 1)
    monkeypatch.setattr(journal, "STEPS", 3)
    monkeypatch.setattr(journal, "ROWS_PER_STEP", 10)
    monkeypatch.setattr(exposition, "SERIES", 50)
    monkeypatch.setattr(core, "SERIES", 300)
    monkeypatch.setattr(core, "ROUNDS", 1)
    monkeypatch.setattr(core, "ARRAY_BYTES", 4_096)
    monkeypatch.setattr(history, "ROUNDS", 1)
    monkeypatch.setattr(history, "SERIES", 20)
    monkeypatch.setattr(history, "STEPS", 30)
    monkeypatch.setattr(history, "ASKED", 2)
    monkeypatch.setattr(loop, "ROUNDS", 1)
    monkeypatch.setattr(loop, "SERVICES", 3)
    monkeypatch.setattr(loop, "SECONDS", 20)


def test_every_figure_has_a_peer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    names = [name for name in bench.BENCHES if name != "startup"]  # which starts a process
    assert bench.main([*names, "--json", str(path), "--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    report = json.loads(path.read_text("utf-8"))
    assert report["machine"]["cores"] >= 1
    assert len(report["figures"]) == 10
    for figure in report["figures"]:
        assert figure["ours"] > 0
        assert figure["peer"] > 0
        assert figure["ratio"] == pytest.approx(figure["ours"] / figure["peer"])
        assert figure["peer_name"] in printed
    assert [entry.name for entry in tmp_path.iterdir()] == ["figures.json"]


def test_an_unknown_bench_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        bench.main(["nonsense"])
    assert caught.value.code == 2
    assert "journal" in capsys.readouterr().err


def test_both_parsers_read_the_same_from_the_page() -> None:
    text = exposition.page()
    names: list[tuple[str, dict[str, str]]] = []

    def resolve(name: str, labels: dict[str, str]) -> int:
        names.append((name, labels))
        return len(names) - 1

    page = PageReader(resolve, 1_000).read(text, openmetrics=False)
    ours = [(*names[row], value) for row, value in zip(page.series_id, page.value, strict=True)]
    theirs = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert ours == theirs
    assert len(ours) == 50


def test_the_loop_has_something_to_conclude() -> None:
    turned = Loop(machines())
    outputs = [value for inputs, now in loop.steps() for value in turned.step(inputs, now)]
    assert sum(len(value) for value in outputs if isinstance(value, KpiBatch)) > 100
    raised = {value.object_id for value in outputs if isinstance(value, Alarm)}
    assert raised == {"t0/service/s0", "t1/service/s1"}
    assert any(isinstance(value, Incident) for value in outputs)
