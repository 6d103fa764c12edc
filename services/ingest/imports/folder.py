"""Where files wait for their import: one per job, shared by the processes that receive and those that read."""

import logging
import time
from pathlib import Path
from uuid import UUID

from services.ingest.imports.jobs import Jobs

log = logging.getLogger("ezstat.ingest.imports")

_ABANDONED = 86_400.0


class Folder:
    """`<data>/imports`. A file is `<job id>`, or `<id>.part` while it arrives."""

    def __init__(self, data: Path) -> None:
        self.path = data / "imports"

    def make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def arriving(self, job: UUID) -> Path:
        return self.path / f"{job}.part"

    def file(self, job: UUID) -> Path:
        return self.path / str(job)

    def remove(self, job: UUID) -> None:
        self.file(job).unlink(missing_ok=True)

    async def tidy(self, jobs: Jobs) -> None:
        """Remove what nobody needs: files of jobs that ended, and what stopped arriving a day ago."""
        files = {path: _job_of(path) for path in self.path.iterdir()} if self.path.exists() else {}
        open_jobs = await jobs.known([job for job in files.values() if job is not None])
        old = time.time() - _ABANDONED
        for path, job in files.items():
            if job not in open_jobs and path.stat().st_mtime < old:
                path.unlink(missing_ok=True)
                log.info("removed the abandoned import file %s", path.name)


def _job_of(path: Path) -> UUID | None:
    try:
        return UUID(path.name)
    except ValueError:
        return None
