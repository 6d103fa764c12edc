"""requirements.lock: every package with hashes, from wherever the installer is told to look."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
NAME = re.compile(r"^([A-Za-z0-9][\w.-]*)")


def entries(lock: str = LOCK) -> dict[str, str]:
    """Package name -> its lines."""
    joined = lock.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = {}
    for line in lines:
        match = NAME.match(line)
        assert match is not None, f"not a package: {line}"
        found[_normal(match[1])] = line
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_names_no_host() -> None:
    assert "://" not in LOCK
    assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)\b", LOCK, re.MULTILINE)


def test_every_package_is_pinned_with_hashes() -> None:
    loose = [name for name, line in entries().items() if not re.search(r"==\S+.*--hash=sha256:[0-9a-f]{64}\b", line)]
    assert loose == []


def test_the_lock_holds_everything_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    names = {_normal(NAME.match(requirement)[1]) for requirement in asked}  # type: ignore[index]
    assert names <= set(entries())


def test_the_containers_lock_is_the_part_of_it_that_they_need() -> None:
    whole, part = LOCK.replace("\\\n", ""), (ROOT / "deploy" / "requirements.lock").read_text().replace("\\\n", "")
    assert set(part.splitlines()) <= set(whole.splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    assert {_normal(NAME.match(requirement)[1]) for requirement in asked} <= set(entries(part))  # type: ignore[index]
