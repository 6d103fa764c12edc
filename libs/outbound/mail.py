"""Mail over SMTP, from the standard library, in a thread, with deadlines."""

import asyncio
import smtplib
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from urllib.parse import unquote, urlsplit

_LINE = 10.0  # seconds for each step of the conversation
_WHOLE = 45.0  # seconds for a mail


class MailError(Exception):
    """A mail was not taken. `permanent`: trying again will not help. `reason` is for the operator, not for users."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


@dataclass(frozen=True, kw_only=True)
class Mail:
    """What a person gets. `html` is an alternative to `text`; `headers` are further ones, such as List-Unsubscribe."""

    to: str
    subject: str
    text: str
    html: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where mails are handed in. `smtps` speaks TLS from the start; else STARTTLS is used whenever it is offered."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: bool

    @classmethod
    def parse(cls, url: str) -> "Server":
        """`smtp[s]://user:password@host:port`. Raises `ValueError`."""
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("a mail server is smtp://host:port or smtps://host:port")
        tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=parts.port or (465 if tls else 587),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=tls,
        )


class Mailer:
    """Hands mails to a server, one after the other."""

    def __init__(self, url: str, sender: str) -> None:
        self._server = Server.parse(url)
        self._sender = sender
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mail")

    async def send(self, mail: Mail, message_id: str = "") -> None:
        """Hand in a mail; with the same `message_id` a second time a reader's program shows it once.

        Raises `MailError`.
        """
        message = compose(mail, self._sender, message_id)
        sending = asyncio.get_running_loop().run_in_executor(self._thread, _hand_in, self._server, message)
        try:
            async with asyncio.timeout(_WHOLE):
                await sending
        except TimeoutError:
            raise MailError("the mail server took too long", permanent=False) from None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def compose(mail: Mail, sender: str, message_id: str = "") -> EmailMessage:
    """A message as it goes out. `EmailMessage` refuses line breaks in headers, so that no header can be slipped in."""
    message = EmailMessage()
    name, address = parseaddr(sender)
    domain = address.rpartition("@")[2] or "localhost"
    try:
        message["From"] = Address(name, addr_spec=address)
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = mail.subject
        for header, value in mail.headers.items():
            message[header] = value
    except (ValueError, IndexError) as error:
        raise MailError(f"this can't be written as a mail: {error}", permanent=True) from None
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{message_id}@{domain}>" if message_id else make_msgid(domain=domain)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message


def _hand_in(server: Server, message: EmailMessage) -> None:
    try:
        with _connect(server) as line:
            if server.user:
                line.login(server.user, server.password)
            line.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code, _ = next(iter(error.recipients.values()))
        raise MailError(f"the mail server refused the address ({code})", permanent=code >= 500) from None
    except smtplib.SMTPResponseException as error:
        # Wrong credentials are the operator's to put right; the mails wait for it.
        permanent = error.smtp_code >= 500 and not isinstance(error, smtplib.SMTPAuthenticationError)
        raise MailError(f"the mail server said {error.smtp_code}", permanent=permanent) from None
    except (OSError, smtplib.SMTPException) as error:
        raise MailError(f"the mail server can't be reached: {type(error).__name__}", permanent=False) from None


def _connect(server: Server) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if server.tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=_LINE, context=context)
    line = smtplib.SMTP(server.host, server.port, timeout=_LINE)
    line.ehlo()
    if line.has_extn("starttls"):
        line.starttls(context=context)
        line.ehlo()
    elif server.user:
        line.close()
        raise MailError("the mail server offers no TLS; a password is not sent in the clear", permanent=False)
    return line
