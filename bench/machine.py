"""What figures depend on: the machine that they were taken on."""

import os
import platform
from pathlib import Path


def machine() -> dict[str, str | int | float]:
    """Return the facts in a few words."""
    return {
        "cores": os.cpu_count() or 0,
        "cpu": _cpu(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return "unknown"
    lines = [line for line in text.splitlines() if line.startswith("model name")]
    return lines[0].partition(":")[2].strip() if lines else "unknown"
