"""The side-by-side bench: what it sends is remote-write, its verdicts follow from its figures, nothing is left."""

import json
import sys
import time
from pathlib import Path

import pytest

from bench.latency import quantiles
from bench.peers import __main__ as peers
from bench.peers import ours, table
from bench.peers.engines import ENGINES, Order, Rules
from bench.peers.measure import Measured, Row, latencies
from bench.peers.processes import BenchError, Process, cpu_seconds, free_port, listens, tree
from bench.peers.rows import GOALS, ROWS, Goal, shortened
from bench.peers.sender import Traffic
from bench.peers.workload import SAMPLES_PER_REQUEST, Workload, kpi_labels, varint
from bench.soak import slope_per_minute
from collectors.write_request import decode, decode_labels, unpack
from trimtab.app.settings import load_settings


def test_the_bodies_are_remote_write_and_the_same_each_time_but_for_the_time() -> None:
    first, again = (Workload(SAMPLES_PER_REQUEST + 7) for _ in range(2))
    bodies = list(first.bodies(1_700_000_000_123))
    assert bodies == list(again.bodies(1_700_000_000_123))
    assert [samples for _, samples in bodies] == [SAMPLES_PER_REQUEST, 7]
    request = decode(unpack(bodies[1][0], 10**6), 1_000)
    assert request.time_ns.tolist() == [1_700_000_000_123_000_000] * 7
    assert ((request.value >= 10) & (request.value < 80)).all()
    labels = [decode_labels(key) for key in request.keys]
    assert labels == [kpi_labels(SAMPLES_PER_REQUEST + number) for number in range(7)]
    assert all(list(item) == sorted(item) and len(item) == 8 for item in labels)


def test_churn_ends_series_and_begins_others() -> None:
    workload = Workload(20)
    before = decode(unpack(next(workload.bodies(1_700_000_000_000))[0], 10**6), 1_000).keys
    assert workload.renew(0, 1) == 20
    after = decode(unpack(next(workload.bodies(1_700_000_000_000))[0], 10**6), 1_000).keys
    assert not set(before) & set(after)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**40])
def test_varints(number: int) -> None:
    packed = varint(number)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(packed)) == number


@pytest.mark.parametrize("rules", list(Rules))
def test_our_configuration_is_a_valid_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rules: Rules
) -> None:
    monkeypatch.setenv(ours.TOKEN_VARIABLE, ours.TOKEN)
    order = Order(100, 1.0, rules, 9)
    text = ours.configuration(order, port=0, directory=tmp_path / "store")
    (tmp_path / "trimtab.yaml").write_text(text, "utf-8")
    (tmp_path / "policy.yaml").write_text(ours.policy(), "utf-8")
    settings = load_settings(tmp_path / "trimtab.yaml")
    conditions = len(settings.configuration.objectives)
    assert conditions == {Rules.NONE: 0, Rules.THRESHOLD: 11, Rules.FOUR: 44}[rules]


def _run(engine: str, **figures: float) -> Measured:
    return Measured(engine, "latency", figures, {})


def test_a_verdict_holds_the_median_against_the_goal() -> None:
    runs = [_run("trimtab", p=value) for value in (1.0, 2.0, 9.0)] + [_run("prometheus", p=50.0)]
    figures = table.figures_of(runs)
    mine = next(item for item in figures if item.engine == "trimtab")
    assert (mine.median, mine.low, mine.high, mine.rounds) == (2.0, 1.0, 9.0, 3)
    goals = (Goal("latency", "p", "prometheus", 1 / 20), Goal("latency", "p", limit=3.0))
    first, second = table.verdicts(figures, goals)
    assert (first.bound, first.ratio, first.reached) == (2.5, 25.0, True)
    assert (second.bound, second.ratio, second.reached) == (3.0, None, True)
    assert not table.verdicts(figures, (Goal("latency", "p", limit=1.0),))[0].reached
    assert table.verdicts(figures, (Goal("latency", "p", "victoria", 1.0),)) == []


@pytest.mark.parametrize(("disk", "bound"), [(0.0009, 0.005), (0.002, 0.004)])
def test_a_latency_is_held_against_the_disk_of_the_same_run(disk: float, bound: float) -> None:
    figures = table.figures_of([_run("trimtab", p=0.0045, d=disk)])
    (found,) = table.verdicts(figures, (Goal("latency", "p", "", 2.0, 0.005, "d", 0.001),))
    assert (found.bound, found.reached) == (bound, bound > 0.0045)


def test_an_absent_engine_keeps_its_column() -> None:
    row = Row("latency", "words", Traffic(10), Rules.NONE, ("p50_seconds",))
    figures = table.figures_of([_run("trimtab", p50_seconds=0.01)])
    head, _, line = table.lines([row], figures, ["prometheus"])
    assert head.count("|") == line.count("|") == len(ENGINES) + 2
    assert "| 10 | not installed | - |" in line


def test_every_goal_has_its_row_and_a_quick_run_is_shorter() -> None:
    names = {row.name for row in ROWS}
    assert {goal.row for goal in GOALS} <= names
    for row in ROWS:
        quick = shortened(row).traffic
        assert quick.seconds <= row.traffic.seconds or quick.flat_out
        assert quick.flat_out <= row.traffic.flat_out
        assert quick.series == row.traffic.series


def test_a_webhook_counts_from_the_first_hot_sample(tmp_path: Path) -> None:
    log = tmp_path / "sink.log"
    log.write_text("5 probe-0\n1500000000 probe-0\n1700000000 probe-0\n9 probe-7\n", "utf-8")
    found = latencies({"probe-0": 10**9, "probe-1": 10**9}, log)
    assert found == {"probes": 2.0, "probes_heard": 1.0}
    assert quantiles([1.0, 3.0], "x_")["x_p50_seconds"] == 2.0


def test_a_slope_is_that_of_most_pairs() -> None:
    assert slope_per_minute([(0.0, 100), (30.0, 100), (60.0, 160), (61.0, 10_000)]) > 0
    assert slope_per_minute([(number * 60.0, number * 7) for number in range(5)]) == 7.0
    assert slope_per_minute([(0.0, 5)]) == 0.0


def test_a_process_is_accounted_for_and_leaves_nothing(tmp_path: Path) -> None:
    child = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    with Process([sys.executable, "-c", child], tmp_path / "log") as process:
        while len(tree(process.pid)) < 2:
            process.check()
        pids = tree(process.pid)
        assert cpu_seconds([process]) >= 0
        assert not listens(process.pid, free_port())
    for _ in range(500):
        if not any(_lives(pid) for pid in pids):
            return
        time.sleep(0.01)
    pytest.fail("it left something behind")


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in ("Z", "X")


def test_a_server_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no way'); exit(3)"]
    with (
        Process(command, tmp_path / "log") as process,
        pytest.raises(BenchError, match="ended with 3: no way"),
    ):
        process.wait_until_up(free_port(), "/")


@pytest.mark.alone
def test_the_real_process_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row("ingest", "a little", Traffic(50, 1.0, flat_out=2), Rules.NONE,
              ("samples_per_second",))  # fmt: skip
    monkeypatch.setattr(peers, "ROWS", (row,))
    report = tmp_path / "out.json"
    arguments = ["--engines", "trimtab", "--rounds", "1", "--json", str(report)]
    assert peers.main([*arguments, "--folder", str(tmp_path)]) == 0
    figures = {item["figure"]: item for item in json.loads(report.read_text("utf-8"))["figures"]}
    assert figures["samples_per_second"]["median"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    assert "a little: samples/s" in capsys.readouterr().out


def test_unknown_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        peers.main(["--only", "nonsense"])
    assert "there are threshold-10k" in capsys.readouterr().err
