"""The one way in for points, whatever the dialect and whichever path: principal -> limits -> stats -> group commit."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from uuid import UUID

import msgspec

from libs.contracts.ingest import Kind
from libs.http.errors import ApiError, BadRequest, Forbidden, TooMany, Unauthorized, Unavailable
from libs.http.keyring import KeyRing
from libs.http.principal import Principal
from libs.runtime.clock import Clock
from services.ingest import parse
from services.ingest.catalog import Catalog, Entry, check_kind
from services.ingest.groups import Done
from services.ingest.parse import Refused

WRITE = "stats:write"


class Row(msgspec.Struct):
    """A point in JSON. Numbers may be strings; `t` may be null; `id` makes a retry count once."""

    stat: str
    count: float | str | None = None
    value: float | str | None = None
    t: float | str | None = None
    id: str | None = None


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


def item_id(principal: Principal, text: str) -> bytes:
    """16 bytes for the id that a client gave its item: the same text of another account is another item."""
    facts = principal.facts
    return hashlib.blake2b(f"{facts.account}|{facts.mode}|{text}".encode(), digest_size=16).digest()


def one_of(count: float | None, value: float | None, *, otherwise: Kind | None = None) -> tuple[Kind | None, float]:
    """Which of count and value is meant: of two given, the one that is not zero. (None, 0): both are zero, the
    existing stat decides. `otherwise` is what neither means (a counter counts 1)."""
    if count is None and value is None:
        if otherwise is None:
            raise Refused("count", "count or value is required")
        return otherwise, 1.0
    if value is None:
        assert count is not None
        return "counter", count
    if count is None:
        return "gauge", value
    if count and value:
        raise Refused("count", "send count or value, not both")
    if count:
        return "counter", count
    return ("gauge", value) if value else (None, 0.0)


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
        if entries is None or not self._fresh(entries):
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
        now = self.clock.now()
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
            principal.memo[point.memo] = entries
        admitted = self._admit(principal, len(entries))
        if admitted is not None and not await admitted:
            raise TooMany(1)
        self._record_single(principal, point, entries, done)

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
        batch = _Batch(principal, rows, self.clock.now(), otherwise, request_id)
        entries = [self._catalog.known(principal, name) for name in batch.names]
        if None in entries:
            self._soon(self._look_up_many(principal, batch, done), done)
            return
        self._admit_many(principal, batch, entries, done)  # type: ignore[arg-type]

    def _admit_many(self, principal: Principal, batch: "_Batch", entries: list[Entry], done: Done) -> None:
        admitted = self._admit(principal, len(entries))
        if admitted is None:
            self._record_many(principal, batch, entries, done)
        else:
            self._soon(self._wait_then(admitted, lambda: self._record_many(principal, batch, entries, done)), done)

    def _record_many(self, principal: Principal, batch: "_Batch", entries: list[Entry], done: Done) -> None:
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

    async def _look_up_many(self, principal: Principal, batch: "_Batch", done: Done) -> None:
        kinds = dict(zip(reversed(batch.names), reversed(batch.kinds), strict=True))
        found = await asyncio.gather(*(self._catalog.find(principal, name, kind) for name, kind in kinds.items()))
        by_name = dict(zip(kinds, found, strict=True))
        self._admit_many(principal, batch, [by_name[name] for name in batch.names], done)

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


class _Batch:
    """Rows as columns, tilde names spread out. Raises `BadRequest` naming the row."""

    def __init__(
        self, principal: Principal, rows: Sequence[Row], now: float, otherwise: Kind | None, request_id: str
    ) -> None:
        self.names: list[str] = []
        self.kinds: list[Kind | None] = []
        self.times: list[int] = []
        self.values: list[float] = []
        self.items: list[bytes] = []
        self._spread: list[tuple[int, int]] = []
        present = round(now * 1e6)
        identified = bool(request_id) or any(row.id is not None for row in rows)
        memo = principal.memo
        for number, row in enumerate(rows):
            try:
                if row.value is None and type(row.count) is float:
                    kind: Kind | None = "counter"
                    value = row.count
                elif row.count is None and type(row.value) is float:
                    kind, value = "gauge", row.value
                else:
                    kind, value = one_of(_float(row.count, "count"), _float(row.value, "value"), otherwise=otherwise)
                time = present if row.t is None else parse.moment(_float(row.t, "t") or 0.0, now)
                names = (
                    (row.stat,)
                    if row.stat in memo and "~" not in row.stat
                    else parse.names_of(row.stat, principal.facts.joiner)
                )
                ids = self._ids(principal, row, number, len(names), request_id) if identified else ()
            except Refused as error:
                raise BadRequest(f"row {number}: {error}", param=f"data[{number}].{error.param}") from None
            if len(names) > 1:
                self._spread.append((len(self.names), len(names) - 1))
            for name in names:
                self.names.append(name)
                self.kinds.append(kind)
                self.times.append(time)
                self.values.append(value)
            self.items.extend(ids)

    @staticmethod
    def _ids(principal: Principal, row: Row, number: int, n: int, request_id: str) -> Sequence[bytes]:
        if row.id is not None:
            if not 1 <= len(row.id) <= 64:
                raise Refused("id", "id has 1 to 64 characters")
            text = f"id:{row.id}"
        elif request_id:
            text = f"request:{request_id}:{number}"
        else:
            return (b"",) * n
        return [item_id(principal, text if i == 0 else f"{text}:{i}") for i in range(n)]

    def row_of(self, i: int) -> int:
        """The row that the i-th point came from."""
        for start, more in reversed(self._spread):
            if i > start:
                i -= min(more, i - start)
        return i


def _float(number: float | str | None, param: str) -> float | None:
    if number is None or type(number) is float:
        return number
    if isinstance(number, str):
        return parse.number(number.encode(errors="replace"), param)
    return parse.finite(float(number), param)


def as_uuid(text: str) -> UUID | None:
    """A UUID of a canonical text, else None."""
    try:
        return UUID(text)
    except ValueError:
        return None
