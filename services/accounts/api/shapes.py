"""What answers look like."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

from libs.contracts.accounts import Mode, Role
from services.accounts import queries


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds: `2026-11-20T21:30:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-20T21:30:00.000Z"]}),
]
NextCursor = Annotated[
    str | None, Field(description="For the next page; null at the end.", examples=["MjAyNi0xMS0yMHwx"])
]


class UserOut(BaseModel):
    id: UUID
    email: str = Field(examples=["alice@example.org"])
    verified: bool
    created_at: Moment

    @classmethod
    def of(cls, row: queries.UserRow) -> "UserOut":
        return cls(id=row.id, email=row.email, verified=row.verified, created_at=row.created_at)


class AccountOut(BaseModel):
    id: UUID
    name: str = Field(examples=["Acme"])
    timezone: str = Field(examples=["Europe/Berlin"])
    tilde_joiner: str = Field(examples=["~"])
    operator: bool = Field(description="Whether this is the account of who runs the installation.")
    unlimited: bool
    created_at: Moment

    @classmethod
    def of(cls, row: queries.AccountRow) -> "AccountOut":
        return cls(
            id=row.account,
            name=row.name,
            timezone=row.timezone,
            tilde_joiner=row.joiner,
            operator=row.first,
            unlimited=row.unlimited,
            created_at=row.created_at,
        )


class MembershipOut(BaseModel):
    id: UUID
    name: str = Field(examples=["Acme"])
    role: Role


class SignedInOut(BaseModel):
    user: UserOut
    account: AccountOut
    role: Role
    next: str = Field("/", description="Where to go now: always a path on this site.")


class MeOut(BaseModel):
    user: UserOut
    account: AccountOut
    role: Role
    accounts: list[MembershipOut]
    csrf_token: str = Field(
        description="For forms: send it as the field `csrf_token` or as `X-CSRF-Token`.", examples=["9f8e7d6c"]
    )


class ErrorDetail(BaseModel):
    code: str = Field(description="For programs.", examples=["invalid_request"])
    message: str = Field(description="For people.", examples=["a name has 1 to 100 characters"])
    param: str | None = Field(None, description="The field at fault.", examples=["name"])


class ErrorOut(BaseModel):
    error: ErrorDetail


class Pending(BaseModel):
    """Done, but some server could not be told yet."""

    status: Literal["pending"] = "pending"


class Accepted(BaseModel):
    """The same whether there is such a person or not."""

    status: Literal["accepted"] = "accepted"


class SetUpOut(BaseModel):
    open: bool = Field(description="Whether the set-up link still works: nobody owns the first account yet.")
    signup: bool = Field(description="Whether strangers may sign up.")


class SessionOut(BaseModel):
    id: UUID
    client: str = Field(examples=["Mozilla/5.0"])
    current: bool
    created_at: Moment
    last_used_at: Moment | None
    expires_at: Moment


class Sessions(BaseModel):
    sessions: list[SessionOut]
    next_cursor: NextCursor = None


class KeyOut(BaseModel):
    id: UUID
    name: str = Field(examples=["CI pipeline"])
    kind: str = Field(examples=["account"])
    mode: Mode
    scopes: list[str] = Field(examples=[["stats:write", "stats:read", "account"]])
    masked: str = Field(examples=["ss_l…9fQ2"])
    created_at: Moment
    last_used_at: Moment | None
    expires_at: Moment | None
    revoked_at: Moment | None

    @classmethod
    def of(cls, row: queries.KeyRow, **more: Any) -> Any:
        return cls(
            id=row.id,
            name=row.name,
            kind=row.kind,
            mode=row.mode,
            scopes=row.scopes,
            masked=row.hint,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            **more,
        )


class IssuedKeyOut(KeyOut):
    key: str = Field(description="Shown this once.", examples=["ss_live_mD7RH2aFQvVg87IjmwSb7JVwVsfa2lV3Hdn2C16tHSl"])


class ReplacedTokenOut(IssuedKeyOut):
    old_token: Literal["revoked", "pending"]


class ApiKeys(BaseModel):
    api_keys: list[KeyOut]
    next_cursor: NextCursor


class Tokens(BaseModel):
    tokens: list[KeyOut]
    next_cursor: NextCursor


class ReadKeys(BaseModel):
    read_keys: list[KeyOut]
    next_cursor: NextCursor


class EzKeys(BaseModel):
    ez_keys: list[KeyOut]
    next_cursor: NextCursor


class MemberOut(BaseModel):
    id: UUID
    email: str = Field(examples=["bob@example.org"])
    role: Role
    joined_at: Moment


class Members(BaseModel):
    members: list[MemberOut]
    next_cursor: NextCursor = None


class InvitationOut(BaseModel):
    id: UUID
    email: str = Field(examples=["bob@example.org"])
    role: Role
    invited_at: Moment
    expires_at: Moment


class Invitations(BaseModel):
    invitations: list[InvitationOut]
    next_cursor: NextCursor = None


class InvitedTo(BaseModel):
    """What the bearer of an invitation's link may know before joining."""

    account: str = Field(examples=["Acme"])
    email: str = Field(examples=["bob@example.org"])
    role: Role
    known: bool = Field(description="Whether this address has a password here already.")


class AuditOut(BaseModel):
    id: str = Field(examples=["17"])
    at: Moment
    source: str = Field(examples=["accounts"])
    actor: str | None = Field(examples=["user:6a02230b-9f07-45a9-8563-add0cee3bc50"])
    action: str = Field(examples=["key.issued"])
    target: UUID | None
    detail: dict[str, Any]


class Audit(BaseModel):
    events: list[AuditOut]
    next_cursor: NextCursor


class MailOut(BaseModel):
    id: UUID
    to: str = Field(examples=["bob@example.org"])
    subject: str = Field(examples=["A new password for EzStat"])
    body: str = Field(description="Emptied once the mail is sent: it holds a link.", examples=[""])
    created_at: Moment
    sent_at: Moment | None
    failed_at: Moment | None
    error: str | None = Field(examples=["the mail server said 451"])


class Mails(BaseModel):
    mails: list[MailOut]
    next_cursor: NextCursor
