"""How the lab's processes start, and how they end.

A child dies with its parent, even when the parent is killed with SIGKILL: the kernel is asked to see to it. So
no lab process is left over, however the lab ended.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

# A network does not slow down because somebody compiles on the operator's desk.
NETWORK_PRIORITY = -5
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)
_project_root = Path(__file__).resolve().parent.parent


def die_with_parent(parent_pid: int) -> None:
    """In a child: ask for SIGKILL at the parent's death, and leave at once if that has already happened.

    The kernel means the parent's *thread*: start children from a thread that lives as long as the process.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def _before_exec(parent_pid: int) -> Callable[[], None]:
    def prepare() -> None:
        # Ctrl-C in a terminal reaches the whole group; who stops what, and in which order, is the supervisor's.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(OSError):  # where it is not allowed, it has to do without
            os.setpriority(os.PRIO_PROCESS, 0, NETWORK_PRIORITY)
        die_with_parent(parent_pid)

    return prepare


def start_module(
    module: str,
    arguments: Sequence[str],
    *,
    log: IO[bytes] | int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start `python -m module` as a bare interpreter (no site packages: it starts in tens of milliseconds)."""
    return subprocess.Popen(
        [sys.executable, "-S", "-s", "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={
            "PYTHONPATH": str(_project_root),
            "PATH": os.environ.get("PATH", ""),
            "LANG": "C.UTF-8",
        },
        cwd="/",
        pass_fds=tuple(pass_fds),
        preexec_fn=_before_exec(os.getpid()),  # noqa: PLW1509 - the lab's processes start no threads
    )
