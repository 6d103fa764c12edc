"""The first minutes of an installation, as a person with a browser and a shell has them."""

import asyncio
import re

from playwright.async_api import Page, expect

from tests.browser.conftest import Faults, set_up_link
from tests.eventually import until
from tests.running import Ezstat

PASSWORD = "correct horse battery"


async def test_from_the_set_up_link_to_the_first_point(new_ezstat: Ezstat, page: Page, faults: Faults) -> None:
    link = until(lambda: set_up_link(new_ezstat))
    await page.goto(link)
    assert await page.input_value("#timezone") == "Europe/Berlin"
    await page.fill("#email", "ada@example.org")
    await page.fill("#password", PASSWORD)
    await page.fill("#organisation", "Acme Inc.")
    await page.click("main button")

    await expect(page.locator("h1")).to_have_text("Overview")
    await expect(page.locator("[data-waiting]")).to_contain_text("Waiting for the first point")
    line = await page.locator("pre code").first.inner_text()
    assert re.search(r"ezkey=ss_live_\w{43}", line)
    assert await shell(line) == '{"status":200,"msg":"ok"}'
    await expect(page.locator(".arrived")).to_have_text(re.compile("It is here: hello world"), timeout=10_000)
    await expect(page.locator("[data-live-dot]")).to_have_class(re.compile(r"\bon\b"))
    row = page.locator("tr", has_text="hello world")
    await expect(row.locator(".figure")).to_have_text("1")

    assert await shell(line) == '{"status":200,"msg":"ok"}'
    await expect(row.locator(".figure")).to_have_text("2", timeout=10_000)
    account = await (await page.request.get(f"{origin(link)}/api/v1/account")).json()
    assert (account["name"], account["timezone"]) == ("Acme Inc.", "Europe/Berlin")

    await page.reload()
    assert "ss_live_" not in await page.content(), "a key is shown once"
    await expect(page.get_by_role("button", name="Create a key and fill it in")).to_be_visible()

    await page.goto(link)
    await expect(page.locator("h1")).to_have_text("Overview")
    await page.locator("details.menu summary").click()
    await page.get_by_role("button", name="Sign out").click()
    await page.goto(link)
    await expect(page.locator("h1")).to_have_text("This is set up already")
    await page.goto(f"{origin(link)}/")
    await expect(page.get_by_role("link", name="Sign up")).to_have_count(0)
    assert faults.elsewhere == []
    assert faults.said == []
    assert faults.refused == {"/setup"}


def origin(link: str) -> str:
    return link.partition("/setup")[0]


async def shell(line: str) -> str:
    """What a line says that was pasted into a shell."""
    process = await asyncio.create_subprocess_shell(
        line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return output.decode()
