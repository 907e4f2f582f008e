"""What a stranger installs: our names are ours, the locks name no host, the wheel is whole."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def packages(pyproject: dict[str, Any]) -> list[str]:
    shipped: list[str] = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return shipped


def pins(lock: str) -> set[tuple[str, str]]:
    return set(PIN.findall((ROOT / lock).read_text("utf-8")))


def test_no_dependency_ships_one_of_our_names(pyproject: dict[str, Any]) -> None:
    owners = importlib.metadata.packages_distributions()
    clashes = {
        name: foreign
        for name in [*packages(pyproject), "tests"]
        if (foreign := set(owners.get(name, ())) - {"trimtab"})
    }
    assert not clashes, clashes


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert not [
        word for word in ("://", "index-url", "find-links", "file:", "git+") if word in text
    ]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(requirements) > 20
    assert not [
        line[:60] for line in requirements if "==" not in line or "--hash=sha256:" not in line
    ]


def test_the_development_lock_holds_the_runtime_lock() -> None:
    assert pins("requirements.lock") <= pins("requirements-dev.lock")


@pytest.mark.parametrize("lock, extras", [(LOCKS[0], ["build"]), (LOCKS[1], ["build", "dev"])])
def test_every_direct_dependency_is_locked(
    pyproject: dict[str, Any], lock: str, extras: list[str]
) -> None:
    project = pyproject["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    wanted += pyproject["build-system"]["requires"]
    names = {
        re.split(r"[<>=!~\[ ;]", line)[0].lower().replace(".", "-").replace("_", "-")
        for line in wanted
    }
    locked = {name.replace(".", "-").replace("_", "-") for name, _ in pins(lock)}
    assert names <= locked, names - locked


def test_the_wheel_holds_the_packages_and_what_they_read(
    pyproject: dict[str, Any], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(packages(pyproject))
    data = {
        path.relative_to(ROOT).as_posix()
        for package in packages(pyproject)
        for suffix in ("yaml", "sql", "html", "js", "css", "json", "svg", "typed")
        for path in (ROOT / package).rglob(f"*.{suffix}")
    }
    assert data <= set(names), data - set(names)


def test_the_licence_is_the_one_that_is_declared(pyproject: dict[str, Any]) -> None:
    assert pyproject["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
