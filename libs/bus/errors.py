"""What can go wrong on the bus, and what NATS' own client calls it."""

import asyncio

import nats.errors
import nats.js.errors


class BusUnavailable(Exception):
    """NATS, or who should answer, can't be reached in time. Whether a message arrived is not known."""


class StreamRefused(Exception):
    """JetStream answered that it did not store the message: the stream is full, the message too large, or the like."""


NATS_ERRORS = (nats.errors.Error, nats.js.errors.Error, OSError, asyncio.TimeoutError)
"""Everything nats-py raises when the server is away, slow, or says no."""
