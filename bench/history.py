"""The sample history beside Parquet: the same rows appended, the bytes that they take, one KPI asked for over a day.

Parquet is written by pyarrow with zstd, one row group for as many rows as a chunk of ours holds, sorted alike; it is
asked by pyarrow and by DuckDB. Rates are rows a CPU second; all of them are taken in turns.
"""

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.comparison import Comparison
from trimtab.domain.samples import SampleBatch
from trimtab.domain.time import NS_PER_SECOND
from trimtab.store.history import History

ROUNDS = 3
SERIES = 1_000
STEPS = 24 * 60  # a day, a sample a minute
SERIES_PER_BATCH = 500
CHUNK_ROWS = 65_536
START_NS = 1_700_000_000 * NS_PER_SECOND
STEP_NS = 60 * NS_PER_SECOND
ASKED = 20


@dataclass(frozen=True, slots=True)
class Spent:
    """What one store took: CPU seconds to append all, bytes on disk, median seconds of one query."""

    cpu_seconds: float
    size_bytes: int
    query_seconds: tuple[float, ...]


def batches() -> list[SampleBatch]:
    """Return a day of SERIES integers, as rounds of remote-write bring them; times differ by some milliseconds."""
    random = np.random.default_rng(1)
    found = []
    for step in range(STEPS):
        for first in range(0, SERIES, SERIES_PER_BATCH):
            rows = min(SERIES_PER_BATCH, SERIES - first)
            at = START_NS + step * STEP_NS + int(random.integers(0, 50)) * 1_000_000
            found.append(
                SampleBatch(
                    "remote_write/bench",
                    np.arange(first, first + rows, dtype=np.int32),
                    np.full(rows, at, np.int64),
                    random.integers(10, 80, rows).astype(np.float64),
                    np.zeros(rows, np.uint8),
                )
            )
    return found


def ours(folder: Path, rows: list[SampleBatch], asked: list[int]) -> Spent:
    """Append to a History of our own, and ask it."""
    history = History(folder)
    begin = time.process_time()
    for batch in rows:
        history.add(batch)
    history.flush()
    spent = time.process_time() - begin
    queries = _timed(asked, lambda number: len(history.query(number, START_NS, 2**62).time_ns))
    return Spent(spent, history.size_bytes, (queries,))


def parquet(folder: Path, rows: list[SampleBatch], asked: list[int]) -> Spent:
    """Append to one Parquet file, and ask it by pyarrow, then by DuckDB."""
    import duckdb
    import pyarrow as arrow
    import pyarrow.parquet as files

    folder.mkdir()
    path = folder / "samples.parquet"
    schema = arrow.schema(
        [("series_id", arrow.int32()), ("time_ns", arrow.int64()), ("value", arrow.float64()),
         ("flags", arrow.uint8())]
    )  # fmt: skip
    begin = time.process_time()
    with files.ParquetWriter(path, schema, compression="zstd") as writer:
        waiting: list[SampleBatch] = []
        for batch in rows:
            waiting.append(batch)
            if sum(map(len, waiting)) >= CHUNK_ROWS:
                writer.write_table(arrow.table(_columns(waiting), schema=schema))
                waiting = []
        if waiting:
            writer.write_table(arrow.table(_columns(waiting), schema=schema))
    spent = time.process_time() - begin

    def by_arrow(number: int) -> int:
        table = files.read_table(path, filters=[("series_id", "=", number)])
        return int(table.num_rows)

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    text = f"SELECT time_ns, value FROM read_parquet('{path}') WHERE series_id = ? ORDER BY time_ns"

    def by_duckdb(number: int) -> int:
        return len(connection.execute(text, [number]).fetchnumpy()["time_ns"])

    queries = (_timed(asked, by_arrow), _timed(asked, by_duckdb))
    connection.close()
    return Spent(spent, path.stat().st_size, queries)


def _columns(rows: list[SampleBatch]) -> dict[str, npt.NDArray[np.generic]]:
    series = np.concatenate([batch.series_id for batch in rows])
    time_ns = np.concatenate([batch.time_ns for batch in rows])
    order = np.lexsort((time_ns, series))
    return {
        "series_id": series[order],
        "time_ns": time_ns[order],
        "value": np.concatenate([batch.value for batch in rows])[order],
        "flags": np.concatenate([batch.flags for batch in rows])[order],
    }


def _timed(asked: list[int], query: Callable[[int], int]) -> float:
    """Return the median seconds of a query; each must find a whole day."""
    taken = []
    for number in asked:
        begin = time.perf_counter()
        found = query(number)
        taken.append(time.perf_counter() - begin)
        if found != STEPS:
            raise ValueError(f"series {number} has {found} rows where {STEPS} were written")
    return statistics.median(taken)


def run(folder: Path) -> Iterator[Comparison]:
    """Yield append rate, rows a byte, and queries a second, each beside Parquet's."""
    rows = batches()
    total = sum(map(len, rows))
    asked = np.random.default_rng(2).integers(0, SERIES, ASKED).tolist()
    mine: list[Spent] = []
    theirs: list[Spent] = []
    for number in range(ROUNDS):
        place = folder / f"history-{number}"
        mine.append(ours(place, rows, asked))
        shutil.rmtree(place)
        theirs.append(parquet(place, rows, asked))
        shutil.rmtree(place)
    rates = [total / spent.cpu_seconds for spent in mine]
    yield Comparison(
        "history, append", "rows a CPU second", statistics.median(rates), "Parquet zstd (pyarrow)",
        statistics.median(total / spent.cpu_seconds for spent in theirs), (min(rates), max(rates)),
    )  # fmt: skip
    sizes = [total / spent.size_bytes * 1_000 for spent in mine]
    yield Comparison(
        "history, density", "rows a kB", statistics.median(sizes), "Parquet zstd (pyarrow)",
        statistics.median(total / spent.size_bytes * 1_000 for spent in theirs),
        (min(sizes), max(sizes)),
    )  # fmt: skip
    asks = [1 / spent.query_seconds[0] for spent in mine]
    for kind, name in enumerate(("Parquet zstd (pyarrow)", "Parquet zstd (DuckDB)")):
        yield Comparison(
            "history, one KPI over a day", "queries/s", statistics.median(asks), name,
            statistics.median(1 / spent.query_seconds[kind] for spent in theirs),
            (min(asks), max(asks)),
        )  # fmt: skip
