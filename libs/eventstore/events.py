"""An aggregate's event, as those see it who project or publish it: they need not know the library behind it."""

from typing import Any

from eventsourcing.domain import DomainEventProtocol

DomainEvent = DomainEventProtocol[Any]
