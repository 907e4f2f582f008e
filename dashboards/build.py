"""Write dashboards/json from the builders: `python -m dashboards.build`; with `--check`, only say what differs."""

import argparse
import json
import sys
from pathlib import Path

from dashboards import service_assurance
from dashboards.sdk import dashboard

FOLDER = Path(__file__).resolve().parent / "json"


def boards() -> dict[str, dashboard.Dashboard]:
    """Return every dashboard by its file's name."""
    return {f"{service_assurance.UID}.json": service_assurance.build()}


def rendered(board: dashboard.Dashboard) -> str:
    """Return a dashboard's JSON as it is committed: sorted, so that a diff shows what changed."""
    # The SDK's encoder hands objects to `to_json`; a plain default does the same and is typed.
    return json.dumps(board, default=lambda value: value.to_json(), indent=2, sort_keys=True) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with `--check` return 1 when a committed file differs."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    options = parser.parse_args(arguments)
    stale = []
    for name, board in boards().items():
        path = FOLDER / name
        text = rendered(board)
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not options.check:
            path.write_text(text, "utf-8")
    for name in stale:
        print(f"{name}: {'differs: run `make dashboards`' if options.check else 'written'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
