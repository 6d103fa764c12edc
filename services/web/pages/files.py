"""Static files, the API's description, and everything that is nowhere."""

from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.http.errors import NotFound
from services.web.visit import site_of

router = APIRouter(include_in_schema=False)

OPENAPI = files("services.web").joinpath("openapi.json").read_bytes()


@router.get("/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    answer = site_of(request).assets.answer(request, name)
    if answer is None:
        raise NotFound
    return answer


@router.get("/openapi.json")
async def openapi() -> Response:
    headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "public, max-age=300"}
    return Response(OPENAPI, headers=headers, media_type="application/json")
