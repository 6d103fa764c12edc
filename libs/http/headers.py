"""Headers that answers carry by their path: who may embed them, read them from other pages, or keep them."""

from collections.abc import Iterable

CORS = (b"access-control-allow-origin", b"*")
CORS_LINE = b"access-control-allow-origin: *\r\n"
EXPOSED = (
    b"access-control-expose-headers",
    b"Retry-After, X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit,"
    b" RateLimit-Policy",
)

_OPEN = ("/api/public", "/api/v1/embed", "/embed", "/badge", "/oembed")
_EMBEDDED = ("/embed", "/badge")
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_HOUSE = (
    _NOSNIFF,
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_EMBED = (_NOSNIFF, (b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"cross-origin"))


def cors_open(path: str) -> bool:
    """May any website read the answers of this path? (None of them depends on a cookie.)"""
    return path in ("/ez", "/c", "/v", "/embed.js") or path.startswith(_OPEN)


def preflight(methods: Iterable[str], asked_headers: bytes) -> list[tuple[bytes, bytes]]:
    """What a browser wants to know before it sends a request from another website."""
    return [
        (b"access-control-allow-methods", ", ".join(methods).encode()),
        (b"access-control-allow-headers", asked_headers or b"Content-Type, Authorization"),
        (b"access-control-max-age", b"86400"),
    ]


def defaults(path: str, https_only: bool) -> list[tuple[bytes, bytes]]:
    """Headers for an answer that does not say otherwise itself."""
    found = list(_EMBED if path.startswith(_EMBEDDED) else _HOUSE)
    if https_only:
        found.append(_HSTS)
    if cors_open(path):
        found += [CORS, EXPOSED]
    return found
