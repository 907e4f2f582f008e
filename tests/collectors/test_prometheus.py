"""The scrape against small real HTTP servers, one property a test."""

import asyncio
import gzip
import json
import subprocess
import time
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from pydantic import ValidationError

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


async def test_a_series_that_vanishes_ends(journal, clock, serve, running, until) -> None:
    async with serve("a 1\nb 2\n") as page:
        scrape = collector(journal, clock, static=static(page.address))
        async with running(scrape, journal):
            await until(lambda: journal.values("b"))
            page.body = b"a 1\n"
            await until(lambda: journal.values("b", stale=True))
            already = len(journal.values("a"))
            await until(lambda: len(journal.values("a")) > already + 2)
    assert len(journal.values("b", stale=True)) == 1
    assert not journal.values("a", stale=True)
    assert set(journal.values("up")) == {1.0}


async def test_openmetrics_with_times_and_gzip(journal, clock, serve, running, until) -> None:
    now = clock.now_ns() // 1_000_000_000
    text = f"# TYPE a counter\na_total 5 {now - 60}.5\n# TYPE b gauge\nb 1 {now + 60}\n# EOF\n"
    async with serve(gzip.compress(text.encode())) as page:
        page.headers = {
            "content-type": "application/openmetrics-text; version=1.0.0",
            "content-encoding": "gzip",
        }
        scrape = collector(journal, clock, static=static(page.address))
        async with running(scrape, journal):
            await until(lambda: journal.values("a_total"))
    assert journal.rows("a_total")[0][1] == (now - 60) * 1_000_000_000 + 500_000_000
    assert not journal.values("b")
    assert journal.counted()["future"] >= 1
    assert "application/openmetrics-text" in page.request
    assert "gzip" in page.request


@pytest.mark.parametrize(
    "body", [gzip.compress(b"a 1\n", mtime=0)[:-6], b"\x1f\x8bnonsense", b"a 1\n"]
)
async def test_gzip_that_is_cut_off_or_none(journal, clock, serve, running, until, body) -> None:
    async with serve(body) as page:
        page.headers["content-encoding"] = "gzip"
        scrape = collector(journal, clock, static=static(page.address))
        async with running(scrape, journal):
            await until(lambda: journal.values("up"))
    assert set(journal.values("up")) == {0.0}
    assert not journal.values("a")


async def test_a_limit_of_ours_is_a_gap_not_the_fault_of_the_target(
    journal, clock, serve, running, until
) -> None:
    bomb = gzip.compress(b"a 1\n" * 3_000_000)
    async with serve(bomb) as page, serve("a 1\nb 1\nc 1\n") as many:
        page.headers["content-encoding"] = "gzip"
        scrape = collector(
            journal, clock, static=static(page.address, many.address),
            body_bytes_max=10_000, samples_per_scrape_max=2,
        )  # fmt: skip
        async with running(scrape, journal):
            await until(lambda: len(journal.gaps()) >= 4)
    assert {gap.reason for gap in journal.gaps()} == {"too_large"}
    assert {gap.detail.partition(" ")[0] for gap in journal.gaps()} == {
        f"http://{page.address}/metrics:",
        "3",
    }
    assert not journal.rows()


async def test_what_is_refused_is_counted_by_reason(journal, clock, serve, running, until) -> None:
    long = "x" * 3_000
    text = f'a NaN\nb +Inf\nc{{l="{long}"}} 1\nd 1\nd 2\nskip_me 1\ne 1\nf 1\n'
    async with serve(text) as page:
        scrape = collector(
            journal, clock, static=static(page.address), series_per_target_max=4, drop="skip_.*",
        )  # fmt: skip
        async with running(scrape, journal):
            await until(lambda: len(journal.values("up")) >= 1)
    scrapes = len(journal.values("up"))
    reasons = ("nan", "infinite", "label_limit", "duplicate", "series_per_target")
    assert journal.counted() == dict.fromkeys(reasons, scrapes)
    assert journal.values("d") == [1.0] * scrapes
    assert journal.values("e") == [1.0] * scrapes
    assert journal.all_finite()


@pytest.mark.parametrize("honor, own, exported", [(False, "vnf", "page"), (True, "page", None)])
async def test_whose_labels_win(
    journal, clock, serve, running, until, honor, own, exported
) -> None:
    async with serve('a{job="page"} 1\n') as page:
        scrape = collector(
            journal, clock, static=static(page.address, job="vnf"), honor_labels=honor
        )
        async with running(scrape, journal):
            await until(lambda: journal.values("a"))
    series = journal.rows("a")[0][0]
    assert (series.label("job"), series.label("exported_job")) == (own, exported)


async def test_only_what_is_kept_gets_in(journal, clock, serve, running, until) -> None:
    async with serve("vnf_a 1\nvnf_b 2\ngo_c 3\n") as page:
        scrape = collector(journal, clock, static=static(page.address), keep="vnf_.*", drop=".*_b")
        async with running(scrape, journal):
            await until(lambda: journal.values("vnf_a"))
    names = {series.name for series in journal.known}
    assert names == {"vnf_a", "up", "scrape_duration_seconds", "scrape_samples_scraped"}
    assert journal.values("scrape_samples_scraped")[0] == 3.0


async def test_a_target_that_hangs_is_up_0(journal, clock, serve, running, until) -> None:
    async with serve("a 1\n") as page:
        page.delay_seconds = 5.0
        scrape = collector(journal, clock, static=static(page.address), timeout_seconds=0.3)
        async with running(scrape, journal):
            await until(lambda: journal.values("up") or journal.gaps())
    # On a machine so busy that our own loop was late, it is honestly a gap.
    assert set(journal.values("up")) == {0.0} or {g.reason for g in journal.gaps()} == {"timeout"}


async def test_what_lay_unread_while_we_stalled_still_counts(
    journal, clock, serve, running, until
) -> None:
    async with serve("a 1\n") as page:
        page.delay_seconds = 0.1
        scrape = collector(journal, clock, static=static(page.address), timeout_seconds=0.4)
        async with running(scrape, journal):
            await until(lambda: page.asked)
            time.sleep(1.0)  # noqa: ASYNC251
            await until(lambda: journal.gaps() or journal.values("up"))
    assert journal.values("up")[0] == 1.0
    assert not journal.gaps()


async def test_our_own_stall_is_a_gap_not_up_0(journal, clock, serve, running, until) -> None:
    async with serve("a 1\n") as page:
        page.delay_seconds = 30.0
        scrape = collector(journal, clock, static=static(page.address), timeout_seconds=0.3)
        async with running(scrape, journal):
            await until(lambda: page.asked)
            while not (journal.gaps() or journal.values("up")):
                time.sleep(0.6)  # noqa: ASYNC251
                await asyncio.sleep(0.01)
    assert not journal.values("up")
    assert journal.gaps()[0].reason == "timeout"
    assert "our own loop" in journal.gaps()[0].detail


def http_sd(*groups: dict[str, Any]) -> bytes:
    return json.dumps(list(groups)).encode()


DROPPED = ["instance", "host", "vnfc_instance_id", "server_id", "vnf_instance_id"]
INVENTORY = [
    {
        "match": {"job": "vnf"},
        "object": "provider/vnfc/{vnfc}",
        "part_of": "provider/vnf/{vnf}",
        "runs_on": "provider/host/{host}",
        "aliases": {
            "object": {"vnfm.vnfc": "{vnfc_instance_id}", "vim": "{server_id}"},
            "part_of": {"vnfm": "{vnf_instance_id}"},
        },
    },
    {"match": {"job": "host"}, "object": "provider/host/{host}"},
]


def instance(address: str, host: str, number: int) -> dict[str, Any]:
    labels = {
        "job": "vnf", "vnf": "fw", "vnfc": "fw-0", "host": host, "vnf_instance_id": "v",
        "vnfc_instance_id": f"c{number}", "server_id": f"s{number}",
    }  # fmt: skip
    return {"targets": [address], "labels": labels}


async def test_heal_and_migrate_move_the_target_not_the_series(
    journal, clock, serve, running, until
) -> None:
    async with serve("a 1\n") as old, serve("a 2\n") as new, serve() as sd:
        sd.body = http_sd(instance(old.address, "host-1", 1))
        scrape = collector(
            journal,
            clock,
            http=[f"http://{sd.address}/sd"],
            drop_labels=DROPPED,
            inventory=INVENTORY,
        )
        async with running(scrape, journal):
            await until(lambda: 1.0 in journal.values("a"))
            sd.body = http_sd(instance(new.address, "host-2", 2))
            await until(lambda: 2.0 in journal.values("a"))
            await until(lambda: len(journal.inventory()) >= 2)
    assert len({series for series, _, _ in journal.rows("a")}) == 1
    assert not journal.values("a", stale=True)
    assert set(journal.values("up")) == {1.0}
    first, second = journal.inventory()
    assert {item.id for item in first.objects} == {
        "provider/vnfc/fw-0", "provider/vnf/fw", "provider/host/host-1",
    }  # fmt: skip
    assert {(a.object_id, a.source, a.native_id) for a in first.aliases} == {
        ("provider/vnfc/fw-0", "vnfm.vnfc", "c1"),
        ("provider/vnfc/fw-0", "vim", "s1"),
        ("provider/vnf/fw", "vnfm", "v"),
    }
    assert {(r.subject_id, r.kind, r.object_id) for r in first.relations} == {
        ("provider/vnfc/fw-0", "part_of", "provider/vnf/fw"),
        ("provider/vnfc/fw-0", "runs_on", "provider/host/host-1"),
    }
    assert {item.id for item in second.objects} == {"provider/host/host-2"}
    assert {a.native_id for a in second.aliases} == {"c2", "s2"}
    assert [(r.kind, r.object_id) for r in second.relations] == [
        ("runs_on", "provider/host/host-2")
    ]


async def test_who_has_moved_is_looked_for_before_up_0(
    journal, clock, serve, running, until
) -> None:
    async with serve("a 2\n") as new, serve() as sd, serve("a 1\n") as old:
        sd.body = http_sd(instance(old.address, "host-1", 1))
        scrape = collector(
            journal,
            clock,
            http=[f"http://{sd.address}/sd"],
            drop_labels=DROPPED,
            refresh_seconds=60.0,
        )
        async with asyncio.timeout(20), running(scrape, journal):
            await until(lambda: 1.0 in journal.values("a"))
            sd.body = http_sd(instance(new.address, "host-2", 2))
            old.status = "503 gone"
            await until(lambda: 2.0 in journal.values("a"))
    assert set(journal.values("up")) == {1.0}


async def test_scale_in_removes_the_object_after_some_healthy_refreshes(
    journal, clock, serve, running, until
) -> None:
    async with serve("a 1\n") as page, serve() as sd:
        group = instance(page.address, "host-1", 1)
        host = {"targets": [page.address], "labels": {"job": "host", "host": "host-1"}}
        sd.body = http_sd(host, group)
        scrape = collector(
            journal, clock, http=[f"http://{sd.address}/sd"], inventory=INVENTORY, removal_refreshes=3,
            drop_labels=["instance"],
        )  # fmt: skip
        async with running(scrape, journal):
            await until(lambda: len({s for s, _, _ in journal.rows("up")}) == 2)
            answered = sd.answered
            sd.body = http_sd(host)
            await until(lambda: journal.values("a", stale=True))
            await until(lambda: journal.inventory()[-1].removed_object_ids)
            assert sd.answered >= answered + 3
            await until(lambda: sd.answered >= answered + 8)
    removals = [
        change.removed_object_ids for change in journal.inventory() if change.removed_object_ids
    ]
    assert removals == [("provider/vnfc/fw-0",)]
    ended = {series.label("vnfc") for series, _, _ in journal.rows("up", stale=True)}
    assert ended == {"fw-0"}


async def test_inventory_that_the_journal_refused_is_told_again(
    journal, clock, serve, running, until
) -> None:
    journal.full = True
    async with serve("a 1\n") as page, serve() as sd:
        sd.body = http_sd(instance(page.address, "host-1", 1))
        scrape = collector(journal, clock, http=[f"http://{sd.address}/sd"], inventory=INVENTORY)
        async with running(scrape, journal):
            await until(lambda: sum(r.inventory is not None for r in journal.refused) >= 2)
            journal.full = False
            await until(journal.inventory)
            asked = sd.asked
            await until(lambda: sd.asked > asked + 3)
    assert len(journal.inventory()) == 1
    assert len(journal.inventory()[0].objects) == 3


async def test_what_was_scaled_in_while_we_were_down_is_removed(
    journal, clock, serve, running, until
) -> None:
    async with serve("a 1\n") as page, serve() as sd:
        sd.body = http_sd(instance(page.address, "host-1", 1))
        scrape = collector(journal, clock, http=[f"http://{sd.address}/sd"], inventory=INVENTORY)
        scrape.recall(
            ["provider/vnfc/fw-0", "provider/vnfc/fw-1", "provider/vnf/old", "acme/service/vpn"]
        )
        async with running(scrape, journal):
            await until(lambda: any(change.removed_object_ids for change in journal.inventory()))
            asked = sd.asked
            await until(lambda: sd.asked > asked + 3)
    removals = [c.removed_object_ids for c in journal.inventory() if c.removed_object_ids]
    assert removals == [("provider/vnfc/fw-1",)]


@pytest.mark.parametrize(
    "status, body",
    [
        ("500 broken", b"[]"),
        ("200 OK", b"{"),
        ("200 OK", b'[{"targets": ["no port"]}]'),
        ("200 OK", b'[{"targets": [5]}]'),
        ("200 OK", b'{"targets": []}'),
        ("200 OK", b'[{"targets": ["a:1"], "labels": {"__metrics_path__": "x y"}}]'),
    ],
)
async def test_a_silent_discovery_keeps_the_last_list_and_freezes(
    journal, clock, serve, running, until, status, body
) -> None:
    async with serve("a 1\n") as page, serve() as sd:
        sd.body = http_sd(instance(page.address, "host-1", 1))
        scrape = collector(journal, clock, http=[f"http://{sd.address}/sd"], inventory=INVENTORY)
        async with running(scrape, journal):
            await until(lambda: journal.values("a"))
            sd.status, sd.body = status, body
            await until(lambda: len(journal.gaps()) >= 4)
            seen = len(journal.values("a"))
            await until(lambda: len(journal.values("a")) > seen)
            page.status = "500 gone"
            ups = journal.values("up").count(0.0)
            await until(
                lambda: any("may be gone on purpose" in gap.detail for gap in journal.gaps())
            )
    assert ups == 0
    assert 0.0 not in journal.values("up")
    assert not any(change.removed_object_ids for change in journal.inventory())


async def test_a_discovery_that_missed_a_refresh_is_still_trusted(
    journal, clock, serve, running, until
) -> None:
    async with serve("a 1\n") as page, serve() as sd:
        sd.body = http_sd(instance(page.address, "host-1", 1))
        scrape = collector(journal, clock, http=[f"http://{sd.address}/sd"], refresh_seconds=60.0)
        async with running(scrape, journal):
            await until(lambda: journal.values("a"))
            sd.status = page.status = "500 gone"
            await until(lambda: 0.0 in journal.values("up") and journal.gaps())
    assert all("may be gone" not in gap.detail for gap in journal.gaps())


@pytest.mark.parametrize("suffix", ["json", "yml"])
async def test_targets_from_a_file_that_changes(
    journal, clock, serve, running, until, tmp_path: Path, suffix
) -> None:
    listing = tmp_path / f"targets.{suffix}"
    async with serve("a 1\n") as one, serve("a 2\n") as two:
        listing.write_text(json.dumps([{"targets": [one.address], "labels": {"n": "1"}}]))
        scrape = collector(journal, clock, files=[str(listing)])
        async with running(scrape, journal):
            await until(lambda: 1.0 in journal.values("a"))
            listing.write_text(
                json.dumps([{"targets": [two.address, one.address], "labels": {"n": "12"}}])
            )
            await until(lambda: 2.0 in journal.values("a"))
            listing.write_text("[")
            await until(journal.gaps)
            seen = journal.values("a").count(2.0)
            await until(lambda: journal.values("a").count(2.0) > seen)
    assert journal.gaps()[0].reason == "unreachable"
    assert listing.name in journal.gaps()[0].detail


async def test_two_targets_that_nothing_tells_apart(journal, clock, serve, running, until) -> None:
    async with serve("a 1\n") as one, serve("a 2\n") as two:
        scrape = collector(
            journal, clock, static=static(one.address, two.address), drop_labels=["instance"]
        )
        async with running(scrape, journal):
            await until(lambda: journal.values("a") and journal.gaps())
    assert set(journal.values("a")) == {1.0}
    assert two.address in journal.gaps()[0].detail
    assert journal.gaps()[0].reason == "malformed"


async def test_a_full_series_table_is_counted(journal, clock, serve, running, until) -> None:
    journal.series_max = 2
    async with serve("a 1\nb 1\nc 1\n") as page:
        scrape = collector(journal, clock, static=static(page.address))
        async with running(scrape, journal):
            await until(lambda: journal.counted().get("series_cap", 0) >= 8)
    assert {series.name for series in journal.known} == {"a", "b"}


async def test_the_token_is_sent_and_its_absence_is_ours(
    journal, clock, serve, running, until, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    async with serve("a 1\n") as page:
        scrape = collector(
            journal, clock, static=static(page.address), bearer_token_file=str(token)
        )
        async with running(scrape, journal):
            await until(lambda: journal.values("a"))
            assert "authorization: bearer secret" in page.request.lower()
            token.unlink()
            await until(journal.gaps)
    assert set(journal.values("up")) == {1.0}


@pytest.mark.parametrize(
    "settings, complaint",
    [
        ({}, "nothing to scrape"),
        ({"static": static("nowhere")}, "host:port"),
        ({"static": static("a..b:80")}, "host:port"),
        ({"static": static("a:99999")}, "host:port"),
        ({"http": ["ftp://a/b"]}, "no URL"),
        ({"static": static("a:1"), "ca_file": "no-such-file"}, "no-such-file"),
        ({"static": static("a:1"), "keep": "("}, "not a regular expression"),
        ({"static": static("a:1"), "interval_seconds": 0}, "greater than"),
        ({"static": static("a:1"), "inventory": [{"object": "a/b"}]}, "tenant/kind/name"),
        ({"static": static("a:1"), "inventory": [{"object": "a/nonsense/c"}]}, "nonsense"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(settings, complaint) -> None:
    with pytest.raises(ValidationError, match=complaint):
        PrometheusCollector.Config.model_validate(settings)


@pytest.mark.skipif(
    which("prometheus-node-exporter") is None, reason="apt-get install prometheus-node-exporter"
)
async def test_a_real_node_exporter(journal, clock, running, until, free_port) -> None:
    command = [
        "prometheus-node-exporter",
        f"--web.listen-address=127.0.0.1:{free_port}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        scrape = collector(
            journal, clock, static=static(f"127.0.0.1:{free_port}", job="node"), timeout_seconds=5.0,
            interval_seconds=0.5, inventory=[{"object": "provider/host/{job}"}],
        )  # fmt: skip
        async with running(scrape, journal):
            await until(lambda: len(journal.values("node_load1")) >= 2)
    finally:
        process.kill()
        process.wait()
    assert len(journal.rows()) > 500
    assert len(journal.values("node_load1")) == len(
        journal.values("up", stale=False)
    ) - journal.values("up").count(0.0)
    assert all(value > 0 for value in journal.values("node_memory_MemTotal_bytes"))
    assert {series.label("mode") for series, _, _ in journal.rows("node_cpu_seconds_total")} >= {
        "idle",
        "user",
    }
    assert not journal.gaps()
    assert journal.all_finite()
