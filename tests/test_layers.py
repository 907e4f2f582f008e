"""Who may import whom: import-linter holds the contract; here, that no module escapes it."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
STDLIB = set(sys.stdlib_module_names)
WITH_NUMPY = {"kpi_batch.py", "samples.py", "codec.py"}  # columns, and their bytes


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def floors(pyproject: dict[str, Any]) -> list[str]:
    contract = pyproject["tool"]["importlinter"]["contracts"][0]
    assert contract["type"] == "layers"
    return [
        name.strip().strip("()")
        for layer in contract["layers"]
        for name in layer.replace(":", "|").split("|")
    ]


def modules_of(package: str) -> list[str]:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_every_module_is_on_a_floor(pyproject: dict[str, Any]) -> None:
    known = floors(pyproject)
    packages = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    homeless = [
        module
        for package in packages
        for module in modules_of(package)
        if module != "trimtab"  # the roof itself: imports nothing, checked below
        and not any(module == floor or module.startswith(f"{floor}.") for floor in known)
    ]
    assert not homeless, homeless
    assert not imports_of(ROOT / "trimtab" / "__init__.py")


def test_what_is_shipped_is_what_is_linted_and_typed(pyproject: dict[str, Any]) -> None:
    tool = pyproject["tool"]
    shipped = set(tool["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert shipped == set(tool["importlinter"]["root_packages"])
    assert shipped == set(tool["mypy"]["files"])
    on_disk = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert shipped == on_disk


def test_the_contracts_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [str(linter), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_domain_needs_only_the_standard_library() -> None:
    found = [
        f"{path.name}: {name}"
        for path in sorted((ROOT / "trimtab" / "domain").rglob("*.py"))
        for name in imports_of(path)
        if (top := name.partition(".")[0]) not in STDLIB | {"trimtab"}
        and not (top == "numpy" and path.name in WITH_NUMPY)
    ]
    assert not found, found


def test_the_lab_knows_of_us_only_the_words() -> None:
    ours = {
        "trimtab",
        "collectors",
        "analytics",
        "policies",
        "actuators",
        "api",
        "dashboards",
        "bench",
    }
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "lab").rglob("*.py"))
        for name in imports_of(path)
        if name.partition(".")[0] in ours and not f"{name}.".startswith("trimtab.domain.")
    ]
    assert not found, found


def test_slow_libraries_are_imported_where_they_are_used() -> None:
    slow = {"river", "sklearn", "scipy", "openstack", "influxdb_client", "plotly"}
    found = []
    for package in ("trimtab", "collectors", "analytics", "policies", "actuators", "api", "lab"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(path.read_text("utf-8")).body:
                names = (
                    {alias.name for alias in node.names} if isinstance(node, ast.Import)
                    else {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
                )  # fmt: skip
                found += [
                    f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
                    for name in names
                    if name.partition(".")[0] in slow
                ]
    assert not found, found
