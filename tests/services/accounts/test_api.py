"""The HTTP side, as a browser or a program sees it: real servers behind, the whole cast in front."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from libs.contracts.accounts import RING_LEFT, RingBeat
from services.accounts.barrier import register
from tests.cast import PASSWORD, Cast, gather_cast, newest_token
from tests.eventually import eventually
from tests.servers import Servers
from tests.services.accounts.installation import Installation, installed


@pytest.fixture(scope="module")
async def here(servers: Servers) -> AsyncIterator[Installation]:
    async with installed(servers, api_key="a-self-hosted-key") as installation:
        yield installation


@pytest.fixture(scope="module")
async def cast(here: Installation) -> AsyncIterator[Cast]:
    cast = await gather_cast(here.browser)
    yield cast
    await cast.leave()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_who_signed_up_is_signed_in_and_owns_an_account(cast: Cast) -> None:
    me = (await cast.alice.client.get("/api/v1/auth/me")).json()
    assert me["user"]["email"] == "alice@example.org"
    assert me["role"] == "owner"
    assert [account["id"] for account in me["accounts"]] == [cast.alice.account]
    assert me["csrf_token"]


async def test_the_session_cookie_can_not_be_read_by_scripts_nor_sent_by_other_websites(here: Installation) -> None:
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD}
    async with here.browser() as browser:
        answer = await browser.post("/api/v1/auth/signup", json=body)
    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("ezstat_session=")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie


async def test_a_key_is_shown_whole_once_and_masked_after_that(cast: Cast) -> None:
    made = await cast.alice.client.post("/api/v1/auth/api-keys", json={"name": "My API Key"})
    assert made.status_code == 201
    key = made.json()["key"]
    listed = await cast.alice.client.get("/api/v1/auth/api-keys", headers=bearer(key))
    row = next(row for row in listed.json()["api_keys"] if row["id"] == made.json()["id"])
    assert key not in listed.text
    assert row["masked"] == f"{key[:4]}…{key[-4:]}"
    assert row["name"] == "My API Key"
    assert set(row) >= {"id", "name", "created_at", "last_used_at", "expires_at", "revoked_at", "scopes", "mode"}


async def test_a_revoked_key_is_refused_once_the_delete_is_answered(cast: Cast) -> None:
    made = (await cast.alice.client.post("/api/v1/auth/api-keys", json={"name": "short-lived"})).json()
    assert (await cast.alice.client.get("/api/v1/account", headers=bearer(made["key"]))).status_code == 200
    gone = await cast.alice.client.delete(f"/api/v1/auth/api-keys/{made['id']}")
    assert gone.status_code == 204, gone.text
    refused = await cast.alice.client.get("/api/v1/account", headers=bearer(made["key"]))
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert (await cast.alice.client.delete(f"/api/v1/auth/api-keys/{made['id']}")).status_code == 404
    listed = (await cast.alice.client.get("/api/v1/auth/api-keys?revoked=1")).json()["api_keys"]
    assert next(row for row in listed if row["id"] == made["id"])["revoked_at"]


async def test_a_revocation_says_pending_while_some_process_can_not_be_asked(
    here: Installation, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here.context.barrier, "_deadline", 0.2)
    await register(here.process.database, "far:1:silent")
    made = (await cast.alice.client.post("/api/v1/auth/api-keys", json={"name": "x"})).json()
    gone = await cast.alice.client.delete(f"/api/v1/auth/api-keys/{made['id']}")
    assert (gone.status_code, gone.json()) == (202, {"status": "pending"})
    assert (await cast.alice.client.get("/api/v1/account", headers=bearer(made["key"]))).status_code == 401
    await here.process.bus.broadcast(RING_LEFT, RingBeat(ring="far:1:*"))

    async def is_done() -> bool:
        answer = await cast.alice.client.post("/api/v1/auth/read-keys", json={"name": "x"})
        return (await cast.alice.client.delete(f"/api/v1/auth/read-keys/{answer.json()['id']}")).status_code == 204

    await eventually(is_done)


async def test_keys_have_style_mode_scopes_and_expiry(cast: Cast) -> None:
    body = {
        "name": "x", "style": "sk", "mode": "test", "scopes": ["stats:write"], "expires_at": "2099-01-01T00:00:00Z",
    }  # fmt: skip
    made = (await cast.alice.client.post("/api/v1/auth/api-keys", json=body)).json()
    assert made["key"].startswith("sk_test_")
    assert (made["mode"], made["scopes"]) == ("test", ["stats:write"])
    assert made["expires_at"] == "2099-01-01T00:00:00.000Z"
    assert (await cast.alice.client.get("/api/v1/auth/api-keys", headers=bearer(made["key"]))).status_code == 403


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": 7}, "name"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"mode": "both"}, "mode"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
    ],
)
async def test_a_bad_body_is_a_400_that_names_its_field(cast: Cast, body: dict[str, Any], param: str) -> None:
    answer = await cast.alice.client.post("/api/v1/auth/api-keys", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "invalid_request"
    assert answer.json()["error"]["param"] == param


async def test_lists_come_in_pages(cast: Cast) -> None:
    for number in range(3):
        await cast.charlie.client.post("/api/v1/auth/read-keys", json={"name": f"page {number}"})
    first = (await cast.charlie.client.get("/api/v1/auth/read-keys?limit=2")).json()
    rest = (await cast.charlie.client.get(f"/api/v1/auth/read-keys?limit=2&cursor={first['next_cursor']}")).json()
    assert [key["name"] for key in (*first["read_keys"], *rest["read_keys"])] == ["page 2", "page 1", "page 0"]
    assert rest["next_cursor"] is None
    for bad in ("nonsense", "bm9uc2Vuc2U=", "%00"):
        assert (await cast.charlie.client.get(f"/api/v1/auth/read-keys?cursor={bad}")).status_code == 400


async def test_a_token_is_regenerated_under_its_name_and_the_old_one_is_dead(cast: Cast) -> None:
    old = (await cast.bob.client.post("/api/v1/auth/tokens", json={"name": "laptop"})).json()
    new = (await cast.bob.client.post(f"/api/v1/auth/tokens/{old['id']}/regenerate")).json()
    assert (new["name"], new["old_token"]) == ("laptop", "revoked")
    assert new["key"] != old["key"]
    assert new["key"].startswith("ezi_sk_")
    names = [token["id"] for token in (await cast.bob.client.get("/api/v1/auth/tokens")).json()["tokens"]]
    assert new["id"] in names
    assert old["id"] not in names
    assert (await cast.bob.client.delete(f"/api/v1/auth/tokens/{new['id']}")).status_code == 204


async def test_an_ez_key_is_adopted_and_belongs_to_one_account(cast: Cast) -> None:
    body = {"key": "the old stathat key"}
    made = await cast.alice.client.post("/api/v1/auth/ez-keys", json=body)
    assert made.status_code == 201, made.text
    taken = await cast.charlie.client.post("/api/v1/auth/ez-keys", json=body)
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "key_taken")
    not_yours = await cast.charlie.client.post("/api/v1/auth/ez-keys", json={"key": "alice@example.org"})
    assert (not_yours.status_code, not_yours.json()["error"]["code"]) == (409, "email_not_yours")
    assert (await cast.alice.client.post("/api/v1/auth/ez-keys", json={"key": "alice@example.org"})).status_code == 201
    assert (await cast.alice.client.delete(f"/api/v1/auth/ez-keys/{made.json()['id']}")).status_code == 204


async def test_a_member_works_but_does_not_run_the_account(cast: Cast) -> None:
    bob = cast.bob.client
    assert (await bob.get("/api/v1/account")).status_code == 200
    assert [m["role"] for m in (await bob.get("/api/v1/account/members")).json()["members"]] == ["owner", "member"]
    for answer in (
        await bob.get("/api/v1/auth/api-keys"),
        await bob.post("/api/v1/auth/api-keys", json={"name": "x"}),
        await bob.patch("/api/v1/account", json={"name": "Bob's"}),
        await bob.request("DELETE", "/api/v1/account", json={"password": PASSWORD}),
        await bob.post("/api/v1/account/invitations", json={"email": "eve@example.org"}),
        await bob.patch(f"/api/v1/account/members/{cast.bob.user}", json={"role": "owner"}),
        await bob.delete(f"/api/v1/account/members/{cast.alice.user}"),
        await bob.get("/api/v1/audit"),
        await bob.get("/api/v1/operator/mails"),
    ):
        assert answer.status_code == 403, answer.request.url


async def test_a_role_and_a_removal_count_at_once(here: Installation, cast: Cast) -> None:
    alice = cast.alice.client
    await alice.post("/api/v1/account/invitations", json={"email": "erin@example.org", "role": "owner"})
    token = await newest_token(alice, "erin@example.org")
    async with here.browser() as erin:
        looked = (await erin.post("/api/v1/auth/invitations/look", json={"token": token})).json()
        assert (looked["email"], looked["role"], looked["known"]) == ("erin@example.org", "owner", False)
        said = await erin.post("/api/v1/auth/invitations/accept", json={"token": token, "password": PASSWORD})
        assert said.status_code == 200, said.text
        assert (await erin.get("/api/v1/audit")).status_code == 200
        path = f"/api/v1/account/members/{said.json()['user']['id']}"
        assert (await alice.patch(path, json={"role": "viewer"})).status_code == 204
        assert (await erin.get("/api/v1/audit")).status_code == 403
        assert (await alice.delete(path)).status_code == 204
        assert (await erin.get("/api/v1/auth/me")).status_code == 401
    last = await alice.patch(f"/api/v1/account/members/{cast.alice.user}", json={"role": "viewer"})
    assert (last.status_code, last.json()["error"]["code"]) == (409, "last_owner")


async def test_the_audit_log_says_who_did_what_and_never_a_key(cast: Cast) -> None:
    made = (await cast.alice.client.post("/api/v1/auth/api-keys", json={"name": "audited"})).json()
    log = await cast.alice.client.get("/api/v1/audit?limit=1")
    [event] = log.json()["events"]
    assert (event["action"], event["actor"], event["target"]) == ("key.issued", f"user:{cast.alice.user}", made["id"])
    assert made["key"] not in log.text
    older = await cast.alice.client.get(f"/api/v1/audit?cursor={log.json()['next_cursor']}")
    assert "account.opened" in [event["action"] for event in older.json()["events"]]


async def test_account_settings_change_and_bad_ones_are_refused(cast: Cast) -> None:
    charlie = cast.charlie.client
    changed = await charlie.patch(
        "/api/v1/account", json={"name": "Charlie & Co", "timezone": "Asia/Kolkata", "tilde_joiner": " "}
    )
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["timezone"], changed.json()["tilde_joiner"]) == (
        "Charlie & Co",
        "Asia/Kolkata",
        " ",
    )
    for body in ({"timezone": "Mars/Olympus"}, {"name": ""}, {"tilde_joiner": "-"}):
        assert (await charlie.patch("/api/v1/account", json=body)).status_code == 400


async def test_the_self_hosted_key_runs_the_first_account(here: Installation, cast: Cast) -> None:
    async with here.browser(Authorization="Bearer a-self-hosted-key") as operator:
        account = (await operator.get("/api/v1/account")).json()
        assert (account["id"], account["operator"], account["unlimited"]) == (cast.alice.account, True, True)
        assert (await operator.post("/api/v1/auth/api-keys", json={"name": "by the operator"})).status_code == 201


async def test_last_used_is_told_by_the_ring(here: Installation, cast: Cast) -> None:
    made = (await cast.alice.client.post("/api/v1/auth/api-keys", json={"name": "used"})).json()
    await cast.alice.client.get("/api/v1/account", headers=bearer(made["key"]))
    assert here.process.ring is not None
    await here.process.ring._tell_used()

    async def is_known() -> bool:
        listed = (await cast.alice.client.get("/api/v1/auth/api-keys")).json()["api_keys"]
        return any(row["id"] == made["id"] and row["last_used_at"] for row in listed)

    await eventually(is_known)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Operations under /api by `METHOD path`."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        if path.startswith("/api/")
        for method, operation in methods.items()
    }


async def test_every_route_is_described_with_its_answers_as_they_are(here: Installation) -> None:
    for name, operation in operations(here.app.openapi()).items():
        answers = operation["responses"]
        assert operation.get("description"), name
        assert "204" in answers or any("content" in answers[code] for code in answers if code[0] == "2"), name
        assert "4XX" in answers, name
        assert "422" not in answers, name


def has_example(schema: dict[str, Any]) -> bool:
    """Whether a reader knows what to write: an example, a default, or a type that says it all."""
    kinds = [schema, *schema.get("anyOf", [])]
    telling = ("examples", "default", "enum", "const", "format", "$ref")
    return any(word in kind for kind in kinds for word in telling) or not any(
        kind.get("type") == "string" for kind in kinds
    )


async def test_every_field_that_is_text_shows_an_example(here: Installation) -> None:
    schemas = here.app.openapi()["components"]["schemas"]
    fields = {
        f"{name}.{field}": schema for name, each in schemas.items() for field, schema in each["properties"].items()
    }
    assert [name for name, schema in fields.items() if not has_example(schema)] == []
