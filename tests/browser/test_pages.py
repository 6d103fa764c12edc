"""What every page promises to who looks at it, with whatever screen, keyboard or settings."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests import needs
from tests.browser.conftest import Faults
from tests.eventually import until
from tests.running import Ezstat, Person

FOR_STRANGERS = ["/", "/signin", "/signup", "/reset", "/docs", "/nowhere"]
FOR_PEOPLE = ["/", "/?range=7d", "/keys", "/docs"]


@pytest.fixture(scope="module")
def person(ezstat: Ezstat) -> Iterator[Person]:
    """Somebody with a few stats."""
    needs.program("chromium", "chromium-browser", "google-chrome")
    person = ezstat.sign_up()
    key = person.key(name="a program with a rather long name that has to go somewhere")
    names = ["signups", "checkout~total,failed", "a name " + "that does not end " * 10, "кофе ☕", "<b>bold</b>"]
    rows: list[dict[str, Any]] = [{"stat": name, "count": 3} for name in names]
    rows += [{"stat": "response time", "value": 131.25}]
    answer = httpx.post(f"{ezstat.url}/ez", json={"ezkey": key, "data": rows})
    assert answer.status_code == 200, answer.text
    until(lambda: len(person.client.get("/api/v1/stats").json()["stats"]) == 7, within=10)
    yield person
    person.client.close()


async def sign_in(context: BrowserContext, person: Person) -> None:
    cookie = person.client.cookies["ezstat_session"]
    await context.add_cookies([{"name": "ezstat_session", "value": cookie, "url": person.ezstat.url}])


async def fits(page: Page) -> bool:
    return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (390, "dark"), (1280, "light")])
async def test_nothing_sticks_out_and_nothing_is_complained_about(
    browser: Browser, person: Person, faults: Faults, width: int, scheme: Any
) -> None:
    context = await browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = await context.new_page()
    faults.watch(page)
    for paths in (FOR_STRANGERS, FOR_PEOPLE):
        for path in paths:
            await page.goto(person.ezstat.url + path)
            assert await fits(page), path
        await sign_in(context, person)
    assert faults.elsewhere == []
    assert faults.said == []
    assert faults.refused == {"/nowhere"}
    await context.close()


async def test_pages_have_one_heading_labels_names_and_a_language(page: Page, person: Person) -> None:
    for path in FOR_STRANGERS:
        await page.goto(person.ezstat.url + path)
        await structure(page, path)
    await sign_in(page.context, person)
    for path in FOR_PEOPLE:
        await page.goto(person.ezstat.url + path)
        await structure(page, path)


async def structure(page: Page, path: str) -> None:
    assert await page.locator("html").get_attribute("lang") == "en"
    assert await page.locator("h1").count() == 1, path
    assert await page.locator("main").count() == 1, path
    unnamed = await page.evaluate(
        """() => [...document.querySelectorAll("input:not([type=hidden]), select, button, a, summary")]
            .filter((e) => !e.hidden && !(e.labels && e.labels.length) && !e.getAttribute("aria-label")
                           && !e.textContent.trim()).map((e) => e.outerHTML)"""
    )
    assert unnamed == [], path
    doubled = await page.evaluate(
        """() => [...document.querySelectorAll("[id]")].map((e) => e.id)
            .filter((id, i, ids) => ids.indexOf(id) !== i)"""
    )
    assert doubled == [], path
    levels = await page.evaluate("() => [...document.querySelectorAll('h1,h2,h3,h4')].map((e) => +e.tagName[1])")
    assert all(after - before <= 1 for before, after in pairwise(levels)), (path, levels)


async def test_names_are_shown_as_they_are(page: Page, person: Person) -> None:
    await sign_in(page.context, person)
    await page.goto(person.ezstat.url + "/")
    await expect(page.locator("tbody th", has_text="<b>bold</b>")).to_be_visible()
    await expect(page.locator("tbody th", has_text="кофе ☕")).to_be_visible()


async def test_the_keyboard_is_enough_to_sign_in_and_out(page: Page, person: Person) -> None:
    await page.goto(person.ezstat.url + "/signin")
    await page.keyboard.type(person.email)
    await page.keyboard.press("Tab")
    await page.keyboard.type("correct horse battery")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Overview")
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.locator("details.menu summary").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Sign out")).to_be_hidden()


async def test_a_theme_is_chosen_and_stays(page: Page, ezstat: Ezstat) -> None:
    await page.goto(ezstat.url + "/")
    switch = page.locator("[data-theme-switch]")
    ground = "getComputedStyle(document.body).backgroundColor"
    await switch.click()
    light = await page.evaluate(ground)
    await switch.click()
    dark = await page.evaluate(ground)
    assert light != dark
    await page.reload()
    assert await page.evaluate(ground) == dark
    await expect(switch).to_have_attribute("aria-label", "Theme: dark")


@pytest.mark.parametrize("stream", ["there", "away"])
async def test_a_point_appears_without_a_reload(page: Page, person: Person, stream: str) -> None:
    await sign_in(page.context, person)
    if stream == "away":
        await page.route("**/api/v1/live", lambda route: route.abort())
    await page.goto(person.ezstat.url + "/")
    name = f"seen while the stream is {stream}"
    await expect(page.locator("tr", has_text=name)).to_have_count(0)
    key = person.key()
    sent = await page.request.post(f"{person.ezstat.url}/ez", form={"ezkey": key, "stat": name})
    assert sent.ok
    await expect(page.locator("tr", has_text=name)).to_have_count(1, timeout=10_000)


async def test_everything_can_be_read_without_scripts(browser: Browser, person: Person) -> None:
    context = await browser.new_context(java_script_enabled=False)
    await sign_in(context, person)
    page = await context.new_page()
    await page.goto(person.ezstat.url + "/")
    await expect(page.locator("tbody th", has_text="signups")).to_be_visible()
    await page.get_by_role("button", name="Create a key and fill it in").click()
    await expect(page.locator("pre").first).to_contain_text("ezkey=ss_live_")
    await page.goto(person.ezstat.url + "/keys")
    await page.fill("#name", "made without scripts")
    await page.get_by_role("button", name="Create the key").click()
    row = page.locator("tr", has_text="made without scripts")
    await row.locator("summary").click()
    await row.get_by_role("button", name="Revoke the key").click()
    await expect(page.locator("tr", has_text="made without scripts")).to_have_count(0)
    await context.close()


async def test_a_key_is_copied(browser: Browser, person: Person) -> None:
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    await sign_in(context, person)
    page = await context.new_page()
    await page.goto(person.ezstat.url.replace("127.0.0.1", "localhost") + "/docs")
    await page.locator("[data-copy]").first.click()
    await expect(page.locator("[data-copy]").first).to_have_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == await page.locator("pre code").first.text_content()
    await context.close()
