"""Everything that can go wrong inside an app, as an `ApiError`, and an `ApiError` as an answer."""

from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from libs.bus.errors import BusUnavailable, StreamRefused
from libs.eventstore.database import DatabaseUnavailable
from libs.http import bodies, errors
from libs.http.dialects import dialect_of
from libs.http.errors import ApiError

_BY_STATUS: dict[int, type[ApiError]] = {
    kind.status: kind
    for kind in (
        errors.BadRequest, errors.Forbidden, errors.NotFound, errors.MethodNotAllowed, errors.RequestTimeout,
        errors.Conflict, errors.TooLarge, errors.UnsupportedMedia, errors.Unprocessable,
    )
}  # fmt: skip


def as_api_error(error: Exception) -> ApiError:
    """What an exception means to the client; a plain `ApiError` (500) for one that nobody expected."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _of_framework(error)
    if isinstance(error, DatabaseUnavailable | BusUnavailable | StreamRefused):
        return errors.Unavailable()
    return ApiError()


def _of_framework(error: HTTPException) -> ApiError:
    inner = bodies.cause(error)
    if inner is not None:
        return inner
    if error.status_code == 401:
        return errors.Unauthorized()
    kind = _BY_STATUS.get(error.status_code, errors.BadRequest if error.status_code < 500 else ApiError)
    return kind(headers=error.headers)


def _invalid(error: RequestValidationError) -> ApiError:
    """Names the field and what is wrong with it, and never the value, nor a name that the client made up."""
    first: Mapping[str, Any] = next(iter(error.errors()), {})
    kind = first.get("type", "")
    if kind == "json_invalid":
        return errors.BadRequest("The body is not valid JSON.")
    if kind == "extra_forbidden":
        return errors.BadRequest("The body has a field that is not known here.")
    place = ".".join(str(part) for part in first.get("loc", ())[1:])
    message = _WITHOUT_INPUT.get(kind) or str(first.get("msg", "")).removeprefix("Value error, ")
    return errors.BadRequest(message, param=place or None)


_WITHOUT_INPUT = {"uuid_parsing": "Input should be a valid UUID"}
"""For kinds of error whose own message tells parts of the input."""


def answer(error: ApiError, scope: Scope) -> Response:
    """The error in the dialect of the path."""
    body = dialect_of(scope["path"], scope["query_string"].decode("latin-1")).body(error)
    return Response(body, error.status, error.headers, "application/json")


async def handle(request: Request, error: Exception) -> Response:
    """An exception handler for everything that `as_api_error` knows."""
    return answer(as_api_error(error), request.scope)


EXPECTED = (ApiError, RequestValidationError, HTTPException, DatabaseUnavailable, BusUnavailable, StreamRefused)
"""What an app answers without a line in the log; the rest is a fault of ours."""
