"""What the documents name is there: files, settings, commands."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from libs.runtime.settings import Settings
from tests.house.test_rules import tracked

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in tracked("*.md")}
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
SETTINGS = {each.metadata["env"] for each in fields(Settings)}
# Of compose.yaml, the tests and the Makefile.
OTHERS = {"EZSTAT_IMAGE", "EZSTAT_NETWORK", "EZSTAT_FAULTS", "EZSTAT_TEST_REQUIRE"}
FILE = re.compile(r"`((?:[\w-]+/)*[\w-]+\.(?:py|sql|yaml|toml|conf|lock|md))`")
# In prose about one service or library, its files are named without the folder.
FOLDERS = ("", "services/", "libs/", "libs/bus/", "libs/http/", "services/ingest/", "services/ingest/imports/")
ROOMS = {"application.py", "api.py", "queries.py", "reactions.py"}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in [one or other for one, other in LINK.findall(PAGES[page])]:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in {_anchor(heading) for heading in HEADING.findall(target.read_text())}, link


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_exists(page: str) -> None:
    named = set(re.findall(r"\bEZSTAT_[A-Z_]+\b", PAGES[page]))
    assert named - SETTINGS - OTHERS == set()


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", *sorted(page for page in PAGES if page.startswith("docs/adr/"))])
def test_every_file_that_is_named_exists(page: str) -> None:
    missing = [
        name
        for name in FILE.findall(PAGES[page])
        if name not in ROOMS and not any((ROOT / folder / name).exists() for folder in FOLDERS)
    ]
    assert missing == []
