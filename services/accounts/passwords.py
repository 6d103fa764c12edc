"""Passwords: argon2id, few at a time, in threads, and the same work whether there is such a person or not."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# 46 MiB, one pass, one lane: about 50 ms of a core. Two at once bound what a crowd of sign-ins can take of the machine.
_AT_ONCE = 2
_HASHER = PasswordHasher(memory_cost=47104, time_cost=1, parallelism=1)


class Passwords:
    """Hashes and verifies; belongs to one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
        self._dummy = _HASHER.hash("a password that nobody has")

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _HASHER.hash, password)

    async def verify(self, password: str, kept: str | None) -> bool:
        """Whether the password belongs to the hash; for an unknown user (`None`) False after the same work."""
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._threads, _matches, kept or self._dummy, password)
        return right and kept is not None

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return _HASHER.check_needs_rehash(kept)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _matches(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False
