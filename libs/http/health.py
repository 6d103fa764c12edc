"""`/livez`, `/readyz` and `/metrics`: for whoever runs the processes, not for users."""

from ipaddress import ip_address

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.http.credentials import process_of
from libs.http.errors import NotFound
from libs.http.exchange import exchange_of
from libs.http.metrics import CONTENT_TYPE, exposition

router = APIRouter(include_in_schema=False)


@router.get("/livez")
async def livez() -> Response:
    """The process runs and its loop turns; nothing more."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """200 when every part of this process can do its work, else 503; either way says what can't."""
    parts = {name: bool(ready()) for name, ready in process_of(request).ready.items()}
    ok = all(parts.values())
    return JSONResponse({"status": "ok" if ok else "unavailable", "parts": parts}, 200 if ok else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus's text format, for callers from a private network only."""
    if not _is_private(exchange_of(request).client):
        raise NotFound
    return Response(exposition(process_of(request).metrics), media_type=CONTENT_TYPE)


def _is_private(address: str) -> bool:
    try:
        return ip_address(address).is_private
    except ValueError:
        return address == ""  # a Unix socket
