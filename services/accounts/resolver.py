"""The answer to `accounts.resolve-key`: what a presented secret is, for rings that do not know it yet."""

import hmac
from uuid import uuid5

from libs.contracts.accounts import KeyFacts, KeyResolved, ResolveKey
from libs.eventstore.database import Database
from libs.runtime.settings import Settings
from services.accounts import queries, secrets
from services.accounts.barrier import register
from services.accounts.domain import ACCOUNT_SCOPES, SITE_SCOPES


class Resolver:
    """Looks keys up by digest. The self-hosted key is known from the environment and in no table."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._self_hosted = secrets.digest(settings.api_key) if settings.api_key else None

    async def answer(self, question: ResolveKey) -> KeyResolved:
        """Raises `DatabaseUnavailable`; then the ring answers 503 for keys it does not know."""
        await register(self._database, question.ring)
        async with self._database.house() as cursor:
            if self._self_hosted and hmac.compare_digest(question.digest, self._self_hosted):
                return KeyResolved(facts=_self_hosted_facts(await queries.first_account(cursor)))
            return KeyResolved(facts=await queries.key_facts(cursor, question.digest, question.peppered))


def _self_hosted_facts(first: queries.AccountRow | None) -> KeyFacts | None:
    """An account key and read key of the first account, with every limit off."""
    if first is None:
        return None
    return KeyFacts(
        key_id=uuid5(first.account, "self-hosted"),
        account=first.account,
        kind="self_hosted",
        scopes=frozenset(ACCOUNT_SCOPES + SITE_SCOPES),
        unlimited=True,
        joiner="~" if first.joiner == "~" else " ",
    )
