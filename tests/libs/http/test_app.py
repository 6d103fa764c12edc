"""What happens around every request of an app: errors, credentials, limits, bodies, headers."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter, Depends, Form
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.eventstore.database import DatabaseUnavailable
from libs.http.app import make_app
from libs.http.bodies import BodyRule
from libs.http.credentials import bearer, csrf_token, same_origin, session_only, set_session
from libs.http.errors import Conflict
from libs.http.hot import Guards
from libs.http.paths import path_text
from libs.http.principal import Principal
from libs.runtime.settings import Settings
from tests.eventually import eventually
from tests.libs.http.house import House, open_house
from tests.libs.http.serving import Serving, post, serving
from tests.servers import Running, Servers


class Named(BaseModel):
    name: str
    value: float = 0.0


def make_router(calls: list[Any]) -> APIRouter:
    router = APIRouter()
    reader = Annotated[Principal, Depends(bearer("stats:read"))]

    @router.get("/api/v1/stats/{name}")
    async def read(name: str, caller: reader) -> dict[str, str]:
        return {"name": path_text(name)}

    @router.post("/api/v1/stats", status_code=201)
    async def create(named: Named, caller: Annotated[Principal, Depends(bearer("account"))]) -> dict[str, Any]:
        calls.append(named.name)
        return {"name": named.name, "number": len(calls)}

    @router.delete("/api/v1/stats/{name}", status_code=204)
    async def delete(name: str, caller: Annotated[Principal, Depends(bearer("account"))]) -> None:
        calls.append(name)

    @router.get("/api/v1/trackers")
    async def trackers(caller: Annotated[Principal, Depends(bearer("sites:read"))]) -> dict[str, str]:
        return {"kind": caller.facts.kind}

    @router.post("/v1/stat")
    async def write(request: Request, caller: Annotated[Principal, Depends(bearer("stats:write"))]) -> dict[str, int]:
        return {"length": len(await request.body())}

    @router.post("/api/v1/import")
    async def upload(request: Request) -> dict[str, int]:
        return {"length": sum([len(part) async for part in request.stream()])}

    @router.post("/api/v1/auth/login")
    async def login(request: Request, _: Annotated[None, Depends(same_origin)]) -> Response:
        response = JSONResponse({})
        set_session(response, request, "abc", 60)
        return response

    @router.post("/settings")
    async def settings(caller: Annotated[Principal, Depends(session_only)], name: Annotated[str, Form()]) -> str:
        calls.append(name)
        return name

    @router.get("/me")
    async def me(caller: Annotated[Principal, Depends(session_only)]) -> str:
        return str(caller.facts.account)

    @router.get("/c")
    async def pixel() -> dict[str, int]:
        calls.append("pixel")
        return {}

    @router.get("/fault/{kind}")
    async def fault(kind: str) -> None:
        raise {"database": DatabaseUnavailable("secret dsn"), "conflict": Conflict()}.get(kind, KeyError("st_secret"))

    return router


class Client:
    """An app on a real socket."""

    def __init__(self, http: httpx.AsyncClient, house: House, calls: list[Any], wires: Serving) -> None:
        self.http = http
        self.house = house
        self.calls = calls
        self.wires = wires

    def key(self, secret: str = "", **facts: Any) -> dict[str, str]:
        scopes = frozenset(("stats:read", "stats:write", "account"))
        secret = secret or f"ss_live_{uuid4().hex}"
        self.house.issue(secret.encode(), **{"scopes": scopes, **facts})
        return {"Authorization": f"Bearer {secret}"}

    def session(self, secret: str = "") -> dict[str, str]:
        secret = secret or f"session-{uuid4().hex}"
        scopes = frozenset(("stats:read", "stats:write", "account", "sites:read"))
        self.house.issue(secret.encode(), kind="session", role="owner", scopes=scopes)
        return {"Cookie": f"ezstat_session={secret}"}


@asynccontextmanager
async def client_of(house: House, rules: dict[str, BodyRule] | None = None) -> AsyncIterator[Client]:
    calls: list[Any] = []
    rules = rules or {"/api/v1/import": BodyRule(8 << 20, 0.3, stream=True)}
    app = make_app("test", house.process, [make_router(calls)], bodies=rules)
    async with (
        serving(app, guards=Guards(drain_seconds=0.02, body_seconds=0.5)) as wires,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{wires.port}", verify=False) as http,
    ):
        yield Client(http, house, calls, wires)


@pytest.fixture(scope="module")
async def shared(servers: Servers, own_nats: Running) -> AsyncIterator[Client]:
    async with open_house(own_nats.child.url, servers.redis_url) as house, client_of(house) as opened:
        yield opened


@pytest.fixture
def client(shared: Client) -> Client:
    """One app for most tests; each makes its own keys."""
    shared.calls.clear()
    return shared


@pytest.fixture
async def other_house(servers: Servers, own_nats: Running) -> Callable[[Settings], Any]:
    return lambda settings: open_house(own_nats.child.url, servers.redis_url, settings)


# Credentials


async def test_a_key_by_bearer_is_let_in_and_told_its_limit(client: Client) -> None:
    answer = await client.http.get("/api/v1/stats/a", headers=client.key())
    assert answer.json() == {"name": "a"}
    assert answer.headers["x-ratelimit-limit"] == "600"
    assert answer.headers["x-ratelimit-remaining"] == "599"
    assert answer.headers["ratelimit"].startswith('"default";r=599;t=')


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer unknown"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a b"},
        {"Authorization": "Basic c3M6"},
        {"Authorization": "ss_live_key"},
        {"Cookie": "ezstat_session=unknown"},
        {"Cookie": "ezstat_session=ss_live_key"},
        {"Authorization": "Bearer me@example.com"},
        {"Authorization": "Bearer session-secret"},
    ],
)
async def test_what_is_not_valid_is_401_and_never_says_why(client: Client, headers: dict[str, str]) -> None:
    client.key("ss_live_key")
    client.session("session-secret")
    client.house.issue(b"me@example.com", kind="ez")
    answer = await client.http.get("/api/v1/stats/a", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json() == {"error": {"code": "unauthorized", "message": "A valid key is needed."}}


async def test_the_wrong_scope_and_the_wrong_kind_are_403(client: Client) -> None:
    reader = client.key("ss_live_reader", scopes=frozenset(("stats:read",)))
    assert (await client.http.delete("/api/v1/stats/a", headers=reader)).status_code == 403
    token = client.key("ezi_sk_token", kind="user_token", scopes=frozenset(("sites:read", "stats:read")))
    assert (await client.http.get("/api/v1/stats/a", headers=token)).status_code == 403
    assert (await client.http.get("/api/v1/trackers", headers=token)).json() == {"kind": "user_token"}


async def test_a_read_key_may_stand_in_the_query_and_no_other_may(client: Client) -> None:
    client.key("st_read", kind="read", scopes=frozenset(("sites:read",)))
    client.key("ss_live_other")
    assert (await client.http.get("/api/v1/trackers?api_key=st_read")).status_code == 200
    assert (await client.http.get("/api/v1/trackers?api_key=ss_live_other")).status_code == 401
    assert (await client.http.get("/api/v1/stats/a?api_key=ss_live_other")).status_code == 401
    assert (await client.http.get("/api/v1/trackers?api_key=st_read&api_key=st_read")).status_code == 401


async def test_the_self_hosted_key_may_do_everything_of_its_account(client: Client) -> None:
    headers = client.key("chosen", kind="self_hosted", scopes=frozenset(), unlimited=True)
    answer = await client.http.get("/api/v1/stats/a", headers=headers)
    assert answer.status_code == 200
    assert "x-ratelimit-limit" not in answer.headers
    assert (await client.http.get("/api/v1/trackers?api_key=chosen")).status_code == 200


async def test_limits_are_kept_and_say_when_to_come_back(other_house: Callable[[Settings], Any]) -> None:
    async with other_house(Settings(secret="x", read_rate=3)) as house, client_of(house) as client:
        headers = client.key()
        answers = [await client.http.get("/api/v1/stats/a", headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["cache-control"] == "no-store"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
    assert answers[-1].headers["x-ratelimit-remaining"] == "0"


async def test_writes_tell_about_the_write_limit(client: Client) -> None:
    headers = client.key("ss_live_writer")
    await client.http.post("/v1/stat", headers=headers, content=b"x")
    principal = client.house.ring.known(b"ss_live_writer")
    assert principal is not None
    taken = principal.bucket.take(1, client.house.process.clock.monotonic())
    assert taken is True or await taken
    answer = await client.http.post("/v1/stat", headers=headers, content=b"x")
    assert answer.headers["x-ratelimit-limit"] == "1000000"


async def test_limits_that_are_off_are_not_told(other_house: Callable[[Settings], Any]) -> None:
    async with other_house(Settings(secret="x", rate_limits=False)) as house, client_of(house) as client:
        answer = await client.http.get("/api/v1/stats/a", headers=client.key())
    assert answer.status_code == 200
    assert not [name for name in answer.headers if "ratelimit" in name]


async def test_a_key_revoked_while_the_body_is_on_its_way_is_refused(client: Client) -> None:
    headers = client.key("ss_live_dying")
    await client.http.get("/api/v1/stats/a", headers=headers)
    wire = await client.wires.connect()
    whole = post(b"body", b"/v1/stat", b"Authorization: Bearer ss_live_dying\r\n")
    wire.send(whole[:-2])
    await wire.writer.drain()
    await client.house.accounts.drop(client.house.revoke(b"ss_live_dying"))
    wire.send(whole[-2:])
    status, _, body = await wire.answer()
    assert (status, json.loads(body)) == (401, {"msg": "A valid key is needed."})
    wire.close()


async def test_with_accounts_away_known_keys_work_and_others_are_503(client: Client) -> None:
    headers = client.key()
    await client.http.get("/api/v1/stats/a", headers=headers)
    client.house.accounts.broken = True
    try:
        assert (await client.http.get("/api/v1/stats/a", headers=headers)).status_code == 200
        answer = await client.http.get("/api/v1/stats/a", headers={"Authorization": "Bearer other"})
    finally:
        client.house.accounts.broken = False
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


# Sessions and other websites


async def test_a_session_may_read_and_write_json(client: Client) -> None:
    cookie = client.session()
    assert (await client.http.get("/me", headers=cookie)).status_code == 200
    assert (await client.http.post("/api/v1/stats", headers=cookie, json={"name": "a"})).status_code == 201


async def test_a_key_is_not_a_session(client: Client) -> None:
    assert (await client.http.get("/me", headers=client.key())).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
    ],
)
async def test_other_websites_can_not_use_a_session(client: Client, headers: dict[str, str]) -> None:
    headers = {"Content-Type": "application/json", **headers, **client.session()}
    answer = await client.http.post("/api/v1/stats", headers=headers, content=b'{"name":"a"}')
    assert answer.status_code == 403
    assert not client.calls


async def test_other_websites_can_not_sign_anybody_in(client: Client) -> None:
    assert (await client.http.post("/api/v1/auth/login", headers={"Origin": "https://evil.example"})).status_code == 403
    answer = await client.http.post("/api/v1/auth/login")
    assert answer.headers["set-cookie"] == "ezstat_session=abc; HttpOnly; Max-Age=60; Path=/; SameSite=lax"


async def test_our_own_pages_are_recognised_by_host_and_by_setting(client: Client) -> None:
    host = f"http://127.0.0.1:{client.wires.port}"
    for origin in (host, client.house.process.settings.url):
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin", **client.session()}
        assert (await client.http.post("/api/v1/stats", headers=headers, json={"name": "a"})).status_code == 201


async def test_a_form_needs_the_token_of_its_session(client: Client) -> None:
    cookie = client.session("session-of-form")
    assert (await client.http.post("/settings", headers=cookie, data={"name": "a"})).status_code == 403
    await client.http.get("/me", headers=cookie)
    principal = client.house.ring.known(b"session-of-form")
    assert principal is not None
    token = csrf_token(client.house.process.settings, principal)
    answer = await client.http.post("/settings", headers=cookie, data={"name": "a", "csrf_token": token})
    assert answer.status_code == 200
    assert (
        await client.http.post("/settings", headers={**cookie, "X-CSRF-Token": token}, data={"name": "b"})
    ).status_code == 200
    assert client.calls == ["a", "b"]


# Errors


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/stats/a/b", 404),
        ("PUT", "/api/v1/stats/a", 405),
        ("GET", "/fault/database", 503),
        ("GET", "/fault/conflict", 409),
        ("GET", "/fault/other", 500),
    ],
)
async def test_every_error_is_json_with_a_request_id_and_no_detail(
    client: Client, method: str, path: str, status: int
) -> None:
    answer = await client.http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert answer.headers["x-request-id"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_method_that_is_not_taken_is_told_all_that_are(client: Client) -> None:
    answer = await client.http.put("/api/v1/stats/a")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"name":"ss_live_1"',
        b'{"name":NaN}',
        b'{"name":"a","value":NaN}',
        b'{"name":"a","value":1e999}',
        b'{"name":"\\ud800"}',
        b'{"name":"\xff"}',
        "{}".encode("utf-16"),
        b"[" * 100_000,
        b'{"name":' + b"9" * 5000 + b"}",
        b'{"name":{"ss_live_1":1}}',
        b"[]",
        b"null",
    ],
)
async def test_a_body_that_is_not_what_was_asked_for_is_400_without_an_echo(client: Client, body: bytes) -> None:
    headers = {**client.key(), "Content-Type": "application/json"}
    answer = await client.http.post("/api/v1/stats", headers=headers, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert "ss_live_1" not in answer.text
    assert not client.calls


async def test_the_field_at_fault_is_named(client: Client) -> None:
    answer = await client.http.post("/api/v1/stats", headers=client.key(), json={"name": "a", "value": "x"})
    assert answer.json()["error"]["param"] == "value"


async def test_a_path_is_matched_as_sent(client: Client) -> None:
    headers = client.key()
    assert (await client.http.get("/api/v1/stats/a%2Fb%20%C3%A9", headers=headers)).json() == {"name": "a/b é"}
    assert (await client.http.get("/api/v1/stats/%FF", headers=headers)).status_code == 400


# OPTIONS, HEAD and headers


async def test_options_says_what_a_path_takes(client: Client) -> None:
    answer = await client.http.options("/api/v1/stats/a")
    assert (answer.status_code, answer.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")
    assert "access-control-allow-origin" not in answer.headers
    assert (await client.http.options("/nowhere")).status_code == 404


async def test_open_paths_may_be_used_from_any_website(client: Client) -> None:
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    answer = await client.http.options("/c", headers={**asked, "Access-Control-Request-Headers": "x-own"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, OPTIONS"
    assert answer.headers["access-control-allow-headers"] == "x-own"


async def test_head_is_get_without_a_body_where_that_is_safe(client: Client) -> None:
    headers = client.key()
    answer = await client.http.head("/api/v1/stats/a", headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len('{"name":"a"}')
    assert (await client.http.get("/api/v1/stats/a", headers=headers)).status_code == 200
    assert (await client.http.head("/c")).status_code == 405
    assert not client.calls


async def test_answers_can_not_be_framed_sniffed_or_kept(client: Client) -> None:
    headers = (await client.http.get("/api/v1/stats/a")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]


async def test_plain_http_is_refused_where_https_is_required(other_house: Callable[[Settings], Any]) -> None:
    settings = Settings(secret="x", require_https=True, trusted_proxies="127.0.0.1")
    async with other_house(settings) as house, client_of(house) as client:
        key = client.key()
        assert (await client.http.get("/api/v1/stats/a", headers=key)).status_code == 403
        told = {**key, "X-Forwarded-Proto": "https"}
        answer = await client.http.get("/api/v1/stats/a", headers=told)
        assert answer.headers["strict-transport-security"]
        assert (await client.http.get("/livez")).status_code == 200


# Bodies


async def test_gzip_is_unpacked(client: Client) -> None:
    headers = {**client.key(), "Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = await client.http.post("/api/v1/stats", headers=headers, content=gzip.compress(b'{"name":"packed"}'))
    assert answer.json()["name"] == "packed"


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b"0" * (50 << 20)), "gzip", 413),
        (gzip.compress(b"a") * 17, "gzip", 400),
        (gzip.compress(b"abc")[:-4], "gzip", 400),
        (b"not gzip", "gzip", 400),
        (b"x", "br", 415),
        (b"x", "gzip, gzip", 415),
        (b"x" * ((1 << 20) + 1), "identity", 413),
    ],
)
async def test_bodies_that_are_too_large_or_unreadable(client: Client, body: bytes, encoding: str, status: int) -> None:
    answer = await client.http.post("/v1/stat", headers={**client.key(), "Content-Encoding": encoding}, content=body)
    assert answer.status_code == status
    assert answer.json()["msg"]


async def test_json_sent_as_plain_text_is_read(client: Client) -> None:
    headers = {**client.key(), "Content-Type": "text/plain;charset=UTF-8"}
    answer = await client.http.post("/api/v1/stats", headers=headers, content=b' {"name":"beacon"}')
    assert answer.json()["name"] == "beacon"


async def test_a_slow_body_is_408(house: House) -> None:
    async with client_of(house, {"/v1/stat": BodyRule(1000, 0.1)}) as client:
        wire = await client.wires.connect()
        wire.send(post(b"body", b"/v1/stat")[:-1])
        assert (await wire.answer())[0] == 408
        wire.close()


async def test_a_streamed_body_may_be_large_but_not_endless_nor_silent(client: Client) -> None:
    answer = await client.http.post("/api/v1/import", content=b"x" * (4 << 20))
    assert answer.json() == {"length": 4 << 20}
    packed = gzip.compress(b"x" * (2 << 20))
    answer = await client.http.post("/api/v1/import", content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.json() == {"length": 2 << 20}
    bomb = gzip.compress(b"x" * (20 << 20))
    answer = await client.http.post("/api/v1/import", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    wire = await client.wires.connect()
    wire.send(post(b"x" * 100, b"/api/v1/import")[:-1])
    assert (await wire.answer())[0] == 408
    wire.close()


# Idempotency keys


async def test_a_post_sent_again_gets_the_same_answer(client: Client) -> None:
    headers = {**client.key(), "Idempotency-Key": uuid4().hex}
    first = await client.http.post("/api/v1/stats", headers=headers, json={"name": "a"})
    second = await client.http.post("/api/v1/stats", headers=headers, json={"name": "a"})
    assert first.json() == second.json() == {"name": "a", "number": 1}
    assert (second.status_code, second.headers["idempotent-replayed"]) == (201, "true")
    other = await client.http.post("/api/v1/stats", headers=headers, json={"name": "b"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert client.calls == ["a"]


async def test_two_at_once_with_one_idempotency_key_are_done_once(client: Client) -> None:
    headers = {**client.key(), "Idempotency-Key": uuid4().hex}
    answers = await asyncio.gather(
        *[client.http.post("/api/v1/stats", headers=headers, json={"name": "a"}) for _ in range(5)]
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert client.calls == ["a"]


async def test_accounts_do_not_share_idempotency_keys(client: Client) -> None:
    shared = {"Idempotency-Key": uuid4().hex}
    for secret in ("ss_live_alice", "ss_live_bob"):
        headers = {**client.key(secret), **shared}
        assert (await client.http.post("/api/v1/stats", headers=headers, json={"name": secret})).status_code == 201
    assert len(client.calls) == 2


async def test_a_kept_answer_is_unreadable_in_redis(client: Client) -> None:
    headers = {**client.key(), "Idempotency-Key": uuid4().hex}
    await client.http.post("/api/v1/stats", headers=headers, json={"name": "readable-name"})
    redis = client.house.process.redis
    kept = [await redis.get(name) async for name in redis.scan_iter("idempotency:*")]
    assert kept
    assert not [value for value in kept if b"readable-name" in value]


async def test_without_redis_a_post_with_an_idempotency_key_is_done_all_the_same(own_nats: Running) -> None:
    async with open_house(own_nats.child.url, "redis://127.0.0.1:1") as house, client_of(house) as client:
        headers = {**client.key(), "Idempotency-Key": uuid4().hex}
        answers = [await client.http.post("/api/v1/stats", headers=headers, json={"name": "a"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert client.calls == ["a", "a"]


async def test_a_refusal_is_not_kept(client: Client) -> None:
    headers = {"Authorization": "Bearer late", "Idempotency-Key": uuid4().hex}
    assert (await client.http.post("/api/v1/stats", headers=headers, json={"name": "a"})).status_code == 401
    client.key("late")
    assert (await client.http.post("/api/v1/stats", headers=headers, json={"name": "a"})).status_code == 201


# For operators


async def test_probes_and_metrics_name_routes_and_never_paths(client: Client) -> None:
    client.house.process.ready["part"] = lambda: False
    assert (await client.http.get("/livez")).json() == {"status": "ok"}
    answer = await client.http.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]) == (503, {"test": True, "part": False})
    await client.http.get("/api/v1/stats/private-name?api_key=st_secret")
    text = (await client.http.get("/metrics")).text
    assert 'route="/api/v1/stats/{name}",service="test",status="401"' in text
    assert "private-name" not in text
    assert "st_secret" not in text


async def test_metrics_are_not_for_the_public(other_house: Callable[[Settings], Any]) -> None:
    async with other_house(Settings(secret="x", trusted_proxies="127.0.0.1")) as house, client_of(house) as client:
        headers = {"X-Forwarded-For": "1.1.1.1"}
        assert (await client.http.get("/metrics", headers=headers)).status_code == 404


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_fault(client: Client) -> None:
    connections = client.wires.paths.connections
    before = set(connections)
    wire = await client.wires.connect()
    wire.send(post(b"body", b"/v1/stat")[:-1])
    await eventually(lambda: connections - before)
    wire.close()
    await eventually(lambda: not connections - before)
