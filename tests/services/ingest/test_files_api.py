"""Export and import as people use them, over a running installation."""

import json
import signal
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.eventually import until
from tests.running import Ezstat, Person

T = 1_772_323_200


@pytest.fixture
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


@pytest.fixture
def api(person: Person) -> httpx.Client:
    return person.api()


def told(api: httpx.Client, job: str) -> Iterator[Any]:
    """An import as its events tell it, to the end."""
    with api.stream("GET", f"/api/v1/import/{job}/events", timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line[6:])


def ended(api: httpx.Client, job: str) -> Any:
    *_, last = told(api, job)
    return last


def total(api: httpx.Client, name: str) -> Any:
    answer = api.get(f"/api/v1/stats/{name}", params={"from": "2026-01-01", "to": "2026-12-31", "resolution": "1d"})
    return answer.json()["summary"]["total"] if answer.status_code == 200 else None


def test_what_was_sent_is_exported_and_imported_elsewhere(ezstat: Ezstat, api: httpx.Client) -> None:
    rows = [{"stat": "signups", "count": i, "t": T + i} for i in range(1, 101)] + [{"stat": "ms", "value": 1.5, "t": T}]
    assert api.post("/api/v1/batch", json=rows).status_code == 200
    until(lambda: total(api, "signups") == 5050, within=10)
    for format_ in ("json", "ndjson", "csv"):
        answer = api.get("/api/v1/export", params={"format": format_})
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].endswith(f'.{format_}"')
        assert answer.headers["cache-control"] == "no-store"
        other = ezstat.sign_up().api()
        sent = other.post("/api/v1/import", content=answer.content)
        assert (sent.status_code, sent.json()["state"]) == (202, "queued")
        assert ended(other, sent.json()["id"])["points"] == 101
        until(lambda other=other: total(other, "signups") == 5050, within=10)  # type: ignore[misc]


def test_an_ndjson_export_can_be_sent_as_a_batch(ezstat: Ezstat, api: httpx.Client) -> None:
    api.post("/api/v1/batch", json=[{"stat": "x", "count": 2, "t": T}, {"stat": "x", "count": 3, "t": T + 0.25}])
    until(lambda: total(api, "x") == 5, within=10)
    api.post("/api/v1/stats", json={"name": "empty", "type": "gauge"}).raise_for_status()
    file = api.get("/api/v1/export", params={"format": "ndjson"}).content
    assert b"empty" in file
    other = ezstat.sign_up().api()
    assert other.post("/api/v1/batch", content=file).json() == {"accepted": 2}
    until(lambda: total(other, "x") == 5, within=10)
    assert total(other, "empty") is None
    assert other.post("/api/v1/batch", json=[{"stat": "no number"}]).status_code == 400


def test_points_of_one_moment_are_exported_once_however_they_were_stored(api: httpx.Client) -> None:
    """Each in a transaction, so in a row, of its own: more than nine of them, which text would put in another order."""
    for n in range(1, 13):
        api.post("/ez", data={"ezkey": api.headers["authorization"].removeprefix("Bearer "), "stat": "m", "t": str(T)})
        until(lambda n=n: total(api, "m") == n, within=10)  # type: ignore[misc]
    lines = api.get("/api/v1/export", params={"format": "ndjson"}).text.splitlines()
    assert len(lines) == 12


def test_an_export_of_an_unknown_stat_is_not_begun(api: httpx.Client) -> None:
    answer = api.get("/api/v1/export", params={"stat": "nobody"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert api.get("/api/v1/export", params={"from": "yesterday"}).status_code == 400
    assert api.get("/api/v1/export", params={"format": "xml"}).status_code == 400


def test_an_empty_account_has_an_empty_export(api: httpx.Client) -> None:
    assert api.get("/api/v1/export").json()["stats"] == []
    assert api.get("/api/v1/export?format=csv").text == "stat,type,t,value\r\n"


def test_a_form_uploads_a_file(person: Person, api: httpx.Client) -> None:
    file = b"stat,type,t,value\nformed,counter,%d,3\nformed,counter,never,3\n" % T
    sent = api.post("/api/v1/import", files={"file": ("C:\\my\\points.csv", file)}, data={"note": "x"})
    assert sent.status_code == 202
    job = ended(api, sent.json()["id"])
    assert (job["filename"], job["format"], job["points"], job["bad"]) == ("points.csv", "csv", 1, 1)
    assert job["errors"] == [{"row": 3, "reason": "t must be Unix seconds, a date or an RFC 3339 time"}]
    # The same file again is the same job; as a session's form it needs the page's token.
    again = api.post("/api/v1/import", content=file)
    assert (again.status_code, again.json()["id"]) == (200, job["id"])
    assert person.client.post("/api/v1/import", files={"file": ("x", file)}).status_code == 403
    until(lambda: total(api, "formed") == 3, within=10)


def test_bad_uploads_are_refused(api: httpx.Client) -> None:
    assert api.post("/api/v1/import", content=b"").status_code == 400
    boundary = {"content-type": "multipart/form-data; boundary=x"}
    assert api.post("/api/v1/import", content=b"nonsense", headers=boundary).status_code == 400
    assert api.post("/api/v1/import", data={"file": "not a file"}, files={"a": (None, b"x")}).status_code == 400
    assert api.get(f"/api/v1/import/{uuid4()}").status_code == 404
    assert api.get("/api/v1/import/nonsense").status_code == 404
    assert httpx.post(f"{api.base_url}/api/v1/import", content=b"x").status_code == 401


def test_another_account_sees_nothing_of_an_import(ezstat: Ezstat, api: httpx.Client) -> None:
    job = api.post("/api/v1/import", content=b"stat,value\nx,1\n").json()["id"]
    other = ezstat.sign_up().api()
    assert other.get("/api/v1/import").json() == {"imports": []}
    answers = [other.request(method, f"/api/v1/import/{job}") for method in ("GET", "DELETE")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert other.get(f"/api/v1/import/{job}/events").status_code == 404
    assert [one["id"] for one in api.get("/api/v1/import").json()["imports"]] == [job]


def test_progress_is_told_until_the_end(api: httpx.Client) -> None:
    file = b"".join(b'{"stat":"watched","count":1,"t":%d}\n' % (T + i) for i in range(30_000))
    job = api.post("/api/v1/import", content=file).json()["id"]
    events = list(told(api, job))
    assert events[-1]["state"] == "done"
    assert events[-1]["points"] == 30_000
    assert [one["rows"] for one in events] == sorted(one["rows"] for one in events)


def test_an_import_survives_the_kill_of_its_worker(ezstat: Ezstat, api: httpx.Client) -> None:
    file = b"stat,type,t,value\n" + b"".join(b"killed,counter,%d,1\n" % (T + i) for i in range(300_000))
    job = api.post("/api/v1/import", content=file).json()["id"]
    events = told(api, job)
    assert any(0 < event["rows"] < 300_000 for event in events)
    ezstat.kill("work-1", signal.SIGKILL)
    *_, found = events
    assert (found["state"], found["rows"], found["points"]) == ("done", 300_000, 300_000)
    until(lambda: total(api, "killed") == 300_000, within=20)
