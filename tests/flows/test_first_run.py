"""What `ezstat up` prints is true."""

import re
import subprocess
from pathlib import Path

import httpx

from tests.running import running


def test_the_printed_curl_line_and_the_set_up_link_work(tmp_path: Path) -> None:
    with running(tmp_path / "data") as ezstat:
        printed = ezstat.log.read_text()
        line = re.search(r"^  (curl .*)$", printed, re.MULTILINE)
        link = re.search(r"^  (http\S+/setup\?token=\S+)$", printed, re.MULTILINE)
        assert line is not None
        assert link is not None
        answer = subprocess.run(["sh", "-c", f"{line[1]} --silent --fail"], check=True, capture_output=True)
        assert answer.stdout == b'{"msg":"ok"}'
        assert httpx.get(link[1]).status_code == 200
