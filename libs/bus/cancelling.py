"""Loops that end when they are told to."""

import asyncio


def end_if_cancelled() -> None:
    """Raise `CancelledError` when the running task was cancelled and something swallowed it.

    nats-py's requests use `asyncio.wait_for`, which in Python 3.11 forgets a cancellation that comes together with the
    answer; a loop around it would then run for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
