"""Signing up, in and out; sessions; passwords; links that came by mail."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from libs.http.credentials import csrf_token
from libs.http.errors import Forbidden, NotFound
from libs.http.exchange import exchange_of
from services.accounts import queries
from services.accounts.api import bodies, shapes
from services.accounts.api.here import (
    GONE,
    REFUSED,
    Answers,
    Here,
    HereNow,
    OwnPage,
    Person,
    own_path,
    pending,
    signed_in,
    signed_out,
)
from services.accounts.api.meaning import Meaningful
from services.accounts.application import errands, opening, signing, team
from services.accounts.application.context import actor

router = APIRouter(prefix="/api/v1/auth", route_class=Meaningful, tags=["sign-in"], responses=REFUSED)

LATER: Answers = {202: {"model": shapes.Accepted, "description": "A mail is on its way."}}
_ACCEPTED = b'{"status":"accepted"}'


def _accepted() -> Response:
    return Response(_ACCEPTED, status_code=202, media_type="application/json")


@router.get("/setup")
async def show_setup(here: HereNow) -> shapes.SetUpOut:
    """Whether somebody has to set this installation up, and whether one can sign up."""
    return shapes.SetUpOut(open=await opening.is_unclaimed(here.context), signup=here.context.settings.signup)


@router.post("/setup", status_code=201, dependencies=[OwnPage])
async def set_up(here: HereNow, request: Request, response: Response, body: bodies.SetUp) -> shapes.SignedInOut:
    """Become the operator, with the link that the first start printed. Works once."""
    await here.limit("setup")
    who = opening.newcomer(body.email, body.organisation, body.timezone)
    password = body.password.get_secret_value()
    done = await opening.set_up(here.context, body.token, who, password, here.client)
    return await signed_in(here, request, response, done)


@router.post("/signup", status_code=201, responses=LATER, response_model=shapes.SignedInOut, dependencies=[OwnPage])
async def sign_up(here: HereNow, request: Request, response: Response, body: bodies.SignUp) -> Any:
    """A new person with an account of their own, signed in.

    Where mails are sent, the answer is 202 and the same for every address; a link in the mail finishes it.
    """
    await here.limit("signup", body.email)
    if not here.context.settings.signup:
        raise Forbidden("Sign-up is closed here.", code="signup_closed")
    who = opening.newcomer(body.email, body.organisation, body.timezone)
    password = body.password.get_secret_value()
    if here.context.settings.smtp_url:
        await errands.ask_to_sign_up(here.context, who, password)
        return _accepted()
    done = await opening.sign_up(here.context, who, password, here.client)
    return await signed_in(here, request, response, done)


@router.post("/confirm", responses={204: {"description": "The address is verified."}}, dependencies=[OwnPage])
async def confirm(here: HereNow, request: Request, response: Response, body: bodies.Confirm) -> Any:
    """The link of a confirmation mail: opens the account and signs in, or verifies an address."""
    await here.limit("link")
    done = await errands.confirm(here.context, body.token, here.client)
    return Response(status_code=204) if done is None else await signed_in(here, request, response, done)


@router.post("/login", dependencies=[OwnPage])
async def login(here: HereNow, request: Request, response: Response, body: bodies.Login) -> shapes.SignedInOut:
    """Sign in. The answer to a wrong password and to an unknown address is the same."""
    await here.limit("login", body.email)
    password = body.password.get_secret_value()
    done = await signing.sign_in(here.context, body.email, password, here.client, body.account)
    return await signed_in(here, request, response, done, next_path=own_path(body.next))


@router.post("/logout", status_code=204, responses=GONE)
async def logout(here: HereNow, caller: Person) -> Response:
    """End this session, everywhere at once."""
    answer = pending(await signing.end_session(here.context, caller.key_id, actor(caller)))
    signed_out(answer)
    return answer


@router.post("/switch")
async def switch(
    here: HereNow, caller: Person, request: Request, response: Response, body: bodies.Switch
) -> shapes.SignedInOut:
    """Go on in another of your accounts, with a new session."""
    done = await signing.switch(here.context, caller, body.account, here.client)
    return await signed_in(here, request, response, done)


@router.post("/password", status_code=204, responses=GONE)
async def change_password(here: HereNow, caller: Person, body: bodies.ChangePassword) -> Response:
    """A new password; all your other sessions end."""
    await here.limit("login", str(caller.user))
    old, new = body.old_password.get_secret_value(), body.new_password.get_secret_value()
    return pending(await signing.change_password(here.context, caller, old, new))


@router.post("/password/forgot", status_code=202, dependencies=[OwnPage])
async def forgot_password(here: HereNow, body: bodies.Forgot) -> shapes.Accepted:
    """A mail with a link, if there is such a person; the answer is the same if not."""
    await here.limit("forgot", body.email)
    await errands.ask_for_reset(here.context, body.email)
    return shapes.Accepted()


@router.post("/password/reset", status_code=204, responses=GONE, dependencies=[OwnPage])
async def reset_password(here: HereNow, body: bodies.Reset) -> Response:
    """A new password by a mailed link; all sessions of the person end."""
    await here.limit("link")
    return pending(await errands.reset_password(here.context, body.token, body.password.get_secret_value()))


@router.post("/verify", status_code=202)
async def verify(here: HereNow, caller: Person) -> shapes.Accepted:
    """A mail with a link that shows that your address is yours."""
    await here.limit("forgot", str(caller.user))
    if caller.user is not None:
        await errands.ask_to_verify(here.context, caller.user)
    return shapes.Accepted()


@router.post("/invitations/look", dependencies=[OwnPage])
async def look_at_invitation(here: HereNow, body: bodies.Confirm) -> shapes.InvitedTo:
    """What an invitation's link leads to."""
    await here.limit("link")
    invitation = await team.find_invitation(here.context, body.token)
    async with here.context.database.house() as cursor:
        account = await queries.account(cursor, invitation.account)
        user = await queries.user_by_email(cursor, invitation.email)
    if account is None:
        raise NotFound
    return shapes.InvitedTo(account=account.name, email=invitation.email, role=invitation.role, known=user is not None)


@router.post("/invitations/accept", dependencies=[OwnPage])
async def accept_invitation(
    here: HereNow, request: Request, response: Response, body: bodies.Accept
) -> shapes.SignedInOut:
    """Join by an invitation's link: with a new password, or with the one you have."""
    await here.limit("link")
    done = await team.accept(here.context, body.token, body.password.get_secret_value(), here.client)
    return await signed_in(here, request, response, done)


@router.get("/sessions")
async def list_sessions(here: HereNow, caller: Person) -> shapes.Sessions:
    """Where you are signed in, the newest first."""
    rows = await _own_sessions(here, caller.user)
    return shapes.Sessions(
        sessions=[
            shapes.SessionOut(
                id=row.id,
                client=row.client,
                current=row.id == caller.key_id,
                created_at=row.created_at,
                last_used_at=row.last_used_at,
                expires_at=row.expires_at,
            )
            for row in rows
        ]
    )


@router.delete("/sessions/{session_id}", status_code=204, responses=GONE)
async def end_session(here: HereNow, caller: Person, session_id: UUID) -> Response:
    """End one of your sessions, everywhere at once."""
    if session_id not in [row.id for row in await _own_sessions(here, caller.user)]:
        raise NotFound
    return pending(await signing.end_session(here.context, session_id, actor(caller)))


async def _own_sessions(here: Here, user: UUID | None) -> list[queries.SessionRow]:
    if user is None:
        raise NotFound
    async with here.context.database.house() as cursor:
        return await queries.sessions(cursor, user)


@router.get("/me")
async def me(here: HereNow, request: Request, caller: Person) -> shapes.MeOut:
    """Who you are, where, and where else you could be."""
    user_id = caller.user
    if user_id is None:
        raise NotFound
    async with here.context.database.house() as cursor:
        user, account = await queries.user(cursor, user_id), await queries.account(cursor, caller.account)
        memberships = await queries.memberships(cursor, user_id)
    if user is None or account is None or caller.role is None:
        raise NotFound
    principal = exchange_of(request).principal
    assert principal is not None, "a person has a principal"
    return shapes.MeOut(
        user=shapes.UserOut.of(user),
        account=shapes.AccountOut.of(account),
        role=caller.role,
        accounts=[shapes.MembershipOut(id=each.account, name=each.name, role=each.role) for each in memberships],
        csrf_token=csrf_token(here.context.settings, principal),
    )
