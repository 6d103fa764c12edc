"""Postgres for a service's own tables: short transactions that see one account, under roles that can't see more."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, TypeVar
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

Role = Literal["ezstat_app", "ezstat_worker"]
T = TypeVar("T")

EVERYONE = "*"
_BEGUN_WITHIN = 4.0

_SESSION: dict[Role, dict[str, str]] = {
    # Requests must not pile up behind a slow query or a lock: better a 503 that can be tried again.
    "ezstat_app": {
        "statement_timeout": "5s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "15s",
    },
    "ezstat_worker": {
        "statement_timeout": "120s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "60s",
    },
}
_LINE = {
    "connect_timeout": "3",
    "keepalives_idle": "30",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    # A frozen server keeps its sockets open: without this a write would wait for minutes.
    "tcp_user_timeout": "20000",
}


class DatabaseUnavailable(Exception):
    """Postgres can't be reached, is too slow, or went away: try again later. A commit in flight may have happened."""


class SetupError(Exception):
    """The database is not as EzStat needs it, and a person has to change it; the message says how."""


def session_conninfo(dsn: str, role: Role, account: str = "") -> str:
    """Connection string of a session under `role` that sees `account` (`EVERYONE`: all) until it says otherwise."""
    given = conninfo_to_dict(dsn)
    wanted = {"role": role, "ezstat.account": account, **_SESSION[role]}
    options = " ".join([str(given.get("options") or ""), *(f"-c {name}={value}" for name, value in wanted.items())])
    line = {name: value for name, value in _LINE.items() if name not in given}
    return make_conninfo(dsn, options=options.strip(), application_name=role, **line)


async def _soon(begun: Coroutine[Any, Any, T]) -> T:
    """What `begun` gives. A server that is stopped, not dead, takes connections and never answers: then it raises
    `DatabaseUnavailable` after `_BEGUN_WITHIN` seconds."""
    task = asyncio.ensure_future(begun)
    try:
        ended, _ = await asyncio.wait((task,), timeout=_BEGUN_WITHIN)
    except asyncio.CancelledError:
        await _end(task)
        raise
    if not ended:
        await _end(task)
        raise DatabaseUnavailable("Postgres does not answer")
    return await task


async def _end(task: asyncio.Future[T]) -> None:
    """Cancelled once, psycopg has the server cancel what it does, and waits ten seconds; twice, it hangs up."""
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait((task,), timeout=1)


def unavailable(error: psycopg.Error) -> DatabaseUnavailable:
    """The `DatabaseUnavailable` for an error that time may heal."""
    return DatabaseUnavailable(str(error).strip() or type(error).__name__)


class Database:
    """A pool of connections under one role. Nothing here fails at start because Postgres is down."""

    def __init__(self, dsn: str, role: Role, *, size: int = 8) -> None:
        self.dsn = dsn
        self.role: Role = role
        self._pool: AsyncConnectionPool[AsyncConnection[TupleRow]] = AsyncConnectionPool(
            session_conninfo(dsn, role),
            kwargs={"autocommit": True},
            min_size=1,
            max_size=size,
            open=False,
            timeout=2,
            max_lifetime=1800,
            # With the default of five minutes the pool backs off for up to a minute after an outage.
            reconnect_timeout=2,
            check=self._check,
            name=f"{role}-pool",
        )

    async def _check(self, connection: AsyncConnection[TupleRow]) -> None:
        """Where one connection is broken, all may be: sort them out at once, or one borrower meets them all."""
        try:
            await AsyncConnectionPool.check_connection(connection)
        except psycopg.Error:
            await self._pool.check()
            raise

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def tenant(self, account: UUID, *, snapshot: bool = False) -> AsyncIterator[AsyncCursor[TupleRow]]:
        """One transaction that sees the rows of one account only; with `snapshot`, all its reads see one moment.

        Raises `DatabaseUnavailable`.
        """
        async with self._transaction(str(account), snapshot) as cursor:
            yield cursor

    @asynccontextmanager
    async def house(self) -> AsyncIterator[AsyncCursor[TupleRow]]:
        """One transaction that sees every account: for sign-in and the like. Raises `DatabaseUnavailable`."""
        async with self._transaction(EVERYONE) as cursor:
            yield cursor

    @asynccontextmanager
    async def _transaction(self, account: str, snapshot: bool = False) -> AsyncIterator[AsyncCursor[TupleRow]]:
        # BEGIN and the account in one round trip; the pool's context commits, or rolls back on an error.
        level = sql.SQL(" isolation level repeatable read" if snapshot else "")
        begin = sql.SQL("begin{}; select set_config('ezstat.account', {}, true)").format(level, sql.Literal(account))
        try:
            async with AsyncExitStack() as stack:
                connection = await _soon(self._begun(stack, begin))
                yield connection.cursor()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise unavailable(error) from error

    async def _begun(self, stack: AsyncExitStack, begin: sql.Composed) -> AsyncConnection[TupleRow]:
        connection = await stack.enter_async_context(self._pool.connection())
        await connection.execute(begin)
        return connection

    def connect(self) -> psycopg.Connection[TupleRow]:
        """A connection of one's own that sees every account, for a follower's thread. Raises `DatabaseUnavailable`."""
        return connect(self.dsn, self.role)


def connect(dsn: str, role: Role = "ezstat_worker") -> psycopg.Connection[TupleRow]:
    """A synchronous connection under `role` that sees every account. Raises `DatabaseUnavailable`."""
    try:
        return psycopg.connect(session_conninfo(dsn, role, EVERYONE))
    except psycopg.OperationalError as error:
        raise unavailable(error) from error
