"""Own events -> own tables, in the transaction of the events."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.types.json import Jsonb

from libs.eventstore.events import DomainEvent
from services.accounts.domain import Account, ApiKey, Session, User

# What `rebuild` may empty before it replays the events; everything else in the schema is state that is not history.
PROJECTED = ("accounts", "users", "members", "invitations", "keys", "sessions")


def project(cursor: Cursor[Any], event: DomainEvent) -> None:
    """Apply one event to the tables. Violations of `users_email`, `keys_digest`, `accounts_first` refuse the commit."""
    match event:
        case User.Registered() | User.Verified() | User.PasswordChanged():
            _project_user(cursor, event)
        case ApiKey.Issued() | ApiKey.Revoked():
            _project_key(cursor, event)
        case Session.Started() | Session.Ended():
            _project_session(cursor, event)
        case _:
            _project_account(cursor, event)
    _log(cursor, event)


def forget_projected(cursor: Cursor[Any]) -> None:
    """Empty what a rebuild fills again."""
    for table in PROJECTED:
        cursor.execute(sql.SQL("delete from {}").format(sql.Identifier("accounts", table)))
    cursor.execute("delete from accounts.audit where source = 'accounts'")


def _project_user(cursor: Cursor[Any], event: DomainEvent) -> None:
    match event:
        case User.Registered():
            cursor.execute(
                "insert into accounts.users (id, email, verified, password_hash, created_at)"
                " values (%s, %s, %s, %s, %s)",
                (event.originator_id, event.email, event.verified, event.password_hash, event.timestamp),
            )
        case User.Verified():
            cursor.execute("update accounts.users set verified = true where id = %s", (event.originator_id,))
        case User.PasswordChanged():
            cursor.execute(
                "update accounts.users set password_hash = %s where id = %s", (event.password_hash, event.originator_id)
            )


def _project_account(cursor: Cursor[Any], event: DomainEvent) -> None:
    account = event.originator_id
    match event:
        case Account.Opened():
            cursor.execute(
                "insert into accounts.accounts (account, name, timezone, first, unlimited, created_at)"
                " values (%s, %s, %s, %s, %s, %s)",
                (account, event.name, event.timezone, event.first, event.unlimited, event.timestamp),
            )
        case Account.SettingsChanged():
            cursor.execute(
                "update accounts.accounts set name = %s, timezone = %s, joiner = %s where account = %s",
                (event.name, event.timezone, event.joiner, account),
            )
        case Account.MemberInvited():
            cursor.execute("delete from accounts.invitations where account = %s and email = %s", (account, event.email))
            cursor.execute(
                "insert into accounts.invitations (id, account, email, role, digest, invited_at, expires_at)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                (
                    event.invitation,
                    account,
                    event.email,
                    event.role,
                    bytes.fromhex(event.digest),
                    event.timestamp,
                    _moment(event.expires_at),
                ),
            )
        case Account.InvitationWithdrawn():
            cursor.execute("delete from accounts.invitations where id = %s", (event.invitation,))
        case Account.MemberJoined():
            cursor.execute("delete from accounts.invitations where account = %s and email = %s", (account, event.email))
            cursor.execute(
                "insert into accounts.members (account, user_id, email, role, joined_at) values (%s, %s, %s, %s, %s)",
                (account, event.user, event.email, event.role, event.timestamp),
            )
        case Account.RoleChanged():
            cursor.execute(
                "update accounts.members set role = %s where account = %s and user_id = %s",
                (event.role, account, event.user),
            )
        case Account.MemberRemoved():
            cursor.execute("delete from accounts.members where account = %s and user_id = %s", (account, event.user))
        case Account.Closed():
            for table in ("accounts", "members", "invitations", "keys", "sessions", "audit", "uses"):
                cursor.execute(
                    sql.SQL("delete from {} where account = %s").format(sql.Identifier("accounts", table)), (account,)
                )


def _project_key(cursor: Cursor[Any], event: DomainEvent) -> None:
    match event:
        case ApiKey.Issued():
            cursor.execute(
                "insert into accounts.keys (id, account, kind, name, digest, hint, mode, scopes, user_id, site,"
                " created_at, expires_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    event.originator_id,
                    event.account,
                    event.kind,
                    event.name,
                    bytes.fromhex(event.digest),
                    event.hint,
                    event.mode,
                    event.scopes,
                    event.user,
                    event.site,
                    event.timestamp,
                    _moment(event.expires_at),
                ),
            )
        case ApiKey.Revoked():
            cursor.execute(
                "update accounts.keys set revoked_at = %s where id = %s", (event.timestamp, event.originator_id)
            )


def _project_session(cursor: Cursor[Any], event: DomainEvent) -> None:
    match event:
        case Session.Started():
            cursor.execute(
                "insert into accounts.sessions (id, account, user_id, digest, client, created_at, expires_at)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                (
                    event.originator_id,
                    event.account,
                    event.user,
                    bytes.fromhex(event.digest),
                    event.client,
                    event.timestamp,
                    _moment(event.expires_at),
                ),
            )
        case Session.Ended():
            cursor.execute("delete from accounts.sessions where id = %s", (event.originator_id,))
            cursor.execute("delete from accounts.uses where key_id = %s", (event.originator_id,))


def _log(cursor: Cursor[Any], event: DomainEvent) -> None:
    """A row of the audit log, for events that belong to an account."""
    entry = _entry(event)
    if entry is None:
        return
    account, action, actor, target, detail = entry
    cursor.execute(
        "insert into accounts.audit (account, at, source, actor, action, target, detail)"
        " values (%s, %s, 'accounts', %s, %s, %s, %s)",
        (account, event.timestamp, actor, action, target, Jsonb(detail)),  # type: ignore[attr-defined]  # every event of ours has one
    )


def _entry(event: DomainEvent) -> tuple[UUID, str, str, UUID | None, dict[str, str]] | None:
    """(account, action, actor, target, detail) of an event; never a digest."""
    id_: UUID = event.originator_id
    match event:
        case Account.Opened():
            return id_, "account.opened", "system", id_, {"name": event.name}
        case Account.SettingsChanged():
            detail = {"name": event.name, "timezone": event.timezone, "joiner": event.joiner}
            return id_, "account.settings_changed", event.actor, id_, detail
        case Account.MemberInvited():
            return id_, "member.invited", event.actor, event.invitation, {"email": event.email, "role": event.role}
        case Account.InvitationWithdrawn():
            return id_, "member.invitation_withdrawn", event.actor, event.invitation, {}
        case Account.MemberJoined():
            detail = {"email": event.email, "role": event.role}
            return id_, "member.joined", f"user:{event.user}", event.user, detail
        case Account.RoleChanged():
            return id_, "member.role_changed", event.actor, event.user, {"role": event.role}
        case Account.MemberRemoved():
            return id_, "member.removed", event.actor, event.user, {}
        case ApiKey.Issued():
            detail = {"kind": event.kind, "name": event.name, "mode": event.mode, "key": event.hint}
            return event.account, "key.issued", event.actor, id_, detail
        case ApiKey.Revoked():
            return event.account, "key.revoked", event.actor, id_, {}
        case Session.Started():
            return event.account, "session.started", f"user:{event.user}", id_, {"client": event.client}
        case Session.Ended():
            return event.account, "session.ended", event.actor, id_, {}
    return None


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
