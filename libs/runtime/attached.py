"""Settings of a command that works beside a run: what the environment does not say, the data folder knows."""

from dataclasses import replace

from libs.runtime.errors import CannotRun
from libs.runtime.folder import DataFolder
from libs.runtime.settings import Settings


def attached(settings: Settings) -> Settings:
    """The settings with what the run in EZSTAT_DATA knows: its secret and the addresses of its private servers."""
    folder = DataFolder(settings.data)
    urls = folder.read().urls if folder.is_running() else {}
    return replace(
        settings,
        secret=settings.secret or folder.secret(),
        database_url=settings.database_url or urls.get("postgres", ""),
        nats_url=settings.nats_url or urls.get("nats", ""),
        redis_url=settings.redis_url or urls.get("redis", ""),
    )


def connected(settings: Settings) -> Settings:
    """`attached`, or the end when a server is not known."""
    known = attached(settings)
    missing = {"DATABASE_URL": known.database_url, "NATS_URL": known.nats_url, "REDIS_URL": known.redis_url}
    unset = [name for name, value in missing.items() if not value]
    if unset:
        raise CannotRun(
            f"no run in {known.data.absolute()}, and {', '.join(unset)} not set: start `ezstat up`, or name the servers"
        )
    return known
