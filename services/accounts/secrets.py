"""What keys look like, how they are made, how they are kept: format, checksum, digest, mask.

The prefix of a key tells its kind. Account keys end in a checksum, so that a scanner of public code recognises a leaked
one and a typo can be told from a revoked key without asking anybody.
"""

import hashlib
import hmac
import re
import secrets
import string
from zlib import crc32

from libs.contracts.accounts import Mode

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM = 37  # base62 characters, 220 bits
_CHECK = 6  # base62 characters, enough for 32 bits

_ACCOUNT_KEY = re.compile(r"(?:ss|sk)_(?:live|test)_[0-9A-Za-z]{43}")
_OWN_FORMATS = re.compile(r"(?:(?:ss|sk)_(?:live|test)_|ezi_sk_|aiz_live_|st_[0-9a-f]{64}$)")
_EMAIL_LIKE = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def account_key(mode: Mode, style: str = "ss") -> str:
    """`ss_live_…` or `ss_test_…`; with style `sk` the names people know from StatFlow."""
    body = f"{style}_{mode}_" + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM))
    return body + _checksum(body)


def user_token() -> str:
    return f"ezi_sk_{secrets.token_hex(32)}"


def read_key() -> str:
    return f"st_{secrets.token_hex(32)}"


def site_key() -> str:
    """The public part (12 hex) is what a list shows; the secret part has 214 bits."""
    return f"aiz_live_{secrets.token_hex(6)}_" + "".join(secrets.choice(_BASE62) for _ in range(36))


def one_time_token() -> str:
    """For links in mails: 256 bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def session_secret() -> str:
    """256 bits, the value of the session cookie."""
    return secrets.token_urlsafe(32)


def is_account_key(text: str) -> bool:
    """Whether the text has the form of an account key and its checksum is right."""
    return bool(_ACCOUNT_KEY.fullmatch(text)) and _checksum(text[:-_CHECK]) == text[-_CHECK:]


def has_own_format(text: str) -> bool:
    """Whether a text would be taken for a key of ours by its prefix; such a text can't be adopted as an EZ key."""
    return bool(_OWN_FORMATS.match(text))


def looks_like_email(text: str) -> bool:
    return bool(_EMAIL_LIKE.fullmatch(text.strip()))


def digest(secret: str) -> bytes:
    """What is kept of a key with enough randomness of its own: SHA-256."""
    return hashlib.sha256(secret.encode()).digest()


def peppered(secret: str, pepper: bytes) -> bytes:
    """What is kept of an adopted key, which may be easy to guess: HMAC-SHA256 with the installation's pepper."""
    return hmac.digest(pepper, secret.encode(), hashlib.sha256)


def masked(secret: str) -> str:
    """A key as lists show it: first and last four characters, for user tokens the first 16 (seed 002).

    Adopted keys can be so short that this would show all of them: below 16 characters only two are shown.
    """
    if len(secret) < 16:
        return f"{secret[:2]}…"
    return f"{secret[: 16 if secret.startswith('ezi_sk_') else 4]}…{secret[-4:]}"


def _checksum(text: str) -> str:
    number = crc32(text.encode())
    figures = []
    for _ in range(_CHECK):
        number, figure = divmod(number, 62)
        figures.append(_BASE62[figure])
    return "".join(reversed(figures))
