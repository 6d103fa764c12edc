"""`/docs`: the API for people."""

import json
from functools import lru_cache

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from services.web import reference
from services.web.pages.files import OPENAPI
from services.web.reference import Chapter
from services.web.visit import VisitNow

router = APIRouter(include_in_schema=False)


@lru_cache(64)
def _chapters(base: str) -> list[Chapter]:
    return reference.chapters(json.loads(OPENAPI), base)


@router.get("/docs")
async def docs(visit: VisitNow) -> HTMLResponse:
    return visit.page("docs.html", chapters=_chapters(visit.base))
