"""The cast of all stories: Alice owns an account, Bob is in her team, Charlie must see nothing of either.

Made over public HTTP in a new installation, so that any service's tests can have them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

PASSWORD = "correct horse battery"


@dataclass
class Actor:
    """A person with a browser (`client` holds the session cookie). `key` is an account key; members have none."""

    email: str
    client: httpx.AsyncClient
    user: str
    account: str
    key: str = ""

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass
class Cast:
    alice: Actor
    bob: Actor
    charlie: Actor

    async def leave(self) -> None:
        for actor in (self.alice, self.bob, self.charlie):
            await actor.client.aclose()


async def gather_cast(new_client: Callable[[], httpx.AsyncClient]) -> Cast:
    """All three, signed in. The installation is new and has no SMTP: Alice is its operator and reads its mails."""
    alice = await _signed_up(new_client(), "alice@example.org")
    charlie = await _signed_up(new_client(), "charlie@example.org")
    for owner in (alice, charlie):
        owner.key = (await _ok(owner.client.post("/api/v1/auth/api-keys", json={"name": "of the cast"})))["key"]
    invitation = {"email": "bob@example.org", "role": "member"}
    await _ok(alice.client.post("/api/v1/account/invitations", json=invitation))
    token = await newest_token(alice.client, "bob@example.org")
    browser = new_client()
    accepted = {"token": token, "password": PASSWORD}
    said = await _ok(browser.post("/api/v1/auth/invitations/accept", json=accepted))
    bob = Actor("bob@example.org", browser, said["user"]["id"], said["account"]["id"])
    return Cast(alice, bob, charlie)


async def newest_token(operator: httpx.AsyncClient, email: str) -> str:
    """The token of the link in the newest mail to somebody."""
    mails = (await _ok(operator.get("/api/v1/operator/mails")))["mails"]
    body = next(mail["body"] for mail in mails if mail["to"] == email)
    found = re.search(r"token=(\S+)", body)
    assert found is not None, body
    return found[1]


async def _signed_up(client: httpx.AsyncClient, email: str) -> Actor:
    said = await _ok(client.post("/api/v1/auth/signup", json={"email": email, "password": PASSWORD}))
    return Actor(email, client, said["user"]["id"], said["account"]["id"])


async def _ok(answer: Any) -> dict[str, Any]:
    response: httpx.Response = await answer
    assert response.is_success, (response.status_code, response.text)
    said: dict[str, Any] = response.json()
    return said
