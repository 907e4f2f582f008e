"""The VNFM's contract: ETSI SOL003 vnflcm v2, validated against the published OpenAPI file where that is sound."""

import http.server
import json
import threading
from typing import Any

import httpx2
import pytest
from openapi_schema_validator import OAS30Validator

pytestmark = pytest.mark.alone

SCALE_OUT = {"type": "SCALE_OUT", "aspectId": "capacity", "numberOfSteps": 1}
PROBLEM = "application/problem+json"


def _problem(answer: httpx2.Response, status: int) -> str:
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(PROBLEM)
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    return str(body["detail"])


def _schema(sol003: dict[str, Any], response: str) -> dict[str, Any]:
    schema = dict(
        sol003["components"]["responses"][response]["content"]["application/json"]["schema"]
    )
    # A published defect: it demands exactly one of two attributes that an ordinary occurrence has neither of.
    schema.pop("oneOf", None)
    return schema


def _validate(sol003: dict[str, Any], response: str, document: Any) -> None:
    errors = [e.message for e in OAS30Validator(_schema(sol003, response)).iter_errors(document)]
    assert errors == []


def test_instances_have_the_published_shape(lab, sol003):
    listed = lab.vnfm.get("/vnf_instances").json()
    _validate(sol003, "VNFInstances.Get.200", listed)
    assert {i["vnfInstanceName"] for i in listed} == {"cpe-acme", "cpe-globex", "fw", "rtr"}
    one = lab.instance("fw")
    _validate(sol003, "IndividualVnfInstance.Get.200", one)
    server = one["instantiatedVnfInfo"]["vnfcResourceInfo"][0]["computeResource"]["resourceId"]
    assert server == lab.vnfc("fw-0")["server_id"]


def test_an_operation_is_accepted_with_an_empty_body_and_goes_through_its_states(lab, sol003):
    params = {"cause": "test", "additionalParams": {"trimtab_action_id": "action-1"}}
    accepted = lab.operate("fw", "heal", params)
    assert accepted.status_code == 202
    assert accepted.content == b""
    location = accepted.headers["Location"]
    first = lab.vnfm.get(location).json()
    _validate(sol003, "IndividualVnfLcmOpOcc.Get.200", first)
    assert first["operationState"] in ("STARTING", "PROCESSING")
    assert first["operationParams"] == params, "what was asked for is echoed, our own id included"
    done = lab.settled(location)
    _validate(sol003, "IndividualVnfLcmOpOcc.Get.200", done)
    assert done["operationState"] == "COMPLETED"
    kinds = [v["changeType"] for v in done["resourceChanges"]["affectedVnfcs"]]
    assert kinds == ["REMOVED", "ADDED"]


def test_while_an_operation_runs_another_is_refused(lab):
    accepted = lab.operate("rtr", "heal", {})
    assert "in state" in _problem(lab.operate("rtr", "heal", {}), 409)
    other = lab.operate("cpe-globex", "heal", {})
    assert other.status_code == 202, "another VNF is not locked"
    lab.occurrence(accepted)
    lab.occurrence(other)


def test_a_failed_operation_locks_the_vnf_until_it_is_retried(lab):
    lab.inject("vnfm_operation_fails", "fw")
    failed = lab.occurrence(lab.operate("fw", "heal", {}))
    assert failed["operationState"] == "FAILED_TEMP"
    assert failed["error"]["detail"]
    assert {"retry", "rollback", "fail"} <= failed["_links"].keys()
    _problem(lab.operate("fw", "heal", {}), 409)
    again = lab.vnfm.post(failed["_links"]["retry"]["href"])
    assert again.status_code == 202
    assert lab.settled(failed["_links"]["self"]["href"])["operationState"] == "FAILED_TEMP"
    lab.clear_all()
    lab.vnfm.post(failed["_links"]["retry"]["href"])
    done = lab.settled(failed["_links"]["self"]["href"])
    assert done["operationState"] == "COMPLETED"
    assert "error" not in done
    _problem(lab.vnfm.post(failed["_links"]["retry"]["href"]), 409)


def test_a_failed_operation_can_be_rolled_back_or_failed(lab, sol003):
    lab.inject("vnfm_operation_fails", "cpe-acme")
    failed = lab.occurrence(lab.operate("cpe-acme", "scale", SCALE_OUT))
    assert lab.vnfm.post(failed["_links"]["rollback"]["href"]).status_code == 202
    assert lab.settled(failed["_links"]["self"]["href"])["operationState"] == "ROLLED_BACK"
    failed = lab.occurrence(lab.operate("cpe-acme", "scale", SCALE_OUT))
    ended = lab.vnfm.post(failed["_links"]["fail"]["href"])
    assert ended.status_code == 200
    _validate(sol003, "FailVnfLcmOpOcc.Post.200", ended.json())
    assert ended.json()["operationState"] == "FAILED"
    lab.clear_all()
    assert lab.occurrence(lab.operate("cpe-acme", "heal", {}))["operationState"] == "COMPLETED"


def test_a_hanging_operation_can_be_cancelled(lab):
    lab.inject("vnfm_operation_hangs", "rtr")
    location = lab.operate("rtr", "heal", {}).headers["Location"]
    lab.eventually(lambda: lab.vnfm.get(location).json()["operationState"] == "PROCESSING")
    cancelled = lab.vnfm.post(location + "/cancel", json={"cancelMode": "FORCEFUL"})
    assert cancelled.status_code == 202
    assert lab.settled(location)["operationState"] == "FAILED_TEMP"


def test_an_operation_can_claim_success_and_do_nothing(lab):
    before = lab.vnfc("fw-0")
    lab.inject("crash", "fw-0")
    lab.inject("vnfm_operation_useless", "fw")
    assert lab.occurrence(lab.operate("fw", "heal", {}))["operationState"] == "COMPLETED"
    assert lab.vnfc("fw-0") == before
    assert lab.probe().answered == 0


def test_an_overloaded_vnfm_says_when_to_come_back_and_records_nothing(lab):
    known = len(lab.vnfm.get("/vnf_lcm_op_occs").json())
    lab.inject("vnfm_refuses", status=503, retry_after_seconds=7)
    refused = lab.operate("fw", "heal", {})
    _problem(refused, 503)
    assert refused.headers["Retry-After"] == "7"
    lab.clear_all()
    lab.inject("vnfm_refuses", status=409)
    _problem(lab.operate("fw", "heal", {}), 409)
    assert len(lab.vnfm.get("/vnf_lcm_op_occs").json()) == known


def test_garbage_is_no_json(lab):
    lab.inject("vnfm_garbage")
    with pytest.raises(ValueError):
        lab.vnfm.get("/vnf_lcm_op_occs").json()


def test_an_answer_can_be_lost_after_the_operation_was_accepted(lab):
    lab.inject("vnfm_loses_answers")
    instance = lab.instance("fw")["id"]
    url = f"/vnf_instances/{instance}/heal"
    with pytest.raises(httpx2.ReadTimeout):
        lab.vnfm.post(url, json={"additionalParams": {"trimtab_action_id": "lost"}}, timeout=0.5)
    found = lab.vnfm.get(
        "/vnf_lcm_op_occs", params={"filter": f"(eq,vnfInstanceId,{instance})"}
    ).json()
    assert found[-1]["operationParams"]["additionalParams"]["trimtab_action_id"] == "lost"
    lab.settled(found[-1]["_links"]["self"]["href"])


def test_occurrences_are_listed_filtered_and_never_forgotten(lab, sol003):
    for vnf in ("fw", "rtr"):
        lab.occurrence(lab.operate(vnf, "heal", {}))
    everything = lab.vnfm.get("/vnf_lcm_op_occs").json()
    for occurrence in everything:
        _validate(sol003, "IndividualVnfLcmOpOcc.Get.200", occurrence)
    instance = lab.instance("fw")["id"]
    for term in ("(eq,operationState,COMPLETED)", "(in,operationState,COMPLETED,FAILED)"):
        query = {"filter": f"(eq,vnfInstanceId,{instance});{term}"}
        some = lab.vnfm.get("/vnf_lcm_op_occs", params=query).json()
        assert some
        assert {o["vnfInstanceId"] for o in some} == {instance}
        assert len(some) < len(everything)
    later = {"filter": f"(gt,startTime,{everything[-2]['startTime']})"}
    assert [o["id"] for o in lab.vnfm.get("/vnf_lcm_op_occs", params=later).json()] == [
        everything[-1]["id"]
    ]
    _problem(lab.vnfm.get("/vnf_lcm_op_occs", params={"filter": "(sounds,like,x)"}), 400)


def test_what_is_wrong_gets_problem_details(lab):
    instance = lab.instance("fw")["id"]
    _problem(lab.vnfm.get("/vnf_instances/none"), 404)
    _problem(lab.vnfm.get("/vnf_lcm_op_occs/none"), 404)
    _problem(lab.vnfm.get("/nothing_here"), 404)
    _problem(lab.vnfm.delete("/vnf_instances"), 405)
    _problem(lab.operate("fw", "scale", {**SCALE_OUT, "aspectId": "size"}), 400)
    assert "out of range" in _problem(
        lab.operate("fw", "scale", {**SCALE_OUT, "numberOfSteps": 9}), 400
    )
    _problem(lab.operate("fw", "scale", {**SCALE_OUT, "type": "SCALE_IN"}), 400)
    _problem(lab.operate("fw", "scale", {"type": "SIDEWAYS"}), 400)
    _problem(lab.operate("fw", "heal", {"vnfcInstanceId": ["stranger"]}), 400)
    _problem(lab.vnfm.post(f"/vnf_instances/{instance}/heal", content=b"{"), 400)


def test_the_version_header_is_required(lab):
    url = lab.state["vnfm_url"] + "/vnflcm/v2/vnf_instances"
    with httpx2.Client(trust_env=False) as client:
        assert "missing" in _problem(client.get(url), 400)
        assert "2.3.0" in _problem(client.get(url, headers={"Version": "9.9.9"}), 406)
        assert client.get(url, headers={"Version": "2.0.0"}).status_code == 200
        versions = client.get(lab.state["vnfm_url"] + "/vnflcm/api_versions").json()
    assert versions["apiVersions"][0]["version"] == "2.3.0"


def test_a_vnf_is_stopped_and_started(lab):
    stopped = lab.occurrence(lab.operate("cpe-globex", "operate", {"changeStateTo": "STOPPED"}))
    assert stopped["operationState"] == "COMPLETED"
    assert lab.instance("cpe-globex")["instantiatedVnfInfo"]["vnfState"] == "STOPPED"
    assert lab.probe("globex-internet").answered == 0
    lab.occurrence(lab.operate("cpe-globex", "operate", {"changeStateTo": "STARTED"}))
    lab.comes_right("globex-internet")


class Callback:
    """A receiver of notifications."""

    def __init__(self, answer_to_test: int = 204) -> None:
        self.received: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        received, headers = self.received, self.headers

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(answer_to_test)
                self.end_headers()

            def do_POST(self) -> None:
                received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                headers.append(dict(self.headers))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}/notifications"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_subscriber_is_tested_then_told_in_order(lab, sol003):
    callback = Callback()
    try:
        instance = lab.instance("fw")["id"]
        wanted = {
            "callbackUri": callback.uri,
            "filter": {
                "vnfInstanceSubscriptionFilter": {"vnfInstanceIds": [instance]},
                "notificationTypes": ["VnfLcmOperationOccurrenceNotification"],
            },
            "authentication": {
                "authType": ["BASIC"],
                "paramsBasic": {"userName": "u", "password": "p"},
            },
        }
        made = lab.vnfm.post("/subscriptions", json=wanted)
        assert made.status_code == 201
        assert "password" not in made.text
        _validate(sol003, "Subscriptions.Post.201", made.json())
        same = lab.vnfm.post("/subscriptions", json=wanted)
        assert same.status_code == 303
        assert same.headers["Location"] == made.headers["Location"]

        location = lab.operate("fw", "heal", {}).headers["Location"]
        lab.occurrence(lab.operate("rtr", "heal", {}))
        lab.eventually(lambda: len(callback.received) >= 3)

        states = [n["operationState"] for n in callback.received]
        assert states == ["STARTING", "PROCESSING", "COMPLETED"]
        assert [n["notificationStatus"] for n in callback.received] == ["START", "START", "RESULT"]
        assert {n["vnfLcmOpOccId"] for n in callback.received} == {location.rpartition("/")[2]}
        assert len({n["id"] for n in callback.received}) == 3
        assert callback.headers[0]["Authorization"].startswith("Basic ")
        assert lab.vnfm.get(made.headers["Location"]).json() == made.json()
        assert lab.vnfm.get("/subscriptions").json() == [made.json()]
        assert lab.vnfm.delete(made.headers["Location"]).status_code == 204
        _problem(lab.vnfm.get(made.headers["Location"]), 404)
        lab.settled(location)
    finally:
        callback.close()


def test_a_callback_that_fails_its_test_is_refused(lab, free_port):
    callback = Callback(answer_to_test=500)
    try:
        for uri in (callback.uri, f"http://127.0.0.1:{free_port}/"):
            _problem(lab.vnfm.post("/subscriptions", json={"callbackUri": uri}), 422)
    finally:
        callback.close()
    assert lab.vnfm.get("/subscriptions").json() == []
