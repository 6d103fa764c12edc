"""What a test needs of the machine: it is skipped with the reason where that is missing, and fails in CI."""

import os
import shutil
from typing import NoReturn

import pytest

REQUIRE_ALL = os.environ.get("EZSTAT_TEST_REQUIRE") == "all"


def missing(reason: str) -> NoReturn:
    """This test can't run here."""
    if REQUIRE_ALL:
        pytest.fail(f"{reason} (EZSTAT_TEST_REQUIRE=all: nothing may be skipped)")
    pytest.skip(reason)


def program(*names: str) -> str:
    """Path of the first of these programs that is there."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    for name in names:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    missing(f"{' or '.join(names)} is not installed")


def root() -> None:
    """The rest of the test needs to be root."""
    if os.geteuid() != 0:
        missing("needs root")
