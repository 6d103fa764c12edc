"""A real browser: Debian's Chromium, driven by Playwright."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests import needs
from tests.running import Ezstat, running

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass
class Faults:
    """What a browser complained about, what it asked of other hosts, and which paths it was refused."""

    said: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    def watch(self, page: Page) -> None:
        page.on("console", lambda line: self._hear(line.type, line.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self._look(request.url))
        page.on("response", lambda response: self._note(response.url, response.status))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.said.append(text)

    def _look(self, url: str) -> None:
        if urlsplit(url).hostname not in ("localhost", "127.0.0.1", None):
            self.elsewhere.append(url)

    def _note(self, url: str, status: int) -> None:
        if status >= 400:
            self.refused.add(urlsplit(url).path)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    chromium = needs.program("chromium", "chromium-browser", "google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 860}, timezone_id="Europe/Berlin")
    yield context
    await context.close()


@pytest.fixture
async def page(context: BrowserContext, faults: Faults) -> Page:
    page = await context.new_page()
    page.set_default_timeout(10_000)
    faults.watch(page)
    return page


@pytest.fixture
def new_ezstat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ezstat]:
    """An installation that nobody has set up yet."""
    needs.program("chromium", "chromium-browser", "google-chrome")
    with running(tmp_path_factory.mktemp("new") / "data", EZSTAT_SIGNUP="off") as started:
        yield started


def set_up_link(ezstat: Ezstat) -> str:
    """What the first start printed."""
    found = re.search(r"http://\S+/setup\?token=\S+", ezstat.log.read_text())
    assert found is not None
    return found[0]
