"""The console, rendered and in headless Chromium: what a NOC engineer does with it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from trimtab.domain.alarm import AlarmState
from trimtab.domain.control_loop import LoopRunState

CHROMIUM = Path("/usr/bin/chromium")
ACME = "acme/service/acme-vpn"
PATIENCE_MS = 40_000


class Served:
    """A fake loop behind a real server in a thread of its own, so that a browser can be driven from this one."""

    def __init__(self, app: FastAPI, world: Any) -> None:
        self.world = world
        self.app = app
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._started.wait(20)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        self._started.set()
        await serving

    def put(self, value: Any) -> None:
        """Have the loop put something out."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.world.put, value)

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Do something in the server's thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """End streams and server."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.app.state.context.subscribers.close)
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def server(staged: Any, settings: Any) -> Iterator[Served]:
    stage, app = staged
    found = Served(app, stage)
    yield found
    found.stop()
    app.state.context.subscribers.closing.clear()


@pytest.fixture
def served(server: Served, world: Any) -> Served:
    """Put a fresh fake loop behind the server."""
    server.world.world = world
    return server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("no chromium: apt-get install chromium")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Keep one context for all tests: plotly's script is loaded and compiled once."""
    found = browser.new_context(viewport={"width": 1600, "height": 900})
    found.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield found
    found.close()


class Watched:
    """A page, everything that it complained about, and every host that it asked."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url, url))

    def _heard(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _asked(self, asked: str, url: str) -> None:
        if not asked.startswith((url, "data:", "blob:")):
            self.foreign.append(asked)


@pytest.fixture(scope="module")
def signed_in() -> dict[str, str]:
    """Remember as whom the context is signed in."""
    return {}


@pytest.fixture
def open_page(
    context: BrowserContext, served: Served, tokens: dict[str, str], signed_in: dict[str, str]
) -> Iterator[Callable[..., Page]]:
    """Return a signed-in page on a path; in the end nothing may have complained or asked elsewhere."""
    watched: list[Watched] = []

    def opened(
        path: str = "/", name: str = "noc", width: int = 1600, scheme: Any = "light"
    ) -> Page:
        found = Watched(context, served.url)
        watched.append(found)
        page = found.page
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        if name != signed_in.get("name"):
            # A page left open would ask on as somebody else, for what that one may not see.
            for other in watched[:-1]:
                other.page.close()
            context.clear_cookies()
        page.goto(f"{served.url}{path}", wait_until="domcontentloaded")
        if "/login?" in page.url:
            page.get_by_label("Access token").fill(tokens[name])
            page.get_by_role("button", name="Sign in").click()
            signed_in["name"] = name
        page.wait_for_selector("#connection[data-state=live]")
        return page

    yield opened
    for item in watched:
        item.page.close()
    complaints = [line for item in watched for line in item.complaints]
    assert [line for line in complaints if "409 (Conflict)" not in line] == []  # a refused order
    assert [url for item in watched for url in item.foreign] == []


def wait_for_plot(page: Page) -> None:
    """Wait until plotly has drawn the first chart with values in it."""
    page.wait_for_selector(".chart .scatterlayer .lines path")


def test_login_leads_to_where_one_wanted_and_shows_the_first_page(
    open_page: Callable[..., Page], served: Served
) -> None:
    page = open_page("/decisions/decision-1")
    assert page.url == f"{served.url}/decisions/decision-1"
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="acme-vpn")).to_be_visible()
    expect(page.get_by_text("The loop is running")).to_be_visible()
    wait_for_plot(page)


def test_a_live_update_arrives(
    open_page: Callable[..., Page], served: Served, assess: Callable[..., None]
) -> None:
    page = open_page()
    wait_for_plot(page)
    tile = page.get_by_label("frame loss of acme-vpn")
    state = tile.locator(".state-text")
    expect(state).to_have_text("Fulfilled")
    drawn = "document.querySelector('[data-objective=frame_loss]').data[0].y.at(-1)"
    served.call(assess, served.world, ACME, "frame_loss", 0.37)
    expect(state).to_have_text("Not fulfilled")
    expect(tile.locator(".value")).to_contain_text("37 %")
    page.wait_for_function(f"{drawn} === 37")
    served.call(assess, served.world, ACME, "frame_loss", None)
    expect(state).to_have_text("Unknown")
    expect(tile.locator(".value")).to_contain_text("no data")
    expect(page.get_by_text("Frozen where it can't see")).to_be_visible()
    page.wait_for_function(f"{drawn} === null")


def test_the_why_view_opens_and_tells_everything(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.locator("#timeline").get_by_role("link", name="Heal fw-0").click()
    main = page.get_by_role("main")
    for text in (
        "policies/rules/heal.yaml:14", "cause.symptom", "blast radius", "Passed",
        "fw-0 has not answered 3 scrapes in a row", "COMPLETED", "Effective", "0.31",
        "services.all(s, s.observed == 'FULFILLED')",
    ):  # fmt: skip
        expect(main.get_by_text(text).first).to_be_visible()


def test_pause_and_resume(open_page: Callable[..., Page], served: Served) -> None:
    page = open_page()
    page.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("maintenance")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("The loop is paused")).to_be_visible()
    expect(page.get_by_text("by noc: maintenance")).to_be_visible()
    assert served.world.loop_state.run_state is LoopRunState.PAUSED
    page.get_by_role("button", name="Resume").click()
    dialog.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("The loop is running")).to_be_visible()


def test_the_kill_switch_needs_a_confirmation(
    open_page: Callable[..., Page], served: Served
) -> None:
    page = open_page()
    kill = page.get_by_role("button", name="Kill switch")
    kill.click()
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    kill.click()
    page.keyboard.press("Escape")
    kill.click()
    page.get_by_label("Reason").press("Enter")
    page.wait_for_timeout(300)
    assert served.world.commands == []
    page.get_by_role("button", name="Throw it").click()
    expect(page.get_by_text("The kill switch is thrown")).to_be_visible()
    assert served.world.loop_state.run_state is LoopRunState.KILLED
    expect(page.get_by_role("button", name="Reset the kill switch")).to_be_visible()


def test_an_approval_is_given_by_keyboard(open_page: Callable[..., Page], served: Served) -> None:
    page = open_page()
    page.get_by_role("button", name="Approve").focus()
    page.keyboard.press("Enter")
    yes = page.get_by_role("dialog").get_by_role("button", name="Approve")
    yes.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Waits for a person")).to_be_hidden()
    assert [command.subject_id for command in served.world.commands] == ["action-2"]


def test_an_alarm_is_acknowledged_and_what_the_loop_refuses_is_said(
    open_page: Callable[..., Page], served: Served
) -> None:
    page = open_page("/alarms")
    row = page.get_by_role("row").filter(has_text="fw-0 does not answer")
    row.get_by_role("button", name="Acknowledge").click()
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    expect(row.get_by_text("acknowledged by noc")).to_be_visible()
    row.get_by_role("button", name="Take back").click()
    alarm = served.world.alarm_rows["alarm-2"]
    served.put(alarm.transition(AlarmState.CLEARED, served.world.now_ns))
    page.get_by_role("dialog").get_by_role("button", name="Take back").click()
    expect(page.get_by_text("the alarm is cleared")).to_be_visible()


def test_a_viewer_gets_no_buttons_and_a_tenant_no_provider(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(name="viewer")
    expect(page.get_by_role("heading", name="acme-vpn")).to_be_visible()
    assert page.locator("[data-order]").count() == 0
    page = open_page(name="acme")
    expect(page.get_by_role("heading", name="acme-vpn")).to_be_visible()
    text = page.content()
    for secret in ("globex", "fw-0", "host-1", "heal-unreachable"):
        assert secret not in text
    assert page.get_by_role("link", name="Decisions").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_a_narrow_screen(
    open_page: Callable[..., Page], served: Served, scheme: str
) -> None:
    page = open_page("/network", width=390, scheme=scheme)
    for path in ("/", "/alarms", "/decisions", "/decisions/decision-1", "/network"):
        page.goto(f"{served.url}{path}", wait_until="domcontentloaded")
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wider) == 0, path
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 24)"
    assert dark is (scheme == "dark")


def test_losing_the_server_is_shown(
    context: BrowserContext, make_app: Callable[..., FastAPI], world: Any, tokens: dict[str, str]
) -> None:
    served = Served(make_app(world), world)
    page = context.new_page()
    try:
        page.goto(f"{served.url}/login?next=/alarms")
        page.get_by_label("Access token").fill(tokens["noc"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#connection")).to_have_text("Live")
    finally:
        served.stop()
    expect(page.get_by_text("What you see is as of")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("Not connected")
    page.close()
