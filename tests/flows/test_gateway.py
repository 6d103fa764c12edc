"""The real services, each in its own process, behind nginx: what a user does in the first minutes works the same."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.eventually import eventually
from tests.gateways import Nginx, gateway, serving
from tests.running import Ezstat


@pytest.fixture(scope="module")
def nginx(ezstat: Ezstat, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("flows")
    names = {line.split()[1].removeprefix("ezstat_") for line in _upstreams(ezstat)}
    with ExitStack() as stack:
        ports = {name: stack.enter_context(serving(ezstat.environ, folder / f"{name}.log", name)) for name in names}
        yield stack.enter_context(gateway(ezstat.environ, folder / "nginx", ports))


def _upstreams(ezstat: Ezstat) -> list[str]:
    return [line for line in ezstat.command("gateway-config").splitlines() if line.startswith("upstream ")]


async def test_sign_up_a_key_a_point_and_its_total_through_nginx(nginx: Nginx) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{nginx.port}", timeout=20) as browser:
        person = {"email": "gateway@example.org", "password": "correct horse battery"}
        assert (await browser.post("/api/v1/auth/signup", json=person)).status_code == 201
        key = (await browser.post("/api/v1/auth/api-keys", json={"name": "through nginx"})).json()["key"]
        told = await browser.post("/ez", data={"ezkey": key, "stat": "a/b c", "count": "4"})
        assert told.text == '{"status":200,"msg":"ok"}'
        rows = [{"stat": "large", "count": 1, "id": f"{number:064}", "t": None} for number in range(10_000)]
        batch = await browser.post("/api/v1/batch", json=rows, headers={"Authorization": f"Bearer {key}"})
        assert len(batch.request.content) > 1 << 20
        assert batch.status_code == 200, batch.text

        async def total() -> bool:
            answer = await browser.get("/api/v1/stats/a%2Fb%20c", headers={"Authorization": f"Bearer {key}"})
            return answer.status_code == 200 and answer.json()["summary"]["total"] == 4

        await eventually(total, within=10)
        described = (await browser.get("/openapi.json")).json()["paths"]
        assert {"/api/v1/auth/signup", "/api/v1/batch"} <= set(described)
        assert key not in nginx.lines()
    assert key not in "".join(path.read_text() for path in _logs(nginx))


def _logs(nginx: Nginx) -> list[Path]:
    return list(nginx.log.parent.parent.glob("*.log"))
