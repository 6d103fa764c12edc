"""StatHat's export API, as its old tools call it."""

import time
from typing import Any

import httpx
import pytest

from libs.http.errors import BadRequest
from services.ingest.stathat import Timeframe, summary, timeframe
from tests.eventually import until
from tests.running import Ezstat, Person


def test_timeframes_are_two_spans() -> None:
    assert timeframe("1w3h") == Timeframe("1w3h", 604_800, 10_800)
    assert timeframe("2M1d") == Timeframe("2M1d", 5_184_000, 86_400)
    assert timeframe("1y1w").width == 604_800
    assert timeframe("60m5m") == Timeframe("60m5m", 3600, 300)
    assert summary("1w") == Timeframe("1w", 604_800, 86_400)


@pytest.mark.parametrize("text", ["", "1w", "3h1w", "0w0h", "1w3x", "1 w3h", "9999y1m", "1w-3h", "1w3h1m"])
def test_what_is_no_timeframe_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        timeframe(text)


@pytest.fixture(scope="module")
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


@pytest.fixture(scope="module")
def x(person: Person) -> str:
    """The address up to the token, of an account with a counter and a gauge."""
    key = person.key()
    now = time.time()
    rows = [{"stat": "hits", "count": 2, "t": now - 60 * i} for i in range(5)]
    client = person.ezstat.client(Authorization=f"Bearer {key}")
    client.post("/api/v1/batch", json=[*rows, {"stat": "load/avg", "value": 3, "t": now}]).raise_for_status()
    until(lambda: len(client.get("/api/v1/stats").json()["stats"]) == 2)
    address = f"{person.ezstat.url}/x/{key}"

    def stored() -> Any:
        stat = httpx.get(f"{address}/stat", params={"name": "hits"}).json()
        series = httpx.get(f"{address}/data/{stat['id']}?t=1h1h").json()
        return sum(point["value"] for point in series[0]["points"]) == 10

    until(stored, within=10)
    return address


def test_statlist_names_every_stat(x: str) -> None:
    stats = httpx.get(f"{x}/statlist").json()
    assert [(stat["name"], stat["counter"], stat["public"]) for stat in stats] == [
        ("hits", True, False), ("load/avg", False, False),
    ]  # fmt: skip
    assert set(stats[0]) >= {"id", "name", "public", "counter", "unit", "classic_key", "created_at"}
    assert httpx.get(f"{x}/statlist?offset=1").json() == stats[1:]


def test_stat_finds_by_name(x: str) -> None:
    assert httpx.get(f"{x}/stat", params={"name": "load/avg"}).json()["counter"] is False
    missing = httpx.get(f"{x}/stat", params={"name": "nobody"})
    assert (missing.status_code, missing.json()) == (404, {"msg": "no such stat"})


def test_data_fills_gaps_with_zero(x: str) -> None:
    ids = "/".join(stat["id"] for stat in httpx.get(f"{x}/statlist").json())
    hits, load = httpx.get(f"{x}/data/{ids}?t=1d5m").json()
    assert (hits["name"], hits["timeframe"], load["name"]) == ("hits", "1d5m", "load/avg")
    assert 288 <= len(hits["points"]) <= 289
    assert {point["time"] % 300 for point in hits["points"]} == {0}
    assert sum(point["value"] for point in hits["points"]) == 10
    assert max(point["value"] for point in load["points"]) == 3
    daily = httpx.get(f"{x}/data/{ids}?summary=1w").json()
    assert daily[0]["timeframe"] == "1w"
    assert 7 <= len(daily[0]["points"]) <= 8
    past = httpx.get(f"{x}/data/{ids}?t=1d1h&start=1000000000").json()
    assert {point["value"] for point in past[0]["points"]} == {0}


def test_alerts_are_a_list(x: str) -> None:
    assert httpx.get(f"{x}/alerts").json() == []


def test_keys_that_may_not_are_refused_in_statHats_dialect(ezstat: Ezstat, person: Person, x: str) -> None:
    unknown = httpx.get(f"{ezstat.url}/x/ss_live_nonsense/statlist")
    assert (unknown.status_code, list(unknown.json())) == (401, ["msg"])
    writer = person.key(scopes=["stats:write"])
    assert httpx.get(f"{ezstat.url}/x/{writer}/statlist").status_code == 403
    reader = person.key(scopes=["stats:read"])
    assert httpx.get(f"{ezstat.url}/x/{reader}/statlist").status_code == 200
    stat = httpx.get(f"{x}/statlist").json()[0]["id"]
    assert httpx.delete(f"{ezstat.url}/x/{reader}/stats/{stat}").status_code == 403
    stranger = ezstat.sign_up().key()
    assert httpx.get(f"{ezstat.url}/x/{stranger}/data/{stat}?t=1d1h").status_code == 404
    assert httpx.get(f"{x}/data/{stat}?t=nonsense").json()["msg"].startswith("t must be")


def test_a_deleted_stat_is_gone_and_no_log_shows_the_token(ezstat: Ezstat, person: Person) -> None:
    key = person.key()
    person.ezstat.client(Authorization=f"Bearer {key}").post("/v1/stat", json={"stat": "doomed", "count": 1})
    address = f"{ezstat.url}/x/{key}"
    stat = until(lambda: httpx.get(f"{address}/stat", params={"name": "doomed"}).json().get("id"))
    assert httpx.delete(f"{address}/stats/{stat}").json() == {"msg": "stat deleted."}
    assert httpx.get(f"{address}/stat", params={"name": "doomed"}).status_code == 404
    assert key not in ezstat.log.read_text()
