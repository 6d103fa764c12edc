"""Mails reach a real SMTP server as they were written, or say why not."""

from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from libs.outbound.mail import Mail, Mailer, MailError, Server, compose
from libs.runtime.children import free_port


class Inbox:
    """Keeps what it is handed; refuses `nobody@…` for good and `later@…` for now."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: Any) -> str:
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        if address.startswith("later@"):
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.mails.append(message_from_bytes(envelope.content or b"", policy=default))  # type: ignore[arg-type]
        return "250 OK"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, str]]:
    kept = Inbox()
    controller = Controller(kept, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield kept, f"smtp://127.0.0.1:{controller.port}"
    controller.stop()


def mail(to: str = "bob@example.org") -> Mail:
    return Mail(to=to, subject="Grüße ✓", text="A link:\nhttps://example.org/x\n")


async def test_a_mail_arrives_with_its_subject_text_and_id(inbox: tuple[Inbox, str]) -> None:
    kept, url = inbox
    mailer = Mailer(url, "EzStat <ezstat@example.org>")
    await mailer.send(mail(), message_id="one")
    [arrived] = kept.mails
    assert arrived["Subject"] == "Grüße ✓"
    assert arrived["From"] == "EzStat <ezstat@example.org>"
    assert arrived["Message-ID"] == "<one@example.org>"
    assert "https://example.org/x" in arrived.get_content()


@pytest.mark.parametrize(("to", "permanent"), [("nobody@example.org", True), ("later@example.org", False)])
async def test_a_refusal_says_whether_trying_again_helps(inbox: tuple[Inbox, str], to: str, permanent: bool) -> None:
    with pytest.raises(MailError) as refused:
        await Mailer(inbox[1], "ezstat@example.org").send(mail(to))
    assert refused.value.permanent is permanent


async def test_a_server_that_is_away_is_no_permanent_error() -> None:
    with pytest.raises(MailError) as refused:
        await Mailer(f"smtp://127.0.0.1:{free_port()}", "ezstat@example.org").send(mail())
    assert not refused.value.permanent


async def test_a_password_is_not_sent_in_the_clear(inbox: tuple[Inbox, str]) -> None:
    url = inbox[1].replace("smtp://", "smtp://me:secret@")
    with pytest.raises(MailError, match="no TLS"):
        await Mailer(url, "ezstat@example.org").send(mail())


@pytest.mark.parametrize(
    "written",
    [
        Mail(to="bob@example.org\r\nBcc: eve@example.org", subject="x", text="x"),
        Mail(to="bob@example.org", subject="x\r\nBcc: eve@example.org", text="x"),
        Mail(to="bob@example.org", subject="x", text="x", headers={"X-Note": "a\nb"}),
    ],
)
def test_no_header_can_be_slipped_in(written: Mail) -> None:
    with pytest.raises(MailError):
        compose(written, "ezstat@example.org")


def test_a_server_is_read_from_its_url_and_never_shows_its_password() -> None:
    server = Server.parse("smtps://me%40example.org:p%3Aw@mail.example.org")
    assert (server.host, server.port, server.user, server.password) == (
        "mail.example.org",
        465,
        "me@example.org",
        "p:w",
    )
    assert "p:w" not in repr(server)
    with pytest.raises(ValueError, match="smtp://"):
        Server.parse("http://mail.example.org")
