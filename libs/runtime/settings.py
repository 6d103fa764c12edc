"""Every setting, read once from the environment. `ezstat settings` prints this table with the meanings."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from libs.runtime.errors import CannotRun


class SettingError(CannotRun):
    """A setting in the environment can't be understood; the message names it."""


def _setting(default: Any, env: str, meaning: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"env": env, "meaning": meaning, "secret": secret})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a process. Defaults work; sizes are bytes, times are seconds, rates are per second."""

    host: str = _setting("127.0.0.1", "EZSTAT_HOST", "address that HTTP listens on (0.0.0.0 for every interface)")
    port: int = _setting(8000, "PORT", "port that HTTP listens on")
    public_url: str = _setting("", "EZSTAT_URL", "address that users see, for links; empty: http://localhost:PORT")
    data: Path = _setting(Path(".ezstat"), "EZSTAT_DATA", "folder for databases, spool, imports and secrets")
    database_url: str = _setting("", "DATABASE_URL", "Postgres 17 or 18; empty: a private one is started", secret=True)
    nats_url: str = _setting("", "NATS_URL", "NATS with JetStream; empty: a private one is started", secret=True)
    redis_url: str = _setting("", "REDIS_URL", "Redis; empty: a private one is started", secret=True)
    secret: str = _setting(
        "", "EZSTAT_SECRET", "root secret of this installation; empty: made and kept in EZSTAT_DATA", secret=True
    )

    admin_email: str = _setting("", "EZSTAT_ADMIN_EMAIL", "with the password: the first user, made at first start")
    admin_password: str = _setting("", "EZSTAT_ADMIN_PASSWORD", "password of that first user", secret=True)
    api_key: str = _setting(
        "", "EZSTAT_API_KEY", "self-hosted key: works as account key and read key of the first account", secret=True
    )
    signup: bool = _setting(True, "EZSTAT_SIGNUP", "may strangers sign up (the set-up link always works once)")
    api_url: str = _setting(
        "", "EZSTAT_API_URL", "where the pages call the public API; empty: in their own process (`ezstat up`)"
    )
    require_https: bool = _setting(False, "EZSTAT_REQUIRE_HTTPS", "refuse plain HTTP, as told by a trusted proxy")
    trusted_proxies: str = _setting(
        "", "EZSTAT_TRUSTED_PROXIES", "comma-separated networks whose X-Forwarded-For and -Proto count"
    )

    rate_limits: bool = _setting(True, "EZSTAT_RATE_LIMITS", "off: no rate limits at all")
    write_rate: int = _setting(100_000, "EZSTAT_WRITE_RATE", "points a second that one key may send, after its burst")
    write_burst: int = _setting(1_000_000, "EZSTAT_WRITE_BURST", "points that one key may send at once")
    read_rate: int = _setting(600, "EZSTAT_READ_RATE", "reads a minute of one account key")
    public_rate: int = _setting(10, "EZSTAT_PUBLIC_RATE", "key-less requests a second from one address")
    login_rate: int = _setting(10, "EZSTAT_LOGIN_RATE", "sign-in tries a minute from one address, and for one e-mail")

    smtp_url: str = _setting(
        "",
        "EZSTAT_SMTP_URL",
        "smtp[s]://user:password@host:port; empty: mails are kept and shown to the operator",
        secret=True,
    )
    mail_from: str = _setting("EzStat <ezstat@localhost>", "EZSTAT_MAIL_FROM", "sender of mails")
    webhook_allow: str = _setting("", "EZSTAT_WEBHOOK_ALLOW_CIDRS", "private networks that outgoing requests may reach")

    partitions: int = _setting(
        1, "EZSTAT_PARTITIONS", "streams that points are spread over, by account; set before first start"
    )
    spool: bool = _setting(
        True, "EZSTAT_SPOOL", "off: answer 503 while NATS is away, instead of keeping points on disk"
    )
    spool_bytes: int = _setting(512 << 20, "EZSTAT_SPOOL_BYTES", "size of the spool at which 503 begins")
    stream_bytes: int = _setting(8 << 30, "EZSTAT_STREAM_BYTES", "size of a points stream at which it refuses")
    writer_spacing: float = _setting(0.025, "EZSTAT_WRITER_SPACING", "pause of the writer between transactions")
    scrub_interval: float = _setting(
        86_400.0, "EZSTAT_SCRUB_INTERVAL", "how often archive and streams are cleaned of deleted stats"
    )
    import_bytes: int = _setting(10 << 30, "EZSTAT_IMPORT_BYTES", "largest import")
    hot_path: bool = _setting(True, "EZSTAT_HOT_PATH", "off: points take the ordinary FastAPI routes (for comparison)")
    work_port: int = _setting(0, "EZSTAT_WORK_PORT", "port of /livez, /readyz and /metrics of a work process; 0: none")
    http_workers: int = _setting(1, "EZSTAT_HTTP_WORKERS", "HTTP processes under `ezstat up`")

    log_format: str = _setting("human", "EZSTAT_LOG", "human or json")
    log_level: str = _setting("info", "EZSTAT_LOG_LEVEL", "debug, info, warning or error")

    @property
    def url(self) -> str:
        """The address users see, without a slash at its end."""
        return (self.public_url or f"http://localhost:{self.port}").rstrip("/")

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose out of the root secret (HMAC-SHA256), so that only one secret must be kept."""
        if not self.secret:
            raise SettingError("EZSTAT_SECRET is not set: start with `ezstat up`, or set it for every process")
        return hmac.digest(self.secret.encode(), purpose.encode(), hashlib.sha256)

    def derive_text(self, purpose: str) -> str:
        """`derive` as text that is safe in URLs and configuration files."""
        return base64.urlsafe_b64encode(self.derive(purpose)).decode().rstrip("=")


_SWITCH = {"on": True, "true": True, "1": True, "yes": True, "off": False, "false": False, "0": False, "no": False}


def _parse(kind: Any, env: str, text: str) -> Any:
    try:
        if kind in (bool, "bool"):
            return _SWITCH[text.lower()]
        if kind is Path:
            return Path(text)
        return kind(text)
    except (KeyError, ValueError):
        raise SettingError(f"{env}={text!r} is not a valid {kind.__name__}") from None


def load(environ: Mapping[str, str]) -> Settings:
    """Settings from an environment. Raises `SettingError` for a value that can't be understood."""
    known = {f.metadata["env"]: f for f in fields(Settings)}
    return Settings(**{f.name: _parse(f.type, env, environ[env]) for env, f in known.items() if environ.get(env)})


def environment(settings: Settings) -> dict[str, str]:
    """The environment that `load` reads the same settings from."""
    return {
        f.metadata["env"]: _text(value) for f in fields(Settings) if (value := getattr(settings, f.name)) != f.default
    }


def _text(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
