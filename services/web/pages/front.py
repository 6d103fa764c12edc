"""`/`: for strangers what this is, for people their stats; and the part of it that lives."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse, Response

from services.web import board, samples
from services.web.client import Me, Refused
from services.web.visit import Sent, Visit, VisitNow, go

router = APIRouter(include_in_schema=False)

Range = Annotated[Literal["1h", "6h", "24h", "7d", "30d"], Query(alias="range")]
FIRST_KEY = {"name": "First key", "scopes": ["stats:write", "stats:read"]}


@router.get("/")
async def front(visit: VisitNow, range_: Range = "24h") -> Response:
    if visit.me is None:
        return await _landing(visit)
    return await _overview(visit, visit.me, range_)


async def _landing(visit: Visit) -> HTMLResponse:
    setup = await visit.setup()
    return visit.page(
        "landing.html",
        signup_open=setup.signup,
        to_set_up=setup.open,
        samples=samples.senders(visit.base),
        examples=board.EXAMPLES,
    )


async def _overview(visit: Visit, me: Me, range_: str) -> HTMLResponse:
    shown = board.of(await visit.api.dashboard(visit.request, range_))
    new_key = visit.site.once.look(visit.request, str(me.account.id))
    answer = visit.page(
        "overview.html",
        ranges=board.RANGES,
        board=shown,
        new_key=new_key,
        has_keys=bool(shown.stats) or bool(new_key) or await _has_keys(visit),
        may_create=me.role == "owner",
        samples=samples.senders(visit.base, new_key or samples.PLACEHOLDER),
    )
    visit.site.once.take(visit.request, answer)
    return answer


async def _has_keys(visit: Visit) -> bool:
    try:
        return bool(await visit.api.keys(visit.request))
    except Refused:
        return True  # who may not see keys may have been given one


@router.get("/fragments/stats")
async def stats(visit: VisitNow, range_: Range = "24h") -> HTMLResponse:
    """The part of the overview that points change."""
    visit.require_me()
    shown = board.of(await visit.api.dashboard(visit.request, range_))
    return visit.page("fragments/stats.html", board=shown)


@router.post("/keys/first")
async def create_first_key(visit: VisitNow, sent: Sent) -> Response:
    """A key, filled in on the overview."""
    me = visit.require_me()
    issued = await visit.api.create_key(visit.request, FIRST_KEY)
    answer = go("/")
    visit.site.once.hand_on(visit.request, answer, str(me.account.id), issued.key)
    return answer
