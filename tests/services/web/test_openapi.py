"""The committed description of the API."""

import json
import subprocess
import sys

from services.web import reference
from services.web.pages.files import OPENAPI


def test_the_committed_description_is_up_to_date() -> None:
    command = [sys.executable, "-m", "libs.runtime.cli", "openapi"]
    current = subprocess.run(command, check=True, capture_output=True).stdout
    assert current == OPENAPI, "run: ezstat openapi > services/web/openapi.json"


def test_every_endpoint_has_a_summary_and_a_line_to_paste() -> None:
    for chapter in reference.chapters(json.loads(OPENAPI), "http://localhost:8000"):
        for endpoint in chapter.endpoints:
            assert endpoint.summary or endpoint.description, endpoint.path
            assert endpoint.curl.startswith("curl ")
            assert "http://localhost:8000/" in endpoint.curl
