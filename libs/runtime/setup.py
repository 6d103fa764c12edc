"""What is done once before a version of EzStat runs, and commands that services add."""

from collections.abc import Callable, Sequence
from typing import Any

from libs.eventstore.database import DatabaseUnavailable, SetupError
from libs.eventstore.migrate import migrate
from libs.runtime.errors import CannotRun
from libs.runtime.process import open_process
from libs.runtime.service import Service
from libs.runtime.settings import Settings
from libs.runtime.tasks import background_tasks


async def set_up(settings: Settings, services: Sequence[Service]) -> dict[str, str]:
    """Migrate all services, then make what the environment asks for; answers the fields of `Welcome`."""
    schemas = [(service.name, service.schema) for service in services if service.schema]
    try:
        migrate(settings.database_url, schemas)
    except (SetupError, DatabaseUnavailable) as error:
        raise CannotRun(str(error)) from error
    welcome = {"url": "", "curl": ""}
    for service in services:
        if "first-run" in service.commands:
            told = await run_command(settings, service.commands["first-run"])
            welcome = {"url": told.url or welcome["url"], "curl": told.curl or welcome["curl"]}
    return welcome


async def run_command(settings: Settings, command: Callable[..., Any], *arguments: Sequence[str]) -> Any:
    """Call a service's command with a process of role "work"."""
    async with open_process(settings, "work", "command") as process, background_tasks() as tasks:
        process.tasks = tasks
        try:
            return await command(process, *arguments)
        except DatabaseUnavailable as error:
            raise CannotRun(f"Postgres is away: {error}") from error
