"""The SOL003 actuator against the lab's VNFM: real HTTP, real processes behind it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from actuators.sol003 import Sol003
from trimtab.domain.policy import ActionKind
from trimtab.ports import SubmissionOutcome

pytestmark = pytest.mark.anyio


@pytest.fixture
async def make(lab: Any, clock: Any) -> AsyncIterator[Callable[..., Sol003]]:
    made = []

    def build(**settings: Any) -> Sol003:
        config = Sol003.Config(api_root=lab.state["vnfm_url"], **settings)
        made.append(Sol003("vnfm", config, clock))
        return made[-1]

    yield build
    for actuator in made:
        await actuator.close()


async def test_a_crashed_vnfc_is_healed_once_under_our_id(
    lab: Any, make: Any, make_action: Any, end_of: Any
) -> None:
    await lab.inject("crash", "fw-0")
    native = lab.native("fw-0")
    action = make_action(native=native, cause="process-gone")
    vnfm = make()
    submission = await vnfm.submit(action)
    assert submission.outcome is SubmissionOutcome.ACCEPTED, submission
    operation = await end_of(vnfm, action, submission.operation)
    assert (operation.state, operation.succeeded) == ("COMPLETED", True)
    [record] = lab.occurrences(action.id)
    assert record["operation"] == "HEAL"
    assert record["operationParams"]["vnfcInstanceId"] == [native["vnfm.vnfc"]]
    assert record["operationParams"]["cause"] == "process-gone"
    found = await vnfm.find(action, action.created_at_ns)
    assert found.operation == operation
    never = make_action(native=native)
    assert (await vnfm.find(never, never.created_at_ns)).operation is None


async def test_the_vnf_of_a_vnfc_is_looked_up_where_the_inventory_does_not_know_it(
    lab: Any, make: Any, make_action: Any, end_of: Any
) -> None:
    native = lab.native("rtr-0")
    vnf_id = native.pop("vnfm")
    action = make_action(target="provider/vnfc/rtr-0", native=native)
    vnfm = make()
    submission = await vnfm.submit(action)
    assert (await end_of(vnfm, action, submission.operation)).succeeded
    assert [item["vnfInstanceId"] for item in lab.occurrences(action.id)] == [vnf_id]
    # The heal has made a new VNFC of another id; what healed the old one is found all the same.
    assert lab.native("rtr-0")["vnfm.vnfc"] != native["vnfm.vnfc"]
    found = await vnfm.find(action, action.created_at_ns)
    assert found.operation is not None
    assert found.operation.succeeded


async def test_scaling_stops_at_the_vnfs_limits(
    lab: Any, make: Any, make_action: Any, end_of: Any
) -> None:
    vnf_id = lab.native("fw-0")["vnfm"]
    vnfm = make()

    def scale(kind: ActionKind, **parameters: str) -> Any:
        return make_action(kind, "provider/vnf/fw", {"vnfm": vnf_id}, **parameters)

    grow = scale(ActionKind.SCALE_OUT, steps="99")
    submission = await vnfm.submit(grow)
    assert (await end_of(vnfm, grow, submission.operation)).succeeded
    level = lab.scale_level(vnf_id)
    assert level > 0
    assert lab.occurrences(grow.id)[0]["operationParams"]["numberOfSteps"] == level
    assert (await vnfm.find(grow, grow.created_at_ns)).operation is not None
    more = await vnfm.submit(scale(ActionKind.SCALE_OUT))
    assert more.outcome is SubmissionOutcome.FAILED
    assert more.detail == f"aspect capacity is at level {level} already, its limit"
    shrink = scale(ActionKind.SCALE_IN, aspect="capacity", steps=str(level))
    submission = await vnfm.submit(shrink)
    assert (await end_of(vnfm, shrink, submission.operation)).succeeded
    assert lab.scale_level(vnf_id) == 0
    less = await vnfm.submit(scale(ActionKind.SCALE_IN))
    assert less.outcome is SubmissionOutcome.FAILED
    assert not [
        item for item in lab.occurrences() if item["operationParams"].get("numberOfSteps") == 99
    ]


@pytest.mark.parametrize(
    ("policy", "state", "locked"),
    [("rollback", "ROLLED_BACK", False), ("fail", "FAILED", False), ("leave", "FAILED_TEMP", True)],
)
async def test_a_failed_operation_does_not_lock_the_vnf_unless_so_configured(
    lab: Any, make: Any, make_action: Any, end_of: Any, policy: str, state: str, locked: bool
) -> None:
    await lab.inject("vnfm_operation_fails", "fw")
    vnfm = make(on_failed_temp=policy)
    action = make_action(native=lab.native("fw-0"))
    submission = await vnfm.submit(action)
    operation = await end_of(vnfm, action, submission.operation)
    assert (operation.state, operation.succeeded) == (state, False)
    assert ("stays locked" in operation.detail) == locked
    if not locked:
        assert f"after FAILED_TEMP: {policy} taken" in operation.detail
    second = await vnfm.submit(make_action(native=lab.native("fw-0")))
    assert (second.outcome is SubmissionOutcome.REFUSED) == locked, second
    assert locked == ("409" in second.detail)


async def test_an_overloaded_vnfm_says_when_to_come_back(
    lab: Any, make: Any, make_action: Any
) -> None:
    await lab.inject("vnfm_refuses", status=503, retry_after_seconds=4)
    action = make_action(native=lab.native("fw-0"))
    submission = await make().submit(action)
    assert submission.outcome is SubmissionOutcome.REFUSED
    assert submission.retry_after_seconds == 4.0
    assert lab.occurrences(action.id) == []


async def test_an_operation_whose_answer_was_lost_is_found_and_not_sent_again(
    lab: Any, make: Any, make_action: Any, end_of: Any
) -> None:
    await lab.inject("vnfm_loses_answers")
    action = make_action(native=lab.native("fw-0"))
    for seconds in (
        0.5,
        3.0,
        12.0,
    ):  # a busy machine may need that long for what comes before the task
        submission = await make(timeout_seconds=seconds).submit(action)
        if submission.outcome is not SubmissionOutcome.REFUSED:
            break
    assert submission.outcome is SubmissionOutcome.UNKNOWN
    vnfm = make()
    found = await vnfm.find(action, action.created_at_ns)
    assert found.detail == "echoes our id"
    assert (await end_of(vnfm, action, found.operation)).succeeded
    assert len(lab.occurrences(action.id)) == 1


async def test_a_vnfm_that_answers_garbage_is_not_asked_to_act(
    lab: Any, make: Any, make_action: Any
) -> None:
    action = make_action(native=lab.native("fw-0"))
    await lab.inject("vnfm_garbage")
    vnfm = make()
    submission = await vnfm.submit(action)
    assert submission.outcome is SubmissionOutcome.REFUSED
    assert "without JSON" in submission.detail
    assert not (await vnfm.find(action, action.created_at_ns)).asked


async def test_a_busy_vnf_refuses_a_second_task(lab: Any, make: Any, make_action: Any) -> None:
    await lab.inject("vnfm_operation_hangs", "fw")
    vnfm = make()
    first = make_action(native=lab.native("fw-0"))
    taken = await vnfm.submit(first)
    assert taken.operation is not None
    second = await vnfm.submit(make_action(native=lab.native("fw-0")))
    assert second.outcome is SubmissionOutcome.REFUSED
    assert "409" in second.detail
    assert not (await vnfm.poll(first, taken.operation)).done
    found = await vnfm.find(first, first.created_at_ns)
    assert found.operation is not None
    assert not found.operation.done
