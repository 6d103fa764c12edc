"""Import: files of points in, jobs to watch."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from libs.eventstore.database import DatabaseUnavailable
from libs.http.credentials import ACCOUNT_KINDS, CSRF_HEADER, Bearer, bearer, presented_key
from libs.http.errors import Forbidden, NotFound, Unauthorized
from libs.http.principal import Principal
from libs.runtime.clock import Clock, uuid7
from services.ingest import answers, sse
from services.ingest.api.stats import actor
from services.ingest.imports import formats, upload
from services.ingest.imports.folder import Folder
from services.ingest.imports.formats import FormatName
from services.ingest.imports.jobs import Job, Jobs, NewFile, State

MOST_JOBS = 100
_LOOK_EVERY = 0.3
_EVENT = 'event: import\ndata: {"id":"…","state":"running","rows":5000,"points":4999,"bad":1}\n\n'


class ImportErrorOut(BaseModel):
    """A row that was not taken."""

    row: int = Field(examples=[17])
    reason: str = Field(examples=["value must be a number"])


class ImportOut(BaseModel):
    """An import. `rows` were read, of these `points` stored and `bad` not; `errors` are the first 100 of these."""

    id: str = Field(examples=["0199c1d2-7e5b-7c3a-9b1e-2f4a6c8d0e1f"])
    state: State = Field(examples=["running"])
    format: FormatName
    filename: str = Field(examples=["ezstat-2026-03-01.json"])
    bytes: int = Field(examples=[1048576])
    created_at: str
    finished_at: str | None
    rows: int
    points: int
    bad: int
    errors: list[ImportErrorOut]
    reason: str = Field(description="Why it failed")


class ImportList(BaseModel):
    imports: list[ImportOut]


def _shown(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "state": job.state,
        "format": job.format,
        "filename": job.filename,
        "bytes": job.bytes,
        "created_at": answers.stamp(job.created_at),
        "finished_at": None if job.finished_at is None else answers.stamp(job.finished_at),
        "rows": job.rows,
        "points": job.points,
        "bad": job.bad,
        "errors": msgspec.to_builtins(job.errors),
        "reason": job.reason,
    }


def _json(answer: Any, status: int = 200) -> Response:
    return Response(answers.encode(answer), status, media_type="application/json")


def _job_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("no such import") from None


_BODY = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {"stats": [{"stat": "signups", "type": "counter", "points": [[1772323200, 1]]}]},
            },
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"stat":"signups","count":1,"t":1772323200}\n',
            },
            "text/csv": {
                "schema": {"type": "string"},
                "example": "stat,type,t,value\nsignups,counter,2026-03-01T00:00:00Z,1\n",
            },
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}},
                "example": {"file": "ezstat-2026-03-01.csv"},
            },
        }
    }
}


class Uploader(Bearer):
    """As `bearer`, but a form's token has to be in the header: it can't be looked for in a body that is streamed."""

    async def __call__(self, request: Request) -> Principal:
        is_form = request.headers.get("content-type", "").lower().startswith("multipart/")
        if is_form and presented_key(request) is None and CSRF_HEADER not in request.headers:
            raise Forbidden("Send X-CSRF-Token with this form.", code="csrf")
        return await super().__call__(request)


def router(jobs: Jobs, folder: Folder, clock: Clock, stopping: asyncio.Event, limit: int) -> APIRouter:
    """`limit` is the size in bytes of the largest file, `stopping` is set when the process ends."""
    routes = APIRouter(tags=["Export and import"])
    Reader = Annotated[Principal, Depends(bearer("stats:read"))]
    Sender = Annotated[Principal, Depends(Uploader("stats:write", ACCOUNT_KINDS))]
    Writer = Annotated[Principal, Depends(bearer("stats:write"))]

    @routes.post(
        "/api/v1/import",
        status_code=202,
        response_model=ImportOut,
        summary="Import a file of points",
        openapi_extra=_BODY,
    )
    async def import_(
        request: Request,
        principal: Sender,
        format_: Annotated[FormatName | None, Query(alias="format")] = None,
        again: Annotated[bool, Query(description="Import a file that was imported before as something new")] = False,
    ) -> Any:
        """Takes our own exports, NDJSON and JSON of rows, and CSV; the file is the body, or a multipart form's file.
        The answer is a job. Sending the same file again answers with the job it has, and stores nothing twice."""
        job = uuid7(clock.now())
        folder.make()
        part = folder.arriving(job)
        received = await upload.receive(request.stream(), request.headers.get("content-type", ""), part, limit)
        try:
            if not principal.valid(clock.now()):
                raise Unauthorized
            found = await asyncio.to_thread(formats.detect, part) if format_ is None else format_
            file = NewFile(received.filename, found, received.bytes, received.sha256.digest())
            made, begun = await _begin(jobs, folder, principal, job, file, again, clock.now())
        finally:
            part.unlink(missing_ok=True)
        return _json(_shown(made), 202 if begun else 200)

    @routes.get("/api/v1/import", response_model=ImportList, summary="List imports")
    async def list_(principal: Reader, limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = MOST_JOBS) -> Any:
        """The newest first."""
        facts = principal.facts
        return _json({"imports": [_shown(job) for job in await jobs.list(facts.account, facts.mode, limit)]})

    @routes.get("/api/v1/import/{job}", response_model=ImportOut, summary="How far an import is")
    async def get(job: str, principal: Reader) -> Any:
        """`state` is queued, running, done, failed or cancelled."""
        facts = principal.facts
        return _json(_shown(await jobs.get(facts.account, facts.mode, _job_id(job))))

    @routes.get(
        "/api/v1/import/{job}/events",
        summary="Watch an import",
        response_class=StreamingResponse,
        responses={200: {"description": "Events `import`", "content": {"text/event-stream": {"example": _EVENT}}}},
    )
    async def events(job: str, principal: Reader) -> StreamingResponse:
        """Server-sent events: the import as it stands, whenever that has changed, until it has ended."""
        facts = principal.facts
        first = await jobs.get(facts.account, facts.mode, _job_id(job))
        return sse.answer(sse.stream(principal, stopping, clock, _Watch(jobs, first).following))

    @routes.delete("/api/v1/import/{job}", response_model=ImportOut, summary="Cancel an import")
    async def cancel(job: str, principal: Writer) -> Any:
        """What it has stored stays."""
        facts = principal.facts
        cancelled = await jobs.cancel(facts.account, facts.mode, _job_id(job))
        folder.remove(cancelled.id)
        return _json(_shown(cancelled))

    return routes


async def _begin(
    jobs: Jobs, folder: Folder, principal: Principal, job: UUID, file: NewFile, again: bool, now: float
) -> tuple[Job, bool]:
    """The job of a file that arrived as that of `job`. The file is in its place before a worker can see the job."""
    facts = principal.facts
    if again:
        await jobs.forget_file(facts.account, facts.mode, file.digest)
    existing = await jobs.with_file(facts.account, facts.mode, file.digest)
    if existing is not None and existing.state not in ("failed", "cancelled"):
        return existing, False
    wanted = job if existing is None else existing.id
    await asyncio.to_thread(folder.arriving(job).rename, folder.file(wanted))
    made, begun = await jobs.add(wanted, facts.account, facts.mode, actor(principal), facts.key_id, file, now)
    if made.id != wanted:
        folder.remove(wanted)  # the same file came twice at once
    return made, begun


class _Watch:
    """What is new about a job."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self._jobs = jobs
        self._job = job
        self._said: Job | None = None

    async def following(self) -> bytes | None:
        if self._said is not None:
            if self._said.ended:
                return None
            await asyncio.sleep(_LOOK_EVERY)
            with suppress(DatabaseUnavailable):
                self._job = await self._jobs.get(self._job.account, self._job.mode, self._job.id)
        if self._job == self._said:
            return b""
        self._said = self._job
        return sse.event("import", _shown(self._job))
