"""Who a request comes from: a key that the ring knows."""

from typing import TYPE_CHECKING, Any

from libs.contracts.accounts import KeyFacts
from libs.http.errors import Unauthorized

if TYPE_CHECKING:
    from libs.http.write_bucket import WriteBucket


class Principal:
    """One key in one process, shared by all its requests.

    `digest` is SHA-256 of the secret, `peppered` its HMAC. `alive` turns False, for good, the moment the key is
    dropped: whoever awaits something between reading a request and recording it asks again. `bucket` limits its writes.
    `memo` is where consumers keep what they derive from the key for as long as it lives. `used_at` is Unix seconds, 0.0
    before the first use.
    """

    __slots__ = ("alive", "bucket", "digest", "facts", "memo", "peppered", "used_at")

    def __init__(self, facts: KeyFacts, digest: bytes, peppered: bytes, bucket: "WriteBucket") -> None:
        self.facts = facts
        self.digest = digest
        self.peppered = peppered
        self.bucket = bucket
        self.alive = True
        self.memo: dict[Any, Any] = {}
        self.used_at = 0.0

    def valid(self, now: float) -> bool:
        """Not dropped and not expired; `now` is Unix seconds."""
        expires = self.facts.expires_at
        return self.alive and (expires is None or now < expires)

    def require_alive(self) -> None:
        """Ask once more just before something is recorded; raises `Unauthorized` when the key died meanwhile."""
        if not self.alive:
            raise Unauthorized
