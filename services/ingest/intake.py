"""The one way in for points, whatever the dialect and whichever path: principal -> limits -> stats -> group commit."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from uuid import UUID

from libs.contracts.ingest import Kind
from libs.http.errors import ApiError, BadRequest, Forbidden, TooMany, Unauthorized, Unavailable
from libs.http.keyring import KeyRing
from libs.http.principal import Principal
from libs.runtime.clock import Clock
from services.ingest import parse
from services.ingest.batches import Batch, Plain, Row, plain
from services.ingest.catalog import Catalog, Entry, check_kind, remember
from services.ingest.groups import Done
from services.ingest.parse import Refused

WRITE = "stats:write"


class Single:
    """One `stat` field (which may name several stats by a tilde) with one number."""

    __slots__ = ("item", "kind", "memo", "raw", "time", "value", "whole")

    def __init__(self, raw: bytes, kind: Kind | None, value: float, time: int, *, whole: bool = False) -> None:
        """`raw` is the field as it was sent, escapes and all. `whole`: it is one name or an id, tilde and all."""
        self.raw = raw
        self.kind = kind
        self.value = value
        self.time = time
        self.item = b""
        self.whole = whole
        self.memo: bytes | tuple[bytes] = (raw,) if whole else raw


class Intake:
    """Takes points. Every `done` is told exactly once, when the points are on disk or refused."""

    def __init__(self, ring: KeyRing, catalog: Catalog, clock: Clock) -> None:
        self.ring = ring
        self.clock = clock
        self._catalog = catalog
        self._later: set[asyncio.Task[None]] = set()

    def single(self, principal: Principal, point: Single, done: Done) -> None:
        """Take one `stat` field. Raises `ApiError` or `Refused` for what can be refused at once."""
        entries = principal.memo.get(point.memo)
        if entries is None or entries[0].series.gone or (len(entries) > 1 and not self._fresh(entries)):
            self._soon(self._look_up(principal, point, done), done)
            return
        admitted = self._admit(principal, len(entries))
        if admitted is None:
            self._record_single(principal, point, entries, done)
        else:
            self._soon(self._wait_then(admitted, lambda: self._record_single(principal, point, entries, done)), done)

    @staticmethod
    def _fresh(entries: tuple[Entry, ...]) -> bool:
        return all(not entry.series.gone and entry.series.id is not None for entry in entries)

    def _admit(self, principal: Principal, n: int) -> "asyncio.Future[bool] | None":
        """None: admitted. A future: the limit has to be asked. Raises 403 and 429."""
        if WRITE not in principal.facts.scopes:
            raise Forbidden("this key may not write: it has no scope stats:write")
        now = self.clock.monotonic()
        allowed = principal.bucket.take(n, now)
        if allowed is False:
            raise TooMany(principal.bucket.retry_after(now))
        return None if allowed is True else allowed

    @staticmethod
    async def _wait_then(allowed: "asyncio.Future[bool]", record: Callable[[], None]) -> None:
        if not await allowed:
            raise TooMany(1)
        record()

    def _record_single(self, principal: Principal, point: Single, entries: tuple[Entry, ...], done: Done) -> None:
        if not principal.alive:
            raise Unauthorized
        for entry in entries:
            check_kind(entry, point.kind)
        if len(entries) == 1:
            entry = entries[0]
            entry.commit.add(entry, point.time, point.value, point.item, done)
            return
        n = len(entries)
        items = (
            [hashlib.blake2b(point.item + bytes([i]), digest_size=16).digest() for i in range(n)] if point.item else []
        )
        entries[0].commit.add_many(entries, [point.time] * n, [point.value] * n, items, done)

    async def _look_up(self, principal: Principal, point: Single, done: Done) -> None:
        raw = parse.unescape(point.raw)
        if point.whole:
            entries: tuple[Entry, ...] = (await self._by_name_or_id(principal, parse.single_name(raw), point.kind),)
        else:
            names = parse.names(raw, principal.facts.joiner)
            entries = tuple([await self._catalog.find(principal, name, point.kind) for name in names])
        if self._fresh(entries):
            remember(principal, point.memo, entries)
        self._when_admitted(principal, len(entries), lambda: self._record_single(principal, point, entries, done), done)

    async def _by_name_or_id(self, principal: Principal, name: str, kind: Kind | None) -> Entry:
        if len(name) == 36 and (stat := as_uuid(name)) is not None:
            entry = await self._catalog.find_id(principal, stat)
            if entry is not None:
                return entry
        return await self._catalog.find(principal, name, kind)

    def many(
        self,
        principal: Principal,
        rows: Sequence[Row],
        done: Done,
        *,
        otherwise: Kind | None = None,
        request_id: str = "",
    ) -> None:
        """Take all rows or none; a bad one is refused with its index. `otherwise` is what a row without a number is.

        `request_id` (an Idempotency-Key) gives ids to rows that have none.
        """
        if not rows:
            raise BadRequest("no rows", param="data")
        columns = None if request_id else plain(principal, rows, self.clock.now())
        if columns is not None:
            self._when_admitted(principal, len(rows), lambda: self._record_plain(principal, columns, done), done)
            return
        batch = Batch(principal, rows, self.clock.now(), otherwise, request_id)
        entries = [self._catalog.known(principal, name) for name in batch.names]
        if None in entries:
            self._soon(self._look_up_many(principal, batch, done), done)
            return
        known = [entry for entry in entries if entry is not None]
        self._when_admitted(principal, len(known), lambda: self._record_many(principal, batch, known, done), done)

    def _when_admitted(self, principal: Principal, n: int, record: Callable[[], None], done: Done) -> None:
        """`record` at once, or when the limit has been asked. Raises 403 and 429."""
        admitted = self._admit(principal, n)
        if admitted is None:
            record()
        else:
            self._soon(self._wait_then(admitted, record), done)

    @staticmethod
    def _record_plain(principal: Principal, columns: Plain, done: Done) -> None:
        if not principal.alive:
            raise Unauthorized
        columns.entries[0].commit.add_many(columns.entries, columns.times, columns.values, (), done)

    def _record_many(self, principal: Principal, batch: Batch, entries: list[Entry], done: Done) -> None:
        if not principal.alive:
            raise Unauthorized
        for i, entry in enumerate(entries):
            kind = batch.kinds[i]
            if kind is not None and entry.series.kind != kind:
                try:
                    check_kind(entry, kind)
                except ApiError as error:
                    error.param = f"data[{batch.row_of(i)}]"
                    raise
        entries[0].commit.add_many(entries, batch.times, batch.values, batch.items, done)

    async def _look_up_many(self, principal: Principal, batch: Batch, done: Done) -> None:
        kinds = dict(zip(reversed(batch.names), reversed(batch.kinds), strict=True))
        found = await asyncio.gather(*(self._catalog.find(principal, name, kind) for name, kind in kinds.items()))
        by_name = dict(zip(kinds, found, strict=True))
        entries = [by_name[name] for name in batch.names]
        self._when_admitted(principal, len(entries), lambda: self._record_many(principal, batch, entries, done), done)

    def _soon(self, work: Coroutine[Any, Any, None], done: Done) -> None:
        """Go on in a task; what it raises is told to `done`."""
        task = asyncio.get_running_loop().create_task(self._told(work, done))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    @staticmethod
    async def _told(work: Coroutine[Any, Any, None], done: Done) -> None:
        try:
            await work
        except Refused as error:
            done(BadRequest(str(error), param=error.param))
        except ApiError as error:
            done(error)
        except Exception:
            done(Unavailable())
            raise

    async def with_key(self, secret: bytes, take: Callable[[Principal], None]) -> None:
        """Resolve a key this process does not know, then `take`. Raises 401 for none such."""
        principal = await self.ring.find(secret)
        if principal is None:
            raise Unauthorized
        take(principal)

    def when_known(self, secret: bytes, take: Callable[[Principal], None], done: Done) -> None:
        """`take(principal)` at once if the ring knows the key, else as soon as accounts has answered."""
        principal = self.ring.known(secret)
        if principal is not None:
            take(principal)
        else:
            self._soon(self.with_key(secret, take), done)

    async def settled(self) -> None:
        """Wait until nothing that was begun is still on its way to a group."""
        while self._later:
            await asyncio.wait(self._later)


def as_uuid(text: str) -> UUID | None:
    """A UUID of a canonical text, else None."""
    try:
        return UUID(text)
    except ValueError:
        return None
