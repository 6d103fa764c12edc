"""What the operator does from the command line, as `ezstat` calls it."""

from typing import Any

from libs.runtime.setup import run_command, set_up
from services.accounts.service import service
from tests.libs.databases import fresh_database
from tests.servers import Servers
from tests.services.accounts.installation import settings_for


async def test_the_first_run_tells_the_set_up_link_and_keys_are_made_before_anybody_signed_up(servers: Servers) -> None:
    with fresh_database(servers.database_url) as dsn:
        settings = settings_for(servers, dsn)
        welcome = await set_up(settings, [service])
        assert welcome["url"].startswith("http://localhost:8000/setup?token=")
        assert welcome["curl"].endswith(" http://localhost:8000/api/public")
        assert await set_up(settings, [service]) == welcome
        create: Any = service.commands["keys create"]
        assert (await run_command(settings, create, [])).startswith("ss_live_")
        assert (await run_command(settings, create, ["--test", "--style", "sk", "--scope", "stats:read"])).startswith(
            "sk_test_"
        )
        assert "events replayed" in await run_command(settings, service.commands["replay"], [])


async def test_with_what_the_environment_names_nothing_is_left_to_set_up(servers: Servers) -> None:
    with fresh_database(servers.database_url) as dsn:
        settings = settings_for(
            servers, dsn, api_key="self-hosted", admin_email="ops@example.org", admin_password="correct horse battery"
        )
        welcome = await set_up(settings, [service])
        assert welcome["url"] == ""
        assert "$EZSTAT_API_KEY" in welcome["curl"]
