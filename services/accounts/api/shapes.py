"""Bodies and answers, as the documentation shows them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr, StringConstraints

from libs.contracts.accounts import Mode, Role
from services.accounts import queries


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds: `2026-11-20T21:30:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
Email = Annotated[str, StringConstraints(max_length=320), Field(examples=["alice@example.org"])]
Name = Annotated[str, StringConstraints(max_length=400), Field(examples=["CI pipeline"])]
Token = Annotated[str, StringConstraints(min_length=1, max_length=200)]
# Longer ones than the domain takes get its message; much longer ones never reach the hash.
Password = Annotated[SecretStr, Field(max_length=4096, examples=["correct horse battery staple"])]


class Body(BaseModel):
    """What a request says; fields nobody knows are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


# bodies


class SignUp(Body):
    email: Email
    password: Password
    organisation: Name | None = None
    timezone: Annotated[str, StringConstraints(max_length=64), Field(examples=["Europe/Berlin"])] | None = None


class SetUp(SignUp):
    token: Token


class Login(Body):
    email: Email
    password: Password
    account: UUID | None = Field(None, description="Which of your accounts; the first one by default.")
    next: Annotated[str, StringConstraints(max_length=2000)] | None = Field(
        None, description="Where to go then: a path here. Anything else becomes `/`.", examples=["/stats"]
    )


class Forgot(Body):
    email: Email


class Reset(Body):
    token: Token
    password: Password


class Confirm(Body):
    token: Token


class ChangePassword(Body):
    old_password: Password
    new_password: Password


class Switch(Body):
    account: UUID


class NewKey(Body):
    name: Name = "API key"
    mode: Mode = Field("live", description="Data sent with a test key is stored apart.")
    style: Literal["ss", "sk"] = Field("ss", description="`sk`: named as StatFlow named them.")
    scopes: Annotated[list[str], Field(max_length=10, examples=[["stats:write"]])] | None = None
    expires_at: datetime | None = None


class NewToken(Body):
    name: Name = "Token"
    expires_at: datetime | None = None


class NewEzKey(Body):
    key: Annotated[str, StringConstraints(max_length=1000), Field(examples=["the-key-from-stathat"])]
    name: Name = "EZ key"


class NewInvitation(Body):
    email: Email
    role: Role = "member"


class Accept(Body):
    token: Token
    password: Password


class NewRole(Body):
    role: Role


class Settings(Body):
    name: Name | None = None
    timezone: Annotated[str, StringConstraints(max_length=64)] | None = None
    tilde_joiner: Literal["~", " "] | None = Field(
        None, description="What joins the parts of a name that `~` splits; a space is how StatHat did it."
    )


class Farewell(Body):
    password: Password


# answers


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
    name: str
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
    csrf_token: str = Field(description="For forms: send it as the field `csrf_token` or as `X-CSRF-Token`.")


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
    next_cursor: str | None = None


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
    next_cursor: str | None


class Tokens(BaseModel):
    tokens: list[KeyOut]
    next_cursor: str | None


class ReadKeys(BaseModel):
    read_keys: list[KeyOut]
    next_cursor: str | None


class EzKeys(BaseModel):
    ez_keys: list[KeyOut]
    next_cursor: str | None


class MemberOut(BaseModel):
    id: UUID
    email: str
    role: Role
    joined_at: Moment


class Members(BaseModel):
    members: list[MemberOut]
    next_cursor: str | None = None


class InvitationOut(BaseModel):
    id: UUID
    email: str
    role: Role
    invited_at: Moment
    expires_at: Moment


class Invitations(BaseModel):
    invitations: list[InvitationOut]
    next_cursor: str | None = None


class InvitedTo(BaseModel):
    """What the bearer of an invitation's link may know before joining."""

    account: str
    email: str
    role: Role
    known: bool = Field(description="Whether this address has a password here already.")


class AuditOut(BaseModel):
    id: str
    at: Moment
    source: str = Field(examples=["accounts"])
    actor: str | None = Field(examples=["user:6a02230b-9f07-45a9-8563-add0cee3bc50"])
    action: str = Field(examples=["key.issued"])
    target: UUID | None
    detail: dict[str, Any]


class Audit(BaseModel):
    events: list[AuditOut]
    next_cursor: str | None


class MailOut(BaseModel):
    id: UUID
    to: str
    subject: str
    body: str
    created_at: Moment
    sent_at: Moment | None
    failed_at: Moment | None
    error: str | None


class Mails(BaseModel):
    mails: list[MailOut]
    next_cursor: str | None
