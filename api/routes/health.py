"""Health, for people, load balancers and orchestrators. Needs no token."""

from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from api import openapi as docs
from api.dependencies import StateDep
from api.errors import Answer
from api.schemas import Health, Liveness, Readiness
from models.wire import timestamp, to_json

router = APIRouter(prefix="/health", tags=["Health"])

ESSENTIAL = ("mongodb", "temporal")
"""Without these nothing can be changed; without the others the service is only slower or later."""

_EXAMPLE = {
    "status": "healthy",
    "timestamp": "2026-01-27T10:30:00.000Z",
    "services": {
        "mongodb": "connected",
        "redis": "connected",
        "kafka": "connected",
        "temporal": "connected",
        "inventory": "reachable",
    },
    "version": "2.0.0",
}
_DOWN = {"services": _EXAMPLE["services"] | {"mongodb": "disconnected"}}  # type: ignore[operator]


@router.get(
    "",
    operation_id="health",
    summary="The state of the service and of all that it needs",
    response_class=Response,
    responses={
        200: docs.described(
            Health,
            "Healthy, or degraded: Redis, Kafka or the Inventory Service is away.",
            example=_EXAMPLE,
        ),
        503: docs.described(
            Health,
            "Unhealthy: MongoDB or Temporal is away.",
            example=_EXAMPLE | _DOWN | {"status": "unhealthy"},
        ),
    },
)
async def health(request: Request, state: StateDep) -> Response:
    """Asks all systems at once and answers within two seconds."""
    alive = await state.health.check()
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
    operation_id="live",
    summary="Whether the process runs",
    response_class=Response,
    responses={200: docs.described(Liveness, "It does.", example={"status": "alive"})},
)
async def live() -> Response:
    """Never asks another system: a restart would not bring those back."""
    return _answer({"status": "alive"}, ok=True)


@router.get(
    "/ready",
    operation_id="ready",
    summary="Whether requests can be served",
    response_class=Response,
    responses={
        200: docs.described(
            Readiness,
            "They can.",
            example={
                "status": "ready",
                "services": {"mongodb": "connected", "temporal": "connected"},
            },
        ),
        503: docs.described(
            Readiness,
            "MongoDB or Temporal is away.",
            example={
                "status": "not ready",
                "services": {"mongodb": "connected", "temporal": "disconnected"},
            },
        ),
    },
)
async def ready(state: StateDep) -> Response:
    """Asks only the systems without which nothing can be changed."""
    alive = await state.health.check(*ESSENTIAL)
    ok = all(alive.values())
    services = {name: _word(name, up) for name, up in alive.items()}
    return _answer({"status": "ready" if ok else "not ready", "services": services}, ok=ok)


def _word(name: str, up: bool) -> str:
    if name == "inventory":
        return "reachable" if up else "unreachable"
    return "connected" if up else "disconnected"


def _answer(body: dict[str, object], *, ok: bool) -> Response:
    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, to_json(body)).response()
