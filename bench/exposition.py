"""How fast a scrape is decoded, beside prometheus_client's own parser of the same page."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench.comparison import Comparison, compare
from collectors.exposition import PageReader

SERIES = 10_000
LABELS_MAX = 100_000


def page() -> str:
    """Return a page as a VNF manager's exporter would write it: five labels a series."""
    lines = ["# HELP vnf_packets_total Packets.", "# TYPE vnf_packets_total counter"]
    lines += [
        f'vnf_packets_total{{tenant="t{n % 7}",vnf="fw-{n % 50}",vnfc="fw-{n}",direction="in",'
        f'queue="{n % 4}"}} {n * 17 % 100_003}'
        for n in range(SERIES)
    ]
    return "\n".join(lines) + "\n"


def run(folder: Path) -> Iterator[Comparison]:
    """Yield samples a second for a page whose series are known, and for one that is seen for the first time."""
    text = page()
    known: dict[str, int] = {}

    def resolve(name: str, labels: dict[str, str]) -> int:
        key = name + "".join(f"{label}={value}," for label, value in sorted(labels.items()))
        return known.setdefault(key, len(known))

    warm = PageReader(resolve, LABELS_MAX)
    warm.read(text, openmetrics=False)
    peer = "prometheus_client's parser"

    def theirs() -> int:
        return sum(len(family.samples) for family in text_string_to_metric_families(text))

    yield compare(
        "exposition, series known", "samples/s", SERIES,
        lambda: warm.read(text, openmetrics=False), peer, theirs,
    )  # fmt: skip
    yield compare(
        "exposition, series new", "samples/s", SERIES,
        lambda: PageReader(resolve, LABELS_MAX).read(text, openmetrics=False), peer, theirs,
    )  # fmt: skip
