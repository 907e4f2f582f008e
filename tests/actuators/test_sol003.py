"""The SOL003 actuator against a scripted VNFM: what the lab's does not do, Tacker's ways, and hostile details."""

import base64
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from actuators.exchange import Reply
from actuators.sol003 import POLLS_AFTER_UNLOCK, Sol003
from actuators.sol003_match import Wanted, match_occurrence, started_ns
from trimtab.domain.action import Operation
from trimtab.domain.policy import ActionKind
from trimtab.domain.time import rfc3339
from trimtab.errors import ActuatorError
from trimtab.ports import SubmissionOutcome

pytestmark = pytest.mark.anyio

VNF, VNFC = "vnf-1", "vnfc-1"
INSTANCE = f"/vnflcm/v2/vnf_instances/{VNF}"
OCCURRENCES = "/vnflcm/v2/vnf_lcm_op_occs"
LINKS = {name: {"href": "x"} for name in ("heal", "scale")}
NATIVE = {"vnfm": VNF, "vnfm.vnfc": VNFC}


def instance(**more: Any) -> dict[str, Any]:
    return {"id": VNF, "instantiationState": "INSTANTIATED", "_links": LINKS, **more}


def scalable(level: Any, maximum: Any = None, name: str = "scaleLevel") -> dict[str, Any]:
    info: dict[str, Any] = {"scaleStatus": [{"aspectId": "workers", name: level}]}
    if maximum is not None:
        info["maxScaleLevels"] = [{"aspectId": "workers", name: maximum}]
    return instance(instantiatedVnfInfo=info)


@pytest.fixture
async def make(scripted: Any, clock: Any) -> AsyncIterator[Callable[..., Sol003]]:
    made = []

    def build(**settings: Any) -> Sol003:
        config = Sol003.Config(api_root=scripted.url, timeout_seconds=5.0, **settings)
        made.append(Sol003("vnfm", config, clock))
        return made[-1]

    yield build
    for actuator in made:
        await actuator.close()


async def test_the_request_is_what_the_standard_asks_for(
    scripted: Any, make: Any, make_action: Any
) -> None:
    scripted.on("GET", INSTANCE, 200, instance())
    scripted.on("POST", f"{INSTANCE}/heal", 202, Location=f"{OCCURRENCES}/op-1")
    action = make_action(native=NATIVE)
    submission = await make().submit(action)
    assert submission.operation == Operation(
        "vnfm", f"{scripted.url}{OCCURRENCES}/op-1", "STARTING", False, False
    )
    get, post = scripted.asked
    assert post.json == {
        "cause": "incident-1",
        "vnfcInstanceId": [VNFC],
        "additionalParams": {"trimtabActionId": action.id},
    }
    for asked in (get, post):
        assert asked.headers["version"] == "2.3.0"
        assert asked.headers["accept"] == "application/json"
        assert "authorization" not in asked.headers
    assert post.headers["content-type"] == "application/json"


async def test_a_whole_vnf_is_healed_without_naming_a_vnfc(
    scripted: Any, make: Any, make_action: Any
) -> None:
    scripted.on("GET", INSTANCE, 200, instance())
    scripted.on("POST", f"{INSTANCE}/heal", 202, Location="/x/op-1")
    await make().submit(make_action(target="provider/vnf/fw", native=NATIVE))
    assert "vnfcInstanceId" not in scripted.posts()[0].json


@pytest.mark.parametrize(
    ("location", "reference"),
    [
        ("{own}/vnflcm/v2/vnf_lcm_op_occs/7", "{own}/vnflcm/v2/vnf_lcm_op_occs/7"),
        ("/vnflcm/v2/vnf_lcm_op_occs/7", "{own}/vnflcm/v2/vnf_lcm_op_occs/7"),
        ("vnf_lcm_op_occs/7", "{own}/vnflcm/v2/vnf_lcm_op_occs/7"),
        (
            "http://inside.invalid:1/vnflcm/v2/vnf_lcm_op_occs/7",
            "{own}/vnflcm/v2/vnf_lcm_op_occs/7",
        ),
    ],
)
async def test_our_credentials_go_only_to_the_vnfm_that_we_know(
    scripted: Any, make: Any, make_action: Any, location: str, reference: str
) -> None:
    scripted.on("GET", INSTANCE, 200, instance())
    scripted.on("POST", f"{INSTANCE}/heal", 202, Location=location.format(own=scripted.url))
    submission = await make().submit(make_action(native=NATIVE))
    assert submission.operation.reference == reference.format(own=scripted.url)


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (202, {}, SubmissionOutcome.UNKNOWN),  # taken, but as what?
        (200, {}, SubmissionOutcome.UNKNOWN),
        (307, {"Location": "/elsewhere"}, SubmissionOutcome.FAILED),
        (408, {}, SubmissionOutcome.UNKNOWN),
        (413, {"Retry_After": "1"}, SubmissionOutcome.REFUSED),
        (501, {}, SubmissionOutcome.FAILED),
    ],
)
async def test_odd_answers_to_a_task(
    scripted: Any, make: Any, make_action: Any, status: int, headers: dict[str, str], outcome: Any
) -> None:
    scripted.on("GET", INSTANCE, 200, instance())
    scripted.on("POST", f"{INSTANCE}/heal", status, {"detail": "so there"}, **headers)
    submission = await make().submit(make_action(native=NATIVE))
    assert submission.outcome is outcome
    assert f"{status}: so there" in submission.detail
    assert len(scripted.posts()) == 1


async def test_a_busy_vnfm_is_busy_before_the_task_too(
    scripted: Any, make: Any, make_action: Any
) -> None:
    scripted.on("GET", INSTANCE, 503, Retry_After="9")
    submission = await make().submit(make_action(native=NATIVE))
    assert submission.outcome is SubmissionOutcome.REFUSED
    assert submission.retry_after_seconds == 9.0


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        (instance(_links={"self": {}}), ActionKind.HEAL, "offers no heal now"),
        (instance(), ActionKind.MIGRATE, "SOL003 has no migrate"),
        (instance(), ActionKind.SCALE_OUT, "say which aspect to scale: the VNF has []"),
        (scalable(3, 3), ActionKind.SCALE_OUT, "is at level 3 already"),
        (scalable("3", "3", "scaleToLevel"), ActionKind.SCALE_OUT, "is at level 3 already"),
        (scalable(0), ActionKind.SCALE_IN, "is at level 0 already"),
    ],
)
async def test_what_can_not_be_done_is_not_asked_for(
    scripted: Any, make: Any, make_action: Any, body: Any, kind: ActionKind, detail: str
) -> None:
    scripted.on("GET", INSTANCE, 200, body)
    submission = await make().submit(make_action(kind, "provider/vnf/fw", NATIVE))
    assert submission.outcome is SubmissionOutcome.FAILED
    assert detail in submission.detail
    assert scripted.posts() == []


@pytest.mark.parametrize(
    ("target", "native", "detail"),
    [
        ("provider/vnf/fw", {}, "has no alias vnfm"),
        ("provider/vnfc/fw-0", {"vnfm": VNF}, "has no alias vnfm.vnfc"),
        ("nonsense", NATIVE, "is not of the form"),
    ],
)
async def test_a_target_that_the_inventory_does_not_know_is_never_guessed(
    scripted: Any, make: Any, make_action: Any, target: str, native: dict[str, str], detail: str
) -> None:
    submission = await make().submit(make_action(target=target, native=native))
    assert submission.outcome is SubmissionOutcome.FAILED
    assert detail in submission.detail
    assert scripted.asked == []


async def test_without_known_limits_the_vnfm_is_the_judge(
    scripted: Any, make: Any, make_action: Any
) -> None:
    scripted.on("GET", INSTANCE, 200, scalable(1))
    scripted.on("POST", f"{INSTANCE}/scale", 202, Location="/x/op-1")
    await make().submit(make_action(ActionKind.SCALE_OUT, "provider/vnf/fw", NATIVE, steps="2"))
    body = scripted.posts()[0].json
    assert (body["type"], body["aspectId"], body["numberOfSteps"]) == ("SCALE_OUT", "workers", 2)


# Secrets


async def test_a_bearer_token_is_read_anew_each_time(
    scripted: Any, make: Any, make_action: Any, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    vnfm = make(credentials={"kind": "bearer", "secret_file": str(token)})
    refused = await vnfm.submit(make_action(native=NATIVE))
    assert refused.outcome is SubmissionOutcome.REFUSED
    assert scripted.asked == []
    for secret in ("first", "second"):
        token.write_text(f"{secret}\n")
        await vnfm.submit(make_action(native=NATIVE))
        assert scripted.asked[-1].headers["authorization"] == f"Bearer {secret}"


async def test_basic_credentials_from_the_environment(
    scripted: Any, make: Any, make_action: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VNFM_PASSWORD", "s3:cret")
    vnfm = make(credentials={"kind": "basic", "username": "tt", "secret_env": "VNFM_PASSWORD"})
    await vnfm.submit(make_action(native=NATIVE))
    scheme, _, value = scripted.asked[0].headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(value)) == ("Basic", b"tt:s3:cret")


@pytest.mark.parametrize(
    "settings",
    [
        {"credentials": {"kind": "bearer"}},
        {"credentials": {"kind": "bearer", "secret_file": "a", "secret_env": "b"}},
        {"credentials": {"kind": "basic", "secret_file": "a"}},
        {"credentials": {"secret_file": "a"}},
        {"credentials": {"kind": "bearer", "secret_file": "a", "password": "in the clear"}},
        {"api_root": "ftp://vnfm"},
        {"api_root": "vnfm:8080"},
        {"version": "two"},
        {"on_failed_temp": "retry"},
        {"timeout_seconds": 0.0},
        {"timeout_seconds": float("nan")},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Sol003.Config.model_validate({"api_root": "http://vnfm", **settings})


# FAILED_TEMP


def occurrence(state: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "op-1", "operationState": state, "operation": "HEAL", "vnfInstanceId": VNF,
        "startTime": rfc3339(4_000_000_000_000_000_000), **more,
    }  # fmt: skip


ALL_TASKS = {"_links": {name: {"href": "x"} for name in ("retry", "rollback", "fail")}}


async def polled(vnfm: Sol003, action: Any, reference: str, times: int = 30) -> Operation:
    operation = Operation("vnfm", reference, "STARTING", False, False)
    for _ in range(times):
        operation = await vnfm.poll(action, operation)
        if operation.done:
            return operation
    raise AssertionError(f"not over after {times} polls: {operation}")


async def test_a_rollback_that_fails_again_is_followed_by_fail(
    scripted: Any, make: Any, make_action: Any
) -> None:
    path = f"{OCCURRENCES}/op-1"
    stuck = occurrence("FAILED_TEMP", error={"detail": "no room"}, **ALL_TASKS)
    for state in (stuck, occurrence("ROLLING_BACK"), *[stuck] * (POLLS_AFTER_UNLOCK + 1)):
        scripted.on("GET", path, 200, state)
    scripted.on("GET", path, 200, occurrence("FAILED"))
    scripted.on("POST", f"{path}/rollback", 202).on("POST", f"{path}/fail", 200, {})
    operation = await polled(make(), make_action(native=NATIVE), scripted.url + path)
    assert (operation.state, operation.succeeded) == ("FAILED", False)
    assert [asked.path.rpartition("/")[2] for asked in scripted.posts()] == ["rollback", "fail"]
    assert operation.detail == "after FAILED_TEMP: rollback taken, fail taken"


async def test_a_vnf_that_can_not_be_unlocked_is_reported_as_locked(
    scripted: Any, make: Any, make_action: Any
) -> None:
    path = f"{OCCURRENCES}/op-1"
    scripted.on(
        "GET", path, 200, occurrence("FAILED_TEMP", error={"detail": "no room"}, **ALL_TASKS)
    )
    scripted.on("POST", f"{path}/rollback", 409, {"detail": "not now"})
    scripted.on("POST", f"{path}/fail", 404, {"detail": "no such task"})
    operation = await polled(make(), make_action(native=NATIVE), scripted.url + path)
    assert (operation.state, operation.succeeded) == ("FAILED_TEMP", False)
    assert operation.detail == (
        "no room; after FAILED_TEMP: rollback 409: not now, fail 404: no such task;"
        " the VNF stays locked until people end it"
    )
    assert len(scripted.posts()) == 2


async def test_a_task_that_the_occurrence_does_not_offer_is_not_tried(
    scripted: Any, make: Any, make_action: Any
) -> None:
    path = f"{OCCURRENCES}/op-1"
    offers = {"_links": {"self": {}, "fail": {}}}
    scripted.on("GET", path, 200, occurrence("FAILED_TEMP", **offers))
    scripted.on("GET", path, 200, occurrence("FAILED"))
    scripted.on("POST", f"{path}/fail", 200, {})
    operation = await polled(make(), make_action(native=NATIVE), scripted.url + path)
    assert operation.detail == "after FAILED_TEMP: fail taken"


async def test_a_state_that_is_none_of_the_standards_is_not_believed(
    scripted: Any, make: Any, make_action: Any
) -> None:
    path = f"{OCCURRENCES}/op-1"
    scripted.on("GET", path, 200, {"operationState": "MAYBE"}).on("GET", path, 404)
    vnfm, action = make(), make_action(native=NATIVE)
    operation = Operation("vnfm", scripted.url + path, "STARTING", False, False)
    with pytest.raises(ActuatorError, match="in no state of SOL003: 'MAYBE'"):
        await vnfm.poll(action, operation)
    with pytest.raises(ActuatorError, match="404"):
        await vnfm.poll(action, operation)


# find


def heal_record(identifier: str, at_ns: int, **parameters: Any) -> dict[str, Any]:
    return {
        "id": identifier, "operationState": "COMPLETED", "operation": "HEAL", "vnfInstanceId": VNF,
        "startTime": rfc3339(at_ns), "isAutomaticInvocation": False,
        "operationParams": {"vnfcInstanceId": [VNFC], **parameters},
    }  # fmt: skip


async def test_find_reads_every_page_and_asks_for_the_vnf_only(
    scripted: Any, make: Any, make_action: Any
) -> None:
    action = make_action(native=NATIVE)
    at = action.created_at_ns
    old = heal_record("old", at - 60_000_000_000, additionalParams={"trimtabActionId": action.id})
    ours = heal_record("ours", at, additionalParams={"trimtabActionId": action.id})
    first = f"{OCCURRENCES}?filter=(eq,vnfInstanceId,{VNF})&all_fields"
    page_two = f"{OCCURRENCES}?nextpage_opaque_marker=2"
    scripted.on("GET", first, 200, [old], Link=f'<{scripted.url}{page_two}>; rel="next"')
    scripted.on("GET", page_two, 200, [ours])
    found = await make().find(action, at)
    assert found.operation == Operation(
        "vnfm", f"{scripted.url}{OCCURRENCES}/ours", "COMPLETED", True, True
    )


async def test_find_follows_no_page_to_another_server(
    scripted: Any, make: Any, make_action: Any
) -> None:
    scripted.on("GET", OCCURRENCES, 200, [], Link='<http://127.0.0.1:1/x>; rel="next"')
    found = await make().find(make_action(native=NATIVE), 0)
    assert not found.asked
    assert "not on the VNFM" in found.detail


async def test_find_gives_up_on_pages_without_end(
    scripted: Any, make: Any, make_action: Any
) -> None:
    scripted.on("GET", OCCURRENCES, 200, [], Link=f'<{OCCURRENCES}>; rel="next"')
    found = await make().find(make_action(native=NATIVE), 0)
    assert not found.asked
    assert "more than 50 pages" in found.detail


async def test_find_reads_one_by_one_what_a_list_leaves_out(
    scripted: Any, make: Any, make_action: Any
) -> None:
    action = make_action(native=NATIVE)
    whole = heal_record(
        "op-7", action.created_at_ns, additionalParams={"trimtabActionId": action.id}
    )
    short = {name: value for name, value in whole.items() if name != "operationParams"}
    scripted.on("GET", OCCURRENCES, 200, [short]).on("GET", f"{OCCURRENCES}/op-7", 200, whole)
    found = await make().find(action, action.created_at_ns)
    assert found.operation is not None
    assert found.operation.reference.endswith("/op-7")


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_a_vnfm_that_does_not_answer_the_question_was_not_asked(
    scripted: Any, make: Any, make_action: Any, status: int
) -> None:
    scripted.on("GET", OCCURRENCES, status)
    found = await make().find(make_action(native=NATIVE), 0)
    assert not found.asked
    assert str(status) in found.detail


HEAL = Wanted("act-1", VNF, "HEAL", "", "", 1, VNFC)
SCALE = Wanted("act-1", VNF, "SCALE", "SCALE_OUT", "", 3, None)
OTHERS = {"additionalParams": {"trimtabActionId": "act-2"}}
OURS = {"additionalParams": {"trimtabActionId": "act-1"}}


def scale_record(identifier: str, **parameters: Any) -> dict[str, Any]:
    given = {"type": "SCALE_OUT", "aspectId": "workers", "numberOfSteps": 2, **parameters}
    return {**heal_record(identifier, 5), "operation": "SCALE", "operationParams": given}


@pytest.mark.parametrize(
    ("records", "wanted", "taken", "why"),
    [
        ([heal_record("a", 5)], HEAL, "a", "operation and parameters"),
        ([heal_record("a", 5), heal_record("b", 6, **OURS)], HEAL, "b", "echoes our id"),
        ([heal_record("b", 6, **OURS), heal_record("c", 7, **OURS)], HEAL, "b", "2 occurrences echo it"),
        ([heal_record("a", 5), heal_record("b", 6)], HEAL, None, "ambiguous: 2 occurrences"),
        ([heal_record("a", 5, **OTHERS)], HEAL, None, "none of 1"),
        ([heal_record("a", 5, additionalParams={"all": True})], HEAL, None, "none of 1"),
        ([heal_record("a", 5, vnfcInstanceId=["vnfc-2"])], HEAL, None, "none of 1"),
        ([heal_record("a", 5, vnfcInstanceId=None)], HEAL, None, "none of 1"),
        ([{**heal_record("a", 5), "isAutomaticInvocation": True}], HEAL, None, "none of 1"),
        ([{**heal_record("a", 5), "operation": "SCALE"}], HEAL, None, "none of 1"),
        ([{**heal_record("a", 5), "operationParams": "garbage"}], HEAL, None, "none of 1"),
        ([{**heal_record("a", 5), "vnfInstanceId": "vnf-2"}], HEAL, None, "none of 1"),
        ([scale_record("a")], SCALE, "a", "operation and parameters"),
        ([scale_record("a", numberOfSteps=4)], SCALE, None, "none of 1"),
        ([scale_record("a", type="SCALE_IN")], SCALE, None, "none of 1"),
        ([scale_record("a", **OURS, numberOfSteps=1)], SCALE, "a", "echoes our id"),
    ],
)  # fmt: skip
def test_which_occurrence_is_ours(
    records: list[dict[str, Any]], wanted: Wanted, taken: str | None, why: str
) -> None:
    found, detail = match_occurrence(records, wanted)
    assert (found and found["id"]) == taken
    assert why in detail


def test_an_unreadable_start_time_counts_as_now() -> None:
    assert started_ns({"startTime": "yesterday"}) > 4_000_000_000_000_000_000
    assert started_ns({"startTime": "2026-01-01T00:00:00Z"}) == 1_767_225_600_000_000_000


# Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("99999999999", 3600.0),
        ("soon", None),
        ("", None),
        ("-3", None),
        ("²", None),
    ],
)
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    assert Reply(503, {"retry-after": text}, b"", "u").retry_after_seconds(0) == seconds


def test_retry_after_as_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    later = now + timedelta(seconds=90)
    for moment, seconds in ((later, 90.0), (now - timedelta(seconds=90), 0.0)):
        text = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
        reply = Reply(503, {"retry-after": text}, b"", "u")
        assert reply.retry_after_seconds(int(now.timestamp()) * 1_000_000_000) == seconds
