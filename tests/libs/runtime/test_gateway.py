"""The route table: the same answers from the table itself, from one process with all services, and from nginx."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from libs.runtime.children import free_port
from libs.runtime.gateway import RouteConflict, Table, presented_key, table
from libs.runtime.openapi import DocumentConflict, merge
from libs.runtime.service import Route, Service
from tests.gateways import Nginx, gateway, serving
from tests.libs.runtime.house import House, build
from tests.servers import Servers

CASES: list[tuple[str, dict[str, str], str]] = [
    ("/", {}, "beta"),
    ("/a", {}, "alpha"),
    ("/a/", {}, "alpha"),
    ("/ab", {}, "beta"),
    ("/a/x?site=1", {}, "alpha"),
    ("/a?site_id=7", {}, "beta"),
    ("/a?x=1&site_id", {}, "beta"),
    ("/a?xsite_id=7", {}, "alpha"),
    ("/a/b", {}, "beta"),
    ("/a/b/c", {}, "beta"),
    ("/a/bc", {}, "alpha"),
    ("/a/exact", {}, "alpha"),
    ("/a%2Fb", {}, "beta"),
    ("/a/%62", {}, "alpha"),
    ("/a//b", {}, "alpha"),
    ("/a/x%2F..%2F..%2Fb", {}, "alpha"),
    ("/shared", {}, "beta"),
    ("/shared", {"Authorization": "Bearer sk_live_1"}, "alpha"),
    ("/shared/deep?x", {"Authorization": "bearer   sk_live_1"}, "alpha"),
    ("/shared", {"Authorization": "Bearer ss_live_1"}, "beta"),
    ("/shared", {"Authorization": "Basic sk_live_1"}, "beta"),
    ("/shared?api_key=sk_1", {}, "alpha"),
    ("/shared?api_key=xsk_1", {}, "beta"),
    ("/shared?ukey=sk_1&x=/a/b", {}, "alpha"),
    ("/shared?api_key=sk_1", {"Authorization": "Bearer ss_live_1"}, "beta"),
    ("/elsewhere?path=/a/b", {}, "beta"),
]


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(port: int, path: str, headers: dict[str, str] | None = None, *, body: bytes | None = None) -> Answer:
    """A request whose path is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest("GET" if body is None else "POST", path)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})
    finally:
        connection.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> House:
    named = {"DATABASE_URL": servers.database_url, "NATS_URL": servers.nats_url, "REDIS_URL": servers.redis_url}
    return build(tmp_path_factory.mktemp("gateway"), EZSTAT_SECRET="s" * 32, **named)


@pytest.fixture(scope="module")
def upstreams(house: House) -> Iterator[dict[str, int]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(house.environ, house.folder / "errors.log", name))
            for name in ("alpha", "beta")
        }


@pytest.fixture(scope="module")
def nginx(house: House, upstreams: dict[str, int]) -> Iterator[Nginx]:
    with gateway(house.environ, house.folder / "nginx", upstreams) as running:
        yield running


@pytest.mark.parametrize(("path", "headers", "service"), CASES)
def test_the_table_knows_the_service(path: str, headers: dict[str, str], service: str, house: House) -> None:
    alpha = Service("alpha", "", [
        Route("/a"), Route("/a/exact", exact=True), Route("/shared", credential=("sk_",)), Route("/token", secret=True),
    ])  # fmt: skip
    beta = Service("beta", "", [Route("/"), Route("/a/b"), Route("/shared"), Route("/a", query="site_id")])
    raw, _, query = path.encode().partition(b"?")
    routes = Table(table([alpha, beta]))
    assert routes.service_of(raw, query, headers.get("Authorization", "").encode()) == service


def test_one_process_with_all_services_answers_as_the_table_says(house: House) -> None:
    with serving(house.environ, house.folder / "errors.log") as port:
        answers = [ask(port, path, headers).json["service"] for path, headers, _ in CASES]
        hot = [ask(port, f"/hot/{name}").json for name in ("alpha", "beta")]
    assert answers == [service for _, _, service in CASES]
    assert hot == [{"hot": "alpha"}, {"hot": "beta"}]


def test_nginx_answers_as_the_table_says_and_passes_paths_on_as_sent(nginx: Nginx) -> None:
    answers = [ask(nginx.port, path, headers).json for path, headers, _ in CASES]
    assert [answer["service"] for answer in answers] == [service for _, _, service in CASES]
    assert [answer["path"] for answer in answers] == [path.partition("?")[0] for path, _, _ in CASES]


@pytest.mark.parametrize(
    ("path", "status"), [("/a/..%2F..%2F..%2Fx", 400), ("/a?" + "x" * 20_000, 400), ("/bad%zz", 400), ("/%00", 400)]
)
def test_what_nginx_itself_cannot_take_is_refused_in_the_look_of_the_house(
    nginx: Nginx, path: str, status: int
) -> None:
    answer = ask(nginx.port, path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["error"]["code"] == "invalid_request"
    assert len(answer.headers["x-request-id"]) > 20


def test_nginx_refuses_a_head_that_is_too_large(nginx: Nginx) -> None:
    answer = ask(nginx.port, "/a", {"X-Large": "x" * 20_000})
    assert answer.status == 431
    assert answer.json["error"]["code"] == "head_too_large"


def test_nginx_says_who_asked(nginx: Nginx) -> None:
    forwarded = ask(nginx.port, "/a", {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}).json["forwarded"]
    assert forwarded["x-forwarded-for"] == "6.6.6.6, 127.0.0.1"
    assert forwarded["x-forwarded-proto"] == "http"
    assert forwarded["host"] == f"127.0.0.1:{nginx.port}"


def test_nginx_believes_a_trusted_proxy_in_front_of_it_that_the_client_came_by_https(
    house: House, upstreams: dict[str, int]
) -> None:
    trusting = replace(house, environ={**house.environ, "EZSTAT_TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1"})
    with gateway(trusting.environ, trusting.folder / "nginx-behind", upstreams) as behind:
        for told, known in (("https", "https"), ("http, HTTPS", "https"), ("https,http", "http"), ("gopher", "http")):
            forwarded = ask(behind.port, "/a", {"X-Forwarded-Proto": told}).json["forwarded"]
            assert forwarded["x-forwarded-proto"] == known


def test_nginx_takes_large_bodies_only_where_a_row_says_so(nginx: Nginx) -> None:
    large = b"x" * (2 << 20)
    refused = ask(nginx.port, "/a/x", body=large)
    assert refused.status == 413
    assert refused.json["error"]["code"] == "too_large"
    assert ask(nginx.port, "/upload", body=large).json["size"] == len(large)


def test_nginx_hands_a_live_stream_on_as_it_comes(nginx: Nginx) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=5)
    try:
        connection.request("GET", "/live")
        assert connection.getresponse().readline() == b"data: first\n"
    finally:
        connection.close()


def test_no_key_stands_in_nginx_logs(nginx: Nginx, house: House) -> None:
    canary = "sk_live_canary0123456789"
    ask(nginx.port, f"/a?ukey={canary}&x=1")
    ask(nginx.port, f"/token/{canary}/data?x=1")
    ask(nginx.port, "/shared", {"Authorization": f"Bearer {canary}"})
    ask(nginx.port, f"/a/y?ukey={canary}", body=b"x" * (2 << 20))
    ask(nginx.port, "/the-end")
    deadline = time.monotonic() + 5
    while "/the-end" not in nginx.lines():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "canary" not in nginx.lines()
    assert "/token/[redacted]" in nginx.lines()


def test_nginx_answers_like_the_house_when_a_service_is_away(house: House) -> None:
    with gateway(house.environ, house.folder / "alone", {"alpha": free_port(), "beta": free_port()}) as alone:
        answer = ask(alone.port, "/a/x?ukey=sk_live_canary0123456789")
        assert answer.status == 503
        assert answer.headers["retry-after"] == "5"
        assert answer.json["error"]["code"] == "unavailable"
        assert "canary" not in alone.lines()


def test_two_services_cannot_claim_the_same_row() -> None:
    with pytest.raises(RouteConflict, match="/x is claimed by one and by two"):
        table([Service("one", "", [Route("/x")]), Service("two", "", [Route("/x")])])


def test_a_row_is_literal_whatever_signs_it_holds() -> None:
    routes = Table(table([Service("one", "", [Route("/a.b+(c)", exact=True)])]))
    assert routes.service_of(b"/a.b+(c)") == "one"
    assert routes.service_of(b"/aXb+(c)") is None


@pytest.mark.parametrize(
    ("query", "authorization", "key"),
    [
        (b"", b"", b""),
        (b"api_key=one", b"", b"one"),
        (b"x=1&ukey=two", b"", b"two"),
        (b"api_key=&ezkey=three", b"", b"three"),
        (b"api_key=one", b"Bearer four", b"four"),
        (b"", b"Basic four", b""),
    ],
)
def test_the_presented_key(query: bytes, authorization: bytes, key: bytes) -> None:
    assert presented_key(query, authorization) == key


def test_the_configuration_needs_no_backslash_and_names_no_machine(house: House) -> None:
    text = house.command("gateway-config").stdout
    assert "server alpha:8000;" in text
    assert not re.search(r'"~[^"]*\\', text)


def test_the_document_of_all_services_is_made_without_any_server(tmp_path: Path) -> None:
    printed = build(tmp_path).command("openapi").stdout
    assert "/live" in json.loads(printed)["paths"]


def test_documents_of_services_become_one() -> None:
    one = {"paths": {"/x": {"get": {"summary": "read"}}}, "components": {"schemas": {"Error": {"type": "object"}}}}
    two = {"paths": {"/x": {"post": {"summary": "write"}}}, "components": {"schemas": {"Error": {"type": "object"}}}}
    merged = merge({"one": one, "two": two})
    assert merged["paths"] == {"/x": {"get": {"summary": "read"}, "post": {"summary": "write"}}}
    assert merged["components"] == {"schemas": {"Error": {"type": "object"}}}
    three = {"components": {"schemas": {"Error": {"type": "string"}}}}
    with pytest.raises(DocumentConflict, match="Error of three"):
        merge({"one": one, "three": three})
