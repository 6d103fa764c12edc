"""What `services/accounts` tells the others."""

from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from libs.contracts.envelope import Event

KeyKind = Literal["account", "user_token", "site", "read", "ez", "self_hosted", "session"]
Mode = Literal["live", "test"]
Role = Literal["owner", "member", "viewer"]

KEY_PEPPER = "ez-key-pepper"  # purpose of `Settings.derive` for digests of adopted keys

RESOLVE_KEY = "accounts.resolve-key"
RING_DROP = "ring.drop"
RING_BEAT = "ring.beat"
RING_LEFT = "ring.left"
RING_USED = "ring.used"


class AccountOpened(Event, frozen=True, kw_only=True):
    """An organisation exists from now on."""

    SERVICE: ClassVar[str] = "accounts"
    name: str


class AccountClosed(Event, frozen=True, kw_only=True):
    """An account was deleted; everything it owns must go."""

    SERVICE: ClassVar[str] = "accounts"


class KeyIssued(Event, frozen=True, kw_only=True):
    """A key of any kind was made (never its secret)."""

    SERVICE: ClassVar[str] = "accounts"
    key_id: UUID
    kind: KeyKind
    name: str


class KeyRevoked(Event, frozen=True, kw_only=True):
    """A key is dead."""

    SERVICE: ClassVar[str] = "accounts"
    key_id: UUID


class KeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a ring knows of a key: who it is and what it may do. `expires_at` is Unix seconds."""

    key_id: UUID
    account: UUID
    kind: KeyKind
    mode: Mode = "live"
    scopes: frozenset[str] = frozenset()
    user: UUID | None = None
    role: Role | None = None
    site: UUID | None = None
    expires_at: float | None = None
    unlimited: bool = False
    joiner: Literal["~", " "] = "~"


class ResolveKey(msgspec.Struct, frozen=True, kw_only=True):
    """Asks accounts (subject `RESOLVE_KEY`) for a key the ring does not know.

    `digest` is SHA-256 of the presented secret, `peppered` its HMAC for adopted EZ keys. Accounts remembers `ring`
    durably before it answers: a ring that holds a key is always known to the revocation barrier.
    """

    digest: bytes
    peppered: bytes
    ring: str


class KeyResolved(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `ResolveKey`; `None`: no such key, or not any more."""

    facts: KeyFacts | None


class KeyUsed(msgspec.Struct, frozen=True, kw_only=True):
    """Sent by rings about once a minute, core NATS, subject `RING_USED`: key id -> Unix seconds of its last use."""

    used: dict[UUID, float]


class RingDrop(msgspec.Struct, frozen=True, kw_only=True):
    """To every ring (core NATS broadcast `RING_DROP` with a reply inbox): forget these keys now.

    `digests` are SHA-256 or peppered digests; `account` drops all keys of an account (a role or setting changed).
    Each ring answers `RingDropped` once no request can be accepted with them any more.
    """

    digests: tuple[bytes, ...] = ()
    account: UUID | None = None


class RingDropped(msgspec.Struct, frozen=True, kw_only=True):
    ring: str


class RingBeat(msgspec.Struct, frozen=True, kw_only=True):
    """Once a second from every ring (`RING_BEAT`), and once when it ends (`RING_LEFT`), by itself or, where a
    process was seen dead, by the supervisor.

    `ring` is `<host>:<pid>:<nonce>`. In a `RING_LEFT` of the supervisor it is `<host>:<pid>:*`: every ring of that
    process is gone (the supervisor can't know nonces). The supervisor says it more than once: whoever listens can
    forget a ring twice.
    """

    ring: str

    def covers(self, ring: str) -> bool:
        """Is `ring` one of those that this beat speaks of?"""
        return ring == self.ring or (self.ring.endswith(":*") and ring.startswith(self.ring[:-1]))
