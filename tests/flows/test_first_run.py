"""What `ezstat up` prints is true."""

import re
import subprocess
from pathlib import Path

import httpx

from tests.eventually import until
from tests.running import running


def test_the_printed_curl_line_and_the_set_up_link_work(tmp_path: Path) -> None:
    with running(tmp_path / "data") as ezstat:
        line = until(lambda: re.search(r"^  (curl .*)$", ezstat.log.read_text(), re.MULTILINE), within=10)
        link = until(lambda: re.search(r"^  (http\S+/setup\?token=\S+)$", ezstat.log.read_text(), re.MULTILINE))
        answer = subprocess.run(["sh", "-c", f"{line[1]} --silent --fail"], check=True, capture_output=True)
        assert answer.stdout == b'{"msg":"ok"}'
        assert httpx.get(link[1]).status_code == 200
