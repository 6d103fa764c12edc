"""What can be wrong with a request. An error knows its status and code; the dialect of the path decides its look."""

import math
from collections.abc import Mapping


class ApiError(Exception):
    """An answer that is not a success.

    `message` is for people and never repeats input (it could hold a key). `param` names the field at fault. `headers`
    are added to the answer.
    """

    status = 500
    code = "server_error"
    reason = "Something went wrong here; it has been logged."

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code or type(self).code
        self.message = message or self.reason
        self.param = param
        self.headers: dict[str, str] = dict(headers or {})
        super().__init__(self.message)


class BadRequest(ApiError):
    status, code, reason = 400, "invalid_request", "The request can't be understood."


class Unauthorized(ApiError):
    """No key, or none that works here; never says which."""

    status, code, reason = 401, "unauthorized", "A valid key is needed."

    def __init__(self, message: str = "") -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ApiError):
    status, code, reason = 403, "forbidden", "This key may not do that."


class NotFound(ApiError):
    status, code, reason = 404, "not_found", "There is no such thing."


class MethodNotAllowed(ApiError):
    status, code, reason = 405, "method_not_allowed", "This path does not take that method."


class RequestTimeout(ApiError):
    status, code, reason = 408, "request_timeout", "The request took too long to arrive."


class Conflict(ApiError):
    status, code, reason = 409, "conflict", "That is in conflict with what is there."


class TooLarge(ApiError):
    status, code, reason = 413, "too_large", "The body is too large."


class UnsupportedMedia(ApiError):
    status, code, reason = 415, "unsupported_media_type", "Bodies of this type or encoding are not read here."


class Unprocessable(ApiError):
    status, code, reason = 422, "unprocessable", "Understood, but impossible."


class TooMany(ApiError):
    """Over a limit; `retry_after` is seconds, rounded up in the header."""

    status, code, reason = 429, "rate_limited", "Too many requests."

    def __init__(
        self, retry_after: float, message: str = "", *, code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        told = {"Retry-After": str(max(1, math.ceil(retry_after))), "Cache-Control": "no-store"}
        super().__init__(message, code=code, headers={**told, **(headers or {})})


class HeadTooLarge(ApiError):
    status, code, reason = 431, "head_too_large", "The request's head is too large."


class Unavailable(ApiError):
    """Can't be done just now; nothing was kept."""

    status, code, reason = 503, "unavailable", "Not possible just now; try again."

    def __init__(self, message: str = "", *, retry_after: float = 5, code: str = "") -> None:
        super().__init__(message, code=code, headers={"Retry-After": str(max(1, math.ceil(retry_after)))})


class ServiceUnavailable(Unavailable):
    """Another service that is needed for an answer can't be asked."""
