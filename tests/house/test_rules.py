"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "base", "misc"}
REGISTRIES = ("py" + "pi.org", "python" + "hosted", "npm" + "js.", "deb." + "debian")
MACHINE = re.compile(r"(?<![\w.])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me"]) + r")/[\w.]")


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, those not committed yet included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    """Every tracked file that is text."""
    read = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            read.append((path.relative_to(ROOT), data.decode()))
    return read


def test_no_file_names_a_package_registry() -> None:
    assert [(str(path), host) for path, text in texts() for host in REGISTRIES if host in text] == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = [(str(path), match[0]) for path, text in texts() for match in MACHINE.finditer(text)]
    assert found == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = [path.relative_to(ROOT) for path in tracked("*.py")]
    assert [str(path) for path in named if {*path.parts[:-1], path.stem} & FORBIDDEN_NAMES] == []


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error"])
def test_nothing_is_left_for_later(word: str) -> None:
    pattern = re.compile(rf"\b{word}\b")
    assert [str(path) for path, text in texts() if path.suffix in {".py", ".sql", ".js"} and pattern.search(text)] == []


def test_public_modules_classes_and_functions_of_libs_say_what_they_are() -> None:
    """Modules always; classes and functions of one line may speak through their names."""
    silent = []
    for path in tracked("libs/*.py", "services/*.py"):
        module = ast.parse(path.read_text())
        if module.body and ast.get_docstring(module) is None:
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_contracts_use_the_standard_library_and_msgspec_alone() -> None:
    graph = grimp.build_graph("libs", include_external_packages=True, exclude_type_checking_imports=True)
    modules = {"libs.contracts", *graph.find_descendants("libs.contracts")}
    used = {name for module in modules for name in graph.find_modules_directly_imported_by(module)}
    assert {name for name in used if name.partition(".")[0] not in {*sys.stdlib_module_names, "msgspec"}} <= modules


def test_no_new_service_is_left_out_of_the_entry_points() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    registered = project["entry-points"]["ezstat.services"]
    wired = {path.parent.name for path in tracked("services/*/service.py")}
    assert wired == set(registered)
    assert all(target == f"services.{name}.service:service" for name, target in registered.items())


def test_tests_are_skipped_through_needs_alone() -> None:
    """So that in CI, where everything must be there, nothing is skipped unseen."""
    skips = re.compile(r"pytest\.(?:skip|importorskip|mark\.(?:skip|xfail))\b|importorskip\(")
    found = {str(path.relative_to(ROOT)) for path in tracked("tests/*.py") if skips.search(path.read_text())}
    assert found - {"tests/house/test_rules.py"} == {"tests/needs.py"}
