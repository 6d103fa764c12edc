"""The recipes of CONTRIBUTING.md, walked: each block is applied to a copy of the house, and the checks run there."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
COPIED = ("libs", "services", "tests", "docs", "pyproject.toml")
FILE = re.compile(r"\bin\s+`([\w./-]+\.(?:py|sql|toml))`")
BLOCK = re.compile(r"^ *```(diff|python|sql)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A block of a recipe: a new file, or lines to add to one."""

    file: str
    language: str
    text: str


def steps(recipe: str) -> Iterator[Step]:
    """The blocks under a heading. The text before a block says in which file it is, or it is the same as before."""
    part = TEXT.split(f"\n## {recipe}\n")[1].split("\n## ")[0]
    end, file = 0, ""
    for block in BLOCK.finditer(part):
        file = (FILE.findall(part[end : block.start()]) or [file])[-1]
        yield Step(file, block[1], dedent(block[2]))
        end = block.end()


def apply(step: Step, house: Path) -> None:
    path = house / step.file
    if step.language != "diff":
        assert not path.exists(), f"{step.file} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(step.text)
        return
    lines = [(line[:1], line[1:]) for line in step.text.splitlines()]
    old = "".join(f"{line}\n" for sign, line in lines if sign != "+")
    new = "".join(f"{line}\n" for sign, line in lines if sign != "-")
    text = path.read_text()
    assert text.count(f"\n{old}") == 1, f"{step.file} does not have exactly one\n{old}"
    path.write_text(text.replace(f"\n{old}", f"\n{new}"))


def walked(recipe: str, house: Path) -> list[str]:
    """A copy of the house with a recipe's blocks applied; returns the files concerned."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, house / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, house / name)
    files = []
    for step in steps(recipe):
        apply(step, house)
        files.append(step.file)
    assert files
    _register(house)
    return sorted({file for file in files if file.endswith(".py")})


def _register(house: Path) -> None:
    """What `make` does when pyproject.toml changed: tell Python of the services."""
    project = tomllib.loads((house / "pyproject.toml").read_text())["project"]
    told = house / f"ezstat-{project['version']}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ezstat\nVersion: {project['version']}\n")
    services = project["entry-points"]["ezstat.services"]
    lines = "\n".join(f"{name} = {place}" for name, place in services.items())
    (told / "entry_points.txt").write_text(f"[ezstat.services]\n{lines}\n")


def run(house: Path, *words: str) -> str:
    """A program of the virtual environment, in the copy; fails with what it says."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    environ = {**os.environ, "PYTHONPATH": str(house), "PATH": path}
    done = subprocess.run(words, cwd=house, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check(house: Path, files: list[str]) -> None:
    run(house, "ruff", "check", "--no-cache", *files)
    run(house, "ruff", "format", "--no-cache", "--check", *files)
    run(house, "lint-imports", "--no-cache")


def test_add_an_event(tmp_path: Path) -> None:
    files = walked("Add an event", tmp_path)
    check(tmp_path, files)
    run(tmp_path, sys.executable, "-m", "tests.house.asyncapi")
    proof = ("tests/services/ingest/test_domain.py", "tests/house/test_asyncapi.py")
    assert "passed" in run(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *proof)
    assert "ingest.StatMuted" in (tmp_path / "docs" / "asyncapi.yaml").read_text()


@pytest.mark.parametrize(
    ("recipe", "path"),
    [("Add an endpoint", "/api/v1/stats/{name}/last-point"), ("Add a service", "/api/v1/tally")],
)
def test_add_what_answers(recipe: str, path: str, tmp_path: Path) -> None:
    check(tmp_path, walked(recipe, tmp_path))
    described = json.loads(run(tmp_path, sys.executable, "-m", "libs.runtime.cli", "openapi"))
    assert list(described["paths"][path]) == ["get"]
