"""The mvp names that were ever used: their namespaces, claim tokens and owners."""

import hashlib
import hmac
import re
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from libs.eventstore.database import Database
from libs.http.errors import BadRequest, Conflict, Forbidden, NotFound

_NAMESPACE = UUID("5f6d2f0e-3f0c-5c7e-9f44-6a1b7a1c2d90")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch


class Mvp(msgspec.Struct, frozen=True):
    """An mvp that an account has claimed."""

    mvp: str
    namespace: UUID
    stats: int
    claimed_at: datetime


class Used(msgspec.Struct, frozen=True):
    """An mvp that somebody sends to."""

    name: str
    namespace: UUID
    claim: bytes | None

    def check(self, claim: str) -> None:
        """Raises 403 when a claim token comes along that is not the one of the first use."""
        if claim and (self.claim is None or not hmac.compare_digest(self.claim, _digest(claim))):
            raise Forbidden("this mvp was first used without this claim token", code="wrong_claim")


def checked(name: str) -> str:
    """Raises 400 for what is no mvp name."""
    if not _NAME(name):
        raise BadRequest("an mvp name is 1 to 64 of A-Z a-z 0-9 . _ -", param="mvp")
    return name


def namespace_of(name: str) -> UUID:
    """The account that stats of an mvp belong to: nobody's, and the same everywhere."""
    return uuid5(_NAMESPACE, name)


def _digest(claim: str) -> bytes:
    return hashlib.sha256(claim.encode()).digest()


class Names:
    """The table of mvp names. All methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def use(self, name: str, claim: str, now: float) -> Used:
        """A name as it is, or as it is from now on: its claim token is set by its first use, or never."""
        async with self._database.house() as cursor:
            await cursor.execute(
                "insert into ingest.mvps (name, namespace, claim, created_at) values (%s, %s, %s, to_timestamp(%s))"
                " on conflict do nothing",
                (name, namespace_of(name), _digest(claim) if claim else None, now),
            )
            await cursor.execute("select name, namespace, claim from ingest.mvps where name = %s", (name,))
            row = await cursor.fetchone()
        assert row is not None
        return Used(row[0], row[1], None if row[2] is None else bytes(row[2]))

    async def claim(self, account: UUID, name: str, claim: str) -> Mvp:
        """Make an account the one that may look. Raises 404 for a wrong token as for an unknown name, 409 when another
        account was first."""
        async with self._database.house() as cursor:
            await cursor.execute("select claim, account from ingest.mvps where name = %s for update", (name,))
            row = await cursor.fetchone()
            stored = b"" if row is None or row[0] is None else bytes(row[0])
            if not hmac.compare_digest(stored, _digest(claim)):
                raise NotFound("no mvp of this name has this claim token")
            assert row is not None
            if row[1] not in (None, account):
                raise Conflict("another account has claimed this mvp", code="already_claimed")
            await cursor.execute(
                "update ingest.mvps set account = %s, claimed_at = coalesce(claimed_at, now()) where name = %s"
                " returning namespace, claimed_at, (select count(*) from ingest.stats s where s.account = namespace)",
                (account, name),
            )
            updated = await cursor.fetchone()
        assert updated is not None
        namespace, claimed_at, stats = updated
        return Mvp(name, namespace, stats, claimed_at)

    async def claimed(self, account: UUID, after: str, limit: int) -> list[Mvp]:
        """What an account has claimed, by name."""
        async with self._database.tenant(account) as cursor:
            await cursor.execute(
                "select name, namespace, claimed_at from ingest.mvps where account = %s and name > %s"
                " order by name limit %s",
                (account, after, limit),
            )
            found = await cursor.fetchall()
        async with self._database.house() as cursor:
            await cursor.execute(
                "select account, count(*) from ingest.stats where account = any(%s) group by account",
                ([namespace for _, namespace, _ in found],),
            )
            counts = dict(await cursor.fetchall())
        return [Mvp(name, namespace, counts.get(namespace, 0), at) for name, namespace, at in found]

    async def namespace(self, account: UUID, name: str) -> UUID:
        """The namespace of an mvp that this account has claimed. Raises 404."""
        async with self._database.tenant(account) as cursor:
            await cursor.execute("select namespace from ingest.mvps where account = %s and name = %s", (account, name))
            row = await cursor.fetchone()
        if row is None:
            raise NotFound("no such mvp")
        found: UUID = row[0]
        return found
