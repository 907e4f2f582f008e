"""The OpenStack actuator against the lab's VIM; and, where one runs, against a real Nova."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from actuators.openstack import OpenStack, _Migration, _Reference, _Seen
from actuators.openstack_errors import judge
from trimtab.domain.action import Operation
from trimtab.domain.policy import ActionKind
from trimtab.errors import ActuatorError
from trimtab.ports import SubmissionOutcome

pytestmark = pytest.mark.anyio

# The name of a cloud in clouds.yaml with at least two hypervisors and one ACTIVE server.
REAL_CLOUD = "ACTUATORS_TEST_OS_CLOUD"
AT = 1_700_000_000_000_000_000


def lab_settings(lab: Any) -> dict[str, Any]:
    vim = lab.state["vim"]
    auth = {name: value for name, value in vim.items() if name not in ("password", "region_name")}
    auth["password_env"] = "ACTUATORS_LAB_PASSWORD"
    return {"auth": auth, "region_name": vim["region_name"]}


@pytest.fixture
async def make(lab: Any, clock: Any) -> AsyncIterator[Callable[..., OpenStack]]:
    made = []

    def build(**settings: Any) -> OpenStack:
        config = OpenStack.Config.model_validate({**lab_settings(lab), **settings})
        made.append(OpenStack("vim", config, clock))
        return made[-1]

    yield build
    for actuator in made:
        await actuator.close()


async def test_a_live_migration_moves_the_server_and_is_found_again(
    lab: Any, make: Any, make_action: Any, end_of: Any
) -> None:
    vim = make()
    for _ in range(2):  # the second must not be taken for the first, just ended
        action = make_action(ActionKind.MIGRATE, native=lab.native("fw-0"))
        before = lab.labels("fw-0")["host"]
        submission = await vim.submit(action)
        assert submission.outcome is SubmissionOutcome.ACCEPTED, submission
        operation = await end_of(vim, action, submission.operation)
        assert operation.succeeded
        after = lab.labels("fw-0")["host"]
        assert after != before
        assert operation.detail == f"{before} -> {after}"
        found = await make(clock_skew_seconds=0.0).find(action, action.created_at_ns)
        assert found.operation is not None
        assert found.operation.reference.split("/")[:2] == operation.reference.split("/")[:2]


async def test_a_host_may_be_named_and_must_exist(
    lab: Any, make: Any, make_action: Any, end_of: Any
) -> None:
    vim = make()
    native = lab.native("rtr-0")
    here = lab.labels("rtr-0")["host"]
    there = next(host["name"] if isinstance(host, dict) else host for host in lab.state["hosts"]
                 if (host["name"] if isinstance(host, dict) else host) != here)  # fmt: skip
    nowhere = make_action(ActionKind.MIGRATE, "provider/vnfc/rtr-0", native, host="host-99")
    refused = await vim.submit(nowhere)
    assert refused.outcome is SubmissionOutcome.FAILED
    assert "host-99" in refused.detail
    named = make_action(ActionKind.MIGRATE, "provider/vnfc/rtr-0", native, host=there)
    submission = await vim.submit(named)
    assert (await end_of(vim, named, submission.operation)).succeeded
    assert lab.labels("rtr-0")["host"] == there
    assert (await vim.find(named, named.created_at_ns)).operation is not None
    other = make_action(ActionKind.MIGRATE, "provider/vnfc/rtr-0", native, host="host-99")
    assert (await vim.find(other, named.created_at_ns)).operation is None


async def test_a_migration_that_fails_is_reported_as_failed(
    lab: Any, make: Any, make_action: Any, end_of: Any
) -> None:
    await lab.inject("vim_migration_fails")
    vim = make()
    action = make_action(ActionKind.MIGRATE, native=lab.native("fw-0"))
    submission = await vim.submit(action)
    operation = await end_of(vim, action, submission.operation)
    assert operation.done
    assert not operation.succeeded


async def test_a_vim_that_refuses_may_be_asked_again(lab: Any, make: Any, make_action: Any) -> None:
    await lab.inject("vim_refuses")
    vim = make()
    action = make_action(ActionKind.MIGRATE, native=lab.native("fw-0"))
    submission = await vim.submit(action)
    assert submission.outcome is SubmissionOutcome.REFUSED
    found = await make(clock_skew_seconds=0.0).find(action, action.created_at_ns)
    assert found.asked
    assert found.operation is None


async def test_what_a_busy_server_refuses_leaves_no_migration(
    lab: Any, make: Any, make_action: Any, end_of: Any
) -> None:
    vim = make()
    native = lab.native("fw-0")
    earlier = {item.id for item in vim._look(native["vim"]).migrations}
    actions = [make_action(ActionKind.MIGRATE, native=native) for _ in range(3)]
    submissions = await asyncio.gather(*(vim.submit(action) for action in actions))
    taken = [s for s in submissions if s.outcome is SubmissionOutcome.ACCEPTED]
    refused = [s for s in submissions if s.outcome is SubmissionOutcome.REFUSED]
    assert taken
    assert len(taken) + len(refused) == len(actions)
    assert all("Conflict" in submission.detail for submission in refused)
    for submission in taken:
        assert (await end_of(vim, actions[0], submission.operation)).done
    assert len({item.id for item in vim._look(native["vim"]).migrations} - earlier) == len(taken)


async def test_a_server_that_is_gone_fails(make: Any, make_action: Any) -> None:
    action = make_action(ActionKind.MIGRATE, native={"vim": "00000000-0000-4000-8000-000000000000"})
    submission = await make().submit(action)
    assert submission.outcome is SubmissionOutcome.FAILED
    assert "could not be found" in submission.detail


async def test_a_wrong_password_fails_and_a_missing_one_waits(
    make: Any, lab: Any, make_action: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = make_action(ActionKind.MIGRATE, native=lab.native("fw-0"))
    monkeypatch.setenv("ACTUATORS_LAB_PASSWORD", "wrong")
    wrong = await make().submit(action)
    assert wrong.outcome is SubmissionOutcome.FAILED
    assert "401" in wrong.detail
    monkeypatch.delenv("ACTUATORS_LAB_PASSWORD")
    missing = await make().submit(action)
    assert missing.outcome is SubmissionOutcome.REFUSED
    assert "is empty" in missing.detail


# Without the lab


def seen(
    status: str = "ACTIVE", task: str | None = None, host: str = "h1", migrations: Any = ()
) -> _Seen:
    return _Seen(status, task, host, None if migrations is None else list(migrations), "hidden")


def a_migration(
    identifier: str, status: str, at_ns: int = AT, destination: str = "h2"
) -> _Migration:
    return _Migration(identifier, "live-migration", status, "h1", destination, at_ns)


@pytest.fixture
def blind(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[_Seen], OpenStack]:
    """Return an actuator that sees what the test says, without any cloud."""

    def build(what: _Seen) -> OpenStack:
        vim = OpenStack("vim", OpenStack.Config(cloud="nowhere"), clock)
        monkeypatch.setattr(vim, "_look", lambda server_id: what)
        return vim

    return build


@pytest.mark.parametrize(
    ("what", "reference", "done", "succeeded"),
    [
        (seen(migrations=None), _Reference("s", "", "h1", AT), False, False),
        (seen(host="h2", migrations=None), _Reference("s", "", "h1", AT), True, True),
        (seen(host="h2", task="migrating", migrations=None), _Reference("s", "", "h1", AT), False, False),
        (seen("ERROR", migrations=None), _Reference("s", "", "h1", AT), True, False),
        (seen(migrations=[a_migration("m", "running")]), _Reference("s", "", "h1", AT), False, False),
        (seen(migrations=[a_migration("m", "error")]), _Reference("s", "", "h1", AT), True, False),
        (seen(host="h2", migrations=[a_migration("m", "completed")]), _Reference("s", "m", "h1", AT), True, True),
        (seen(host="h1", migrations=[a_migration("m", "completed")]), _Reference("s", "m", "h1", AT), False, False),
        (seen(host="", migrations=[a_migration("m", "completed")]), _Reference("s", "m", "h1", AT), True, True),
        (seen(migrations=[a_migration("old", "completed", AT - 1)]), _Reference("s", "", "h1", AT), False, False),
    ],
)  # fmt: skip
async def test_how_a_migration_is_read(
    blind: Any, make_action: Any, what: _Seen, reference: _Reference, done: bool, succeeded: bool
) -> None:
    vim = blind(what)
    operation = await vim.poll(make_action(), Operation("vim", str(reference), "", False, False))
    assert (operation.done, operation.succeeded) == (done, succeeded)
    await vim.close()


async def test_a_migration_that_nova_forgot_is_no_success(blind: Any, make_action: Any) -> None:
    vim = blind(seen(host="h2"))
    reference = str(_Reference("s", "m", "h1", AT))
    with pytest.raises(ActuatorError, match="no longer lists"):
        await vim.poll(make_action(), Operation("vim", reference, "", False, False))
    await vim.close()


@pytest.mark.parametrize(
    ("migrations", "asked", "is_found"),
    [
        ([], True, False),
        (None, False, False),
        ([a_migration("m", "running")], True, True),
        ([a_migration("m", "running"), a_migration("n", "running")], True, False),
        ([a_migration("old", "completed", AT - 60_000_000_000)], True, False),
    ],
)
async def test_find_adopts_one_match_or_none(
    blind: Any, make_action: Any, migrations: Any, asked: bool, is_found: bool
) -> None:
    vim = blind(seen(migrations=migrations))
    found = await vim.find(make_action(native={"vim": "s"}), AT)
    assert (found.asked, found.operation is not None) == (asked, is_found)
    await vim.close()


def test_what_an_exception_says() -> None:
    refused = ConnectionRefusedError("no")
    wrapped = RuntimeError(type("NewConnectionError", (Exception,), {})("x"))
    wrapped.__cause__ = refused
    assert judge(wrapped).outcome is SubmissionOutcome.REFUSED
    assert judge(RuntimeError("aborted")).outcome is SubmissionOutcome.UNKNOWN
    busy = RuntimeError("busy")
    busy.http_status = 503
    busy.response = SimpleNamespace(headers={"Retry-After": "3"})
    assert judge(busy).retry_after_seconds == 3.0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "cloud": "a",
            "auth": {"auth_url": "u", "username": "n", "project_name": "p", "password_env": "E"},
        },
        {"auth": {"auth_url": "u", "username": "n", "project_name": "p"}},
        {
            "auth": {
                "auth_url": "u",
                "username": "n",
                "project_name": "p",
                "password": "in the clear",
            }
        },
    ],
)
def test_a_config_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OpenStack.Config.model_validate(settings)


# A real Nova


async def test_a_real_nova_migrates_a_server(clock: Any, make_action: Any, end_of: Any) -> None:
    cloud = os.environ.get(REAL_CLOUD)
    if not cloud:
        pytest.skip(
            f"no real OpenStack: run ../shared/oslab/install.sh and start.sh, then set {REAL_CLOUD}"
            " to its name in clouds.yaml"
        )
    import openstack

    with openstack.connect(cloud=cloud, app_name="trimtab-tests") as connection:
        server = next(item for item in connection.compute.servers() if item.status == "ACTIVE")
    vim = OpenStack("vim", OpenStack.Config(cloud=cloud), clock)
    action = make_action(ActionKind.MIGRATE, native={"vim": server.id})
    submission = await vim.submit(action)
    assert submission.outcome is SubmissionOutcome.ACCEPTED, submission
    operation = await end_of(vim, action, submission.operation, 120.0)
    assert operation.succeeded, operation
    found = await vim.find(action, action.created_at_ns)
    assert found.operation is not None
    await vim.close()
