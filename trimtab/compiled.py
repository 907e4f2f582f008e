"""Compiled code: whether it may be used, and how its caches are filled at install.

The loop runs without numba, a little slower; large batches go through compiled functions, which give equal results.
`TRIMTAB_COMPILED=no` keeps to the plain ones.
"""

import importlib
import importlib.util
import os
import sys

VARIABLE = "TRIMTAB_COMPILED"
# Modules of compiled functions; each has a `warm()` that compiles them, or loads what an earlier run compiled.
COMPILED = (
    "analytics.detectors.kpi_anomaly_compiled",
    "analytics.panes_compiled",
    "collectors.write_walk",
)


def compiled_allowed() -> bool:
    """Return whether compiled functions are to be used; numba itself is not imported for the answer."""
    wanted = os.environ.get(VARIABLE, "yes").lower() not in ("no", "0", "false")
    return wanted and importlib.util.find_spec("numba") is not None


def main() -> int:
    """Compile everything, so that no request has to wait for it: `python -m trimtab.compiled`."""
    if not compiled_allowed():
        sys.stderr.write("compiled functions are switched off, or numba is not installed\n")
        return 0
    for name in COMPILED:
        importlib.import_module(name).warm()
    return 0


if __name__ == "__main__":
    sys.exit(main())
