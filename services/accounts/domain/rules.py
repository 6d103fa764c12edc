"""What may be said about people, names and passwords, and what a role may do."""

import re

from libs.contracts.accounts import Role

ROLES: tuple[Role, ...] = ("owner", "member", "viewer")
ACCOUNT_SCOPES = ("stats:write", "stats:read", "account")
SITE_SCOPES = ("sites:write", "sites:read")

_LOCAL = r"[^@\s\x00-\x1f\x7f<>(),;:\\\"\[\]]"
_LABEL = r"[^@.\s\x00-\x1f\x7f<>(),;:\\\"\[\]]"
_EMAIL = re.compile(rf"{_LOCAL}{{1,64}}@(?:{_LABEL}+\.)+{_LABEL}{{2,63}}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Invalid(ValueError):
    """An input can't be right; `field` says which, the message why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Refused(Exception):
    """Understood, but what is so already forbids it. `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def scopes_of(role: Role | None) -> frozenset[str]:
    """What a person may do in an account: an owner all, a member everything but run the account, a viewer look."""
    match role:
        case "owner":
            return frozenset(ACCOUNT_SCOPES + SITE_SCOPES)
        case "member":
            return frozenset(("stats:write", "stats:read", *SITE_SCOPES))
        case "viewer":
            return frozenset(("stats:read", "sites:read"))
        case None:
            return frozenset()


def clean_email(text: str) -> str:
    """The one form of an address: trimmed, lower case. Two users never share one."""
    email = text.strip().lower()
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise Invalid("email", "this is not an e-mail address")
    return email


def clean_label(field: str, text: str, longest: int = 100) -> str:
    """A name that people give: trimmed, 1 to `longest` characters, no control characters."""
    label = text.strip()
    if not 1 <= len(label) <= longest:
        raise Invalid(field, f"between 1 and {longest} characters, please")
    if _CONTROL.search(label):
        raise Invalid(field, "no control characters, please")
    return label


def check_password(password: str) -> None:
    if len(password) < 10:
        raise Invalid("password", "a password has at least 10 characters")
    if len(password.encode()) > 1024:
        raise Invalid("password", "a password has at most 1,024 bytes")
