"""`ezstat up` with real servers and two small services: what dies comes back, what is stopped is gone."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from libs.bus.connect import Bus
from libs.contracts.accounts import RING_LEFT, RingBeat
from libs.runtime.folder import DataFolder
from tests.eventually import eventually
from tests.libs.runtime.house import ROOT, House, build

COMPONENTS = {"postgres", "nats", "redis", "work-1", "http-1"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    running = build(tmp_path_factory.mktemp("house"))
    try:
        running.up()
        yield running
    finally:
        running.end()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[House]:
    built = build(tmp_path)
    try:
        yield built
    finally:
        built.end()


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_the_operator_is_told_where_to_go(house: House) -> None:
    text = "\n".join(house.lines)
    assert f"http://localhost:{house.port}" in text
    assert f"http://localhost:{house.port}/set-up/once" in text
    assert f"curl http://localhost:{house.port}" in text


def test_ps_shows_every_component(house: House) -> None:
    rows = house.ps()
    assert set(rows) == COMPONENTS
    assert {row["role"] for row in rows.values()} == {"server", "work", "http"}
    assert all(is_alive(row["pid"]) and row["since"].endswith("Z") for row in rows.values())


def test_secrets_in_the_data_folder_are_for_the_owner_alone(house: House) -> None:
    for name in ("secret", "state.json", "nats.conf", "redis.conf"):
        assert (house.data / name).stat().st_mode & 0o077 == 0, name


def test_no_password_stands_on_a_command_line(house: House) -> None:
    kept = DataFolder(house.data)
    hidden = [kept.secret(), *(url.split("@")[0].rsplit(":", 1)[1] for url in kept.read().urls.values())]
    lines = [" ".join(psutil.Process(pid).cmdline()) for pid in house.pids()]
    assert [line for line in lines if any(secret in line for secret in hidden)] == []


@pytest.mark.parametrize("name", sorted(COMPONENTS))
async def test_a_killed_component_comes_back_and_is_counted(house: House, name: str) -> None:
    before = house.ps()[name]
    os.kill(before["pid"], signal.SIGKILL)

    def is_back() -> bool:
        now = house.ps()[name]
        return now["restarts"] == before["restarts"] + 1 and now["pid"] not in (None, before["pid"])

    await eventually(is_back, within=10)
    assert (await house.aget("/a/x"))["service"] == "alpha"
    assert set(house.ps()) == COMPONENTS


async def test_a_request_that_meets_no_process_waits_for_the_next_one(house: House) -> None:
    os.kill(house.ps()["http-1"]["pid"], signal.SIGKILL)
    answers = await asyncio.gather(*(house.aget(f"/a/{number}") for number in range(5)), return_exceptions=True)
    # One that was being read by the dying process may be cut off; none is refused.
    assert not any("refused" in str(answer) for answer in answers)
    assert sum(isinstance(answer, dict) for answer in answers) >= 4


async def test_the_rings_of_a_dead_http_process_are_declared_dead(house: House) -> None:
    heard: list[str] = []
    bus = Bus.start(DataFolder(house.data).read().urls["nats"], "test")
    try:
        await bus.wait(5)

        async def hear(left: RingBeat) -> None:
            heard.append(left.ring)

        await bus.listen(RING_LEFT, RingBeat, hear)
        pid = house.ps()["http-1"]["pid"]
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: any(ring.endswith(f":{pid}:*") for ring in heard), within=10)
    finally:
        await bus.close()


def test_a_second_run_of_the_same_folder_is_refused_with_what_to_do(house: House) -> None:
    second = house.command("up")
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert "EZSTAT_DATA" in second.stderr
    assert "Traceback" not in second.stderr


def test_commands_of_services_find_the_running_servers(house: House) -> None:
    assert house.command("keys", "create", "--for", "Alice").stdout == "hello --for Alice\n"
    unknown = house.command("run", "nonsense")
    assert unknown.returncode == 1
    assert "keys create" in unknown.stderr


def test_doctor_finds_a_running_house_well(house: House) -> None:
    found = house.command("doctor")
    assert found.returncode == 0, found.stdout
    assert "/readyz answers 200" in found.stdout


def test_two_runs_live_side_by_side(house: House, fresh: House) -> None:
    fresh.up()
    assert fresh.get("/a/x")["pid"] != house.get("/a/x")["pid"]
    mine = fresh.pids()
    assert fresh.stop() == 0
    assert not any(is_alive(pid) for pid in mine)
    assert house.get("/a/x")["service"] == "alpha"


def test_ctrl_c_ends_everything(fresh: House) -> None:
    fresh.up()
    mine = fresh.pids()
    assert len(mine) >= len(COMPONENTS)
    assert fresh.stop(signal.SIGINT, within=10) == 0
    assert not any(is_alive(pid) for pid in mine)
    assert fresh.ps() == {}


async def test_a_second_ctrl_c_ends_what_does_not_want_to(fresh: House) -> None:
    fresh.up()
    mine = fresh.pids()
    stream = await asyncio.open_connection("127.0.0.1", fresh.port)
    stream[1].write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
    await stream[0].readuntil(b"first")
    assert fresh.process is not None
    fresh.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        await asyncio.to_thread(fresh.process.wait, 1)
    await asyncio.to_thread(fresh.stop, signal.SIGINT, 2)
    await eventually(lambda: not any(is_alive(pid) for pid in mine))
    stream[1].close()


async def test_nothing_outlives_a_killed_supervisor_and_the_next_run_finds_all_data(fresh: House) -> None:
    fresh.up()
    mine, secret = fresh.pids(), DataFolder(fresh.data).secret()
    fresh.stop(signal.SIGKILL)
    await eventually(lambda: not any(is_alive(pid) for pid in mine), within=10)
    fresh.up()
    assert DataFolder(fresh.data).secret() == secret
    assert fresh.get("/a/x")["service"] == "alpha"


def test_a_taken_port_is_named_and_nothing_is_left_running(house: House, fresh: House) -> None:
    fresh.environ["PORT"] = str(house.port)
    refused = fresh.command("up")
    assert refused.returncode == 1
    assert f":{house.port}" in refused.stderr
    assert "PORT" in refused.stderr
    assert fresh.ps() == {}


def test_a_first_run_that_fails_ends_the_start_and_all_servers(fresh: House) -> None:
    (fresh.folder / "code/small_services.py").write_text("raise RuntimeError('broken on purpose')")
    failed = fresh.command("up")
    assert failed.returncode == 1
    assert "could not be brought up to date" in failed.stderr
    assert [line for line in _command_lines() if str(fresh.data) in line] == []


def _command_lines() -> list[str]:
    lines = []
    for process in psutil.process_iter():
        try:
            lines.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return lines


async def test_several_http_processes_share_one_port_and_are_kept_alive(house: House, fresh: House) -> None:
    urls = DataFolder(house.data).read().urls
    named = {"DATABASE_URL": urls["postgres"], "NATS_URL": urls["nats"], "REDIS_URL": urls["redis"]}
    environ = {**fresh.environ, **named, "EZSTAT_SECRET": "x" * 32}
    command = [sys.executable, "-P", "-m", "libs.runtime.cli", "serve", "--workers", "2"]
    process = await asyncio.create_subprocess_exec(*command, env=environ, start_new_session=True)
    try:

        async def pids() -> set[int]:
            try:
                return {(await fresh.aget("/a/x"))["pid"] for _ in range(20)}
            except (urllib.error.URLError, ConnectionError):
                return set()

        seen: set[int] = set()

        async def both_answered() -> bool:
            seen.update(await pids())
            return len(seen) >= 2

        await eventually(both_answered, within=15)
        first, second = list(seen)[:2]
        os.kill(first, signal.SIGKILL)

        async def another_one_answers() -> bool:
            return bool(await pids() - {first, second})

        await eventually(another_one_answers, within=15)
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


def test_help_is_quick_to_load() -> None:
    """No heavy import stands behind `ezstat --help`: the supervisor is made of the same modules."""
    program = (
        "import sys\nfrom libs.runtime.cli import parser\nparser()\nimport libs.runtime.up\n"
        "print({'numpy', 'fastapi', 'uvicorn', 'psycopg', 'redis', 'eventsourcing'} & set(sys.modules))"
    )
    environ = {"PYTHONPATH": str(ROOT)}
    shown = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
