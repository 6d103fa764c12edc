"""API keys: listed masked, made and shown once, revoked."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from services.web import samples
from services.web.client import Key, Refused
from services.web.pages.entry import problems
from services.web.rendering import Form
from services.web.translation import _
from services.web.visit import Sent, Visit, VisitNow, go

router = APIRouter(include_in_schema=False)

_MAY: dict[str, list[str]] = {
    "both": ["stats:write", "stats:read"],
    "write": ["stats:write"],
    "read": ["stats:read"],
    "all": ["stats:write", "stats:read", "account"],
}
_DAYS = ("30", "90", "365")


@dataclass(frozen=True)
class Choices:
    """What the form offers: (value, text)."""

    may: list[tuple[str, str]]
    mode: list[tuple[str, str]]
    expires: list[tuple[str, str]]


def _choices() -> Choices:
    never = [("", _("never"))]
    return Choices(
        may=[
            ("both", _("send and read")),
            ("write", _("send only")),
            ("read", _("read only")),
            ("all", _("everything")),
        ],
        mode=[("live", _("live")), ("test", _("test: its data is kept apart"))],
        expires=never + [(days, _("in %(days)s days") % {"days": days}) for days in _DAYS],
    )


def may(key: Key) -> str:
    """What a key may do, in words."""
    scopes = set(key.scopes)
    if "account" in scopes:
        return _("everything")
    if "stats:write" in scopes:
        return _("send and read") if "stats:read" in scopes else _("send")
    return _("read")


@router.get("/keys")
async def show_keys(visit: VisitNow) -> Response:
    me = visit.require_me()
    new_key = visit.site.once.look(visit.request, str(me.account.id))
    answer = await _keys_page(visit, Form(), new_key=new_key)
    visit.site.once.take(visit.request, answer)
    return answer


async def _keys_page(
    visit: Visit, form: Form, status: int = 200, *, new_key: str = "", notice: str = ""
) -> HTMLResponse:
    if visit.require_me().role != "owner":
        return visit.page("keys_closed.html", 403)
    return visit.page(
        "keys.html",
        status,
        form=form,
        notice=notice,
        keys=await visit.api.keys(visit.request),
        may=may,
        choices=_choices(),
        new_key=new_key,
        samples=samples.senders(visit.base, new_key or samples.PLACEHOLDER),
    )


@router.post("/keys")
async def create_key(visit: VisitNow, sent: Sent) -> Response:
    me = visit.require_me()
    try:
        issued = await visit.api.create_key(visit.request, _new_key(sent))
    except Refused as refused:
        return await _keys_page(visit, problems(refused, sent, ("name",)), refused.status)
    answer = go("/keys")
    visit.site.once.hand_on(visit.request, answer, str(me.account.id), issued.key)
    return answer


def _new_key(sent: dict[str, str]) -> dict[str, Any]:
    days = sent.get("expires", "")
    expires = datetime.now(UTC) + timedelta(days=int(days)) if days in _DAYS else None
    return {
        "name": sent.get("name", ""),
        "mode": "test" if sent.get("mode") == "test" else "live",
        "scopes": _MAY.get(sent.get("may", ""), _MAY["both"]),
        "expires_at": expires,
    }


@router.post("/keys/{key}/revoke")
async def revoke_key(visit: VisitNow, sent: Sent, key: UUID) -> Response:
    visit.require_me()
    try:
        everywhere = await visit.api.revoke_key(visit.request, key)
    except Refused as refused:
        return await _keys_page(visit, problems(refused, sent, ()), refused.status)
    if everywhere:
        return go("/keys")
    notice = _("The key is revoked. One server could not be told yet; it will be, as soon as it answers.")
    return await _keys_page(visit, Form(), notice=notice)
