"""Bytes of any sender -> names, numbers, times: strict where a mistake would be stored, else lenient."""

import math
import re
from urllib.parse import quote_plus, unquote_to_bytes

from services.ingest.domain import InvalidStat, clean_name

_NUMBER = re.compile(rb"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,4})?").fullmatch
_UNESCAPED_PLUS = re.compile(rb"(?<=\d[eE]) (?=\d)").sub
DAY = 86_400.0
MAX_NAMES = 100
EARLIEST = -62_135_596_800.0  # year 1, the earliest that answers can print


class Refused(ValueError):
    """A point can't be taken; `param` names the input, the message says what would be right. Never echoes input."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def form(body: bytes) -> dict[bytes, bytes]:
    """Fields of a form or query string, values still escaped; of a repeated field the first counts.

    Takes what real clients send: raw spaces, raw UTF-8 and lone per cent signs.
    """
    fields: dict[bytes, bytes] = {}
    for pair in body.split(b"&"):
        name, _, value = pair.partition(b"=")
        if name not in fields:
            fields[name] = value
    return fields


def unescape(value: bytes) -> bytes:
    """The bytes behind a form value."""
    return unquote_to_bytes(value.replace(b"+", b" ")) if b"%" in value or b"+" in value else value


def text(value: bytes, name: bytes) -> str:
    """The text behind a form value, which must be UTF-8; `name` is its field's."""
    try:
        return unescape(value).decode()
    except UnicodeDecodeError:
        raise Refused(name.decode(errors="ignore"), "forms must be UTF-8") from None


def number(raw: bytes, param: str) -> float:
    """A finite double from text such as `1`, `1.0` or `1e+06`; no comma, no hex, no NaN."""
    if not _NUMBER(raw):
        raise Refused(param, f"{param} must be a number")
    return finite(float(raw), param)


def form_number(raw: bytes, param: str) -> float:
    """A number of a form. A plus sign that nobody escaped means a space, but `1e+06` can mean only one thing."""
    text = unescape(raw).strip()
    return number(text if b" " not in text else _UNESCAPED_PLUS(b"+", text), param)


def finite(value: float, param: str) -> float:
    if not math.isfinite(value):
        raise Refused(param, f"{param} must be a finite number")
    return value


def moment(seconds: float, now: float) -> int:
    """Unix microseconds of a `t`; at most 24 h ahead of now."""
    if seconds > now + DAY:
        raise Refused("t", "t is more than 24 hours in the future")
    if seconds < EARLIEST:
        raise Refused("t", "t is before year 1")
    return round(seconds * 1e6)


def names(raw: bytes, joiner: str, param: str = "stat") -> tuple[str, ...]:
    """Stat names of a `stat` field: `a~b,c` means `a~b` and `a~c` (split at the first tilde only).

    `joiner` stands between the parts: `~`, or a space as StatHat itself did.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Refused(param, f"{param} must be UTF-8") from None
    return names_of(text, joiner, param)


def names_of(text: str, joiner: str, param: str = "stat") -> tuple[str, ...]:
    """`names` of text that is already decoded."""
    stem, tilde, rest = text.partition("~")
    try:
        if not tilde:
            return (clean_name(text),)
        parts = rest.split(",")
        if len(parts) > MAX_NAMES:
            raise Refused(param, f"{param} has more than {MAX_NAMES} names behind its tilde")
        stem = stem.strip()
        if not stem:
            raise Refused(param, f"{param} has no name before its tilde")
        return tuple(dict.fromkeys(clean_name(f"{stem}{joiner}{clean_name(part)}") for part in parts))
    except InvalidStat as error:
        raise Refused(param, str(error)) from None


def single_name(raw: bytes, param: str = "key") -> str:
    """One stat name, tilde and all."""
    try:
        return clean_name(raw.decode())
    except UnicodeDecodeError:
        raise Refused(param, f"{param} must be UTF-8") from None
    except InvalidStat as error:
        raise Refused(param, str(error)) from None


def escape(text: str) -> bytes:
    """A form value of text; the inverse of `unescape`."""
    return quote_plus(text.encode(errors="surrogatepass")).encode()
