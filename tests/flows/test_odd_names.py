"""Fault 19: what looks like SQL, HTML, a formula, a header or a bus subject is a name like any other."""

import asyncio
import csv
import io
import json
from typing import Any

import httpx
import nats
import pytest

from tests.flows.totals import escaped, summary
from tests.running import Ezstat, Person

NAMES = [
    "'; drop table ingest.stats; --", '" or "1"="1', "%s %(name)s {0} {name}", "$1; select 1", "\\'; --", "a\\nb",
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&lt;b&gt; &amp;amp;", "{{7*7}} {% raw %} ${7*7}",
    "=1+1", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1:A9)", "|calc", 'quote " and, comma', "semi;colon",
    "points.0.>", "*", ">", "a.b.*.>", "$JS.API.STREAM.DELETE.POINTS_0", "../../etc/passwd", "..", ".", "/", "a//b",
    "a?b=c&d#e", "100%", "%00", "%2e%2e%2f", "null", "NaN", "true", "undefined", "[object Object]", "-", "0",
    "ünïcödé", "e\u0301 in NFD", "العربية", "\u202eright to left", "zero\u200bwidth", "👩‍👩‍👧‍👦",
    "\ufeffbom", "𝔘𝔫𝔦", "x" * 255,
    "Set-Cookie: a=b", "X-Evil: 1", "aggregate", "realtime", "count", "value", "share",
]  # fmt: skip
FORMULAS = ("=", "+", "-", "@")


@pytest.fixture(scope="module")
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


@pytest.fixture(scope="module")
def api(person: Person) -> httpx.Client:
    """A key whose points are sent: i + 1 to the i-th name, each by another way in."""
    api = person.api()
    key = api.headers["authorization"].removeprefix("Bearer ")
    ways = [
        lambda name, n: api.post("/ez", json={"ezkey": key, "stat": name, "count": n}),
        lambda name, n: api.post("/c", data={"ukey": key, "key": name, "count": n}),
        lambda name, n: api.post("/v1/stats", json={"stats": [{"stat": name, "count": n}]}),
        lambda name, n: api.post("/api/v1/batch", json=[{"stat": name, "count": n}]),
        lambda name, n: api.post(f"/api/v1/stats/{escaped(name)}/count", json={"count": n}),
    ]
    for i, name in enumerate(NAMES):
        answer = ways[i % len(ways)](name, i + 1)
        assert answer.status_code == 200, (name, answer.text)
    summary(person, stored(NAMES[-1]))
    return api


def stored(name: str) -> str:
    """Names are kept in NFC."""
    return {"e\u0301 in NFD": "é in NFD"}.get(name, name)


def test_each_is_a_stat_of_its_own(api: httpx.Client, person: Person) -> None:
    for i, name in enumerate(NAMES):
        assert summary(person, name)["total"] == i + 1, name


def test_the_list_gives_them_back_unchanged(api: httpx.Client) -> None:
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = api.get("/api/v1/stats", params={"limit": 7, "cursor": cursor}).json()
        found += [stat["name"] for stat in page["stats"]]
        cursor = page["next_cursor"]
    assert sorted(found) == sorted(map(stored, NAMES))


@pytest.mark.parametrize("name", ["'; drop table", "%s", "<script>", "*", "_%"])
def test_a_search_takes_them_literally(api: httpx.Client, name: str) -> None:
    found = api.get("/api/v1/stats", params={"search": name}).json()["stats"]
    assert [stat["name"] for stat in found] == sorted(stored(other) for other in NAMES if name.lower() in other.lower())


def totals(api: httpx.Client, format_: str) -> dict[str, Any]:
    answer = api.get("/api/v1/export", params={"format": format_})
    assert answer.status_code == 200
    if format_ == "csv":
        rows = list(csv.reader(io.StringIO(answer.text)))
        return {row[0]: float(row[3]) for row in rows[1:]}
    if format_ == "ndjson":
        lines = [json.loads(line) for line in answer.text.splitlines()]
        return {line["stat"]: line["count"] for line in lines}
    return {stat["stat"]: stat["points"][0][1] for stat in answer.json()["stats"]}


@pytest.mark.parametrize("format_", ["json", "ndjson"])
def test_exports_give_them_back_unchanged(api: httpx.Client, format_: str) -> None:
    assert totals(api, format_) == {stored(name): i + 1 for i, name in enumerate(NAMES)}


def test_a_spreadsheet_takes_none_of_them_for_a_formula(api: httpx.Client) -> None:
    found = totals(api, "csv")
    assert len(found) == len(NAMES)
    assert not [name for name in found if name.lstrip().startswith(FORMULAS)]


@pytest.mark.parametrize("format_", ["json", "ndjson", "csv"])
def test_an_export_is_imported_with_the_same_names(ezstat: Ezstat, api: httpx.Client, format_: str) -> None:
    file = api.get("/api/v1/export", params={"format": format_}).content
    other = ezstat.sign_up()
    assert other.api().post("/api/v1/import", content=file).status_code == 202
    for i, name in enumerate(NAMES):
        assert summary(other, name, within=20)["total"] == i + 1, name


def test_answers_are_json_that_no_browser_takes_for_a_page(api: httpx.Client) -> None:
    for path in ("/api/v1/stats", "/api/v1/dashboard", f"/api/v1/stats/{escaped(NAMES[6])}"):
        answer = api.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "x-evil" not in answer.headers


def test_no_subject_of_the_bus_comes_from_a_name(ezstat: Ezstat, api: httpx.Client) -> None:
    """Subjects hold partitions, event names and account ids, nothing that people wrote."""

    async def subjects() -> set[str]:
        client = await nats.connect(ezstat.urls["nats"])
        try:
            stream = client.jetstream()
            found: set[str] = set()
            for info in await stream.streams_info():
                state = await stream.stream_info(info.config.name or "", subjects_filter=">")
                found |= set(state.state.subjects or {})
            return found
        finally:
            await client.close()

    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._$"
    for subject in asyncio.run(subjects()):
        assert set(subject) <= set(allowed), subject
        assert "DELETE" not in subject
        assert "passwd" not in subject
