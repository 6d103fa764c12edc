"""Pages in a process of their own: the API is elsewhere (`ezstat serve web` with EZSTAT_API_URL)."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from libs.runtime.children import free_port
from libs.runtime.folder import DataFolder
from libs.runtime.probes import http_status
from tests.eventually import until
from tests.running import Ezstat


@contextmanager
def serving_pages(ezstat: Ezstat, folder: Path, api_url: str) -> Iterator[httpx.Client]:
    """A client of pages that know the API by its address alone."""
    port, urls = free_port(), ezstat.urls
    environ = {
        **ezstat.environ,
        "PORT": str(port),
        "EZSTAT_DATA": str(folder),
        "EZSTAT_SECRET": DataFolder(ezstat.folder).secret(),
        "EZSTAT_API_URL": api_url,
        "DATABASE_URL": urls["postgres"],
        "NATS_URL": urls["nats"],
        "REDIS_URL": urls["redis"],
    }
    process = subprocess.Popen([sys.executable, "-m", "libs.runtime.cli", "serve", "web"], env=environ)
    try:
        until(lambda: http_status("127.0.0.1", port, "/readyz") == 200, within=30)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Accept": "text/html"}, timeout=30) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


@pytest.fixture(scope="module")
def pages(ezstat: Ezstat, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving_pages(ezstat, tmp_path_factory.mktemp("apart"), ezstat.url) as client:
        yield client


def test_pages_apart_sign_in_and_show_what_the_api_says(pages: httpx.Client, ezstat: Ezstat) -> None:
    person = ezstat.sign_up()
    token = re.search(r'name="csrf_token" value="([^"]+)"', pages.get("/signin").text)
    assert token
    form = {"csrf_token": token[1], "email": person.email, "password": "correct horse battery", "next": "/"}
    assert pages.post("/signin", data=form).status_code == 303
    assert person.email in pages.get("/").text


def test_the_whole_description_is_there_also_apart(pages: httpx.Client) -> None:
    assert "/api/v1/auth/login" in pages.get("/openapi.json").json()["paths"]


def test_without_the_api_the_front_page_still_says_what_this_is(ezstat: Ezstat, tmp_path: Path) -> None:
    person = ezstat.sign_up()
    with serving_pages(ezstat, tmp_path, f"http://127.0.0.1:{free_port()}") as pages:
        stranger = pages.get("/")
        pages.cookies.update(person.client.cookies)
        known = pages.get("/")
    assert (stranger.status_code, known.status_code) == (200, 503)
    assert "Sign in" in stranger.text
    assert "Not available just now" in known.text
    assert known.headers["retry-after"] == "5"
