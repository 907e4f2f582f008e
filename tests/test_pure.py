"""The machines have no clock, no I/O and no randomness: what they know is handed in."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Reading files is the business of this one.
READS_FILES = {"policies/load.py"}

BANNED_MODULES = {
    "aiohttp",
    "anyio",
    "asyncio",
    "concurrent",
    "glob",
    "http",
    "httpx",
    "httpx2",
    "importlib.resources",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "pickle",
    "random",
    "requests",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}
BANNED_FOR_READERS = BANNED_MODULES - {"glob", "importlib.resources", "io", "os", "pathlib"}

# hash() of a text differs from process to process, id() from run to run.
BANNED_CALLS = {"open", "hash", "id", "input", "print", "eval", "exec", "__import__", "breakpoint"}
BANNED_ATTRIBUTES = {
    "now",
    "utcnow",
    "today",
    "uuid1",
    "uuid4",
    "default_rng",
    "urandom",
    "getrandbits",
    "monotonic",
    "perf_counter",
    "time_ns",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "tofile",
    "fromfile",
}
BANNED_DOTTED = {"np.random", "numpy.random"}


def pure_modules() -> list[Path]:
    return sorted(
        path for package in ("analytics", "policies") for path in (ROOT / package).rglob("*.py")
    )


def offences(name: str, text: str) -> list[str]:
    """Return what a module of the machines does that it may not."""
    reads = name in READS_FILES
    banned = BANNED_FOR_READERS if reads else BANNED_MODULES
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found += [
                    (node.lineno, f"import {a.name}") for a in names if touches(a.name, banned)
                ]
            case ast.ImportFrom(module=str(module), names=names):
                full = [module, *(f"{module}.{alias.name}" for alias in names)]
                found += [(node.lineno, f"from {m}") for m in full if touches(m, banned)]
            case ast.Call(func=ast.Name(id=called)) if called in BANNED_CALLS:
                if not (reads and called == "open"):
                    found.append((node.lineno, f"{called}()"))
            case ast.Call(func=ast.Attribute(attr=attribute)) if attribute in BANNED_ATTRIBUTES:
                if not (reads and attribute.startswith("read_")):
                    found.append((node.lineno, f".{attribute}()"))
            case ast.Attribute() if ast.unparse(node) in BANNED_DOTTED:
                found.append((node.lineno, ast.unparse(node)))
            case ast.AsyncFunctionDef() | ast.Await():
                found.append((node.lineno, "async"))
    return [f"{name}:{line}: {what}" for line, what in found]


def touches(module: str, banned: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in banned)


def test_the_machines_are_pure() -> None:
    found = [
        offence
        for path in pure_modules()
        for offence in offences(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from os import path",
        "from datetime import datetime\nx = datetime.now()",
        "import numpy as np\nx = np.random.random()",
        "x = hash('a')",
        "x = open('a')",
        "import uuid",
        "async def f():\n    pass",
        "import importlib.resources",
    ],
)
def test_the_check_itself_sees(text: str) -> None:
    assert offences("analytics/x.py", text)


def test_only_the_loader_may_read() -> None:
    text = "from pathlib import Path\nx = Path('a').read_text()"
    assert offences("policies/decider.py", text)
    assert not offences("policies/load.py", text)
    assert offences("policies/load.py", "import time")
