"""Health, for monitors: no key."""

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.ingest import answers
from services.ingest.health import Health


class HealthOut(BaseModel):
    """`degraded`: points are taken, but something is away or behind."""

    status: Literal["ok", "degraded", "unavailable"]
    services: dict[str, dict[str, Any]] = Field(
        examples=[{"postgres": {"status": "ok"}, "writer": {"status": "ok", "lag": 0, "parked": 0}}]
    )


def router(health: Health) -> APIRouter:
    routes = APIRouter(tags=["Health"])

    @routes.get(
        "/api/v1/health",
        response_model=HealthOut,
        summary="Is EzStat well?",
        responses={503: {"description": "Points can't be taken just now", "model": HealthOut}},
    )
    async def health_() -> Response:
        """200 as long as points are taken. Says what is down, how many frames wait for the writer (`lag`), and how many
        could not be stored and wait for a person (`parked`)."""
        report = await health.report()
        body = answers.encode({"status": report.status, "services": report.parts})
        headers = {"cache-control": "no-store"} | ({} if report.accepting else {"retry-after": "5"})
        return Response(body, 200 if report.accepting else 503, headers, "application/json")

    return routes
