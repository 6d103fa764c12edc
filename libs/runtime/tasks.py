"""A task group for tasks that run until everything ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Ended(Exception):
    """Makes a task group cancel what still runs in it."""


@asynccontextmanager
async def background_tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that cancels what still runs when its body ends. An error in a task cancels the body and the other
    tasks and leaves as an `ExceptionGroup`, like one of the body itself."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
            raise _Ended
    except* _Ended:
        pass
