"""Every row of the table "Sending data points", over a running installation, on the hot path and on the ordinary."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.eventually import until
from tests.running import Ezstat, Person

OK = b'{"status":200,"msg":"ok"}'
GIF_LENGTH = 43


@pytest.fixture(scope="module")
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


@pytest.fixture(scope="module")
def key(person: Person) -> str:
    return person.key()


@pytest.fixture(scope="module", params=["hot", "ordinary"])
def sender(request: pytest.FixtureRequest, ezstat: Ezstat) -> Iterator[httpx.Client]:
    """A client whose requests take the hot path, or (an Idempotency-Key-less gzip would too) the ordinary routes."""
    with ezstat.client() as client:
        if request.param == "ordinary":
            # An encoded body is not for the hot path: the same bytes take the FastAPI routes.
            client.headers["content-encoding"] = "identity"
        yield client


@pytest.fixture
def name() -> str:
    """A stat that nobody else uses."""
    return f"stat {uuid4().hex[:12]}"


def summary(person: Person, name: str, expected_n: int = 1) -> Any:
    """The summary of a stat, once it has so many points."""

    def read() -> Any:
        answer = person.client.get(f"/api/v1/stats/{name.replace('/', '%2F')}", params={"range": "1h"})
        found = answer.json()["summary"] if answer.status_code == 200 else {"n": 0}
        return found if found["n"] >= expected_n else None

    found = until(read, within=10)
    assert found["n"] == expected_n
    return found


def test_ez_counts(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    answer = sender.post("/ez", data={"ezkey": key, "stat": name, "count": "3"})
    assert (answer.status_code, answer.content) == (200, OK)
    assert summary(person, name)["total"] == 3


def test_ez_without_a_number_counts_one(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    assert sender.post("/ez", data={"ezkey": key, "stat": name}).content == OK
    assert summary(person, name)["total"] == 1


def test_ez_takes_email_for_ezkey(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    assert sender.post("/ez", data={"email": key, "stat": name, "value": "42.5"}).content == OK
    assert summary(person, name)["mean"] == 42.5


def test_ez_by_get(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    assert sender.get("/ez", params={"ezkey": key, "stat": name, "count": "1e+06"}).content == OK
    assert summary(person, name)["total"] == 1_000_000


@pytest.mark.parametrize(("count", "value", "kind"), [("0", "7", "mean"), ("7", "0", "total")])
def test_of_count_and_value_the_one_that_is_not_zero_counts(
    sender: httpx.Client, person: Person, key: str, name: str, count: str, value: str, kind: str
) -> None:
    assert sender.post("/ez", data={"ezkey": key, "stat": name, "count": count, "value": value}).content == OK
    assert summary(person, name)[kind] == 7


def test_both_zero_is_what_the_stat_is(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    assert sender.post("/ez", data={"ezkey": key, "stat": name, "value": "5"}).content == OK
    assert sender.post("/ez", data={"ezkey": key, "stat": name, "count": "0", "value": "0"}).content == OK
    assert summary(person, name, 2)["mean"] == 2.5


def test_a_tilde_counts_in_each_named_stat(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    assert sender.post("/ez", data={"ezkey": key, "stat": f"{name}~total,female", "count": "1"}).content == OK
    assert summary(person, f"{name}~total")["total"] == 1
    assert summary(person, f"{name}~female")["total"] == 1


def test_a_json_batch_says_how_many(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    rows = [{"stat": name, "count": 1}, {"stat": name, "count": "2.5", "t": None}, {"stat": f"{name} v", "value": 42.5}]
    answer = sender.post("/ez", json={"ezkey": key, "data": rows})
    assert answer.json() == {"status": 200, "msg": "ok", "multiple": 3}
    assert summary(person, name, 2)["total"] == 3.5
    assert summary(person, f"{name} v")["mean"] == 42.5


def test_a_single_json_point(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    assert sender.post("/ez", json={"ezkey": key, "stat": name, "value": 1.5}).content == OK
    assert summary(person, name)["mean"] == 1.5


def test_json_sent_as_text_is_read(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    body = f'{{"ezkey":"{key}","stat":"{name}","count":4}}'
    assert sender.post("/ez", content=body, headers={"content-type": "text/plain;charset=UTF-8"}).content == OK
    assert summary(person, name)["total"] == 4


def test_a_multipart_form_is_read(ezstat: Ezstat, person: Person, key: str, name: str) -> None:
    fields = {field: (None, value) for field, value in {"ezkey": key, "stat": name, "count": "2"}.items()}
    assert httpx.post(f"{ezstat.url}/ez", files=fields).content == OK  # type: ignore[arg-type]
    assert summary(person, name)["total"] == 2


def test_a_bad_row_refuses_the_whole_batch_and_names_its_index(
    sender: httpx.Client, person: Person, key: str, name: str
) -> None:
    answer = sender.post("/ez", json={"ezkey": key, "data": [{"stat": name, "count": 1}, {"stat": name, "count": "x"}]})
    assert answer.status_code == 400
    assert "1" in answer.json()["msg"]
    assert person.client.get(f"/api/v1/stats/{name}").status_code == 404


def test_classic_count_and_value(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    assert sender.post("/c", data={"key": name, "ukey": key, "count": "2"}).content == OK
    assert sender.post("/v", data={"key": f"{name} v", "ukey": key, "value": "142"}).content == OK
    assert summary(person, name)["total"] == 2
    assert summary(person, f"{name} v")["mean"] == 142


def test_a_classic_key_may_be_the_stats_id(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    made = person.client.post("/api/v1/stats", json={"name": name, "type": "counter"})
    assert made.status_code == 201
    assert sender.post("/c", data={"key": made.json()["id"], "ukey": key}).content == OK
    assert summary(person, name)["total"] == 1


def test_in_a_classic_key_a_tilde_is_a_letter(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    assert sender.post("/c", data={"key": f"{name}~a,b", "ukey": key}).content == OK
    assert summary(person, f"{name}~a,b")["total"] == 1


def test_the_pixel_is_a_gif_that_nobody_caches(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    answer = sender.get("/c", params={"ukey": key, "key": name, "count": "1"})
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert len(answer.content) == GIF_LENGTH
    assert summary(person, name)["total"] == 1


def test_the_pixel_is_a_gif_for_images_also_when_it_is_refused(sender: httpx.Client, name: str) -> None:
    answer = sender.get("/c", params={"ukey": "ss_live_nobody", "key": name}, headers={"accept": "image/png,image/*"})
    assert (answer.status_code, len(answer.content)) == (401, GIF_LENGTH)
    assert sender.get("/c", params={"ukey": "ss_live_nobody", "key": name}).json()["status"] == 401


def test_v1_stat(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    bearer = {"authorization": f"Bearer {key}"}
    for path, row in [
        ("/v1/stat", {"stat": name, "count": 1}),
        ("/v1/stat", {"stat": name, "count": 2, "value": 0}),
        ("/v1/stat/count", {"stat": name, "count": 3}),
        ("/v1/stat", {"stat": f"{name} v", "count": 0, "value": 42.5}),
        ("/v1/stat/value", {"stat": f"{name} v", "value": 43.5}),
    ]:
        answer = sender.post(path, json=row, headers=bearer)
        assert (answer.status_code, answer.content) == (200, b'{"msg":"ok"}')
    assert summary(person, name, 3)["total"] == 6
    assert summary(person, f"{name} v", 2)["mean"] == 43


def test_v1_stats_is_a_batch(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    rows = [{"stat": name, "count": 1}, {"stat": f"{name} v", "value": 42}]
    answer = sender.post("/v1/stats", json={"stats": rows}, headers={"authorization": f"Bearer {key}"})
    assert answer.json() == {"msg": "ok", "accepted": 2}
    assert summary(person, name)["total"] == 1


@pytest.mark.parametrize("form", ["array", "ndjson"])
def test_batch(sender: httpx.Client, person: Person, key: str, name: str, form: str) -> None:
    rows = [f'{{"stat":"{name}","count":{i}}}' for i in range(1, 5)]
    body = f"[{','.join(rows)}]" if form == "array" else "\n".join(rows) + "\n"
    answer = sender.post("/api/v1/batch", content=body, headers={"authorization": f"Bearer {key}"})
    assert answer.json() == {"accepted": 4}
    assert summary(person, name, 4)["total"] == 10


def test_items_with_the_same_id_count_once(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    rows = [{"stat": name, "count": 1, "id": name}, {"stat": name, "count": 1}]
    for _ in range(3):
        assert sender.post("/v1/stats", json={"stats": rows}, headers={"authorization": f"Bearer {key}"}).is_success
    assert summary(person, name, 4)["total"] == 4


def test_rest_count_and_value(ezstat: Ezstat, person: Person, key: str, name: str) -> None:
    with ezstat.client(authorization=f"Bearer {key}") as api:
        assert api.post(f"/api/v1/stats/{name}/count", json={"count": 2}).json() == {"msg": "ok"}
        assert api.post(f"/api/v1/stats/{name} v/value", json={"value": 142}).json() == {"msg": "ok"}
        assert api.post(f"/api/v1/stats/{name}/count", json={}).status_code == 400
    assert summary(person, name)["total"] == 2
    assert summary(person, f"{name} v")["mean"] == 142


def test_an_idempotency_key_counts_a_retry_once(ezstat: Ezstat, person: Person, key: str, name: str) -> None:
    for _ in range(3):
        answer = httpx.post(
            f"{ezstat.url}/ez", data={"ezkey": key, "stat": name}, headers={"Idempotency-Key": name.replace(" ", "-")}
        )
        assert answer.content == OK
    assert httpx.post(f"{ezstat.url}/ez", data={"ezkey": key, "stat": name}).content == OK
    assert summary(person, name, 2)["total"] == 2


def test_a_value_for_a_counter_is_a_conflict_in_every_dialect(
    sender: httpx.Client, person: Person, key: str, name: str
) -> None:
    bearer = {"authorization": f"Bearer {key}"}
    assert sender.post("/ez", data={"ezkey": key, "stat": name, "count": "1"}).content == OK
    classic = sender.post("/v", data={"ukey": key, "key": name, "value": "1"})
    assert (classic.status_code, classic.json()["status"]) == (409, 409)
    v1 = sender.post("/v1/stat/value", json={"stat": name, "value": 1}, headers=bearer)
    assert (v1.status_code, list(v1.json())) == (409, ["msg"])
    batch = sender.post("/api/v1/batch", json=[{"stat": name, "value": 1}], headers=bearer)
    assert (batch.status_code, batch.json()["error"]["code"]) == (409, "type_mismatch")
    assert summary(person, name)["total"] == 1


def test_the_time_of_a_point_is_kept(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    at = time.time() - 86_400 * 3
    assert sender.post("/ez", data={"ezkey": key, "stat": name, "count": "9", "t": f"{at:.3f}"}).content == OK

    def points() -> Any:
        answer = person.client.get(f"/api/v1/stats/{name}", params={"range": "7d", "resolution": "raw"})
        return answer.json().get("points")

    (point,) = until(points, within=10)
    assert point["value"] == 9
    assert point["t"].startswith(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)))


def test_test_keys_have_data_of_their_own(sender: httpx.Client, person: Person, key: str, name: str) -> None:
    rehearsal = person.key(mode="test")
    assert sender.post("/ez", data={"ezkey": rehearsal, "stat": name, "count": "5"}).content == OK
    assert sender.post("/ez", data={"ezkey": key, "stat": name, "value": "7"}).content == OK
    assert summary(person, name)["mean"] == 7


def test_names_of_any_script_and_with_slashes_are_reachable(
    sender: httpx.Client, person: Person, key: str, name: str
) -> None:
    for odd in (f"{name}/a/b", f"{name} 😀", f"{name} <b>&amp;", f"{name} 100%", f"{name} %2F", f"{name}?x=1#y"):
        assert sender.post("/ez", data={"ezkey": key, "stat": odd}).content == OK

        def found(odd: str = odd) -> Any:
            path = "/api/v1/stats/" + "".join(f"%{byte:02X}" for byte in odd.encode())
            answer = person.client.get(path)
            return answer.json() if answer.status_code == 200 and answer.json()["summary"]["n"] else None

        assert until(found, within=10)["stat"]["name"] == odd


def test_strangers_keys_are_refused_in_every_dialect(sender: httpx.Client, name: str) -> None:
    nobody = "ss_live_" + "x" * 43
    bearer = {"authorization": f"Bearer {nobody}"}
    classic = sender.post("/ez", data={"ezkey": nobody, "stat": name})
    assert (classic.status_code, classic.json()["status"]) == (401, 401)
    assert classic.headers["www-authenticate"].startswith("Bearer")
    assert list(sender.post("/v1/stat", json={"stat": name, "count": 1}, headers=bearer).json()) == ["msg"]
    batch = sender.post("/api/v1/batch", json=[{"stat": name, "count": 1}], headers=bearer)
    assert batch.json()["error"]["code"] == "unauthorized"
    assert nobody not in classic.text + batch.text


def test_a_batch_of_long_names_is_cut_into_frames_that_the_bus_takes(
    sender: httpx.Client, person: Person, key: str, name: str
) -> None:
    rows = [{"stat": f"{name} {i} {'😀' * 220}", "count": 1} for i in range(900)]
    answer = sender.post("/api/v1/batch", json=rows, headers={"authorization": f"Bearer {key}"})
    assert answer.json() == {"accepted": 900}
    for i in (0, 899):
        assert summary(person, f"{name} {i} {'😀' * 220}")["total"] == 1
