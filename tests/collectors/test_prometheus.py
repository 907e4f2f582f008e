"""The scrape against small real HTTP servers, one property a test."""

from typing import Any

import pytest

from collectors.prometheus import PrometheusCollector

pytestmark = pytest.mark.anyio


def collector(journal: Any, clock: Any, **settings: Any) -> PrometheusCollector:
    settings = {"interval_seconds": 0.1, "refresh_seconds": 0.1, "timeout_seconds": 2.0, **settings}
    config = PrometheusCollector.Config.model_validate(settings)
    return PrometheusCollector("test", config, journal, clock)


def static(*addresses: str, **labels: str) -> list[dict[str, Any]]:
    return [{"targets": list(addresses), "labels": labels}]


async def test_a_page_becomes_rows(journal, clock, serve, running, until) -> None:
    async with serve('a_total{x="1"} 5\nb 2.5\n') as page:
        scrape = collector(journal, clock, static=static(page.address, job="vnf"))
        async with running(scrape, journal):
            await until(lambda: len(journal.values("b")) >= 3)
    series, _, value = journal.rows("a_total")[0]
    assert dict(series.labels) == {"x": "1", "job": "vnf", "instance": page.address}
    assert value == 5.0
    assert set(journal.values("up")) == {1.0}
    assert journal.values("scrape_samples_scraped")[0] == 2.0
    assert not journal.gaps()
    assert journal.all_finite()


async def test_nobody_there_is_up_0_and_what_was_there_ends(
    journal, clock, serve, running, until
) -> None:
    async with serve("b 2.5\n") as page:
        scrape = collector(journal, clock, static=static(page.address))
        async with running(scrape, journal):
            await until(lambda: journal.values("b"))
            page.status = "500 broken"
            await until(lambda: 0.0 in journal.values("up"))
    assert journal.values("b", stale=True) == [0.0]
    assert not journal.gaps()


@pytest.mark.parametrize(
    "body, length",
    [
        (b"b 2.5\nc 3", None),  # no line feed at the end
        (b"b 2.5\nc 3\n", 50),  # the connection ends before the body
        (b"b 2.5\nc one\n", None),
        (b"", None),
        (b"b \xff\n", None),
        (b"<html>no</html>\n", None),
    ],
)
async def test_of_a_page_cut_off_nothing_is_taken(
    journal, clock, serve, running, until, body, length
) -> None:
    async with serve(body) as page:
        page.length = length
        scrape = collector(journal, clock, static=static(page.address))
        async with running(scrape, journal):
            await until(lambda: journal.values("up"))
    assert set(journal.values("up")) == {0.0}
    assert not journal.values("b")
    assert {gap.reason for gap in journal.gaps()} == {"malformed"}
