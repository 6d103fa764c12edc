"""Pages over a running installation, without a browser."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.running import Ezstat, Person

HTML = {"Accept": "text/html,application/xhtml+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.fixture
def stranger(ezstat: Ezstat) -> Iterator[httpx.Client]:
    with ezstat.client(**HTML) as client:
        yield client


@pytest.fixture
def person(ezstat: Ezstat) -> Iterator[Person]:
    person = ezstat.sign_up()
    person.client.headers.update(HTML)
    yield person
    person.client.close()


def token_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


@pytest.mark.parametrize(
    "path", ["/", "/signin", "/signup", "/setup?token=x", "/reset", "/reset?token=x", "/confirm?token=x", "/docs"]
)
def test_pages_for_strangers_are_there_under_a_strict_policy(stranger: httpx.Client, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code in (200, 410)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert "<h1>" in answer.text


def test_the_front_page_gives_strangers_no_cookie_and_a_line_for_this_host(
    stranger: httpx.Client, ezstat: Ezstat
) -> None:
    answer = stranger.get("/")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert f"{ezstat.url}/ez" in answer.text


@pytest.mark.parametrize("host", ["evil.example'; rm -rf ~", "a b", "<script>"])
def test_a_host_that_is_none_never_gets_into_a_line_to_paste(stranger: httpx.Client, ezstat: Ezstat, host: str) -> None:
    answer = stranger.get("/", headers={"Host": host})
    assert host not in answer.text
    if answer.status_code == 200:
        assert f"http://localhost:{ezstat.port}/ez" in answer.text


def test_signing_in_and_out_through_the_form(stranger: httpx.Client, person: Person) -> None:
    page = stranger.get("/signin?next=/keys")
    form = {"csrf_token": token_of(page), "email": person.email, "password": "correct horse battery", "next": "/keys"}
    answer = stranger.post("/signin", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/keys")
    overview = stranger.get("/")
    assert person.email in overview.text
    assert stranger.post("/signout", data={"csrf_token": token_of(overview)}).headers["location"] == "/"
    assert person.email not in stranger.get("/").text


def test_a_wrong_password_says_so_and_keeps_the_address(stranger: httpx.Client, person: Person) -> None:
    page = stranger.get("/signin")
    form = {"csrf_token": token_of(page), "email": person.email, "password": "not the password"}
    answer = stranger.post("/signin", data=form)
    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert f'value="{person.email}"' in answer.text
    assert "not the password" not in answer.text


@pytest.mark.parametrize("next_path", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"])
def test_signing_in_never_leads_elsewhere(stranger: httpx.Client, person: Person, next_path: str) -> None:
    page = stranger.get("/signin")
    form = {"csrf_token": token_of(page), "email": person.email, "password": "correct horse battery", "next": next_path}
    assert stranger.post("/signin", data=form).headers["location"] == "/"


def test_signing_up_through_the_form_shows_a_key_once(stranger: httpx.Client) -> None:
    page = stranger.get("/signup")
    email = f"{token_of(page)[:12]}@example.com"
    form = {"csrf_token": token_of(page), "email": email, "password": "correct horse battery", "timezone": "Asia/Tokyo"}
    assert stranger.post("/signup", data=form).headers["location"] == "/"
    first, second = stranger.get("/").text, stranger.get("/").text
    assert re.search(r"ezkey=ss_live_\w{43}", first)
    assert "ss_live_" not in second
    assert stranger.get("/api/v1/account").json()["timezone"] == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("field", "value", "said"), [("password", "short", "at least 10"), ("email", "nobody", "not an e-mail")]
)
def test_what_is_wrong_is_said_beside_its_field(stranger: httpx.Client, field: str, value: str, said: str) -> None:
    page = stranger.get("/signup")
    form = {"csrf_token": token_of(page), "email": "someone@example.com", "password": "correct horse battery"}
    answer = stranger.post("/signup", data={**form, field: value})
    assert answer.status_code == 400
    assert re.search(rf'id="{field}"[^>]*aria-invalid="true"', answer.text)
    assert said in answer.text


FORMS = ["/signin", "/signup", "/setup", "/reset", "/confirm", "/invitation"]
OWN_FORMS = ["/signout", "/keys", "/keys/first", "/keys/0190f5a2-0000-7000-8000-000000000000/revoke"]


@pytest.mark.parametrize("path", FORMS)
def test_a_strangers_form_without_its_token_is_refused(stranger: httpx.Client, path: str) -> None:
    stranger.get("/signin")
    for form in ({"email": "a@example.com"}, {"csrf_token": "0" * 64}, {"csrf_token": ""}):
        answer = stranger.post(path, data=form)
        assert answer.status_code == 403
        assert "too old" in answer.text


@pytest.mark.parametrize("path", FORMS)
def test_a_strangers_token_is_of_no_use_to_another(stranger: httpx.Client, ezstat: Ezstat, path: str) -> None:
    with ezstat.client(**HTML) as other:
        token = token_of(other.get("/signin"))
    stranger.get("/signin")
    assert stranger.post(path, data={"csrf_token": token}).status_code == 403


@pytest.mark.parametrize("path", [*FORMS, *OWN_FORMS])
def test_another_website_cannot_make_a_browser_send_a_form(person: Person, path: str) -> None:
    token = token_of(person.client.get("/keys"))
    for header in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert person.client.post(path, data={"csrf_token": token}, headers=header).status_code == 403
    assert person.client.get("/api/v1/auth/me").status_code == 200


@pytest.mark.parametrize("path", OWN_FORMS)
def test_a_form_of_a_session_needs_the_sessions_token(person: Person, ezstat: Ezstat, path: str) -> None:
    other = ezstat.sign_up()
    for token in ("", "0" * 64, token_of(other.client.get("/keys", headers=HTML))):
        assert person.client.post(path, data={"csrf_token": token, "name": "x"}).status_code == 403
    assert person.client.get("/api/v1/auth/api-keys").json()["api_keys"] == []
    other.client.close()


@pytest.mark.parametrize("path", ["/keys", "/fragments/stats"])
def test_strangers_are_sent_to_sign_in(stranger: httpx.Client, path: str) -> None:
    answer = stranger.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/signin?next={quote(path, safe='')}")
    assert stranger.get(path, headers={"Accept": "*/*"}).status_code == 401


def test_a_key_is_made_shown_once_and_revoked(person: Person, ezstat: Ezstat) -> None:
    form = {"csrf_token": token_of(person.client.get("/keys")), "name": "<b>nightly</b>", "may": "write"}
    assert person.client.post("/keys", data=form).headers["location"] == "/keys"
    shown = person.client.get("/keys")
    key = re.search(r"ss_live_\w{43}", shown.text)
    assert key
    assert "&lt;b&gt;nightly&lt;/b&gt;" in shown.text
    assert key[0] not in person.client.get("/keys").text
    with ezstat.client() as program:
        assert program.post("/ez", data={"ezkey": key[0], "stat": "x"}).status_code == 200
        assert program.get("/api/v1/stats", headers={"Authorization": f"Bearer {key[0]}"}).status_code == 403
        (made,) = person.client.get("/api/v1/auth/api-keys").json()["api_keys"]
        gone = person.client.post(f"/keys/{made['id']}/revoke", data={"csrf_token": form["csrf_token"]})
        assert gone.headers["location"] == "/keys"
        assert program.post("/ez", data={"ezkey": key[0], "stat": "x"}).status_code == 401


def test_nobody_can_make_a_page_show_a_key_of_theirs(person: Person, stranger: httpx.Client) -> None:
    person.client.cookies.set("ezstat_once", "ss_live_evil." + "0" * 64)
    assert "ss_live_evil" not in person.client.get("/").text


def test_what_is_nowhere_is_told_in_the_look_of_the_house(stranger: httpx.Client) -> None:
    page = stranger.get("/nowhere")
    assert page.status_code == 404
    assert "There is no such page" in page.text
    assert page.headers["content-security-policy"] == POLICY


def test_who_is_signed_in_stays_so_where_nothing_is(person: Person) -> None:
    page = person.client.get("/nowhere")
    assert page.status_code == 404
    assert person.email in page.text


@pytest.mark.parametrize(
    ("path", "shape"), [("/api/v1/nothing", {"error"}), ("/v1/nothing", {"msg"}), ("/nowhere", {"error"})]
)
def test_programs_get_errors_in_their_dialect(ezstat: Ezstat, path: str, shape: set[str]) -> None:
    with ezstat.client() as program:
        answer = program.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == shape


def test_the_description_of_the_api_is_there_for_every_tool(stranger: httpx.Client) -> None:
    answer = stranger.get("/openapi.json")
    assert answer.json()["openapi"].startswith("3.1")
    assert answer.headers["access-control-allow-origin"] == "*"


def test_assets_are_found_and_old_ones_are_not(stranger: httpx.Client) -> None:
    sheet = re.search(r'href="(/assets/app\.[^"]+\.css)"', stranger.get("/").text)
    assert sheet
    assert stranger.get(sheet[1]).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert stranger.get("/assets/app.000000000000.css").status_code == 404


def test_a_theme_is_remembered(stranger: httpx.Client) -> None:
    stranger.cookies.set("ezstat_theme", "dark")
    assert '<html lang="en" data-theme="dark">' in stranger.get("/").text
    stranger.cookies.set("ezstat_theme", '"><script>')
    assert '<html lang="en">' in stranger.get("/").text
