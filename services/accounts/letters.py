"""What people get by mail, as plain text."""

from dataclasses import dataclass
from typing import Any

from psycopg import Cursor

from libs.runtime.clock import uuid7


@dataclass(frozen=True)
class Letter:
    recipient: str
    subject: str
    body: str


def put_in_outbox(cursor: Cursor[Any], letter: Letter) -> None:
    """In the transaction of what the letter is about; a worker sends it."""
    cursor.execute(
        "insert into accounts.mails (id, recipient, subject, body) values (%s, %s, %s, %s)",
        (uuid7(), letter.recipient, letter.subject, letter.body),
    )


def confirm_sign_up(recipient: str, url: str, token: str) -> Letter:
    return Letter(
        recipient,
        "Confirm your address for EzStat",
        f"Welcome to EzStat.\n\nOpen this link within 24 hours to confirm your address and sign in:\n"
        f"{url}/confirm?token={token}\n\nIf you did not sign up, there is nothing to do.\n",
    )


def known_already(recipient: str, url: str) -> Letter:
    return Letter(
        recipient,
        "You have an EzStat account already",
        f"Somebody, probably you, tried to sign up with this address, which has an account already.\n\n"
        f"Sign in: {url}/signin\nForgot the password? {url}/reset\n\n"
        "If it was not you, there is nothing to do.\n",
    )


def verify_address(recipient: str, url: str, token: str) -> Letter:
    return Letter(
        recipient,
        "Confirm your address for EzStat",
        f"Open this link within 24 hours to show that this address is yours:\n{url}/confirm?token={token}\n",
    )


def reset_password(recipient: str, url: str, token: str) -> Letter:
    return Letter(
        recipient,
        "A new password for EzStat",
        f"Somebody, probably you, asked for a new password. Open this link within an hour to choose it:\n"
        f"{url}/reset?token={token}\n\nIf it was not you, there is nothing to do; the old password stays.\n",
    )


def invitation(recipient: str, organisation: str, url: str, token: str) -> Letter:
    return Letter(
        recipient,
        f"An invitation to {organisation} on EzStat",
        f"You are invited to look after the numbers of {organisation}.\n\nOpen this link within 7 days to join:\n"
        f"{url}/invitation?token={token}\n",
    )
