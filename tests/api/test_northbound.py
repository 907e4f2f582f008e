"""MEF LSO Legato and TM Forum resources: checked against the standards' own OpenAPI files, and for their traps."""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
import yaml
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api.mef_period import PERIOD_CONFIGURATION_TYPE, PERIOD_RESULTS_TYPE
from api.sls_results import CONFIGURATION_TYPE, RESULTS_TYPE
from trimtab.domain.alarm import AlarmState

pytestmark = pytest.mark.anyio
Client = Callable[[str], httpx2.AsyncClient]
Check = Callable[[str, object], None]
ACME = "acme/service/acme-vpn"
GLOBEX = "globex/service/globex-internet"
ALARM = "/mefApi/legato/alarmManagement/v3"
PERFORMANCE = "/mefApi/legato/performanceMonitoring/v5"
TMF = "/tmf-api/serviceInventoryManagement/v5"
FILES = {
    "alarm": "mef/mef-lso-legato-alarm-management-openapi.yml",
    "performance": "mef/mef-lso-legato-performance-monitoring-openapi.yml",
    "tmf": "tmf/TMF638-Service_Inventory_Management-v5.0.0.oas.yaml",
}


@pytest.fixture(scope="session")
def document(shared: Path) -> Callable[[str], Any]:
    """Return a standard's OpenAPI file, read once."""

    @cache
    def of(name: str) -> Any:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        text = (shared / "specs" / FILES[name]).read_text("utf-8")
        return _without_loops(yaml.load(text, Loader=loader))  # noqa: S506 - a safe loader

    return of


def _without_loops(node: Any) -> Any:
    """Leave out discriminators beside `allOf`: they name the schema that they stand in, endlessly."""
    if isinstance(node, dict):
        loops = "allOf" in node and "discriminator" in node
        return {
            k: _without_loops(v) for k, v in node.items() if not (loops and k == "discriminator")
        }
    return [_without_loops(item) for item in node] if isinstance(node, list) else node


@pytest.fixture(scope="session")
def specified(document: Callable[[str], Any]) -> Callable[[str], Check]:
    """Return a check of a value against a schema of a standard's OpenAPI file."""

    @cache
    def validator(name: str, schema: str) -> Any:
        resource = Resource(contents=document(name), specification=DRAFT202012)
        registry: Registry[Any] = Registry().with_resource("urn:spec", resource)
        reference = {"$ref": f"urn:spec#/components/schemas/{schema}"}
        checker = jsonschema.FormatChecker()
        return OAS30Validator(reference, registry=registry, format_checker=checker)

    def of(name: str) -> Check:
        return lambda schema, value: validator(name, schema).validate(value)

    return of


@pytest.fixture(scope="session")
def published() -> Check:
    """Return a check against our own published schemas, by `@type`."""

    def check(urn: str, value: object) -> None:
        folder = files("api").joinpath("schemas")
        for path in folder.iterdir():
            schema = json.loads(path.read_text("utf-8"))
            if schema["$id"] == urn:
                jsonschema.Draft202012Validator.check_schema(schema)
                jsonschema.validate(value, schema)
                return
        raise AssertionError(f"no published schema is called {urn}")

    return check


async def get(client: httpx2.AsyncClient, path: str, status: int = 200) -> httpx2.Response:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer


async def test_alarms_are_as_specified(client_of: Client, specified: Any) -> None:
    check = specified("alarm")
    answer = await get(client_of("noc"), f"{ALARM}/alarm")
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    assert answer.headers["x-total-count"] == answer.headers["x-result-count"] == "1"
    (listed,) = answer.json()
    check("Alarm_Common", listed)
    assert "alarmSpecificAttributes" not in listed
    full = (await get(client_of("noc"), f"{ALARM}/alarm/alarm-1")).json()
    check("Alarm", full)
    assert full["probableCause"] == "thresholdCrossed"
    assert full["affectedService"] == [{"id": ACME}]
    assert listed.items() <= full.items()


async def test_a_threshold_crossing_is_set_and_cleared(
    client_of: Client, world: Any, specified: Any
) -> None:
    client = client_of("noc")
    crossing = (await get(client, f"{ALARM}/alarm/alarm-1")).json()["alarmSpecificAttributes"]
    assert crossing == {
        "@type": "urn:mef:lso:spec:service:tca-stateful-set-alarm:v1.0.0:all",
        "performanceMetricName": "twoWayFrameLossRatio",
        "performanceMetricValue": 0.31,
        "tcaPerformanceThresholdValue": 0.05,
        "tcaWindowThresholdValue": 3,
        "tcaWindowSize": 3,
    }
    world.put(world.alarm_rows["alarm-1"].transition(AlarmState.CLEARED, world.now_ns))
    cleared = (await get(client, f"{ALARM}/alarm/alarm-1")).json()
    specified("alarm")("Alarm", cleared)
    assert cleared["state"] == cleared["perceivedSeverity"] == "cleared"
    attributes = cleared["alarmSpecificAttributes"]
    assert attributes["@type"].endswith("tca-stateful-clear-alarm:v1.0.0:all")
    assert attributes["tcaPerformanceThresholdValue"] == pytest.approx(0.049)
    assert attributes["tcaWindowThresholdValue"] == 0


@pytest.mark.parametrize(
    "query, ids",
    [
        ("", ["alarm-1"]),
        ("?state=unAcknowledged&perceivedSeverity=major", ["alarm-1"]),
        ("?state=cleared", []),
        ("?alarmType=qualityOfServiceAlarm&serviceAffecting=true", ["alarm-1"]),
        ("?serviceAffecting=false", []),
        ("?alarmType=physicalViolation", []),
        ("?plannedOutageIndicator=outOfService", []),
        (f"?affectedServiceId={ACME}&alarmedObjectType=Service&reportingSystemId=trimtab",
         ["alarm-1"]),
        (f"?affectedServiceId={GLOBEX}", []),
        ("?alarmReportingTime.gt=2020-01-01T00:00:00Z", ["alarm-1"]),
        ("?alarmReportingTime.lt=2020-01-01T00:00:00Z", []),
        ("?alarmClearedTime.gt=2020-01-01T00:00:00Z", []),
        ("?offset=1", []),
        ("?limit=0", []),
        ("?id=alarm-2", []),
    ],
)  # fmt: skip
async def test_alarm_filters(client_of: Client, query: str, ids: list[str]) -> None:
    answer = await get(client_of("noc"), f"{ALARM}/alarm{query}")
    assert [alarm["id"] for alarm in answer.json()] == ids


async def test_more_than_is_given_at_once_is_said(client_of: Client) -> None:
    answer = await get(client_of("noc"), f"{ALARM}/alarm?limit=100000")
    assert answer.headers["x-pagination-throttled"] == "true"


@pytest.mark.parametrize(
    "name, method, path, status, schema, code",
    [
        ("", "GET", f"{ALARM}/alarm", 401, "Error401", "missingCredentials"),
        ("scraper", "GET", f"{ALARM}/alarm", 403, "Error403", "accessDenied"),
        ("noc", "GET", f"{ALARM}/alarm?colour=red", 400, "Error400", "invalidQuery"),
        ("noc", "GET", f"{ALARM}/alarm?state=", 400, "Error400", "missingQueryValue"),
        ("noc", "GET", f"{ALARM}/alarm?id=a&id=b", 400, "Error400", "invalidQuery"),
        ("noc", "GET", f"{ALARM}/alarm?state=angry", 422, "Error422", "invalidValue"),
        ("noc", "GET", f"{ALARM}/alarm?alarmChangedTime.gt=now", 422, "Error422", "invalidValue"),
        ("noc", "GET", f"{ALARM}/alarm?limit=-1", 422, "Error422", "invalidValue"),
        ("noc", "GET", f"{ALARM}/alarm/none", 404, "Error404", "notFound"),
        ("noc", "GET", f"{ALARM}/nowhere", 404, "Error404", "notFound"),
        ("noc", "POST", f"{ALARM}/hub", 501, "Error501", "notImplemented"),
        ("noc", "DELETE", f"{ALARM}/hub/1", 501, "Error501", "notImplemented"),
    ],
)
async def test_alarm_errors_are_as_specified(
    client_of: Client, specified: Any, name: str, method: str, path: str, status: int,
    schema: str, code: str,
) -> None:  # fmt: skip
    answer = await client_of(name).request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    body = answer.json()
    assert isinstance(body, list) is (status == 422)
    for item in body if isinstance(body, list) else [body]:
        specified("alarm")(schema, item)
        assert item["code"] == code


async def test_a_broken_store_is_an_internal_error_of_mef(
    client_of: Client, world: Any, specified: Any
) -> None:
    world.broken = "the read model is being rebuilt"
    answer = await client_of("noc").get(f"{PERFORMANCE}/performanceReport")
    assert answer.status_code == 500
    specified("performance")("Error500", answer.json())


async def test_reports_are_listed_without_content(client_of: Client, specified: Any) -> None:
    answer = await get(client_of("noc"), f"{PERFORMANCE}/performanceReport")
    listed = answer.json()
    assert (
        len(listed) == 2 * 3 * 3 + 6
    )  # services, objectives, granularities; and periods that are over
    assert len({report["id"] for report in listed}) == len(listed)
    for report in listed:
        specified("performance")("PerformanceReport_Find", report)
        assert "reportContent" not in report
    part = await get(client_of("noc"), f"{PERFORMANCE}/performanceReport?offset=4&limit=5")
    assert [r["id"] for r in part.json()] == [r["id"] for r in listed[4:9]]
    assert (part.headers["x-total-count"], part.headers["x-result-count"]) == ("24", "5")
    assert (await get(client_of("noc"), f"{PERFORMANCE}/performanceReport")).json() == listed


async def test_a_report_holds_its_objectives_periods(
    client_of: Client, specified: Any, published: Check
) -> None:
    client = client_of("noc")
    query = f"serviceId={ACME}&state=inProgress&outputFormat=json&resultFormat=payload"
    reports = (await get(client, f"{PERFORMANCE}/performanceReport?{query}")).json()
    assert len(reports) == 9
    for found in reports[::3]:  # one of each objective
        full = (await get(client, f"{PERFORMANCE}/performanceReport/{found['id']}")).json()
        specified("performance")("PerformanceReport", full)
        assert found.items() <= full.items()
        published(CONFIGURATION_TYPE, full["serviceSpecificConfiguration"])
        (content,) = full["reportContent"]
        assert content["monitoredObject"] == {"@type": "ServiceRef", "serviceId": ACME}
        assert len(content["reportContentItem"]) == 3
        for item in content["reportContentItem"]:
            published(RESULTS_TYPE, item["measurementData"][0])


async def test_a_period_that_is_over_is_a_completed_report(
    client_of: Client, specified: Any, published: Check
) -> None:
    client = client_of("noc")
    query = f"serviceId={ACME}&state=completed"
    reports = (await get(client, f"{PERFORMANCE}/performanceReport?{query}")).json()
    assert len(reports) == 3
    full = (await get(client, f"{PERFORMANCE}/performanceReport/{reports[0]['id']}")).json()
    specified("performance")("PerformanceReport", full)
    assert reports[0].items() <= full.items()
    assert full["state"] == "completed"
    assert full["granularity"] == {"timeDurationValue": 15, "timeDurationUnits": "MIN"}
    published(PERIOD_CONFIGURATION_TYPE, full["serviceSpecificConfiguration"])
    contents = full["reportContent"]
    assert len(contents) == 3  # the service, and its two ordered pairs
    for content in contents:
        (item,) = content["reportContentItem"]
        published(PERIOD_RESULTS_TYPE, item["measurementData"][0])
    whole = contents[0]["reportContentItem"][0]["measurementData"][0]
    assert whole["availability"] == pytest.approx(95.555555556)
    delay, loss, available = whole["objectives"]
    assert delay["oneWayFrameDelay"]["measuredOneWayFd"]["timeDurationValue"] == 13_100
    assert (delay["fulfilled"], loss["fulfilled"], available["fulfilled"]) == (True, True, False)
    assert whole["groupAvailability"] == [
        {"name": "dual", "availability": 90.0},
        {"name": "unheard"},
    ]
    backward = contents[1]["reportContentItem"][0]["measurementData"][0]
    assert "frameLossRatio" not in backward


async def test_completed_reports_follow_the_standing_ones_and_are_found_by_time_and_job(
    client_of: Client,
) -> None:
    client = client_of("noc")
    last = (await get(client, f"{PERFORMANCE}/performanceReport?offset=17&limit=3")).json()
    assert [report["state"] for report in last] == ["inProgress", "completed", "completed"]
    end = last[2]["reportingTimeframe"]["reportingEndDate"]
    query = f"state=completed&reportingTimeframe.endDate.gt={end}"
    assert len((await get(client, f"{PERFORMANCE}/performanceReport?{query}")).json()) == 4
    job = last[1]["performanceJob"]["performanceJobId"]
    owner = last[1]["monitoredObject"][0]["serviceId"]
    found = (await get(client, f"{PERFORMANCE}/performanceReport?performanceJobId={job}")).json()
    assert {report["monitoredObject"][0]["serviceId"] for report in found} == {owner}
    assert len(found) == 3
    assert (await get(client, f"{PERFORMANCE}/performanceReport?performanceJobId=x")).json() == []


async def test_sls_reports_are_ones_own(client_of: Client) -> None:
    listed = (await get(client_of("acme"), "/api/v1/sls-reports?limit=2")).json()
    assert listed["total"] == 3
    assert {item["service_id"] for item in listed["items"]} == {ACME}
    (item, _) = listed["items"]
    assert (await get(client_of("acme"), f"/api/v1/sls-reports/{item['id']}")).json() == item
    assert item["performance"]["frame_delay"] == [{"percentile": 95.0, "seconds": 0.0131}]
    await get(client_of("globex"), f"/api/v1/sls-reports/{item['id']}", 404)
    mine = f"{PERFORMANCE}/performanceReport/{item['id']}"
    await get(client_of("globex"), mine, 404)
    assert (await get(client_of("noc"), "/api/v1/sls-reports?period_seconds=60")).json()[
        "total"
    ] == 0


async def test_what_was_not_measured_is_absent_and_suspect(client_of: Client) -> None:
    client = client_of("noc")
    reports = (await get(client, f"{PERFORMANCE}/performanceReport?serviceId={ACME}")).json()
    found = next(
        r for r in reports
        if r["serviceSpecificConfiguration"]["objectiveName"] == "frame_delay_p95"
        and r["granularity"] == {"timeDurationValue": 15, "timeDurationUnits": "MIN"}
    )  # fmt: skip
    full = (await get(client, f"{PERFORMANCE}/performanceReport/{found['id']}")).json()
    rows = [i["measurementData"][0] for i in full["reportContent"][0]["reportContentItem"]]
    assert rows[0]["suspect"] is True
    assert rows[0]["oneWayFrameDelay"] == {
        "oneWayFdObjective": {"timeDurationValue": 40_000, "timeDurationUnits": "US"},
        "oneWayFdPercentile": 95.0,
    }
    measured = rows[1]["oneWayFrameDelay"]["measuredOneWayFd"]
    assert measured["timeDurationUnits"] == "US"
    assert 61_000 <= measured["timeDurationValue"] < 66_000
    assert rows[1]["suspect"] is False
    assert rows[2]["suspect"] is True  # two windows of it are missing


@pytest.mark.parametrize(
    "query, number",
    [
        ("state=completed", 6), ("state=failed", 0), ("entityId=x", 0), ("resultFormat=attachment", 0),
        ("creationDateTime.gt=2020-01-01T00:00:00Z", 24),
        ("creationDateTime.lt=2020-01-01T00:00:00Z", 0),
        ("reportingTimeframe.startDate.gt=2020-01-01T00:00:00Z", 24),
        ("reportingTimeframe.endDate.lt=2020-01-01T00:00:00Z", 0),
    ],
)  # fmt: skip
async def test_report_filters(client_of: Client, query: str, number: int) -> None:
    answer = await get(client_of("noc"), f"{PERFORMANCE}/performanceReport?{query}")
    assert len(answer.json()) == number


async def test_every_operation_of_the_standard_is_there_or_501(
    client_of: Client, specified: Any, document: Callable[[str], Any]
) -> None:
    client = client_of("noc")
    for name, base in (("alarm", ALARM), ("performance", PERFORMANCE), ("tmf", TMF)):
        for path, methods in document(name)["paths"].items():
            if path.startswith("/listener/"):
                continue  # those are the client's
            for method in set(methods) & {"get", "post", "patch", "delete"}:
                where = base + path.replace("{id}", "x")
                answer = await client.request(method.upper(), where)
                known = method == "get" and path in {
                    "/alarm", "/alarm/{id}", "/performanceReport", "/performanceReport/{id}",
                    "/service", "/service/{id}",
                }  # fmt: skip
                expected = {200, 404} if known else {501}
                assert answer.status_code in expected, f"{method} {where}"
                if not known:
                    specified(name)("Error" if name == "tmf" else "Error501", answer.json())


async def test_schemas_are_served_under_their_type(client_of: Client) -> None:
    answer = await get(client_of("acme"), "/schemas/ce-sls-monitoring-results-v1.0.0.json")
    assert answer.json()["$id"] == RESULTS_TYPE
    assert answer.headers["content-type"] == "application/schema+json"
    await get(client_of("acme"), "/schemas/other.json", 404)


async def test_services_have_an_operating_status(
    client_of: Client, world: Any, specified: Any, assess: Callable[..., None]
) -> None:
    client = client_of("noc")

    async def status() -> str:
        body = (await get(client, f"{TMF}/service/{ACME}")).json()
        specified("tmf")("Service", body)
        text: str = body["operatingStatus"]
        return text

    assert await status() == "running"
    assess(world, ACME, "frame_loss", 0.5)
    assert await status() == "degraded"
    assess(world, ACME, "availability", 0.5)
    assert await status() == "failed"
    assess(world, ACME, "availability", 1.0)
    assess(world, ACME, "frame_loss", None)
    assert await status() == "unknown"


async def test_services_are_filtered_and_cut(client_of: Client, specified: Any) -> None:
    client = client_of("noc")
    answer = await get(client, f"{TMF}/service?operatingStatus=running&limit=1&offset=1")
    assert (answer.headers["x-total-count"], answer.headers["x-result-count"]) == ("2", "1")
    assert [s["id"] for s in answer.json()] == [GLOBEX]
    (only,) = (await get(client, f"{TMF}/service?name=acme-vpn&fields=operatingStatus")).json()
    assert set(only) == {"id", "href", "@type", "operatingStatus"}
    for path, status in (
        ("service?operatingStatus=fine", 400), ("service?size=1", 400), ("service/none", 404),
        ("nowhere", 404),
    ):  # fmt: skip
        failed = await get(client, f"{TMF}/{path}", status)
        specified("tmf")("Error", failed.json())
        assert failed.json()["status"] == str(status)
    missing = await client_of("").get(f"{TMF}/service")
    assert missing.status_code == 401
    specified("tmf")("Error", missing.json())


async def test_a_tenant_sees_nothing_of_another(client_of: Client) -> None:
    client = client_of("globex")
    assert (await get(client, f"{ALARM}/alarm")).json() == []
    await get(client, f"{ALARM}/alarm/alarm-1", 404)
    assert (await get(client, f"{ALARM}/alarm?affectedServiceId={ACME}")).json() == []
    reports = (await get(client, f"{PERFORMANCE}/performanceReport")).json()
    assert {r["monitoredObject"][0]["serviceId"] for r in reports} == {GLOBEX}
    others = (await get(client_of("acme"), f"{PERFORMANCE}/performanceReport")).json()
    await get(client, f"{PERFORMANCE}/performanceReport/{others[0]['id']}", 404)
    services = (await get(client, f"{TMF}/service")).json()
    assert [s["id"] for s in services] == [GLOBEX]
    await get(client, f"{TMF}/service/{ACME}", 404)


async def test_hrefs_start_with_the_public_url(
    make_app: Callable[..., Any], world: Any, tokens: dict[str, str]
) -> None:
    app = make_app(world, public_url="https://assurance.example/")
    headers = {"Authorization": f"Bearer {tokens['noc']}"}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://trimtab.test", headers=headers
    ) as client:
        alarm = (await get(client, f"{ALARM}/alarm/alarm-1")).json()
    assert alarm["href"] == f"https://assurance.example{ALARM}/alarm/alarm-1"
