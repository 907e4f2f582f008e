"""Style as a test: what a reviewer would otherwise have to say again and again."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "trimtab",
    "collectors",
    "analytics",
    "policies",
    "actuators",
    "api",
    "dashboards",
    "lab",
    "bench",
)
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 400
BANNED_MODULE_WORDS = {
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "manager",
    "managers",
}

# The edges that may ask the wall clock; everybody else is handed `now`. The lab is a world apart.
WALL_CLOCK_EDGES = (
    "actuators/",
    "api/",
    "bench/",
    "collectors/",
    "lab/",
    "trimtab/app.py",
    "trimtab/app/",
    "trimtab/cli.py",
    "trimtab/clock.py",
    "trimtab/demo.py",
    "trimtab/demo/",
    "trimtab/drivers/clock.py",
    "trimtab/drivers/live.py",
)
WALL_CLOCK = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
}
PRINTING_EDGES = (
    "trimtab/cli",
    "trimtab/demo",
    "lab/cli",
    "lab/__main__",
    "bench/",
    "dashboards/build.py",
)

# Built so that this file does not find itself.
UNFINISHED = re.compile(
    r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b"
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me/\w+)/")


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def files_of_tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def parsed(paths: list[Path]) -> Iterator[tuple[str, ast.Module]]:
    for path in paths:
        yield name_of(path), tree_of(path)


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` for such an expression, an empty text for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def committed() -> list[Path]:
    """Return the files that git tracks or would track."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    if listing.returncode != 0:  # an unpacked archive: there is no git to ask
        return modules() + files_of_tests()
    found = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in found if path.is_file()]


def test_there_are_modules_to_judge() -> None:
    assert len(modules()) > len(PACKAGES)


def test_no_function_is_too_long() -> None:
    found = [
        f"{name}:{node.lineno}: {node.name} has {lines} lines"
        for name, tree in parsed(modules())
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not found, "\n".join(found)


def test_no_module_is_too_long() -> None:
    found = [
        f"{name_of(path)} has {lines} lines"
        for path in modules()
        if (lines := len(path.read_text("utf-8").splitlines())) > MODULE_LINES_MAX
    ]
    assert not found, "\n".join(found)


def test_module_names_say_something() -> None:
    found = [
        name_of(path)
        for path in modules()
        if BANNED_MODULE_WORDS & {word for part in path.relative_to(ROOT).parts
                                  for word in re.split(r"[_.]", part)}
    ]  # fmt: skip
    assert not found, found


def test_only_the_edges_ask_the_wall_clock() -> None:
    found = [
        f"{name}:{node.lineno}: {dotted(node)}"
        for name, tree in parsed(modules())
        if not name.startswith(WALL_CLOCK_EDGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and dotted(node) in WALL_CLOCK
    ]
    assert not found, "\n".join(found)


def test_only_the_command_line_prints() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in parsed(modules())
        if not name.startswith(PRINTING_EDGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) == "print"
    ]
    assert not found, "\n".join(found)


def test_no_except_catches_everything_by_accident() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in parsed(modules() + files_of_tests())
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not found, "\n".join(found)


def test_nothing_is_left_for_later() -> None:
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in modules() + files_of_tests()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if UNFINISHED.search(line) or "raise NotImplementedError" in line
    ]
    this = [line for line in found if not line.startswith("tests/test_tidy.py")]
    assert not this, "\n".join(this)


def test_no_module_keeps_state_behind_a_global_statement() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in parsed(modules())
        for node in ast.walk(tree)
        if isinstance(node, ast.Global)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_classes_and_functions_say_what_they_do(package: str) -> None:
    found = [
        f"{name}:{node.lineno}: {node.name}"
        for name, tree in parsed(sorted((ROOT / package).rglob("*.py")))
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not found, "\n".join(found)


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = []
    for path in committed():
        if path.suffix in {".png", ".gz", ".bin", ".snap", ".ico"}:
            continue
        text = path.read_text("utf-8", errors="replace")
        found += [
            f"{name_of(path)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if MACHINE_PATH.search(line)
        ]
    assert not found, "\n".join(found)


def test_there_is_no_package_of_files_of_tests() -> None:
    found = [name_of(path) for path in (ROOT / "tests").rglob("__init__.py")]
    assert not found, found
