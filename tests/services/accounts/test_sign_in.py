"""Signing in and its enemies: strangers who guess, pages that lure, links that lead away."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.accounts.api.here import own_path
from tests.cast import PASSWORD, newest_token
from tests.eventually import eventually
from tests.servers import Servers
from tests.services.accounts.installation import Installation, installed

KNOWN = "alice@example.org"


@pytest.fixture(scope="module")
async def here(servers: Servers) -> AsyncIterator[Installation]:
    """Alice is the operator."""
    async with installed(servers) as installation:
        async with installation.browser() as browser:
            body = {"email": KNOWN, "password": PASSWORD, "organisation": "Acme"}
            assert (await browser.post("/api/v1/auth/signup", json=body)).status_code == 201
        yield installation


@pytest.fixture
async def browser(here: Installation) -> AsyncIterator[httpx.AsyncClient]:
    async with here.browser() as browser:
        yield browser


async def login(browser: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await browser.post("/api/v1/auth/login", json={"email": KNOWN, "password": PASSWORD, **more})


async def test_a_new_session_comes_with_every_sign_in_and_ends_with_sign_out(browser: httpx.AsyncClient) -> None:
    await login(browser)
    first = browser.cookies["ezstat_session"]
    await login(browser)
    assert browser.cookies["ezstat_session"] != first
    assert (await browser.post("/api/v1/auth/logout")).status_code == 204
    assert "ezstat_session" not in browser.cookies
    assert (await browser.get("/api/v1/auth/me")).status_code == 401


async def test_sign_in_ends_the_session_that_the_browser_had(here: Installation, browser: httpx.AsyncClient) -> None:
    await login(browser)
    old = browser.cookies["ezstat_session"]
    await login(browser)
    async with here.browser() as thief:
        thief.cookies.set("ezstat_session", old)
        assert (await thief.get("/api/v1/auth/me")).status_code == 401


async def test_sessions_are_listed_and_ended_one_by_one(here: Installation, browser: httpx.AsyncClient) -> None:
    await login(browser)
    async with here.browser(**{"User-Agent": "another browser"}) as other:
        await login(other)
        rows = (await browser.get("/api/v1/auth/sessions")).json()["sessions"]
        another = next(row for row in rows if row["client"] == "another browser")
        assert not another["current"]
        assert (await browser.delete(f"/api/v1/auth/sessions/{another['id']}")).status_code == 204
        assert (await other.get("/api/v1/auth/me")).status_code == 401
    assert (await browser.get("/api/v1/auth/me")).status_code == 200


async def test_a_stranger_and_a_wrong_password_get_the_same_answer(browser: httpx.AsyncClient) -> None:
    wrong = await login(browser, password="not her password")
    stranger = await login(browser, email="nobody@example.org")
    malformed = await login(browser, email="no address")
    assert wrong.status_code == 401
    assert wrong.json()["error"]["code"] == "invalid_credentials"
    assert wrong.text == stranger.text == malformed.text
    assert same_headers(wrong) == same_headers(stranger) == same_headers(malformed)


async def test_asking_for_a_new_password_says_the_same_to_everybody(browser: httpx.AsyncClient) -> None:
    known = await browser.post("/api/v1/auth/password/forgot", json={"email": KNOWN})
    stranger = await browser.post("/api/v1/auth/password/forgot", json={"email": "nobody@example.org"})
    assert (known.status_code, known.text) == (202, stranger.text)
    assert same_headers(known) == same_headers(stranger)


def same_headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}


async def test_a_password_is_reset_by_mail(here: Installation, browser: httpx.AsyncClient) -> None:
    async with here.browser() as operator:
        await login(operator)
        email = f"{uuid4().hex}@example.org"
        await browser.post("/api/v1/auth/signup", json={"email": email, "password": PASSWORD})
        await browser.post("/api/v1/auth/password/forgot", json={"email": email})

        async def has_mail() -> bool:
            return email in (await operator.get("/api/v1/operator/mails")).text

        await eventually(has_mail)
        token = await newest_token(operator, email)
    body = {"token": token, "password": "a completely new one"}
    assert (await browser.post("/api/v1/auth/password/reset", json=body)).status_code == 204
    assert (await browser.get("/api/v1/auth/me")).status_code == 401
    again = await browser.post("/api/v1/auth/password/reset", json=body)
    assert (again.status_code, again.json()["error"]["code"]) == (403, "link_gone")
    body = {"email": email, "password": "a completely new one"}
    assert (await browser.post("/api/v1/auth/login", json=body)).status_code == 200


async def test_a_known_address_can_not_sign_up_again(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/api/v1/auth/signup", json={"email": KNOWN.upper(), "password": PASSWORD})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "email_taken")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"email": "x", "password": PASSWORD}, "email"),
        ({"email": "x@example.org", "password": "short"}, "password"),
        ({"email": "x@example.org", "password": "ä" * 600}, "password"),
        ({"email": "x@example.org"}, "password"),
        ({"email": ["x@example.org"], "password": PASSWORD}, "email"),
        ({"email": "x@example.org", "password": PASSWORD, "timezone": "Nowhere"}, "timezone"),
        ({"email": "x@example.org", "password": PASSWORD, "organisation": "\x01"}, "organisation"),
    ],
)
async def test_a_bad_sign_up_is_a_400_that_names_the_field_and_not_the_password(
    browser: httpx.AsyncClient, body: dict[str, Any], param: str
) -> None:
    answer = await browser.post("/api/v1/auth/signup", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8000.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_website_can_neither_sign_somebody_in_nor_act_for_them(
    browser: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    lured = await browser.post("/api/v1/auth/login", json={"email": KNOWN, "password": PASSWORD}, headers=headers)
    assert lured.status_code == 403
    assert "set-cookie" not in lured.headers
    await login(browser)
    before = (await browser.get("/api/v1/auth/api-keys")).json()
    assert (await browser.post("/api/v1/auth/api-keys", json={"name": "x"}, headers=headers)).status_code == 403
    assert (await browser.get("/api/v1/auth/api-keys")).json() == before


async def test_json_dressed_as_text_and_forms_need_the_token_of_the_session(browser: httpx.AsyncClient) -> None:
    await login(browser)
    text = {"Content-Type": "text/plain"}
    assert (await browser.post("/api/v1/auth/read-keys", content=b'{"name":"x"}', headers=text)).status_code == 403
    assert (await browser.post("/api/v1/auth/logout", data={"x": "y"})).status_code == 403
    token = (await browser.get("/api/v1/auth/me")).json()["csrf_token"]
    assert (await browser.post("/api/v1/auth/logout", data={"csrf_token": "wrong"})).status_code == 403
    assert (await browser.post("/api/v1/auth/logout", data={"csrf_token": token})).status_code == 204


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "/\\evil.example", "https:evil.example", "https://evil.example", "\t//evil.example", "/\t/evil",
     "/a\r\nLocation: https://evil.example", "javascript:alert(1)", "evil", "", "\\\\evil", "/a\\b"],
)  # fmt: skip
async def test_sign_in_leads_only_to_own_paths(wanted: str) -> None:
    assert own_path(wanted) == "/"


@pytest.mark.parametrize("wanted", ["/", "/stats", "/stats/a%2Fb?range=7d#chart"])
async def test_own_paths_are_kept(browser: httpx.AsyncClient, wanted: str) -> None:
    assert (await login(browser, next=wanted)).json()["next"] == wanted
