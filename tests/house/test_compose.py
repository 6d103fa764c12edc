"""compose.yaml: everything is in it, no secret is, and the oldest docker-compose in use (1.29) reads it."""

import os
import re
import shutil
import stat
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.runtime.catalogue import load_services
from libs.runtime.settings import Settings
from tests import containers

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]

KNOWN_TO_1_29 = {
    "build", "command", "depends_on", "entrypoint", "environment", "healthcheck", "image", "networks", "ports",
    "restart", "shm_size", "stop_grace_period", "stop_signal", "user", "volumes",
}  # fmt: skip
SET_BY_COMPOSE = {"EZSTAT_HOST", "PORT", "EZSTAT_DATA", "EZSTAT_HTTP_WORKERS"}
VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")


def ours() -> dict[str, dict[str, Any]]:
    """The containers of our own image."""
    return {name: each for name, each in CONTAINERS.items() if "EZSTAT_IMAGE" in each["image"]}


def required() -> set[str]:
    """Variables without which nothing starts."""
    return {name for name, operator, _ in VARIABLE.findall(TEXT) if operator == ":?"}


def test_only_what_docker_compose_1_29_knows_is_used() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "networks", "volumes"}
    assert {key for each in CONTAINERS.values() for key in each} <= KNOWN_TO_1_29
    assert {key for each in CONTAINERS.values() for key in each.get("build", {})} <= {"context", "dockerfile", "args"}
    assert not re.search(r"\$\{[^}]*\$\{", TEXT), "a variable inside another one's default"


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose")
def test_docker_compose_reads_it(tmp_path: Path) -> None:
    nothing = tmp_path / "env"
    nothing.touch()
    environ = {"PATH": os.environ["PATH"], **dict.fromkeys(required(), "x")}
    subprocess.run(["docker-compose", "--env-file", nothing, "config", "--quiet"], cwd=ROOT, env=environ, check=True)


def test_every_service_runs_on_its_own() -> None:
    commands = {tuple(each.get("command", ())[:2]) for each in ours().values()}
    for path in ROOT.glob("services/*/service.py"):
        (service,) = load_services([path.parent.name])
        assert (("serve", service.name) in commands) == (service.http is not None)
        assert (("work", service.name) in commands) == (service.work is not None)


def test_the_gateway_knows_where_each_service_is_and_alone_can_be_reached_from_outside() -> None:
    words = " ".join(CONTAINERS["gateway-config"]["command"])
    told = dict(re.findall(r"--upstream (\w+)=(\S+):8000", words))
    served = {each["command"][1]: each for each in ours().values() if each.get("command", [""])[0] == "serve"}
    assert told == {name: each["networks"]["default"]["ipv4_address"] for name, each in served.items()}
    assert [name for name, each in CONTAINERS.items() if "ports" in each] == ["gateway"]


def test_every_service_is_somebody_of_its_own_to_nats() -> None:
    for name, each in ours().items():
        role, *services = each.get("command", ["serve"])
        user = services[0] if role in ("serve", "work") and services else "ezstat"
        assert each["environment"]["NATS_URL"].startswith(f"nats://{user}:"), name
        assert f"user: {user}," in (ROOT / "deploy" / "nats.conf").read_text()


def test_every_setting_reaches_every_container() -> None:
    named = {setting.metadata["env"] for setting in fields(Settings)} - SET_BY_COMPOSE
    for name, each in ours().items():
        assert named == set(each["environment"]), name


def test_no_secret_is_in_it() -> None:
    secret = {setting.metadata["env"] for setting in fields(Settings) if setting.metadata["secret"]}
    for each in CONTAINERS.values():
        for name, value in each.get("environment", {}).items():
            if value is not None and (name in secret or re.search("PASSWORD|SECRET|AUTH", name)):
                held = re.findall(r"://[^@/:]*:([^@/]*)@", value) or [value.strip('"')]
                assert all(VARIABLE.fullmatch(text) and "run make secrets" in text for text in held), name


def test_secrets_are_made_once_for_the_owner_alone_and_are_all_that_is_required(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    script = shutil.copy(ROOT / "deploy" / "make-secrets.sh", tmp_path / "deploy")
    subprocess.run([script], check=True, stdout=subprocess.DEVNULL)
    made = tmp_path / ".env"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in made.read_text().splitlines() if "=" in line)
    assert required() <= set(values)
    assert len({values[name] for name in required()}) == len(required()) >= 7
    assert all(re.fullmatch("[0-9a-f]{64}", values[name]) for name in required())

    made.write_text(re.sub("^REDIS_PASSWORD=.*\n", "", made.read_text(), flags=re.MULTILINE) + "MINE=1")
    before = made.read_text()
    subprocess.run([script], check=True, stdout=subprocess.DEVNULL)
    assert re.fullmatch(re.escape(before) + "\nREDIS_PASSWORD=[0-9a-f]{64}\n", made.read_text()), "only what lacked"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_the_file_with_the_secrets_is_never_committed_nor_copied_into_an_image() -> None:
    assert subprocess.run(["git", "check-ignore", "--quiet", ".env"], cwd=ROOT).returncode == 0
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert "!.env" not in ignored


def test_nats_fsyncs_before_it_acknowledges_and_postgres_ends_sessions_when_told_to_stop() -> None:
    assert "sync_interval: always" in (ROOT / "deploy" / "nats.conf").read_text()
    assert CONTAINERS["postgres"]["stop_signal"] == "SIGINT"


def test_what_must_last_is_in_volumes() -> None:
    kept = {name: [str(volume) for volume in CONTAINERS[name]["volumes"]] for name in ("postgres", "nats", "ingest")}
    for name, volumes in kept.items():
        assert any(volume.startswith(f"{name}:") for volume in volumes), name
        assert name in COMPOSE["volumes"]


def test_the_tests_run_on_the_images_that_compose_names() -> None:
    images = {name: default for name, _, default in VARIABLE.findall(TEXT) if name.endswith("_IMAGE")}
    assert images.items() >= containers.DEFAULT_IMAGES.items()
