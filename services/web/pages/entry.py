"""Coming in: sign-in, sign-up, the set-up link, links that came by mail; and going."""

from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse, Response

from libs.http.public import Reply
from services.web.client import Refused, session_of, signed_in
from services.web.pages.front import FIRST_KEY
from services.web.rendering import Form
from services.web.translation import _
from services.web.visit import Sent, Visit, VisitNow, go

router = APIRouter(include_in_schema=False)

Token = Annotated[str, Query(max_length=200)]


def problems(refused: Refused, sent: dict[str, str], fields: tuple[str, ...]) -> Form:
    """A form as it was sent, with what the API has against it."""
    values = {name: value for name, value in sent.items() if name != "password"}
    if refused.param in fields:
        return Form(values=values, errors={str(refused.param): _sentence(refused.message)})
    if refused.status == 429:
        wait = {"seconds": refused.retry_after or "60"}
        return Form(values=values, problem=_("Too many tries. Wait %(seconds)s seconds, then try again.") % wait)
    return Form(values=values, problem=_sentence(refused.message) or _("That did not work; try again."))


def _sentence(text: str) -> str:
    text = _(text)
    return text[:1].upper() + text[1:]


async def _welcome(visit: Visit, reply: Reply, *, with_key: bool = False, to: str = "/") -> Response:
    """Signed in: to the first page, at the very first time with a key to show."""
    answer = go(to, reply.cookies)
    if with_key:
        account = signed_in(reply).account.id
        try:
            issued = await visit.api.create_key(visit.request, FIRST_KEY, session_of(reply))
        except Refused:
            return answer  # the page offers to make one
        visit.site.once.hand_on(visit.request, answer, str(account), issued.key)
    return answer


# -- sign in, sign out


@router.get("/signin")
async def show_sign_in(visit: VisitNow, next_: Annotated[str, Query(alias="next", max_length=500)] = "/") -> Response:
    if visit.me is not None:
        return go("/")
    return await _sign_in_page(visit, Form(), next_)


async def _sign_in_page(visit: Visit, form: Form, next_: str, status: int = 200) -> HTMLResponse:
    return visit.page("signin.html", status, form=form, next=next_, signup_open=(await visit.setup()).signup)


@router.post("/signin")
async def sign_in(visit: VisitNow, sent: Sent) -> Response:
    body = {"email": sent.get("email", ""), "password": sent.get("password", ""), "next": sent.get("next", "/")}
    try:
        reply = await visit.api.post(visit.request, "/api/v1/auth/login", body)
    except Refused as refused:
        form = problems(refused, sent, ("email", "password"))
        return await _sign_in_page(visit, form, body["next"], refused.status)
    return await _welcome(visit, reply, to=signed_in(reply).next)


@router.post("/signout")
async def sign_out(visit: VisitNow, sent: Sent) -> Response:
    if visit.me is None:
        return go("/")
    reply = await visit.api.post(visit.request, "/api/v1/auth/logout")
    return go("/", reply.cookies)


# -- sign up, set up


@router.get("/signup")
async def show_sign_up(visit: VisitNow) -> Response:
    if visit.me is not None:
        return go("/")
    if not (await visit.setup()).signup:
        return _told(visit, _("Sign-up is closed"), _("Ask the people who run this installation to invite you."), 403)
    return visit.page("signup.html", form=Form())


@router.post("/signup")
async def sign_up(visit: VisitNow, sent: Sent) -> Response:
    body = _filled(sent, "email", "password", "organisation", "timezone")
    try:
        reply = await visit.api.post(visit.request, "/api/v1/auth/signup", body)
    except Refused as refused:
        form = problems(refused, sent, ("email", "password", "organisation"))
        return visit.page("signup.html", refused.status, form=form)
    if reply.status == 202:
        return _told(visit, _("Look into your mail"), _("We sent you a link. Open it, and you are in."))
    return await _welcome(visit, reply, with_key=True)


@router.get("/setup")
async def show_setup(visit: VisitNow, token: Token = "") -> Response:
    if visit.me is not None:
        return go("/")
    if not (await visit.api.setup(visit.request)).open:
        return _told(visit, _("This is set up already"), _("The link worked once. Sign in instead."), 410)
    return _setup_page(visit, Form(), token)


def _setup_page(visit: Visit, form: Form, token: str, status: int = 200) -> HTMLResponse:
    return visit.page("setup.html", status, form=form, token=token, timezones=_timezones())


@lru_cache(1)
def _timezones() -> list[str]:
    """The names that people know: Region/City."""
    return sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/")))


@router.post("/setup")
async def set_up(visit: VisitNow, sent: Sent) -> Response:
    token = sent.get("token", "")
    body = {"token": token, **_filled(sent, "email", "password", "organisation", "timezone")}
    try:
        reply = await visit.api.post(visit.request, "/api/v1/auth/setup", body)
    except Refused as refused:
        form = problems(refused, sent, ("email", "password", "organisation", "timezone"))
        return _setup_page(visit, form, token, refused.status)
    return await _welcome(visit, reply, with_key=True)


def _filled(sent: dict[str, str], *names: str) -> dict[str, Any]:
    """What was filled in; e-mail and password are there in any case."""
    return {name: sent.get(name, "") for name in names if sent.get(name) or name in ("email", "password")}


# -- links that came by mail


@router.get("/reset")
async def show_reset(visit: VisitNow, token: Token = "") -> Response:
    return visit.page("reset.html", form=Form(), token=token)


@router.post("/reset")
async def reset(visit: VisitNow, sent: Sent) -> Response:
    token = sent.get("token", "")
    body = {"token": token, "password": sent.get("password", "")} if token else {"email": sent.get("email", "")}
    path = "/api/v1/auth/password/reset" if token else "/api/v1/auth/password/forgot"
    try:
        await visit.api.post(visit.request, path, body)
    except Refused as refused:
        form = problems(refused, sent, ("email", "password"))
        return visit.page("reset.html", refused.status, form=form, token=token)
    if token:
        return _told(visit, _("Your password is changed"), _("Sign in with the new one."))
    return _told(visit, _("Look into your mail"), _("If we know that address, a link to a new password is there soon."))


@router.get("/confirm")
async def show_confirm(visit: VisitNow, token: Token = "") -> Response:
    # A button, because programs that look at mails follow links.
    return visit.page("confirm.html", form=Form(), token=token)


@router.post("/confirm")
async def confirm(visit: VisitNow, sent: Sent) -> Response:
    token = sent.get("token", "")
    try:
        reply = await visit.api.post(visit.request, "/api/v1/auth/confirm", {"token": token})
    except Refused as refused:
        return visit.page("confirm.html", refused.status, form=problems(refused, sent, ()), token=token)
    if reply.status == 204:
        return go("/", reply.cookies)
    return await _welcome(visit, reply, with_key=True)


@router.get("/invitation")
async def show_invitation(visit: VisitNow, token: Token = "") -> Response:
    return await _invitation_page(visit, Form(), token)


async def _invitation_page(visit: Visit, form: Form, token: str, status: int = 200) -> HTMLResponse:
    try:
        invitation = await visit.api.look_at_invitation(visit.request, token)
    except Refused as refused:
        return _told(visit, _("This link does not work"), _sentence(refused.message), refused.status)
    return visit.page("invitation.html", status, form=form, token=token, invitation=invitation)


@router.post("/invitation")
async def accept_invitation(visit: VisitNow, sent: Sent) -> Response:
    token = sent.get("token", "")
    body = {"token": token, "password": sent.get("password", "")}
    try:
        reply = await visit.api.post(visit.request, "/api/v1/auth/invitations/accept", body)
    except Refused as refused:
        return await _invitation_page(visit, problems(refused, sent, ("password",)), token, refused.status)
    return await _welcome(visit, reply)


def _told(visit: Visit, title: str, text: str, status: int = 200) -> HTMLResponse:
    """A page that only says something."""
    href, label = ("/", _("To your stats")) if visit.me else ("/signin", _("Sign in"))
    return visit.page("message.html", status, title=title, text=text, href=href, label=label)
