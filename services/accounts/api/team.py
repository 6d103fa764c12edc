"""Members, invitations, the account itself, its audit log, and the operator's mails."""

from uuid import UUID

from fastapi import APIRouter, Response

from libs.http.errors import Forbidden, NotFound
from services.accounts import queries
from services.accounts.api import bodies, shapes
from services.accounts.api.here import GONE, REFUSED, AccountKey, HereNow, Insider, Person, pending
from services.accounts.api.meaning import Meaningful
from services.accounts.api.paging import Cursor, Limit, after, place
from services.accounts.application import closing, team
from services.accounts.application.context import Context

router = APIRouter(prefix="/api/v1", route_class=Meaningful, tags=["account"], responses=REFUSED)


async def shown_account(context: Context, id_: UUID) -> shapes.AccountOut:
    async with context.database.tenant(id_) as cursor:
        row = await queries.account(cursor, id_)
    if row is None:
        raise NotFound
    return shapes.AccountOut.of(row)


@router.get("/account")
async def show_account(here: HereNow, caller: Insider) -> shapes.AccountOut:
    """The account that the session or key belongs to."""
    return await shown_account(here.context, caller.account)


@router.patch("/account")
async def change_account(here: HereNow, caller: AccountKey, body: bodies.Settings) -> shapes.AccountOut:
    """Change name, time zone, or what joins the parts of a name that a tilde splits."""
    await closing.change_settings(
        here.context, caller, name=body.name, timezone=body.timezone, joiner=body.tilde_joiner
    )
    return await shown_account(here.context, caller.account)


@router.delete("/account", status_code=204, responses=GONE)
async def close_account(here: HereNow, caller: Person, body: bodies.Farewell) -> Response:
    """Delete the account and everything in it, for good. Owners only, with their password."""
    await here.limit("login", str(caller.user))
    _owner(caller.role)
    return pending(await closing.close_account(here.context, caller, body.password.get_secret_value()))


@router.get("/account/members")
async def list_members(here: HereNow, caller: Insider) -> shapes.Members:
    """Who is in the account, in the order they came."""
    async with here.context.database.tenant(caller.account) as cursor:
        rows = await queries.members(cursor, caller.account)
    return shapes.Members(
        members=[
            shapes.MemberOut(id=row.user_id, email=row.email, role=row.role, joined_at=row.joined_at) for row in rows
        ]
    )


@router.patch("/account/members/{user_id}", status_code=204, responses=GONE)
async def change_role(here: HereNow, caller: AccountKey, user_id: UUID, body: bodies.NewRole) -> Response:
    """Give a member another role. An account keeps at least one owner."""
    return pending(await team.change_role(here.context, caller, user_id, body.role))


@router.delete("/account/members/{user_id}", status_code=204, responses=GONE)
async def remove_member(here: HereNow, caller: Insider, user_id: UUID) -> Response:
    """Remove a member, or leave. Their sessions and tokens here die at once."""
    if "account" not in caller.scopes and user_id != caller.user:
        raise Forbidden
    return pending(await team.remove(here.context, caller, user_id))


@router.get("/account/invitations")
async def list_invitations(here: HereNow, caller: AccountKey) -> shapes.Invitations:
    """Who was asked to join and has not answered."""
    async with here.context.database.tenant(caller.account) as cursor:
        rows = await queries.invitations(cursor, caller.account)
    return shapes.Invitations(invitations=[_shown_invitation(row) for row in rows])


@router.post("/account/invitations", status_code=201)
async def invite(here: HereNow, caller: AccountKey, body: bodies.NewInvitation) -> shapes.InvitationOut:
    """Ask somebody to join, by mail. A new invitation of an address replaces the one before."""
    await here.limit("invite")
    id_ = await team.invite(here.context, caller, body.email, body.role)
    async with here.context.database.tenant(caller.account) as cursor:
        for row in await queries.invitations(cursor, caller.account):
            if row.id == id_:
                return _shown_invitation(row)
    raise NotFound


@router.delete("/account/invitations/{invitation_id}", status_code=204)
async def withdraw_invitation(here: HereNow, caller: AccountKey, invitation_id: UUID) -> Response:
    """Take an invitation back; its link is worth nothing from now on."""
    await team.withdraw(here.context, caller, invitation_id)
    return Response(status_code=204)


@router.get("/audit")
async def audit(here: HereNow, caller: AccountKey, limit: Limit = 100, cursor: Cursor = None) -> shapes.Audit:
    """Everything that changed in the account, the newest first."""
    async with here.context.database.tenant(caller.account) as transaction:
        rows = await queries.audit(transaction, place(cursor), limit)
    events = [
        shapes.AuditOut(
            id=str(row.id),
            at=row.at,
            source=row.source,
            actor=row.actor,
            action=row.action,
            target=row.target,
            detail=row.detail,
        )
        for row in rows
    ]
    last = rows[-1] if rows else None
    return shapes.Audit(
        events=events, next_cursor=after(rows, limit, last.at if last else None, last.id if last else None)
    )


@router.get("/operator/mails")
async def operator_mails(here: HereNow, caller: Person, limit: Limit = 100, cursor: Cursor = None) -> shapes.Mails:
    """Mails of this installation, for owners of the operator's account: without SMTP this is where they end."""
    _owner(caller.role)
    async with here.context.database.house() as transaction:
        first = await queries.first_account(transaction)
        if first is None or first.account != caller.account:
            raise Forbidden("Only the operator reads mails.")
        rows = await queries.mails(transaction, place(cursor), limit)
    last = rows[-1] if rows else None
    return shapes.Mails(
        mails=[
            shapes.MailOut(
                id=row.id,
                to=row.recipient,
                subject=row.subject,
                body=row.body,
                created_at=row.created_at,
                sent_at=row.sent_at,
                failed_at=row.failed_at,
                error=row.last_error,
            )
            for row in rows
        ],
        next_cursor=after(rows, limit, last.created_at if last else None, last.id if last else None),
    )


def _owner(role: str | None) -> None:
    if role != "owner":
        raise Forbidden("Only an owner may do that.")


def _shown_invitation(row: queries.InvitationRow) -> shapes.InvitationOut:
    return shapes.InvitationOut(
        id=row.id, email=row.email, role=row.role, invited_at=row.invited_at, expires_at=row.expires_at
    )
