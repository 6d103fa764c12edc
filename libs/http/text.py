"""What no text may hold that comes in: the framework lets it through, and Postgres can't keep it."""

from typing import Any

import msgspec

from libs.http.errors import BadRequest


def check_json(content_type: bytes, body: bytes) -> None:
    """Raises `BadRequest` for a JSON body that is not strictly JSON, or that holds a NUL character.

    The framework's own parser lets NaN, lone surrogates and other encodings through, which no answer can hold.
    """
    kind = content_type.partition(b";")[0].strip().lower()
    if not body or not (kind == b"application/json" or kind.endswith(b"+json")):
        return
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise BadRequest("The body is not valid JSON.") from None
    if b"\\u0000" in body and _holds_nul(value):
        raise BadRequest("The body holds a NUL character.")


def check_query(query: bytes) -> None:
    """Raises `BadRequest` for a query that holds a NUL character."""
    if b"%00" in query:
        raise BadRequest("The query holds a NUL character.")


def _holds_nul(value: Any) -> bool:
    """Of decoded JSON, so no deeper than the decoder goes."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in name or _holds_nul(inner) for name, inner in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))
