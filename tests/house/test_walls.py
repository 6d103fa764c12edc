"""Each import wall of pyproject.toml is proved by a violation planted in a copy of the house."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

PLANTED = {
    "services-apart": ("services/ingest/domain.py", "import services.accounts.domain"),
    "services-over-libs": ("libs/bus/connect.py", "import services.ingest.domain"),
    "libs-in-layers": ("libs/bus/connect.py", "import libs.http.errors"),
    "leaves": ("libs/runtime/settings.py", "import libs.http.errors"),
    "rooms-in-layers": ("services/ingest/domain.py", "import services.ingest.projections"),
    "pure-domain": ("services/ingest/domain.py", "import psycopg"),
    "eventsourcing-inside": ("services/ingest/projections.py", "import eventsourcing"),
    "plain-contracts": ("libs/contracts/envelope.py", "import numpy"),
    "one-way-out": ("services/ingest/projections.py", "import httpx"),
    "small-supervisor": ("libs/runtime/folder.py", "import fastapi"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("libs", "services"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path, contract: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    command = [program, "--no-cache", "--contract", contract]
    environ = {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_every_wall_has_its_planted_violation() -> None:
    assert {contract["id"] for contract in CONTRACTS} == set(PLANTED)


@pytest.mark.parametrize("contract", PLANTED)
def test_a_planted_violation_is_found(contract: str, copy: Path) -> None:
    file, line = PLANTED[contract]
    before = lint(copy, contract)
    assert before.returncode == 0, before.stdout
    with (copy / file).open("a") as source:
        source.write(f"\n{line}\n")
    after = lint(copy, contract)
    assert after.returncode != 0
    assert "BROKEN" in after.stdout
