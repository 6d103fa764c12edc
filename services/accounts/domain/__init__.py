"""People, their accounts, and what they let in with: events, fold and decisions of four aggregates.

Digests are hexadecimal, times of expiry are Unix seconds. `actor` is who did it: `user:<id>`, `key:<id>`,
`operator` (from the machine itself) or `system`.
"""

from services.accounts.domain.account import Account, Invitation, Member
from services.accounts.domain.key import ApiKey
from services.accounts.domain.people import Session, User
from services.accounts.domain.rules import (
    ACCOUNT_SCOPES,
    ROLES,
    SITE_SCOPES,
    Invalid,
    Refused,
    check_password,
    clean_email,
    clean_label,
    scopes_of,
)

__all__ = [
    "ACCOUNT_SCOPES",
    "ROLES",
    "SITE_SCOPES",
    "Account",
    "ApiKey",
    "Invalid",
    "Invitation",
    "Member",
    "Refused",
    "Session",
    "User",
    "check_password",
    "clean_email",
    "clean_label",
    "scopes_of",
]
