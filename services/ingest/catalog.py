"""The stats this process knows: name -> id and kind, filled on demand, forgotten when told.

A name nobody has used yet is registered before its first frame leaves. While Postgres is away it is taken as it comes,
without an id, and the writer registers it.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from libs.contracts.accounts import Mode
from libs.contracts.ingest import Kind, Source, encode_source, partition_of
from libs.eventstore.database import DatabaseUnavailable
from libs.http.errors import ApiError, Conflict
from libs.http.principal import Principal
from libs.runtime.clock import Clock
from services.ingest.application import Application, Named, Wanted
from services.ingest.groups import GroupCommit

log = logging.getLogger("ezstat.ingest.catalog")

MEMO_LIMIT = 100_000
PROVISIONAL_FOR = 5.0
AT_ONCE = 500


class Series:
    """One stat as this process knows it. `id` is None while it is not registered; `gone`: look it up again."""

    __slots__ = ("account", "gone", "id", "kind", "mode", "name", "until")

    def __init__(self, wanted: Wanted, stat: UUID | None, kind: Kind, until: float) -> None:
        self.account = wanted.account
        self.mode: Mode = wanted.mode
        self.name = wanted.name
        self.id = stat
        self.kind = kind
        self.until = until
        self.gone = False


class Entry:
    """A series as one key sends to it: what a group needs, made once (`groups.Origin`)."""

    __slots__ = ("commit", "gauge", "raw", "series", "size")

    def __init__(self, series: Series, key: UUID, commit: GroupCommit) -> None:
        self.series = series
        self.commit = commit
        self.gauge = series.kind == "gauge"
        self.raw: msgspec.Raw = encode_source(
            Source(series.account, series.mode, series.id, series.name, series.kind, key)
        )
        self.size = len(memoryview(self.raw))


class Catalog:
    """Finds and registers stats; `known` is the hot way, `find` asks Postgres."""

    def __init__(self, application: Application, commits: Sequence[GroupCommit], clock: Clock) -> None:
        self._application = application
        self._commits = commits
        self._clock = clock
        self._series: dict[tuple[UUID, Mode, str], Series] = {}
        self._by_id: dict[UUID, Series] = {}
        self._wanted: dict[Wanted, asyncio.Future[Series]] = {}
        self._registering: asyncio.Task[None] | None = None

    def entries(self, principal: Principal, names: Sequence[str]) -> list[Entry | None]:
        """What is known of some names, for one key."""
        return [self.known(principal, name) for name in names]

    def known(self, principal: Principal, name: str) -> Entry | None:
        """The entry of a name for a key, if this process knows it."""
        entry: Entry | None = principal.memo.get(_spelled(name))
        if entry is not None and not entry.series.gone and entry.series.until > self._clock.monotonic():
            return entry
        facts = principal.facts
        series = self._series.get((facts.account, facts.mode, name))
        if series is None or series.until <= self._clock.monotonic():
            return None
        return self._remember(principal, name, series)

    def _remember(self, principal: Principal, name: str, series: Series) -> Entry:
        facts = principal.facts
        commit = self._commits[partition_of(facts.account, len(self._commits))]
        entry = Entry(series, facts.key_id, commit)
        remember(principal, _spelled(name), entry)
        return entry

    async def find(self, principal: Principal, name: str, kind: Kind | None) -> Entry:
        """The entry of a name, registered if it is new (as a counter where `kind` leaves it open)."""
        entry = self.known(principal, name)
        if entry is not None:
            return entry
        facts = principal.facts
        wanted = Wanted(facts.account, facts.mode, name, kind or "counter", f"key:{facts.key_id}")
        future = self._wanted.get(wanted)
        if future is None:
            future = self._wanted[wanted] = asyncio.get_running_loop().create_future()
            if self._registering is None:
                self._registering = asyncio.create_task(self._register_all())
        return self._remember(principal, name, await asyncio.shield(future))

    async def find_id(self, principal: Principal, stat: UUID) -> Entry | None:
        """The entry of a stat by its id, if it is this principal's."""
        facts = principal.facts
        try:
            named = await self._application.stat_named(facts.account, facts.mode, stat)
        except DatabaseUnavailable:
            return None
        if named is None:
            return None
        return self._remember(
            principal, named.name, self._learn(Wanted(facts.account, facts.mode, named.name, named.kind, ""), named)
        )

    async def _register_all(self) -> None:
        try:
            while self._wanted:
                batch = list(self._wanted)[:AT_ONCE]
                try:
                    found = await self._application.register(batch)
                    series = {wanted: self._learn(wanted, found[wanted]) for wanted in batch}
                except DatabaseUnavailable:
                    series = {wanted: self._provisional(wanted) for wanted in batch}
                except ApiError as error:
                    self._fail(batch, error)
                    continue
                for wanted in batch:
                    self._wanted.pop(wanted).set_result(series[wanted])
        except BaseException as error:
            log.exception("registering stats failed")
            self._fail(list(self._wanted), error)
            raise
        finally:
            self._registering = None

    def _fail(self, batch: Iterable[Wanted], error: BaseException) -> None:
        for wanted in batch:
            future = self._wanted.pop(wanted)
            future.set_exception(error if isinstance(error, ApiError) else RuntimeError("registering stats failed"))
            future.exception()  # the waiters raise it; nobody waiting is no news

    def _learn(self, wanted: Wanted, named: Named) -> Series:
        key = (wanted.account, wanted.mode, wanted.name)
        series = self._series.get(key)
        if series is None or series.id != named.id:
            if len(self._series) > MEMO_LIMIT:
                self._forget_all()
            series = self._series[key] = Series(wanted, named.id, named.kind, float("inf"))
            self._by_id[named.id] = series
        return series

    def _provisional(self, wanted: Wanted) -> Series:
        key = (wanted.account, wanted.mode, wanted.name)
        series = self._series.get(key)
        until = self._clock.monotonic() + PROVISIONAL_FOR
        if series is None:
            series = self._series[key] = Series(wanted, None, wanted.kind, until)
        series.until = until
        return series

    def forget(self, stats: Iterable[UUID]) -> None:
        """These stats were deleted or renamed: nothing known of them is true any more."""
        for stat in stats:
            series = self._by_id.pop(stat, None)
            if series is not None:
                series.gone = True
                self._series.pop((series.account, series.mode, series.name), None)

    def _forget_all(self) -> None:
        for series in self._series.values():
            series.gone = True
        self._series.clear()
        self._by_id.clear()


def remember(principal: Principal, key: Any, value: Any) -> None:
    """Keep something for as long as a key lives; a sender with ever new names or spellings must not fill the memory."""
    if len(principal.memo) > MEMO_LIMIT:
        principal.memo.clear()
    principal.memo[key] = value


def _spelled(name: str) -> str | tuple[str]:
    """What a name is remembered by. A name with a tilde in it is not what a sender's `stat` of the same text means."""
    return name if "~" not in name else (name,)


def check_kind(entry: Entry, kind: Kind | None) -> None:
    """Raises 409 `type_mismatch` for a value sent to a counter, or the other way round."""
    if kind is not None and entry.series.kind is not kind and entry.series.kind != kind:
        raise TypeMismatch(entry.series.kind)


class TypeMismatch(Conflict):
    """A value for a counter, or a count for a gauge."""

    def __init__(self, kind: Kind) -> None:
        wanted = "count" if kind == "counter" else "value"
        super().__init__(f"this stat is a {kind}: send {wanted}", code="type_mismatch")
