"""The examples in README.md and docs/ are run as they stand, against a running EzStat.

A block ```sh or ```python is an example when it names localhost:8000; a ```json or ```text block right after it
is its answer, in which … stands for anything. Examples of a page run in order, in one folder, as a new person with a
key in $KEY.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.eventually import until
from tests.running import Ezstat

ROOT = Path(__file__).parents[2]
ADDRESS = "localhost:8000"
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```\n(?:\n```(?:json|text)\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
RUN = ("sh", "python")
# Refusals are part of some examples, which say so; all others must not be refused.
PROLOGUE = 'set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body --max-time 30 "$@"; }\n'


@dataclass(frozen=True)
class Example:
    """A block that is run, and the answer that the page shows ("" when it shows none)."""

    language: str
    text: str
    answer: str

    def run(self, host: str, folder: Path, key: str) -> str:
        """What it prints, with the errors when it fails."""
        text = self.text.replace(ADDRESS, host)
        command = ["bash", "-c", PROLOGUE + text] if self.language == "sh" else [sys.executable, "-c", text]
        environ = {**os.environ, "KEY": key}
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout if done.returncode == 0 else f"{done.stdout}\nfailed: {done.stderr}"

    @property
    def only_reads(self) -> bool:
        return self.language == "sh" and not re.search(r" (?:-d|--data\S*|-T|-X|-F)\b", self.text)

    def is_answered_by(self, printed: str, host: str = ADDRESS) -> bool:
        """Whether that is the answer which the page shows; where it shows none, anything but a failure is."""
        parts = self.answer.replace(ADDRESS, host).split("…")
        pattern = ".*?".join(re.escape(_dense(part)) for part in parts)
        return "failed:" not in printed and re.fullmatch(pattern or ".*", _dense(printed)) is not None


def _dense(text: str) -> str:
    return re.sub(r"\s", "", text)


def examples(page: str) -> list[Example]:
    return [
        Example(language, text, answer or "")
        for language, text, answer in (match.groups() for match in BLOCK.finditer((ROOT / page).read_text()))
        if language in RUN and ADDRESS in text
    ]


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_do_what_it_says(page: str, ezstat: Ezstat, tmp_path: Path) -> None:
    host, key = ezstat.url.removeprefix("http://"), ezstat.sign_up().key()
    for example in examples(page):
        if example.only_reads:  # what was sent shows a moment later
            until(lambda each=example: each.is_answered_by(each.run(host, tmp_path, key), host))
        else:
            printed = example.run(host, tmp_path, key)
            assert example.is_answered_by(printed, host), f"{example.text}\nprinted\n{printed}\nnot\n{example.answer}"


def test_examples_are_found_and_compared() -> None:
    found = examples("docs/sending.md")
    assert len(found) > 10
    assert found[0].is_answered_by('{"status":200,\n"msg":"ok"}')
    assert not found[0].is_answered_by('{"status":400,"msg":"ok"}')
