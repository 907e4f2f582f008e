"""Replay end to end: recordings, known faults, what the loop made of them, and its words."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trimtab.app.backtest import read_mapping, replay_recording
from trimtab.drivers.known_faults import KnownFault
from trimtab.drivers.recording import read_recording
from trimtab.errors import ConfigurationError
from trimtab.store.journal import Journal

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MINUTES = 60
ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "kddi_ipcore_2020"
KDDI = ROOT.parent / "shared" / "data" / "kddi_ipcore_2020" / "learning"

CONFIGURATION = """
format: 1
tenants: [acme]
kpi_defaults: {granularity: 1m, window: 1m}
services:
  - id: acme/service/vpn
    uses: [provider/vnf/r1, provider/vnf/r2, provider/link/l1]
    objectives: [{name: delivery, kpi: delivery, at_least: 90.0, clear_after: 1m}]
topology:
  relations:
    - {subject: provider/vnfc/r1, relation: part_of, object: provider/vnf/r1}
    - {subject: provider/vnfc/r2, relation: part_of, object: provider/vnf/r2}
    - {subject: provider/link/l1, relation: connects, object: provider/vnf/r1}
    - {subject: provider/link/l1, relation: connects, object: provider/vnf/r2}
kpis:
  - {name: delivery, of: service, series: delivered, statistic: min, unit: packets_per_second}
  - {name: cpu, of: vnfc, series: cpu, statistic: min, unit: ratio}
  - {name: rate, of: link, series: received, statistic: min, unit: packets_per_second}
conditions:
  - {name: runs, of: vnfc, kpi: cpu, at_least: 0.3, symptom: process-gone, clear_after: 1m}
  - {name: carries, of: link, kpi: rate, at_least: 90.0, symptom: loss, clear_after: 1m}
bindings:
  - {match: {__name__: delivered}, object: acme/service/vpn}
  - {match: {__name__: received}, object: "provider/link/{link}"}
  - {match: {__name__: cpu}, object: "provider/vnfc/{vnf}"}
actuators: [{kind: record, name: record, path: recorded.jsonl}]
actions: {heal: record, scale_out: record, migrate: record, hand_over: record, notify: record}
policies: {paths: [shipped], profile: production}
"""

MAPPING = """
format: 1
name: two-routers
configuration: trimtab.yaml
time: {column: at, format: "%Y-%m-%d %H:%M:%S"}
granularity_seconds: 60.0
files:
  - {path: cpu.tsv, series: cpu, columns: '(?P<vnf>r\\d)', scale: 0.01}
  - {path: received.tsv.gz, series: received, columns: '(?P<link>l\\d)'}
  - {path: delivered.tsv, series: delivered, columns: far}
settle_seconds: 180.0
fault_events:
  path: log.json
  rows: recipes
  kind: what
  opened_at: from
  closed_at: to
  time: {format: "%Y-%m-%dT%H:%M:%S"}
  identity: [node, port]
  carried_out: {status: done}
  lookups: {link: {key: "{node} {port}", names: {r1 eth0: l1}}}
  kinds:
    down: {opens: stop, closes: start, objects: ["provider/vnfc/{node}"]}
    loss: {opens: drop, closes: undrop, objects: ["provider/link/{link}"]}
"""


def clock(minute: float, text: str = "%Y-%m-%d %H:%M:%S") -> str:
    return (START + timedelta(minutes=minute)).strftime(text)


def event(what: str, minute: float, **fields: str) -> dict[str, str]:
    moment = clock(minute, "%Y-%m-%dT%H:%M:%S")
    return {"what": what, "from": moment, "to": moment, "status": "done"} | fields


LOG = [
    event("stop", 9.5, node="r1"),
    event("start", 14.5, node="r1"),
    event("drop", 29.5, node="r1", port="eth0"),
    event("undrop", 34.5, node="r1", port="eth0"),
    event("stop", 44.5, node="r2", status="refused"),
    event("start", 49.5, node="r2"),
]


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("\t".join(row) for row in [[*head, "at"], *rows]) + "\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Write a recording of an hour: r1 is gone from 9:10 to 9:14, its link silent with it; later the link loses."""
    gone = range(10, 15)
    lossy = range(30, 35)
    minutes = [n for n in range(MINUTES) if n not in (20, 21, 22)]  # nobody recorded these
    cpu = [["0" if n in gone else "50", "40", clock(n)] for n in minutes]
    received = [
        ["" if n in gone else "60" if n in lossy else "100", clock(n)] for n in reversed(minutes)
    ]
    delivered = [["50" if n in (*gone, *lossy) else "100", clock(n)] for n in minutes]
    (tmp_path / "cpu.tsv").write_text(table(["r1", "r2"], cpu))
    with gzip.open(tmp_path / "received.tsv.gz", "wt") as handle:
        handle.write(table(["l1"], received))
    (tmp_path / "delivered.tsv").write_text(table(["far"], delivered))
    (tmp_path / "log.json").write_text(json.dumps({"recipes": LOG}))
    (tmp_path / "trimtab.yaml").write_text(CONFIGURATION)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    return tmp_path


def run(recording: Path, journal: Path | None = None) -> dict[str, Any]:
    out = recording / "facts.json"
    assert replay_recording(recording, recording / "mapping.yaml", out, journal) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_faults_are_noticed_named_and_acted_on_in_record_mode_only(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = recording / "journal"
    found = run(recording, journal)
    down, loss = found["kinds"]
    assert (down["kind"], down["runs"], down["noticed"], down["cause_first"]) == ("down", 1, 1, 1)
    assert (loss["kind"], loss["runs"], loss["noticed"], loss["cause_first"]) == ("loss", 1, 1, 1)
    # Gone from 9:09:30; the sample of 9:10 shows it, and is told before its window closes.
    assert down["delay_median_seconds"] == down["delay_worst_seconds"] == 30.0
    assert found["false_alarms"] == 0
    assert found["unclear_faults"] == 1
    heals = [item for item in found["actions"] if item["kind"] == "heal"]
    assert [item["target"] for item in heals] == ["provider/vnfc/r1"]
    assert all(item["carried_out"] is False for item in found["actions"])
    assert all(item["verdict"] in ("EFFECTIVE", "INEFFECTIVE") for item in found["actions"])
    assert not (recording / "recorded.jsonl").exists()
    reopened = Journal.open(journal)
    try:
        kinds = {type(frame.value).__name__ for frame in reopened.read()}
    finally:
        reopened.close()
    assert {"SampleBatch", "Alarm", "Incident", "Decision", "Action", "Verification"} <= kinds
    said = capsys.readouterr().out
    assert "1 x heal what is faulty" in said
    assert "times real time, journal on" in said
    assert max(map(len, said.splitlines())) <= 100


def test_the_silence_of_what_rests_on_a_router_that_is_gone_freezes_nothing(
    recording: Path,
) -> None:
    found = run(recording)
    assert not [name for name in found["decisions"] if name.endswith(": frozen")]
    assert found["decisions"]["heal-crashed-vnfc: act"] >= 1


def test_two_replays_say_the_same(recording: Path) -> None:
    first, second = run(recording), run(recording)
    for key in ("wall_seconds", "times_real_time"):
        first.pop(key), second.pop(key)
    assert first == second


def test_ticks_go_on_where_nothing_was_recorded(recording: Path) -> None:
    found = run(recording)
    # One turn to begin with, 57 recorded minutes, 3 that nobody recorded, 4 to let the last windows close.
    assert found["turns"] == 1 + 57 + 3 + 4


def test_a_fault_lasts_from_the_opening_event_to_the_closing_one(recording: Path) -> None:
    known = read_recording(read_mapping(recording / "mapping.yaml"), recording).known
    down, loss = known.faults
    assert (down.end_ns - down.start_ns) == 300 * 1_000_000_000
    assert (loss.place, loss.objects) == ("r1 eth0", ("provider/link/l1",))
    assert [fault.place for fault in known.unclear] == ["r2"]


def test_an_unlabelled_end_of_a_template_names_no_object(recording: Path) -> None:
    log = [event("drop", 29.5, node="r9", port="eth9"), event("undrop", 31, node="r9", port="eth9")]
    (recording / "log.json").write_text(json.dumps({"recipes": log}))
    (fault,) = read_recording(read_mapping(recording / "mapping.yaml"), recording).known.faults
    assert fault.objects == ()
    assert fault.is_at("provider/vnfc/r9 eth9-x")
    assert not fault.is_at("provider/vnfc/r1")
    assert not KnownFault("loss", "", "", 0, 1).is_at("provider/vnfc/r1")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: two-routers", "nome: two-routers", "nome"),
        ("granularity_seconds: 60.0", "granularity_seconds: 0.0", "0"),
        ("columns: far", "columns: '(far'", "not a regular expression"),
        ('format: "%Y-%m-%d %H:%M:%S"', 'format: "%H:%M"', "does not tell a day"),
    ],
)
def test_a_wrong_mapping_is_told_by_file_line_and_column(
    recording: Path, old: str, new: str, says: str
) -> None:
    path = recording / "mapping.yaml"
    assert MAPPING.count(old) == 1
    path.write_text(MAPPING.replace(old, new))
    line = 1 + MAPPING[: MAPPING.index(old)].count("\n")
    with pytest.raises(ConfigurationError) as caught:
        read_mapping(path)
    told = [str(finding) for finding in caught.value.findings]
    assert any(
        text.startswith(f"{path}:{line}:") and says in text.split(": ", 1)[1] for text in told
    ), told


def test_an_event_that_would_open_two_kinds_is_told_at_the_log(recording: Path) -> None:
    path = recording / "mapping.yaml"
    path.write_text(MAPPING.replace("closes: undrop", "closes: start"))
    with pytest.raises(ConfigurationError) as caught:
        read_mapping(path)
    (finding,) = caught.value.findings
    assert "'start' stands twice" in finding.problem
    assert MAPPING.splitlines()[finding.line - 1].startswith(("fault_events:", "  path: log.json"))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("log.json", "{", "is not JSON"),
        ("log.json", '{"other": []}', "holds no list of events under 'recipes'"),
        (
            "log.json",
            json.dumps({"recipes": [event("stop", 1, node="a"), event("start", 0, node="a")]}),
            "entry 2 does not fit the mapping: down of a ends before it begins",
        ),
        ("delivered.tsv", "near\tat\n", "no column matches 'far'"),
    ],
)
def test_a_recording_that_does_not_fit_names_its_file(
    recording: Path, name: str, text: str, says: str
) -> None:
    (recording / name).write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_recording(read_mapping(recording / "mapping.yaml"), recording)
    (finding,) = caught.value.findings
    assert finding.file.endswith(name)
    assert says in finding.problem


def test_a_journal_that_is_there_already_is_not_written_to(recording: Path) -> None:
    (recording / "full").mkdir()
    (recording / "full" / "something").touch()
    with pytest.raises(ConfigurationError, match="not empty"):
        run(recording, recording / "full")


def test_a_terminal_sees_a_progress_bar(
    recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recording)
    assert "replaying" not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    run(recording)
    assert "replaying" in capsys.readouterr().out


@pytest.mark.skipif(not KDDI.is_dir(), reason="no ../shared beside the checkout")
def test_the_first_hours_of_the_kddi_recording(tmp_path: Path) -> None:
    """All node and interface faults of the first hours are noticed and rightly placed."""
    until = "20200629150000"
    for path in KDDI.glob("*.tsv.gz"):
        with gzip.open(path, "rt") as whole, gzip.open(tmp_path / path.name, "wt") as part:
            head = next(whole)
            part.write(head)
            at = head.rstrip("\n").split("\t").index("timestamp")
            part.writelines(row for row in whole if row.rstrip("\n").split("\t")[at] < until)
    with gzip.open(KDDI / "label-for-learning.json.gz", "rt") as handle:
        recipes = [
            item for item in json.load(handle)["recipes"] if item["stopped_at"] < "2020-06-29T06"
        ]
    with gzip.open(tmp_path / "label-for-learning.json.gz", "wt") as handle:
        json.dump({"recipes": recipes}, handle)
    out = tmp_path / "facts.json"
    assert replay_recording(tmp_path, EXAMPLE / "mapping.yaml", out, None) == 0
    found = json.loads(out.read_text())
    kinds = {item["kind"]: item for item in found["kinds"]}
    assert kinds["node-down"]["runs"] == 5
    for kind in ("node-down", "interface-down"):
        assert kinds[kind]["noticed"] == kinds[kind]["cause_first"] == kinds[kind]["runs"]
        assert 0 < kinds[kind]["delay_worst_seconds"] <= 300
    assert found["false_alarms"] == 0
    assert {item["kind"] for item in found["actions"]} >= {"heal"}
