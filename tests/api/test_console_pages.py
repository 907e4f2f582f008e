"""What the console's pages say, without a browser: first paint, empty and error states, escaping, assets, numbers."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from api.console.assets import plotly_path
from api.console.sparkline import HEIGHT, sparkline
from api.console.words import amount, plainly, span
from trimtab.domain.assessment import FulfilmentStatus

Client = Callable[[str], httpx2.AsyncClient]


@pytest.mark.anyio
async def test_empty_and_error_states_are_pages(
    client_of: Client, staged: Any, empty_world: Any
) -> None:
    client = client_of("noc")
    html = {"Accept": "text/html"}
    staged[0].world = empty_world
    for path, text in (
        ("/", "No services are configured yet"), ("/alarms", "No alarm has been raised"),
        ("/decisions", "condition has been met yet"), ("/network", "No inventory"),
    ):  # fmt: skip
        answer = await client.get(path, headers=html)
        assert answer.status_code == 200
        assert text in answer.text
    empty_world.broken = "the read model is being rebuilt"
    answer = await client.get("/", headers=html)
    assert answer.status_code == 503
    assert "the read model is being rebuilt" in answer.text
    assert answer.headers["retry-after"] == "5"
    answer = await client.get("/decisions/none", headers=html)
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


@pytest.mark.anyio
async def test_the_first_paint_needs_no_script_and_no_other_host(client_of: Client) -> None:
    text = (await client_of("noc").get("/")).text
    assert text.count("<polyline") >= 6
    again = await client_of("noc").get("/", headers={"X-Trimtab-Refresh": "yes"})
    assert "<polyline" not in again.text
    assert "Not fulfilled" not in text
    found = re.findall(r"""(?:src|href)=["']([^"']+)""", text)
    assert found
    assert all(url.startswith(("/", "#", "data:")) and not url.startswith("//") for url in found)


@pytest.mark.anyio
async def test_a_value_that_its_state_does_not_follow_yet_is_explained(
    client_of: Client, world: Any
) -> None:
    latest = world.assessment_rows["acme/service/acme-vpn", "frame_loss"][-1]
    world.put(replace(latest, value=0.4, end_ns=latest.end_ns + 1))
    text = (await client_of("noc").get("/")).text
    assert "beyond, not yet for long enough" in text
    world.put(replace(latest, observed=FulfilmentStatus.NOT_FULFILLED, end_ns=latest.end_ns + 2))
    text = (await client_of("noc").get("/")).text
    assert "within, not yet for long enough" in text


@pytest.mark.anyio
async def test_what_comes_from_outside_is_escaped(client_of: Client, world: Any) -> None:
    attack = "<script>alert(1)</script>"
    world.put(replace(world.alarm_rows["alarm-1"], text=attack, symptom=attack))
    for path in ("/", "/alarms"):
        text = (await client_of("noc").get(path)).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


@pytest.mark.anyio
async def test_assets_are_kept_for_ever_by_their_address(client_of: Client) -> None:
    client = client_of("noc")
    page = (await client.get("/")).text
    urls = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert {url.partition("?")[0] for url in urls} == {
        "/static/console.css", "/static/console.js", "/static/charts.js", "/static/nonce.js",
        "/static/plotly.min.js",
    }  # fmt: skip
    for url in urls:
        answer = await client.get(url)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        again = await client.get(url, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
    assert (await client.get("/static/pages.py")).status_code == 404
    plotly = await client.get("/static/plotly.min.js", headers={"Accept-Encoding": "identity"})
    assert plotly.content == plotly_path().read_bytes()
    assert "immutable" not in plotly.headers["cache-control"]


@pytest.mark.parametrize(
    "value, unit, text",
    [
        (0.0134, "seconds", "13.4 ms"), (1.5, "seconds", "1.50 s"), (0.000_02, "seconds", "20 µs"),
        (0.0, "seconds", "0 s"), (0.31, "ratio", "31 %"), (0.0015, "ratio", "0.15 %"),
        (12_345.6, "packets_per_second", "12\u202f346 packets/s"), (None, "ratio", "no data"),
        (0.99999, "ratio", "99.999 %"), (1.0, "ratio", "100 %"),
    ],
)  # fmt: skip
def test_amounts_are_readable(value: float | None, unit: str, text: str) -> None:
    assert amount(value, unit) == text


@pytest.mark.parametrize(
    ("machine", "people"),
    [
        ("NOT_FULFILLED (0.299781 seconds, bound 0.04)", "not fulfilled (300 ms, bound 40 ms)"),
        (
            "fw-0 is in trouble (loss) since 2026-11-23T08:37:24.000Z: 0.44 ratio, bound 0.3 ratio",
            "fw-0 is in trouble (loss) since 08:37:24: 44 %, bound 30 %",
        ),
        ("received_rate is 12 packets_per_second", "received_rate is 12 packets_per_second"),
    ],
)
def test_a_machines_sentence_is_readable(machine: str, people: str) -> None:
    assert plainly(machine) == people


def test_spans_are_readable() -> None:
    second = 1_000_000_000
    assert [span(n * second) for n in (5, 60, 61, 3_660, 90_000)] == [
        "5 s", "1 min", "1 min 1 s", "1 h 1 min", "1 d 1 h",
    ]  # fmt: skip


def test_a_gap_is_drawn_as_a_gap() -> None:
    points: list[tuple[int, float | None]] = [(0, 1.0), (1, 1.0), (2, None), (3, 2.0), (4, 2.0)]
    drawn = sparkline(points, 1.5, 0, 4)
    assert len(drawn.runs) == 2
    assert 0 < drawn.bound_y < HEIGHT
    assert sparkline([], 0.5, 0, 1).runs == ()
