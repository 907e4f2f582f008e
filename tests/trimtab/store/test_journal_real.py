"""The journal on a real disk: killed, filled up, and read back from what earlier versions wrote."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.domain import codec
from trimtab.domain.action import ActionResult, ActionState
from trimtab.domain.input import Notice, Tick
from trimtab.domain.samples import SampleBatch
from trimtab.errors import JournalUnwritable
from trimtab.store.journal import Journal, JournalLimits
from trimtab.store.storage import FileStorage

MIB = 1024 * 1024
NO_RESERVE = JournalLimits(segment_bytes=20_000, reserve_bytes=0, free_bytes_min=0)
# A process that says on its standard output what was acknowledged, and is killed in the middle of it.
WRITER = """
import sys
from pathlib import Path
from trimtab.domain.input import Tick
from trimtab.store.journal import Journal, JournalLimits
journal = Journal.open(
    Path(sys.argv[1]), limits=JournalLimits(segment_bytes=20_000, reserve_bytes=0, free_bytes_min=0)
)
for number in range(journal.last_seq + 1, 10_000_000, 7):
    journal.append([Tick(n) for n in range(number, number + 7)], now=number)
    journal.sync()
    print(journal.durable_seq, flush=True)
"""


def test_killed_at_random_times_it_keeps_what_it_acknowledged(
    tmp_path: Path, repo_root: Path
) -> None:
    acknowledged = -1
    for life in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True,
            cwd=repo_root,
        )  # fmt: skip
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(16 + life * 7)]
        os.kill(writer.pid, signal.SIGKILL)
        lines += writer.stdout.readlines()
        writer.stdout.close()
        assert writer.wait(timeout=30) == -signal.SIGKILL
        whole = [int(line) for line in lines if line.endswith("\n")]
        acknowledged = max(acknowledged, *whole)
        journal = Journal.open(tmp_path, limits=NO_RESERVE)
        values = [frame.value for frame in journal.read()]
        journal.close()
        assert len(values) > acknowledged > 100
        assert values == [Tick(number) for number in range(len(values))]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a tmpfs of 4 MiB, or skip where that is not permitted."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("no mount: apt-get install mount")
    if done.returncode != 0:
        pytest.skip(f"a tmpfs can't be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=30)


def test_a_full_disk_is_told_and_survived(small_disk: Path) -> None:
    limits = JournalLimits(
        segment_bytes=64 * 1024, reserve_bytes=MIB, free_bytes_min=256 * 1024
    )  # fmt: skip
    journal = Journal.open(small_disk / "journal", limits=limits)
    journal.append([Tick(1)], now=1)
    journal.sync()
    ballast = small_disk / "ballast"
    room = FileStorage(small_disk).free_bytes()
    ballast.write_bytes(bytes(room))
    assert FileStorage(small_disk).free_bytes() == 0
    with pytest.raises(JournalUnwritable, match="short of space"):
        journal.append([Tick(2)], now=2)
    assert not journal.probe_writable()
    result = ActionResult("action-1", ActionState.SENDING, 2, detail="x" * 20_000)
    for _ in range(10):
        journal.append([result], now=2, reserve=True)
        journal.sync()
    assert 0 < journal.reserve_bytes < MIB
    ballast.unlink()
    assert journal.probe_writable()
    assert journal.reserve_bytes == MIB
    journal.append([Tick(3)], now=3)
    journal.sync()
    journal.close()
    again = Journal.open(small_disk / "journal", limits=limits)
    assert [frame.value for frame in again.read()] == [Tick(1), *[result] * 10, Tick(3)]
    again.close()


def test_it_opens_on_a_full_disk_to_be_read(small_disk: Path) -> None:
    limits = JournalLimits(segment_bytes=64 * 1024, reserve_bytes=MIB, free_bytes_min=256 * 1024)
    journal = Journal.open(small_disk / "journal", limits=limits)
    journal.append([Tick(1)], now=1)
    journal.sync()
    journal.close()
    (small_disk / "journal" / "reserve").unlink()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(FileStorage(small_disk).free_bytes()))
    again = Journal.open(small_disk / "journal", limits=limits)
    assert [frame.value for frame in again.read()] == [Tick(1)]
    assert not again.probe_writable()
    ballast.unlink()
    assert again.probe_writable()
    again.close()


def test_what_format_1_wrote_is_read(repo_root: Path, tmp_path: Path) -> None:
    """tests/golden/journal-1 was written by the first version, with a frame of every kind; .json tells its values."""
    golden = repo_root / "tests" / "golden"
    told = json.loads((golden / "journal-1.json").read_text("utf-8"))
    (tmp_path / "journal-0000000000.log").write_bytes((golden / "journal-1.bin").read_bytes())
    journal = Journal.open(tmp_path, limits=NO_RESERVE)
    frames = list(journal.read())
    journal.close()
    shown = [
        {
            "seq": frame.seq,
            "now": frame.now,
            "output": frame.is_output,
            "value": codec.encode_batch(frame.value).hex()
            if isinstance(frame.value, SampleBatch)
            else codec.to_plain(frame.value),
        }
        for frame in frames
    ]
    assert len(frames) == 20
    assert _without_new_fields(json.loads(json.dumps(shown)), told) == told


def _without_new_fields(shown: object, told: object) -> object:
    """Leave out what a later version of the code added to a value, with a default."""
    if isinstance(shown, dict) and isinstance(told, dict):
        return {key: _without_new_fields(shown[key], told[key]) for key in told if key in shown}
    if isinstance(shown, list) and isinstance(told, list) and len(shown) == len(told):
        return [_without_new_fields(a, b) for a, b in zip(shown, told, strict=True)]
    return shown


def test_opening_a_long_journal_takes_no_time(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, limits=NO_RESERVE)
    for start in range(0, 10_000, 500):
        journal.append([Notice(str(n), n, "s", "t") for n in range(start, start + 500)], now=start)
        journal.sync()
    journal.close()
    started = time.monotonic()
    again = Journal.open(tmp_path, limits=NO_RESERVE)
    assert time.monotonic() - started < 10.0
    assert again.last_seq == 9_999
    again.close()
