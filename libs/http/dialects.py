"""How an error looks, by path: the table "Error dialects" of the wire contract."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from libs.http.errors import ApiError


@dataclass(frozen=True)
class Dialect:
    """One shape of error bodies; `shape` gives the object that is encoded as JSON."""

    name: str
    shape: Callable[[ApiError], Any]

    def body(self, error: ApiError) -> bytes:
        """JSON bytes."""
        return msgspec.json.encode(self.shape(error))


def _api(error: ApiError) -> Any:
    inner = {"code": error.code, "message": error.message}
    return {"error": inner if error.param is None else {**inner, "param": error.param}}


_TRACKER_CODES = {401: "unauthorized", 403: "unauthorized", 404: "not_found", 429: "rate_limited"}


def _tracker(error: ApiError) -> Any:
    other = "server_error" if error.status >= 500 else "invalid_request"
    return {"error": _TRACKER_CODES.get(error.status, other), "message": error.message}


def _site(error: ApiError) -> Any:
    return {"error": HTTPStatus(error.status).phrase}


def _classic(error: ApiError) -> Any:
    return {"status": error.status, "msg": error.message}


def _message(error: ApiError) -> Any:
    return {"msg": error.message}


API = Dialect("api", _api)
TRACKER = Dialect("tracker", _tracker)
SITE = Dialect("site", _site)
CLASSIC = Dialect("classic", _classic)
MESSAGE = Dialect("message", _message)

_EXACT = {
    "/ez": CLASSIC,
    "/c": CLASSIC,
    "/v": CLASSIC,
    "/api/public/collect": TRACKER,
    "/api/public/collect.gif": TRACKER,
    "/api/public/stats": TRACKER,
}
_PREFIXES = (("/v1/", MESSAGE), ("/x/", MESSAGE), ("/api/v1/trackers", TRACKER))


def dialect_of(path: str, query: str = "") -> Dialect:
    """The dialect of a path; `query` (undecoded) matters where a website is asked for among stats."""
    exact = _EXACT.get(path)
    if exact is not None:
        return exact
    for prefix, dialect in _PREFIXES:
        if path.startswith(prefix):
            return dialect
    if path == "/api/v1/stats" and any(part.startswith("site_id=") for part in query.split("&")):
        return SITE
    return API
