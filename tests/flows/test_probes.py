"""What operators ask processes: probes and metrics, of those that answer HTTP and of those that only work."""

from pathlib import Path

import httpx

from libs.runtime.children import free_port
from tests.eventually import until
from tests.running import running


def test_every_process_tells_how_it_is(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path / "data", EZSTAT_WORK_PORT=str(port)) as ezstat:
        key = ezstat.sign_up().key()
        assert httpx.post(f"{ezstat.url}/ez", data={"ezkey": key, "stat": "probed"}).is_success
        work = f"http://127.0.0.1:{port}"
        assert until(lambda: httpx.get(f"{work}/readyz").json(), within=10)["parts"]["ingest.writer"] is True
        assert "ezstat_writer_lag_frames" in httpx.get(f"{work}/metrics").text
        told = httpx.get(f"{ezstat.url}/metrics").text
        assert 'ezstat_points_total{outcome="acknowledged",partition="0"} 1.0' in told
        assert key not in told
