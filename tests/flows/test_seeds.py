"""The examples of the product documents, pasted into a shell with host and key replaced, say what the documents say.

The commands are copied out of the documents (000: EzStat, 001: StatFlow), of the sections that are built.
"""

import json
import subprocess
import time
from typing import Any

import httpx
import pytest

from tests.flows.totals import summary
from tests.needs import program
from tests.running import Ezstat, Person

HOSTS = ("https://api.ezstat.dev", "https://api.statflow.dev", "https://api.stathat.com")
STATFLOW_KEYS = ("sk_live_your_key_here", "sk_live_YOUR_KEY", "USER_KEY")
EZSTAT_KEYS = ("ss_live_xxx", "YOUR_API_KEY")
OK_EZ = '{"status":200,"msg":"ok"}'
OK_V1 = '{"msg":"ok"}'

SENDING: dict[str, tuple[str, str, dict[str, float]]] = {
    "000 /ez": (
        """curl -X POST https://api.ezstat.dev/ez \\
  -d "ezkey=YOUR_API_KEY" \\
  -d "stat=api_requests" \\
  -d "count=1"
""", OK_EZ, {"api_requests": 1}),
    "000 /c": (
        """curl -X POST https://api.ezstat.dev/c \\
  -d "key=api_requests" \\
  -d "ukey=ss_live_xxx" \\
  -d "count=1"
""", OK_EZ, {"api_requests": 1}),
    "000 /v": (
        """curl -X POST https://api.ezstat.dev/v \\
  -d "key=response_time" \\
  -d "ukey=ss_live_xxx" \\
  -d "value=142"
""", OK_EZ, {"response_time": 142}),
    "000 count": (
        """curl -X POST https://api.ezstat.dev/api/v1/stats/api_requests/count \\
  -H "Authorization: Bearer ss_live_xxx" \\
  -H "Content-Type: application/json" \\
  -d '{"count": 1}'
""", OK_V1, {"api_requests": 1}),
    "000 value": (
        """curl -X POST https://api.ezstat.dev/api/v1/stats/response_time/value \\
  -H "Authorization: Bearer ss_live_xxx" \\
  -H "Content-Type: application/json" \\
  -d '{"value": 142}'
""", OK_V1, {"response_time": 142}),
    "000 cURL": (
        """curl -X POST https://api.ezstat.dev/ez \\
  -d "ezkey=YOUR_API_KEY" \\
  -d "stat=deploys" -d "count=1"
""", OK_EZ, {"deploys": 1}),
    "001 first metric": (
        """curl -X POST https://api.statflow.dev/v1/stat \\
      -H "Authorization: Bearer sk_live_YOUR_KEY" \\
      -H "Content-Type: application/json" \\
      -d '{"stat": "my_first_metric", "count": 1}'
""", OK_V1, {"my_first_metric": 1}),
    "001 quick start": (
        """curl -X POST https://api.statflow.dev/v1/stat \\
  -H "Authorization: Bearer sk_live_your_key_here" \\
  -H "Content-Type: application/json" \\
  -d '{"stat": "my_first_metric", "count": 1}'
""", OK_V1, {"my_first_metric": 1}),
    "001 test your migration": (
        """curl -X POST https://api.statflow.dev/v1/stat \\
  -H "Authorization: Bearer sk_live_YOUR_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"stat": "migration_test", "count": 1}'

# Expected response:
""", OK_V1, {"migration_test": 1}),
    "001 /ez": (
        """curl -X POST https://api.statflow.dev/ez \\
  -d "ezkey=sk_live_YOUR_KEY" \\
  -d "stat=page views" \\
  -d "count=1"
""", OK_EZ, {"page views": 1}),
    "001 /c": (
        """curl -X POST https://api.statflow.dev/c \\
  -d "key=STAT_KEY" \\
  -d "ukey=USER_KEY" \\
  -d "count=1"
""", OK_EZ, {"STAT_KEY": 1}),
    "001 /v": (
        """curl -X POST https://api.statflow.dev/v \\
  -d "key=STAT_KEY v" \\
  -d "ukey=USER_KEY" \\
  -d "value=42.5"
""", OK_EZ, {"STAT_KEY v": 42.5}),
    "001 tilde": (
        """curl -X POST https://api.statflow.dev/ez \\
  -d "ezkey=sk_live_YOUR_KEY" \\
  -d "stat=messages sent~total,female,europe" \\
  -d "count=1"
""", OK_EZ, {"messages sent~total": 1, "messages sent~female": 1, "messages sent~europe": 1}),
    "001 JSON batch": (
        """curl -X POST https://api.statflow.dev/ez \\
  -H "Content-Type: application/json" \\
  -d '{
    "ezkey": "sk_live_YOUR_KEY",
    "data": [
      {"stat": "page views", "count": 1},
      {"stat": "response time", "value": 42.5},
      {"stat": "signups", "count": 1, "t": 1711929600}
    ]
  }'
""", '{"status":200,"msg":"ok","multiple":3}', {"page views": 1, "response time": 42.5, "signups": 1}),
}  # fmt: skip
"""Example: (command, what it prints, what each stat then comes to)."""

PUBLIC = """curl -X POST https://api.ezstat.dev/api/public \\
  -H "Content-Type: application/json" \\
  -d '{"mvp": "myapp", "stat": "page_views", "count": 1}'
"""
HEALTH = """curl -X GET https://api.ezstat.dev/api/v1/health
"""
LIST = """curl -X GET https://api.ezstat.dev/api/v1/stats \\
  -H "Authorization: Bearer ss_live_xxx"
"""
CREATE = """curl -X POST https://api.ezstat.dev/api/v1/stats \\
  -H "Authorization: Bearer ss_live_xxx" \\
  -H "Content-Type: application/json" \\
  -d '{"name": "new_stat", "type": "counter"}'
"""
GET = """curl -X GET "https://api.ezstat.dev/api/v1/stats/api_requests?from=2026-03-01&to=2026-03-07" \\
  -H "Authorization: Bearer ss_live_xxx"
"""
DELETE = """curl -X DELETE https://api.ezstat.dev/api/v1/stats/api_requests \\
  -H "Authorization: Bearer ss_live_xxx"
"""
DASHBOARD = """curl -X GET "https://api.ezstat.dev/api/v1/dashboard?range=24h" \\
  -H "Authorization: Bearer ss_live_xxx"
"""
EXPORT = """curl -X GET "https://api.ezstat.dev/api/v1/export?format=json" \\
  -H "Authorization: Bearer ss_live_xxx"
"""
KEYS_LIST = """curl -X GET https://api.ezstat.dev/api/v1/auth/api-keys \\
  -H "Authorization: Bearer ss_live_xxx"
"""
KEYS_CREATE = """curl -X POST https://api.ezstat.dev/api/v1/auth/api-keys \\
  -H "Authorization: Bearer ss_live_xxx" \\
  -H "Content-Type: application/json" \\
  -d '{"name": "My API Key"}'
"""
KEYS_DELETE = """curl -X DELETE https://api.ezstat.dev/api/v1/auth/api-keys/key-uuid \\
  -H "Authorization: Bearer ss_live_xxx"
"""


class Shell:
    """Pastes an example with host and key replaced: by one that looks like those of its document."""

    def __init__(self, person: Person) -> None:
        self._bash = program("bash")
        program("curl")
        self._url = person.ezstat.url
        self.key, statflow = person.key(), person.key(style="sk")
        self._keys = dict.fromkeys(EZSTAT_KEYS, self.key) | dict.fromkeys(STATFLOW_KEYS, statflow)

    def paste(self, command: str) -> tuple[int, str]:
        """Status and body."""
        for host in HOSTS:
            command = command.replace(host, self._url)
        for shown, key in self._keys.items():
            command = command.replace(shown, key)
        command = command.replace("curl ", "curl --silent --show-error --write-out '\\n%{http_code}' ", 1)
        ran = subprocess.run([self._bash, "-c", command], capture_output=True, text=True, timeout=30, check=True)
        body, _, status = ran.stdout.rpartition("\n")
        return int(status), body

    def json(self, command: str, status: int = 200) -> Any:
        said, body = self.paste(command)
        assert said == status, body
        return json.loads(body)


@pytest.fixture
def person(ezstat: Ezstat) -> Person:
    """A new one for every example: their stats have the same names."""
    return ezstat.sign_up()


@pytest.fixture
def key(person: Person) -> str:
    return person.key()


@pytest.fixture
def shell(person: Person) -> Shell:
    return Shell(person)


@pytest.mark.parametrize("example", SENDING)
def test_an_example_of_sending(shell: Shell, person: Person, example: str) -> None:
    command, printed, stats = SENDING[example]
    assert shell.paste(command) == (200, printed)
    for name, number in stats.items():
        found = summary(person, name)
        assert (found["total"] if "total" in found else found["mean"]) == number


def test_create_list_get_and_delete(shell: Shell, person: Person) -> None:
    made = shell.json(CREATE, 201)
    assert (made["name"], made["type"]) == ("new_stat", "counter")
    assert shell.json(CREATE, 409)["error"]["code"]
    at = 1_772_539_200  # 2026-03-03
    sent = {"ezkey": shell.key, "stat": "api_requests", "count": "7", "t": str(at)}
    assert httpx.post(f"{person.ezstat.url}/ez", data=sent).text == OK_EZ
    summary(person, "api_requests")
    assert [stat["name"] for stat in shell.json(LIST)["stats"]] == ["api_requests", "new_stat"]
    got = shell.json(GET)
    assert got["stat"]["name"] == "api_requests"
    assert got["summary"]["total"] == 7
    assert [point["value"] for point in got["points"]] == [7]
    assert (got["from"], got["to"]) == ("2026-03-01T00:00:00.000Z", "2026-03-08T00:00:00.000Z")
    assert shell.paste(DELETE) == (204, "")
    assert shell.json(GET, 404)["error"]["code"] == "not_found"
    assert [stat["name"] for stat in shell.json(LIST)["stats"]] == ["new_stat"]


def test_tracking_without_a_key_and_health(shell: Shell) -> None:
    assert shell.paste(PUBLIC) == (200, OK_V1)
    assert shell.json(HEALTH)["status"] == "ok"


def test_dashboard_and_export(shell: Shell, person: Person) -> None:
    shell.paste(SENDING["000 /ez"][0])
    summary(person, "api_requests")
    dashboard = shell.json(DASHBOARD)
    assert dashboard["range"] == "24h"
    assert dashboard["totals"]["points"] == 1
    assert [stat["name"] for stat in dashboard["stats"]] == ["api_requests"]
    exported = shell.json(EXPORT)["stats"]
    assert [(stat["stat"], stat["type"], len(stat["points"])) for stat in exported] == [("api_requests", "counter", 1)]


def test_api_keys(shell: Shell, person: Person) -> None:
    made = shell.json(KEYS_CREATE, 201)
    assert made["name"] == "My API Key"
    assert made["key"].startswith("ss_live_")
    listed = shell.json(KEYS_LIST)["api_keys"]
    assert made["id"] in [row["id"] for row in listed]
    assert made["key"] not in json.dumps(listed)
    used = {"ezkey": made["key"], "stat": "by the new key"}
    assert httpx.post(f"{person.ezstat.url}/ez", data=used).text == OK_EZ
    assert shell.paste(KEYS_DELETE.replace("key-uuid", made["id"])) == (204, "")
    assert httpx.post(f"{person.ezstat.url}/ez", data=used).status_code == 401


def test_bodies_that_the_documents_print_beside_their_paths(ezstat: Ezstat, key: str, person: Person) -> None:
    """001, "API Endpoints": path and body only."""
    with ezstat.client(Authorization=f"Bearer {key}") as api:
        assert api.post("/v1/stat", json={"stat": "my_metric", "count": 1}).text == OK_V1
        assert api.post("/v1/stat/value", json={"stat": "response_time", "value": 142.5}).text == OK_V1
        assert api.post("/v1/stat/count", json={"stat": "page_views", "count": 1}).text == OK_V1
        rows = [{"stat": "signups", "count": 1}, {"stat": "latency", "value": 42}]
        assert api.post("/v1/stats", json={"stats": rows}).json() == {"msg": "ok", "accepted": 2}
        assert summary(person, "latency")["mean"] == 42
        assert api.get("/v1/stat/response_time").json()["stat"]["type"] == "gauge"
        names = {stat["name"] for stat in api.get("/v1/stats").json()["stats"]}
    assert names == {"my_metric", "response_time", "page_views", "signups", "latency"}


@pytest.mark.parametrize("query", ["ukey=KEY&key=email_opened&count=1", "ukey=KEY&key=email_opened"])
def test_the_pixel_of_a_mail_is_counted(ezstat: Ezstat, key: str, person: Person, query: str) -> None:
    """001, "Pixel Tracking": as a mail program loads an image."""
    answer = httpx.get(f"{ezstat.url}/c?{query.replace('KEY', key)}", headers={"Accept": "image/avif,image/webp,*/*"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content.startswith(b"GIF89a\x01\x00\x01\x00")
    assert summary(person, "email_opened")["total"] == 1


def test_the_python_sample(ezstat: Ezstat, key: str, person: Person) -> None:
    """000: `requests.post(url, data={…, "count": 1})`."""
    answer = httpx.post(f"{ezstat.url}/ez", data={"ezkey": key, "stat": "signups", "count": 1})
    assert answer.text == OK_EZ
    assert summary(person, "signups")["total"] == 1


def test_the_node_sample(ezstat: Ezstat, key: str, person: Person) -> None:
    """000: `fetch` with URLSearchParams names the charset, and sends what browsers and Node send."""
    answer = httpx.post(
        f"{ezstat.url}/ez", content=f"ezkey={key}&stat=page_views&count=1",
        headers={
            "content-type": "application/x-www-form-urlencoded;charset=UTF-8", "accept": "*/*",
            "accept-language": "*", "sec-fetch-mode": "cors", "user-agent": "node",
        },
    )  # fmt: skip
    assert answer.text == OK_EZ
    assert summary(person, "page_views")["total"] == 1


def test_the_go_samples(ezstat: Ezstat, key: str, person: Person) -> None:
    """000 posts a form whose fields are sorted; 001 sends count and value both, one of them zero."""
    form = f"count=1&ezkey={key}&stat=requests"
    typed = {"content-type": "application/x-www-form-urlencoded", "user-agent": "Go-http-client/1.1"}
    assert httpx.post(f"{ezstat.url}/ez", content=form, headers=typed).text == OK_EZ
    bearer = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    for body in ('{"count":1,"stat":"page views","value":0}', '{"count":0,"stat":"response time","value":42.5}'):
        assert httpx.post(f"{ezstat.url}/v1/stat", content=body, headers=bearer).text == OK_V1
    assert summary(person, "requests")["total"] == 1
    assert summary(person, "page views")["total"] == 1
    assert summary(person, "response time")["mean"] == 42.5


def test_a_time_of_the_documents_is_kept(shell: Shell, person: Person) -> None:
    """`"t": 1711929600` in the batch."""
    shell.paste(SENDING["001 JSON batch"][0])
    summary(person, "signups")
    asked = {"from": "1711929000", "to": "1711930000", "resolution": "raw"}
    (point,) = person.client.get("/api/v1/stats/signups", params=asked).json()["points"]
    assert point["t"] == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(1_711_929_600))
