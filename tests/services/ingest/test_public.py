"""Key-less tracking: anybody sends, the owner of a name looks."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.http.errors import TooMany
from services.ingest.catalog import Catalog
from services.ingest.groups import GroupCommit, Producer
from services.ingest.public.expiry import KEPT, Expiry
from services.ingest.public.intake import PublicIntake
from services.ingest.public.names import Names, namespace_of
from services.ingest.spool import Spool
from tests.eventually import until
from tests.running import Ezstat
from tests.services.ingest.stage import Stage, source


@pytest.fixture
def mvp() -> str:
    return f"mvp-{uuid4().hex[:10]}"


def send(house: Ezstat, **body: Any) -> httpx.Response:
    return httpx.post(f"{house.url}/api/public", json=body)


def test_the_seeds_example_works(ezstat: Ezstat, mvp: str) -> None:
    answer = send(ezstat, mvp=mvp, stat="page_views", count=1)
    assert (answer.status_code, answer.json()) == (200, {"msg": "ok"})
    assert answer.headers["access-control-allow-origin"] == "*"


def test_who_knows_the_claim_token_may_look(ezstat: Ezstat, mvp: str) -> None:
    secret = uuid4().hex
    assert send(ezstat, mvp=mvp, stat="views", count=2, claim=secret).status_code == 200
    assert send(ezstat, mvp=mvp, stat="views", count=3).status_code == 200
    assert send(ezstat, mvp=mvp, stat="ms", value=1.5).status_code == 200
    owner, stranger = ezstat.sign_up().api(), ezstat.sign_up().api()
    wrong = owner.post("/api/v1/mvps/claim", json={"mvp": mvp, "claim": "wrong token"})
    unknown = owner.post("/api/v1/mvps/claim", json={"mvp": f"{mvp}x", "claim": "wrong token"})
    assert (wrong.status_code, wrong.json()) == (404, unknown.json())
    for _ in range(2):
        claimed = owner.post("/api/v1/mvps/claim", json={"mvp": mvp, "claim": secret})
        assert (claimed.status_code, claimed.json()["stats"]) == (200, 2)
    assert stranger.post("/api/v1/mvps/claim", json={"mvp": mvp, "claim": secret}).status_code == 409
    assert [one["mvp"] for one in owner.get("/api/v1/mvps").json()["mvps"]] == [mvp]
    assert [one["name"] for one in owner.get(f"/api/v1/mvps/{mvp}/stats").json()["stats"]] == ["ms", "views"]

    def total() -> Any:
        return owner.get(f"/api/v1/mvps/{mvp}/stats/views").json()["summary"]["total"] == 5

    until(total)
    assert stranger.get("/api/v1/mvps").json()["mvps"] == []
    assert stranger.get(f"/api/v1/mvps/{mvp}/stats").status_code == 404
    assert stranger.get(f"/api/v1/mvps/{mvp}/stats/views").status_code == 404
    assert owner.get("/api/v1/stats").json()["stats"] == []


def test_only_the_first_use_sets_the_claim_token(ezstat: Ezstat, mvp: str) -> None:
    send(ezstat, mvp=mvp, stat="views", count=1)
    late = send(ezstat, mvp=mvp, stat="views", count=1, claim="somebody else's")
    assert (late.status_code, late.json()["error"]["code"]) == (403, "wrong_claim")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"stat": "x", "count": 1}, 400),
        ({"mvp": "a b", "stat": "x", "count": 1}, 400),
        ({"mvp": "a" * 65, "stat": "x", "count": 1}, 400),
        ({"mvp": "", "stat": "x", "count": 1}, 400),
        ({"mvp": "a", "count": 1}, 400),
        ({"mvp": "a", "stat": " ", "count": 1}, 400),
        ({"mvp": "a", "stat": "x"}, 400),
        ({"mvp": "a", "stat": "x", "count": 1, "value": 2}, 400),
        ({"mvp": "a", "stat": "x", "count": "many"}, 400),
        ({"mvp": "a", "stat": "x", "count": 1, "t": 99999999999}, 400),
        ({"mvp": "a", "stat": "x", "count": 1, "claim": "short"}, 400),
    ],
)
def test_bad_points_are_refused(ezstat: Ezstat, body: dict[str, Any], status: int) -> None:
    answer = send(ezstat, **body)
    assert answer.status_code == status
    assert set(answer.json()["error"]) >= {"code", "message"}


def test_a_stat_keeps_its_type(ezstat: Ezstat, mvp: str) -> None:
    send(ezstat, mvp=mvp, stat="views", count=1)
    clash = send(ezstat, mvp=mvp, stat="views", value=1)
    assert (clash.status_code, clash.json()["error"]["code"]) == (409, "type_mismatch")


async def test_an_mvp_has_at_most_a_hundred_stats(ezstat: Ezstat, mvp: str) -> None:
    async with httpx.AsyncClient(base_url=ezstat.url, timeout=30) as client:
        answers = await asyncio.gather(
            *(client.post("/api/public", json={"mvp": mvp, "stat": f"s{i}", "count": 1}) for i in range(110))
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 100 + [403] * 10
        taken = next(i for i, answer in enumerate(answers) if answer.status_code == 200)
        again = await client.post("/api/public", json={"mvp": mvp, "stat": f"s{taken}", "count": 1})
        assert again.status_code == 200


async def test_one_address_may_send_some_a_second(stage: Stage, mvp: str) -> None:
    clock = stage.process.clock
    spool = Spool(stage.settings.data / "spool", "test", 0)
    commit = GroupCommit(0, Producer(uuid4()), stage.publisher, spool, clock)
    catalog = Catalog(stage.application, [commit], clock)
    public = PublicIntake(catalog, stage.process.database, stage.process.limiter, clock, rate=10)
    now = int(clock.now() * 1e6)

    async def one() -> bool:
        try:
            await public.record("192.0.2.1", mvp, "", "views", "counter", 1.0, now)
        except TooMany:
            return False
        return True

    taken = sum(await asyncio.gather(*(one() for _ in range(200))))
    assert 10 <= taken < 200
    await public.record("192.0.2.2", mvp, "", "views", "counter", 1.0, now)
    await stage.written()
    assert await stage.totals(namespace_of(mvp)) == {"views": (taken + 1, taken + 1.0)}


async def test_points_are_kept_for_thirty_days(stage: Stage) -> None:
    names, now = Names(stage.process.database), stage.process.clock.now()
    long_ago = now - KEPT.total_seconds() - 86_400
    for name in ("old", "both", "claimed"):
        await names.use(name, "a claim token" if name == "claimed" else "", long_ago)
    await names.claim(uuid4(), "claimed", "a claim token")
    for name, times in (("old", [long_ago]), ("both", [long_ago, now]), ("claimed", [long_ago])):
        for t in times:
            await stage.send(source("views", namespace_of(name)), [(int(t * 1e6), 1.0)])
            await stage.written()
    await stage.rows("update ingest.stats set created_at = %s returning 1", datetime.fromtimestamp(long_ago, UTC))
    await Expiry(stage.process.database, stage.application, stage.process.clock, 1).once()
    assert await stage.totals(namespace_of("both")) == {"views": (1, 1.0)}
    assert await stage.rows("select account from ingest.stats") == [(namespace_of("both"),)]
    assert await stage.rows("select name from ingest.mvps order by name") == [("both",), ("claimed",)]
    assert await stage.rows("select count(*) from ingest.tombstones") == [(2,)]
