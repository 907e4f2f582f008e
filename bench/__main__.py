"""`python -m bench`: measure, print, and with `--json FILE` keep the figures."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from bench import core, exposition, history, journal, loop, startup
from bench.comparison import Comparison
from bench.machine import machine

BENCHES: dict[str, Callable[[Path], Iterator[Comparison]]] = {
    "journal": journal.run,
    "exposition": exposition.run,
    "loop": loop.run,
    "history": history.run,
    "core": core.run,
    "startup": startup.run,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen benches, all by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    parser.add_argument("--folder", type=Path, help="where to write; default a temporary folder")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(BENCHES)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    facts = machine()
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    found: list[Comparison] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in options.names or BENCHES:
            for comparison in BENCHES[name](Path(folder)):
                found.append(comparison)
                print(_line(comparison), flush=True)
    if options.json:
        rows = [{**asdict(item), "ratio": item.ratio} for item in found]
        options.json.write_text(json.dumps({"machine": facts, "figures": rows}, indent=2) + "\n")
    return 0


def _line(item: Comparison) -> str:
    worst, best = item.spread
    return (
        f"{item.name}: {item.ours:,.4g} {item.unit} (rounds {worst:,.4g} to {best:,.4g}); "
        f"{item.peer_name}: {item.peer:,.4g}; ratio {item.ratio:.3g}"
    )


if __name__ == "__main__":
    sys.exit(main())
