"""What is Alice's and what does not exist give Charlie the same answer, on every route of the OpenAPI document."""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import httpx
import pytest

from tests.cast import Cast, gather_cast
from tests.servers import Servers
from tests.services.accounts.installation import Installation, installed


async def api_key(alice: httpx.AsyncClient) -> str:
    return await made(alice, "/api/v1/auth/api-keys", {"name": "x"})


async def read_key(alice: httpx.AsyncClient) -> str:
    return await made(alice, "/api/v1/auth/read-keys", {"name": "x"})


async def ez_key(alice: httpx.AsyncClient) -> str:
    return await made(alice, "/api/v1/auth/ez-keys", {"key": f"key-{uuid4().hex}"})


async def token(alice: httpx.AsyncClient) -> str:
    return await made(alice, "/api/v1/auth/tokens", {"name": "x"})


async def invitation(alice: httpx.AsyncClient) -> str:
    return await made(alice, "/api/v1/account/invitations", {"email": "dora@example.org", "role": "viewer"})


async def session(alice: httpx.AsyncClient) -> str:
    id_: str = (await alice.get("/api/v1/auth/sessions")).json()["sessions"][0]["id"]
    return id_


async def member(alice: httpx.AsyncClient) -> str:
    id_: str = (await alice.get("/api/v1/auth/me")).json()["user"]["id"]
    return id_


async def made(alice: httpx.AsyncClient, path: str, body: dict[str, str]) -> str:
    answer = await alice.post(path, json=body)
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["id"]
    return id_


# A new path with an id needs a row here: how Alice gets one.
WITH_ID: dict[str, Callable[[httpx.AsyncClient], Awaitable[str]]] = {
    "/api/v1/auth/api-keys/{key_id}": api_key,
    "/api/v1/auth/read-keys/{key_id}": read_key,
    "/api/v1/auth/ez-keys/{key_id}": ez_key,
    "/api/v1/auth/tokens/{key_id}": token,
    "/api/v1/auth/tokens/{key_id}/regenerate": token,
    "/api/v1/auth/sessions/{session_id}": session,
    "/api/v1/account/members/{user_id}": member,
    "/api/v1/account/invitations/{invitation_id}": invitation,
}
# Routes that are for strangers.
OPEN = {
    "/livez", "/readyz", "/metrics", "/api/v1/auth/signup", "/api/v1/auth/login", "/api/v1/auth/confirm",
    "/api/v1/auth/setup", "/api/v1/auth/password/forgot", "/api/v1/auth/password/reset",
    "/api/v1/auth/invitations/look", "/api/v1/auth/invitations/accept",
}  # fmt: skip


@pytest.fixture(scope="module")
async def here(servers: Servers) -> AsyncIterator[Installation]:
    async with installed(servers) as installation:
        yield installation


@pytest.fixture(scope="module")
async def cast(here: Installation) -> AsyncIterator[Cast]:
    cast = await gather_cast(here.browser)
    yield cast
    await cast.leave()


def routes(here: Installation) -> list[tuple[str, str]]:
    paths = here.app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


async def test_an_id_of_another_account_is_answered_like_one_that_does_not_exist(
    here: Installation, cast: Cast
) -> None:
    for method, path in routes(here):
        if "{" not in path:
            continue
        assert path in WITH_ID, f"{path} needs a row in WITH_ID"
        theirs, absent = await WITH_ID[path](cast.alice.client), str(uuid4())
        prefix, _, rest = path.partition("{")
        suffix = rest.partition("}")[2]
        async with here.browser(**cast.charlie.bearer()) as program:
            for charlie in (cast.charlie.client, program):
                told = [
                    await charlie.request(method, f"{prefix}{id_}{suffix}", json={"role": "viewer"})
                    for id_ in (theirs, absent)
                ]
                assert told[0].status_code in (401, 404), (method, path)
                assert (told[0].status_code, told[0].text) == (told[1].status_code, told[1].text), (method, path)


async def test_without_a_key_nothing_answers_but_what_is_for_strangers(here: Installation) -> None:
    async with here.browser() as stranger:
        for method, path in routes(here):
            if path in OPEN:
                continue
            url = path.replace("{", "").replace("}", "") if "{" not in path else f"{path.partition('{')[0]}{uuid4()}"
            if path.endswith("/regenerate"):
                url += "/regenerate"
            answer = await stranger.request(method, url, json={})
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"
