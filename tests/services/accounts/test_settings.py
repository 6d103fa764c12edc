"""What settings of the installation change about signing up and in."""

from services.accounts.application.opening import setup_token
from tests.cast import PASSWORD
from tests.servers import Servers
from tests.services.accounts.installation import installed


async def test_with_smtp_sign_up_says_the_same_to_everybody(servers: Servers) -> None:
    async with installed(servers, working=False, smtp_url="smtp://mail.invalid:25") as here, here.browser() as browser:
        answers = []
        for _ in range(2):
            body = {"email": "frank@example.org", "password": PASSWORD}
            answers.append(await browser.post("/api/v1/auth/signup", json=body))
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].text == answers[1].text
        assert "set-cookie" not in answers[0].headers


async def test_sign_in_is_limited_by_address_and_by_e_mail(servers: Servers) -> None:
    async with installed(servers, working=False, rate_limits=True, login_rate=5) as here, here.browser() as browser:
        answers = [
            await browser.post("/api/v1/auth/login", json={"email": "x@example.org", "password": "wrong"})
            for _ in range(8)
        ]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
        assert int(answers[-1].headers["retry-after"]) >= 1


async def test_sign_up_can_be_closed_and_the_set_up_link_still_works_once(servers: Servers) -> None:
    async with installed(servers, working=False, signup=False) as here, here.browser() as browser:
        body = {"email": "ops@example.org", "password": PASSWORD, "organisation": "Ops", "timezone": "Europe/Berlin"}
        closed = await browser.post("/api/v1/auth/signup", json=body)
        assert (closed.status_code, closed.json()["error"]["code"]) == (403, "signup_closed")
        assert (await browser.get("/api/v1/auth/setup")).json() == {"open": True, "signup": False}
        wrong = await browser.post("/api/v1/auth/setup", json={**body, "token": "wrong"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (403, "link_gone")
        token = setup_token(here.context)
        assert (await browser.post("/api/v1/auth/setup", json={**body, "token": token})).status_code == 201
        assert (await browser.get("/api/v1/auth/me")).json()["account"]["operator"]
        again = await browser.post("/api/v1/auth/setup", json={**body, "token": token})
        assert again.text == wrong.text
