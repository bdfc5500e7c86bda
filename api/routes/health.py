"""Health, for load balancers and orchestrators. No token is required."""

from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from api import openapi as docs
from api.errors import Answer
from api.schemas import Health, Liveness, Readiness
from api.state import state_of
from api.version import VERSION
from models.wire import timestamp, to_json

router = APIRouter(prefix="/health", tags=["Health"], responses=docs.PUBLIC)

ESSENTIAL = ("mongodb", "temporal")
"""Every change needs these. Without the other systems, the service is slower or delayed."""

_UP = {"mongodb": "connected", "temporal": "connected"}
_ALL_UP = {
    "mongodb": "connected",
    "redis": "connected",
    "kafka": "connected",
    "temporal": "connected",
    "inventory": "reachable",
}


def _example(status: str, services: dict[str, str]) -> dict[str, object]:
    timestamp = "2026-01-27T10:30:00.000Z"
    return {
        "status": status,
        "timestamp": timestamp,
        "services": services,
        "version": VERSION,
    }


@router.get(
    "",
    summary="Get the health of the service and its dependencies",
    responses={
        200: docs.described(
            Health,
            "Healthy, or degraded: Redis, Kafka, the Inventory Service or the product service is "
            "unavailable.",
            example=_example("healthy", _ALL_UP),
        ),
        503: docs.described(
            Health,
            "Unhealthy: MongoDB or Temporal is unavailable.",
            example=_example("unhealthy", _ALL_UP | {"mongodb": "disconnected"}),
        ),
    },
)
async def health(request: Request) -> Response:
    """Checks all systems concurrently and answers within two seconds."""
    alive = await state_of(request).health.check()
    if not all(alive[name] for name in ESSENTIAL):
        status = "unhealthy"
    else:
        status = "healthy" if all(alive.values()) else "degraded"
    body = {
        "status": status,
        "timestamp": timestamp(datetime.now(UTC)),
        "services": {name: _word(name, up) for name, up in alive.items()},
        "version": request.app.version,
    }
    return _answer(body, ok=status != "unhealthy")


@router.get(
    "/live",
    summary="Check that the process is running",
    responses={200: docs.described(Liveness, "It is running.", example={"status": "alive"})},
)
async def live() -> Response:
    """Checks no other system, because a restart would not help it."""
    return _answer({"status": "alive"}, ok=True)


@router.get(
    "/ready",
    summary="Check that requests can be served",
    responses={
        200: docs.described(
            Readiness,
            "Requests can be served.",
            example={"status": "ready", "services": _UP},
        ),
        503: docs.described(
            Readiness,
            "MongoDB or Temporal is unavailable.",
            example={"status": "not ready", "services": _UP | {"temporal": "disconnected"}},
        ),
    },
)
async def ready(request: Request) -> Response:
    """Checks only the systems that every change needs."""
    alive = await state_of(request).health.check(*ESSENTIAL)
    ok = all(alive.values())
    services = {name: _word(name, up) for name, up in alive.items()}
    return _answer({"status": "ready" if ok else "not ready", "services": services}, ok=ok)


def _word(name: str, up: bool) -> str:
    if name in {"inventory", "products"}:
        return "reachable" if up else "unreachable"
    return "connected" if up else "disconnected"


def _answer(body: dict[str, object], *, ok: bool) -> Response:
    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, to_json(body)).response()
