"""Fault 31: what is Alice's and what does not exist give Charlie the same answer, on every route of the document.

The routes come from `/openapi.json`, so a new one fails here until it has a row.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.flows.totals import summary
from tests.running import Ezstat, Person

SECRET_STAT = "alices secret"

Made = Callable[["House"], str]


@dataclass
class House:
    alice: Person
    charlie: Person
    charlies_key: str
    document: dict[str, Any]

    def callers(self, path: str) -> Iterator[tuple[str, httpx.Client]]:
        """Charlie with his key, signed in, and somebody with nothing."""
        ezstat = self.charlie.ezstat
        yield "key", ezstat.client(Authorization=f"Bearer {self.charlies_key}")
        yield "session", self.charlie.client
        yield "nobody", ezstat.client()

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation


@pytest.fixture(scope="module")
def house(ezstat: Ezstat) -> House:
    alice, charlie = ezstat.sign_up(), ezstat.sign_up()
    key = alice.key(name="alices secret key")
    assert ezstat.client().post("/ez", data={"ezkey": key, "stat": SECRET_STAT}).is_success
    summary(alice, SECRET_STAT)
    document = ezstat.client().get("/openapi.json")
    assert document.status_code == 200
    return House(alice, charlie, charlie.key(), document.json())


def made(path: str, body: dict[str, str]) -> Made:
    def make(house: House) -> str:
        answer = house.alice.client.post(path, json=body | ({"key": uuid4().hex} if "ez-keys" in path else {}))
        assert answer.status_code == 201, answer.text
        id_: str = answer.json()["id"]
        return id_

    return make


def stat_id(house: House) -> str:
    stats = house.alice.client.get("/api/v1/stats").json()["stats"]
    found: str = next(stat["id"] for stat in stats if stat["name"] == SECRET_STAT)
    return found


def session_id(house: House) -> str:
    id_: str = house.alice.client.get("/api/v1/auth/sessions").json()["sessions"][0]["id"]
    return id_


def user_id(house: House) -> str:
    id_: str = house.alice.client.get("/api/v1/auth/me").json()["user"]["id"]
    return id_


def import_id(house: House) -> str:
    file = b"stat,type,t,value\r\nalices import,counter,2026-03-01T00:00:00Z,1\r\n"
    answer = house.alice.client.post("/api/v1/import", content=file, headers={"content-type": "text/csv"})
    assert answer.status_code in (200, 202), answer.text
    id_: str = answer.json()["id"]
    return id_


def claimed_mvp(house: House) -> str:
    claim = {"mvp": f"alices-{uuid4().hex[:8]}", "claim": "a long random text"}
    point = {"stat": "secret", "count": 1}
    assert house.alice.client.post("/api/public", json=claim | point).is_success
    assert house.alice.client.post("/api/v1/mvps/claim", json=claim).is_success
    return claim["mvp"]


NAME = f"a-name-{uuid4().hex}"
ROWS: dict[str, tuple[Made, str]] = {
    "/api/v1/account/invitations/{invitation_id}": (
        made("/api/v1/account/invitations", {"email": "dora@example.org", "role": "viewer"}), str(uuid4())),
    "/api/v1/account/members/{user_id}": (user_id, str(uuid4())),
    "/api/v1/auth/api-keys/{key_id}": (made("/api/v1/auth/api-keys", {"name": "x"}), str(uuid4())),
    "/api/v1/auth/ez-keys/{key_id}": (made("/api/v1/auth/ez-keys", {"name": "x"}), str(uuid4())),
    "/api/v1/auth/read-keys/{key_id}": (made("/api/v1/auth/read-keys", {"name": "x"}), str(uuid4())),
    "/api/v1/auth/sessions/{session_id}": (session_id, str(uuid4())),
    "/api/v1/auth/tokens/{key_id}": (made("/api/v1/auth/tokens", {"name": "x"}), str(uuid4())),
    "/api/v1/auth/tokens/{key_id}/regenerate": (made("/api/v1/auth/tokens", {"name": "y"}), str(uuid4())),
    "/api/v1/import/{job}": (import_id, str(uuid4())),
    "/api/v1/import/{job}/events": (import_id, str(uuid4())),
    "/api/v1/mvps/{mvp}/stats": (claimed_mvp, NAME),
    "/api/v1/mvps/{mvp}/stats/{name}": (claimed_mvp, NAME),
    "/api/v1/stats/{name}": (stat_id, str(uuid4())),
    "/api/v1/stats/{name}/count": (made("/api/v1/stats", {"name": "for counts", "type": "counter"}), str(uuid4())),
    "/api/v1/stats/{name}/value": (made("/api/v1/stats", {"name": "for values", "type": "gauge"}), str(uuid4())),
    "/v1/stat/{name}": (stat_id, str(uuid4())),
    "/x/{token}/data/{stats}": (stat_id, str(uuid4())),
    "/x/{token}/stats/{stat}": (stat_id, str(uuid4())),
}  # fmt: skip
"""A path with an id needs a row: how Alice gets one, and one like it that nobody has."""

FOR_STRANGERS = {
    "/api/public", "/api/v1/health", "/api/v1/auth/signup", "/api/v1/auth/login", "/api/v1/auth/confirm",
    "/api/v1/auth/setup", "/api/v1/auth/password/forgot", "/api/v1/auth/password/reset",
    "/api/v1/auth/invitations/look", "/api/v1/auth/invitations/accept",
}  # fmt: skip
KEY_ELSEWHERE = {"/ez", "/c", "/v"}
"""The key is in the form, or in the path."""
ENDLESS = {"/api/v1/live"}
BODY = {
    "role": "viewer", "name": "x", "count": 1, "value": 1, "unit": "x", "stat": "x",
    "stats": [{"stat": "x", "count": 1}],
}  # fmt: skip
"""Enough of every route's body to get as far as the question of who asks."""


def filled(path: str, id_: str, token: str) -> str:
    """The path with its token and its first other parameter; a further one is Alice's stat's name."""
    path = path.replace("{token}", token)
    if "{" not in path:
        return path
    before, _, rest = path.partition("{")
    after = rest.partition("}")[2]
    return f"{before}{id_}{after}".replace("{name}", "secret")


def has_id(path: str) -> bool:
    return "{" in path.replace("{token}", "")


def test_an_id_of_another_account_is_answered_like_one_that_does_not_exist(house: House) -> None:
    seen = set()
    for method, path, _ in house.operations():
        if not has_id(path):
            continue
        assert path in ROWS, f"{path} needs a row in ROWS"
        seen.add(path)
        make, absent = ROWS[path]
        theirs = make(house)
        for who, client in house.callers(path):
            token = house.charlies_key if who != "nobody" else "ss_live_nobody"
            said = []
            for id_ in (theirs, absent):
                answer = client.request(method, filled(path, id_, token), json=BODY if method != "GET" else None)
                said.append((answer.status_code, answer.text.replace(id_, "ID")))
            assert said[0] == said[1], (method, path, who)
            if not path.endswith(("/count", "/value")) or who == "nobody":
                assert said[0][0] in (401, 403, 404), (method, path, who, said[0])
    assert seen == {path for path in ROWS if path in house.document["paths"]}


def test_a_name_of_another_account_is_nothing_special(house: House) -> None:
    for path in ("/api/v1/stats/{}", "/v1/stat/{}", "/x/TOKEN/stat?name={}", "/api/v1/export?stat={}"):
        for who, client in house.callers(path):
            target = path.replace("TOKEN", house.charlies_key if who != "nobody" else "ss_live_nobody")
            theirs = client.get(target.format("alices%20secret"))
            absent = client.get(target.format("charlies%20dream"))
            assert (theirs.status_code, theirs.text) == (absent.status_code, absent.text), (path, who)


def test_lists_show_nothing_of_another_account(house: House) -> None:
    hers = (SECRET_STAT, house.alice.email, stat_id(house), user_id(house), "alices secret key", "alices import")
    for method, path, _ in house.operations():
        if method != "GET" or has_id(path) or path in ENDLESS | KEY_ELSEWHERE:
            continue
        for who, client in house.callers(path):
            token = house.charlies_key if who != "nobody" else "ss_live_nobody"
            answer = client.get(path.replace("{token}", token))
            for word in hers:
                assert word not in answer.text, (path, who, word)


def test_without_a_key_nothing_answers_but_what_is_for_strangers(house: House, ezstat: Ezstat) -> None:
    with ezstat.client() as nobody:
        for method, path, operation in house.operations():
            if path in FOR_STRANGERS:
                assert not operation.get("security"), f"{path} says that it needs a key"
                continue
            url = filled(path, str(uuid4()), "ss_live_nobody") + ("?name=x" if path.endswith("/stat") else "")
            answer = nobody.request(method, url, json=BODY if method not in ("GET", "DELETE") else None)
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["www-authenticate"].startswith("Bearer"), path


def test_all_that_is_alices_is_still_there(house: House) -> None:
    """Whatever the tests above tried."""
    found = house.alice.client.get(f"/api/v1/stats/{stat_id(house)}").json()
    assert (found["stat"]["name"], found["stat"]["unit"], found["summary"]["n"]) == (SECRET_STAT, "", 1)
    keys = json.dumps(house.alice.client.get("/api/v1/auth/api-keys").json())
    assert '"revoked_at": null' in keys
    assert 'revoked_at": "2' not in keys
