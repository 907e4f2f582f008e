"""What every test may use: the checkout, the shared folder beside it, a free port.

Besides, the account at the end of a run: seconds by suite, and which tests were skipped.
"""

import os
import socket
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
# .ci/run says no; it judges a change, not the draw: its examples are the same each time. `make test` draws anew.
JUDGED = os.environ.get("TRIMTAB_TESTS_MAY_SKIP", "yes") == "no"
# How long an example takes says more about the machine's other work than about the code.
settings.register_profile(
    "trimtab", deadline=None, derandomize=JUDGED, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("trimtab")

NO_SHARED = "no ../shared beside the checkout"
# What a whole run may skip, by the test's id: the rest of what a test needs, .ci/run installs.
MAY_SKIP = frozenset({"tests/actuators/test_openstack.py::test_a_real_nova_migrates_a_server"})


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """Return the checkout's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of specifications and recorded data beside the checkout, or skip."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(NO_SHARED)
    return folder


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def free_port() -> int:
    """Return a TCP port of the loopback that was free a moment ago."""
    return _free_port()


@pytest.fixture(scope="session")
def module_port_of() -> Callable[[], int]:
    """Return a maker of such ports, for servers that outlive a test."""
    return _free_port


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run `@pytest.mark.anyio` tests on asyncio, the loop that the product runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the TRIMTAB_* variables of whoever runs the tests from them."""
    for name in [name for name in os.environ if name.startswith("TRIMTAB_")]:
        monkeypatch.delenv(name)


def may_be_skipped(nodeid: str, reason: str, *, shared_there: bool) -> bool:
    """Return whether a whole run may leave this out: what is listed, and what needs an absent shared folder."""
    listed = nodeid.partition("[")[0] in MAY_SKIP
    return listed or (not shared_there and reason.removeprefix("Skipped: ") == NO_SHARED)


class _Suites:
    """Sum up the seconds of each suite, and refuse skips where they are not allowed."""

    def __init__(self, skips_allowed: bool) -> None:
        self.skips_allowed = skips_allowed
        self.seconds: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)
        self.refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        parts = Path(report.nodeid.partition("::")[0]).parts
        suite = "/".join(parts[1:2]) if len(parts) > 1 else parts[0]
        self.seconds[suite] += report.duration
        self.counts[suite] += report.when == "call"
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skipped(report)

    def _skipped(self, report: pytest.TestReport) -> None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self._refuse(report.nodeid, reason)

    def _refuse(self, nodeid: str, reason: str) -> None:
        if not may_be_skipped(nodeid, reason, shared_there=(ROOT.parent / "shared").is_dir()):
            self.refused.append(f"{nodeid}: {reason}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "no reason"
            self._refuse(report.nodeid, reason)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused and not self.skips_allowed and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        total = sum(self.seconds.values())
        terminalreporter.section("seconds by suite")
        for suite, seconds in sorted(self.seconds.items(), key=lambda pair: -pair[1]):
            share = seconds / total if total else 0.0
            terminalreporter.write_line(
                f"{seconds:8.1f} s  {share:4.0%}  {self.counts[suite]:5d} tests  {suite}"
            )
        if self.refused and not self.skips_allowed:
            terminalreporter.section("skipped, and may not be", red=True)
            for line in self.refused:
                terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    """Keep the account where the reports arrive: in the controller, when there are workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Suites(not JUDGED), "trimtab-suites")
