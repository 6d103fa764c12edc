"""Import jobs: their rows, and what may happen to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from libs.contracts.accounts import Mode
from libs.eventstore.database import Database
from libs.http.errors import NotFound
from services.ingest.imports.formats import FormatName
from services.ingest.queries import Cursor

State = Literal["queued", "running", "done", "failed", "cancelled"]
MOST_ERRORS = 100


class RowError(msgspec.Struct, frozen=True):
    """Why a row was not taken."""

    row: int
    reason: str


class Job(msgspec.Struct, frozen=True):
    """An import as it stands. `rows` were read, `points` stored, `bad` not; `errors` are the first of these."""

    id: UUID
    account: UUID
    mode: Mode
    actor: str
    key: UUID | None
    filename: str
    format: FormatName
    bytes: int
    state: State
    created_at: datetime
    finished_at: datetime | None
    chunk: int
    rows: int
    points: int
    bad: int
    errors: list[RowError]
    reason: str

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


@dataclass
class Progress:
    """How far a job is."""

    chunk: int = 0
    rows: int = 0
    points: int = 0
    bad: int = 0
    errors: list[RowError] = field(default_factory=list)

    def add(self, chunk: int, points: int, bad: Sequence[RowError]) -> None:
        """One more chunk is on disk."""
        self.chunk = chunk
        self.rows += points + len(bad)
        self.points += points
        self.bad += len(bad)
        self.errors += bad[: MOST_ERRORS - len(self.errors)]


@dataclass(frozen=True)
class NewFile:
    """A file that arrived whole. `digest` is its SHA-256."""

    filename: str
    format: FormatName
    size: int
    digest: bytes


async def _job(cursor: Cursor) -> Job | None:
    row = await cursor.fetchone()
    if row is None:
        return None
    assert cursor.description is not None
    return msgspec.convert({column.name: value for column, value in zip(cursor.description, row, strict=True)}, Job)


class Jobs:
    """The table of imports. All methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # For people

    async def add(
        self, job: UUID, account: UUID, mode: Mode, actor: str, key: UUID, file: NewFile, now: float
    ) -> tuple[Job, bool]:
        """A new job, or the one that has the same file already; the flag says whether there is something to do. A job
        that failed or was cancelled begins again: under its old id, so that what it has stored is not stored again."""
        async with self._database.tenant(account) as cursor:
            await cursor.execute(
                "insert into ingest.imports"
                " (id, account, mode, actor, key, digest, filename, format, bytes, state, created_at)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'queued', to_timestamp(%s))"
                " on conflict on constraint imports_same_file do update set state = 'queued', finished_at = null,"
                " reason = '', chunk = 0, rows = 0, points = 0, bad = 0, errors = '[]'"
                " where imports.state in ('failed', 'cancelled') returning *",
                (job, account, mode, actor, key, file.digest, file.filename, file.format, file.size, now),
            )
            added = await _job(cursor)
            if added is not None:
                return added, True
            existing = await self._with_file(cursor, account, mode, file.digest)
        assert existing is not None
        return existing, False

    async def with_file(self, account: UUID, mode: Mode, digest: bytes) -> Job | None:
        """The job that has this file."""
        async with self._database.tenant(account) as cursor:
            return await self._with_file(cursor, account, mode, digest)

    @staticmethod
    async def _with_file(cursor: Cursor, account: UUID, mode: Mode, digest: bytes) -> Job | None:
        await cursor.execute(
            "select * from ingest.imports where account = %s and mode = %s and digest = %s", (account, mode, digest)
        )
        return await _job(cursor)

    async def forget_file(self, account: UUID, mode: Mode, digest: bytes) -> None:
        """Let the same file be imported again, as something new."""
        async with self._database.tenant(account) as cursor:
            await cursor.execute(
                "update ingest.imports set digest = null where account = %s and mode = %s and digest = %s",
                (account, mode, digest),
            )

    async def get(self, account: UUID, mode: Mode, job: UUID) -> Job:
        """Raises 404."""
        async with self._database.tenant(account) as cursor:
            await cursor.execute(
                "select * from ingest.imports where account = %s and mode = %s and id = %s",
                (account, mode, job),
            )
            found = await _job(cursor)
        if found is None:
            raise NotFound("no such import")
        return found

    async def list(self, account: UUID, mode: Mode, limit: int) -> list[Job]:
        """The newest first."""
        async with self._database.tenant(account) as cursor:
            await cursor.execute(
                "select * from ingest.imports where account = %s and mode = %s order by created_at desc, id limit %s",
                (account, mode, limit),
            )
            found = []
            while (job := await _job(cursor)) is not None:
                found.append(job)
        return found

    async def cancel(self, account: UUID, mode: Mode, job: UUID) -> Job:
        """End a job that has not ended; points it has stored stay. Raises 404."""
        async with self._database.tenant(account) as cursor:
            await cursor.execute(
                "update ingest.imports set state = 'cancelled', finished_at = now(), reason = 'cancelled'"
                " where account = %s and mode = %s and id = %s and state in ('queued', 'running')",
                (account, mode, job),
            )
        return await self.get(account, mode, job)

    # For workers

    async def claim(self, holder: UUID, seconds: float) -> Job | None:
        """The oldest job that nobody works on, held for so many seconds."""
        async with self._database.house() as cursor:
            await cursor.execute(
                "update ingest.imports set state = 'running', holder = %s,"
                " held_until = now() + make_interval(secs => %s) where id = ("
                " select id from ingest.imports"
                " where state = 'queued' or (state = 'running' and held_until < now())"
                " order by created_at limit 1 for update skip locked) returning *",
                (holder, seconds),
            )
            return await _job(cursor)

    async def hold(self, job: UUID, holder: UUID, seconds: float) -> bool:
        """Hold it for longer; False: it is not ours any more (cancelled, or somebody else's)."""
        async with self._database.house() as cursor:
            await cursor.execute(
                "update ingest.imports set held_until = now() + make_interval(secs => %s)"
                " where id = %s and holder = %s and state = 'running'",
                (seconds, job, holder),
            )
            return cursor.rowcount == 1

    async def progress(self, job: UUID, holder: UUID, done: Progress) -> bool:
        """Note how far it is; False: it is not ours any more."""
        async with self._database.house() as cursor:
            await cursor.execute(
                "update ingest.imports set chunk = %s, rows = %s, points = %s, bad = %s, errors = %s"
                " where id = %s and holder = %s and state = 'running'",
                (done.chunk, done.rows, done.points, done.bad, _json(done.errors), job, holder),
            )
            return cursor.rowcount == 1

    async def end(self, job: UUID, holder: UUID, state: State, reason: str = "") -> None:
        async with self._database.house() as cursor:
            await cursor.execute(
                "update ingest.imports set state = %s, reason = %s, finished_at = now(), held_until = null"
                " where id = %s and holder = %s and state = 'running'",
                (state, reason, job, holder),
            )

    async def known(self, jobs: Sequence[UUID]) -> set[UUID]:
        """Which of these have not ended, so that their files are needed."""
        async with self._database.house() as cursor:
            await cursor.execute(
                "select id from ingest.imports where id = any(%s) and state in ('queued', 'running')", (list(jobs),)
            )
            return {row[0] for row in await cursor.fetchall()}


def _json(errors: Sequence[RowError]) -> Jsonb:
    return Jsonb(msgspec.to_builtins(errors))
