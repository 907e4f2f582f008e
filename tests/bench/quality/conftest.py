"""Small recordings in every layout that the bench knows."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

MINUTES = 60


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Return a folder with one small recording in each layout, under names of no meaning."""
    _nab(tmp_path / "a")
    _ms_cloud(tmp_path / "b" / "latency")
    _machine(tmp_path / "c")
    _kddi_ipcore(tmp_path / "d" / "week")
    _kddi_5gc(tmp_path / "e")
    _petshop(tmp_path / "f" / "calm")
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "site.csv").write_text(
        "Time,delay,note,loss\n" + "".join(f"{1_700_000_000 + 60 * i},{i % 5},x,{i % 7}\n" for i in range(MINUTES))
    )  # fmt: skip
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def _value(at: int) -> int:
    return 500 if 40 <= at < 45 else at % 3


def _nab(folder: Path) -> None:
    for name in ("one", "two"):
        lines = [f"2024-01-01 00:{i:02}:00,{_value(i)}\n" for i in range(MINUTES)]
        write(folder / "data" / "cat" / f"{name}.csv", "timestamp,value\n" + "".join(lines))
    windows = {"cat/one.csv": [["2024-01-01 00:39:00.000000", "2024-01-01 00:46:00.000000"]]}
    write(folder / "labels" / "combined_windows.json", json.dumps(windows))


def _ms_cloud(folder: Path) -> None:
    lines = [
        f'"2024-01-01T00:{i:02}:00Z",{_value(i)},{int(40 <= i < 45)}\n' for i in range(MINUTES)
    ]
    write(folder / "x-01.csv", '"TimeStamp","Value","Label"\n' + "".join(lines))


def _machine(folder: Path) -> None:
    folder.mkdir()
    rows = np.arange(3 * MINUTES, dtype=np.float32).reshape(MINUTES, 3) % 4
    label = np.zeros(MINUTES, np.uint8)
    label[10:13] = 1
    np.savez(folder / "omi-3.npz", train=rows, test=rows, label=label)
    write(folder / "omi-3.txt", "10-12:1,3\n")


def _kddi_ipcore(folder: Path) -> None:
    def stamp(at: int) -> str:
        return f"202001010900{at:02}"

    pps = [f"{i}\t{_value(i)}\t{i % 2}\t{stamp(i)}\n" for i in reversed(range(MINUTES))]
    write(folder / "rx-pps.tsv.gz", "\tA-1+link-a-b\tB-1+link-a-b\ttimestamp\n" + "".join(pps))
    cpu = [f"{i}\t{i % 5}\t{stamp(i)}\n" for i in range(MINUTES)]
    write(folder / "cpu_util.tsv.gz", "\tA-1\ttimestamp\n" + "".join(cpu))
    failure = [f"{i}\t{3.0 if 40 <= i < 43 else 0.0}\tA-1\t\t{stamp(i)}\n" for i in range(30, 50)]
    header = "\tstatus\tnode\tinterface\ttimestamp\n"
    write(folder / "failure.tsv.gz", header + "".join(failure))


def _kddi_5gc(folder: Path) -> None:
    rows = [" ".join(str((i + j) % 4) for j in range(33)) for i in range(MINUTES)]
    write(folder / "01_x_data.txt.gz", "\n".join(rows) + "\n")
    write(folder / "01_x_label.txt", "".join(f"{4 * (20 <= i < 27)}\n" for i in range(MINUTES)))


def _petshop(folder: Path) -> None:
    write(folder / "graph.csv", ",front,back\nfront,0.0,1.0\nback,0.0,0.0\n")
    header = (
        "microservice,front,back\nmetric,latency,requests\nstatistic,p90,Sum\nunix_timestamp,,\n"
    )
    normal = "".join(f"{1_692_608_400.0 + 300 * i},0.{i % 3 + 1},{i}\n" for i in range(MINUTES))
    write(folder / "noissue" / "metrics.csv.gz", header + normal)
    write(
        folder / "train" / "issue_0" / "metrics.csv",
        header + "".join(f"{1_681_855_320.0 + 300 * i},9,\n" for i in range(5)),
    )
    target = {
        "target": {
            "node": "front", "metric": "latency", "agg": "p90", "timestamp": 1_681_855_803,
        },
        "root_cause": {"node": "back", "metric": None},
    }  # fmt: skip
    write(folder / "train" / "issue_0" / "target.json", json.dumps(target))
