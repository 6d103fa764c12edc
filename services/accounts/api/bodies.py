"""What requests say. Limits here are generous; the domain's own come with a message for people."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from libs.contracts.accounts import Mode, Role

Email = Annotated[str, StringConstraints(max_length=320), Field(examples=["alice@example.org"])]
Name = Annotated[str, StringConstraints(max_length=400), Field(examples=["CI pipeline"])]
Token = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    Field(description="From the link.", examples=["JVwVsfa2lV3Hdn2C16tHSl9fQ2mD7RH2aFQvVg87Ijm"]),
]
Timezone = Annotated[str, StringConstraints(max_length=64), Field(examples=["Europe/Berlin"])]
# Longer ones than the domain takes get its message; much longer ones never reach the hash.
Password = Annotated[SecretStr, Field(max_length=4096, examples=["correct horse battery staple"])]


class Body(BaseModel):
    """What a request says; fields nobody knows are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class SignUp(Body):
    email: Email
    password: Password
    organisation: Name | None = None
    timezone: Timezone | None = None


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
    timezone: Timezone | None = None
    tilde_joiner: Literal["~", " "] | None = Field(
        None, description="What joins the parts of a name that `~` splits; a space is how StatHat did it."
    )


class Farewell(Body):
    password: Password
