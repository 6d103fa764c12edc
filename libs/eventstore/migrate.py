"""Bring a database to the shape that this version needs: roles, schemas, event tables, row-level security."""

import hashlib
import logging
from collections.abc import Sequence
from importlib.resources import files

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from libs.eventstore.database import SetupError, unavailable
from libs.eventstore.recorder import migration_recorder

log = logging.getLogger("ezstat.eventstore.migrate")

ROLES = ("ezstat_app", "ezstat_worker")
_LOCK = 0x455A53746174  # "EzStat"


def migrate(dsn: str, services: Sequence[tuple[str, str]]) -> None:
    """Make roles, and for every (service name, its schema.sql) its schema, event, follower and own tables.

    Safe to run again and by several processes at once: one at a time does it (advisory lock), and a service whose SQL
    did not change is left alone. Raises `SetupError` when the database user lacks a right, `DatabaseUnavailable`.
    """
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=3) as connection:
            connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
            _ensure_roles(connection)
            connection.execute(_packaged("libs.eventstore", "house.sql"))
            for name, schema_sql in services:
                _migrate_service(connection, dsn, name, schema_sql)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SetupError(f"the database user lacks a right to set EzStat up: {error.diag.message_primary}") from error
    except psycopg.OperationalError as error:
        raise unavailable(error) from error


def _packaged(package: str, name: str) -> bytes:
    return files(package).joinpath(name).read_bytes()


def _ensure_roles(connection: psycopg.Connection[TupleRow]) -> None:
    """Roles belong to the whole server: another database of it may have made them, also at this very moment."""
    for role in ROLES:
        name = sql.Identifier(role)
        try:
            if connection.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is None:
                connection.execute(sql.SQL("create role {} nologin").format(name))
                log.info("made role %s", role)
        except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            pass
        except psycopg.errors.InsufficientPrivilege:
            raise _role_error(connection, f"create role {role} nologin") from None
        if connection.execute("select pg_has_role(current_user, %s, 'set')", (role,)).fetchone() != (True,):
            try:
                connection.execute(sql.SQL("grant {} to current_user").format(name))
            except psycopg.errors.InsufficientPrivilege:
                raise _role_error(connection, f"grant {role} to <that user>") from None


def _role_error(connection: psycopg.Connection[TupleRow], refused: str) -> SetupError:
    user = connection.info.user
    return SetupError(
        f'the database user "{user}" was refused "{refused}". EzStat works under two roles without login. Either let '
        f'the user make them (alter role "{user}" createrole), or have an administrator run once: create role '
        f'ezstat_app nologin; create role ezstat_worker nologin; grant ezstat_app, ezstat_worker to "{user}";'
    )


def _migrate_service(connection: psycopg.Connection[TupleRow], dsn: str, name: str, schema_sql: str) -> None:
    house, follower = _packaged("libs.eventstore", "house.sql"), _packaged("libs.bus", "follower.sql")
    digest = hashlib.sha256(b"\0".join((house, follower, schema_sql.encode()))).hexdigest()
    done = connection.execute("select digest from house.migrations where service = %s", (name,)).fetchone()
    if done == (digest,):
        return
    schema = sql.Identifier(name)
    connection.execute(sql.SQL("create schema if not exists {}").format(schema))
    _create_event_tables(dsn, name)
    with connection.transaction():
        # The relay hands on what request an event came from; the commit sets it (see recorder.py).
        connection.execute(
            sql.SQL(
                "alter table {}.{} add column if not exists trace text "
                "default nullif(current_setting('ezstat.trace', true), '')"
            ).format(schema, sql.Identifier(f"{name}_events"))
        )
        connection.execute(sql.SQL("set local search_path to {}").format(schema))
        connection.execute(follower)
        connection.execute("set local search_path to default")
        connection.execute(schema_sql.encode())
        connection.execute("select house.protect_schema(%s)", (name,))
        connection.execute(
            "insert into house.migrations(service, digest) values (%s, %s) "
            "on conflict (service) do update set digest = excluded.digest, at = now()",
            (name, digest),
        )
    log.info("migrated schema %s", name)


def _create_event_tables(dsn: str, name: str) -> None:
    """The eventsourcing library makes its own tables, over a connection of its own."""
    recorder = migration_recorder(dsn, name)
    try:
        recorder.create_table()
    finally:
        recorder.datastore.close()
