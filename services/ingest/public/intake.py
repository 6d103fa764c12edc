"""The way in without a key: address limit -> name -> its namespace's stat -> group commit."""

import asyncio
from collections import OrderedDict

from libs.contracts.accounts import KeyFacts
from libs.contracts.ingest import Kind
from libs.eventstore.database import Database
from libs.http.errors import ApiError, Forbidden
from libs.http.limits import Limit, Limiter
from libs.http.principal import Principal
from libs.http.write_bucket import Unmetered
from libs.runtime.clock import Clock
from services.ingest.catalog import Catalog, Entry, check_kind
from services.ingest.public.names import Names, Used

MOST_STATS = 100
_REMEMBERED = 10_000

_COUNT = "select count(*), coalesce(bool_or(name = %s), false) from ingest.stats where account = %s"


class PublicIntake:
    """Takes points of anybody."""

    def __init__(self, catalog: Catalog, database: Database, limiter: Limiter, clock: Clock, rate: int) -> None:
        """`rate`: requests a second from one address."""
        self._catalog = catalog
        self._database = database
        self._limiter = limiter
        self._clock = clock
        self._limit = Limit(rate, 1)
        self._names = Names(database)
        self._used: OrderedDict[str, tuple[Used, Principal]] = OrderedDict()
        self._registering = asyncio.Lock()

    async def record(
        self, address: str, mvp: str, claim: str, stat: str, kind: Kind | None, value: float, time: int
    ) -> None:
        """Store one point; returns when it is on disk. `kind` None: zero of whatever the stat is.

        Raises 429, 403 for a wrong claim token or one stat too many, 409 `type_mismatch`, and `DatabaseUnavailable` for
        what this process does not know yet.
        """
        await self._limiter.check("public", address, self._limit)
        principal = await self._principal(mvp, claim)
        entry = self._catalog.known(principal, stat) or await self._register(principal, mvp, stat, kind)
        check_kind(entry, kind)
        ended: asyncio.Future[ApiError | None] = asyncio.get_running_loop().create_future()

        def done(error: ApiError | None) -> None:
            if not ended.done():
                ended.set_result(error)

        entry.commit.add(entry, time, value, b"", done)
        error = await asyncio.shield(ended)
        if error is not None:
            raise error

    async def _principal(self, mvp: str, claim: str) -> Principal:
        known = self._used.get(mvp)
        if known is None:
            used = await self._names.use(mvp, claim, self._clock.now())
            known = self._used[mvp] = (used, _nobody(used))
            if len(self._used) > _REMEMBERED:
                self._used.popitem(last=False)
        used, principal = known
        used.check(claim)
        return principal

    async def _register(self, principal: Principal, mvp: str, stat: str, kind: Kind | None) -> Entry:
        """One new stat of an mvp at a time, so that there are never more than `MOST_STATS`."""
        # One of a process at a time: strangers must not use up its connections waiting for each other.
        async with self._registering, self._database.house() as cursor:
            await cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"mvp {mvp}",))
            await cursor.execute(_COUNT, (stat, principal.facts.account))
            row = await cursor.fetchone()
            assert row is not None
            count, there = row
            if count >= MOST_STATS and not there:
                raise Forbidden(f"an mvp has at most {MOST_STATS} stats", code="too_many_stats")
            return await self._catalog.find(principal, stat, kind)


def _nobody(used: Used) -> Principal:
    """Who sends to an mvp: its namespace, under no key that anybody holds."""
    facts = KeyFacts(
        key_id=used.namespace, account=used.namespace, kind="account", scopes=frozenset({"stats:write"}), unlimited=True
    )
    return Principal(facts, b"", b"", Unmetered())
