"""The HTTP side: routes of the contract, errors, health, and what happens at start and stop.

What is not here: any rule about stock (`store.py`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from pydantic import BaseModel

from dev.inventory_service.errors import add_error_handlers
from dev.inventory_service.faults import Fault, FaultAction, FaultList, FaultQueueFullError, Faults
from dev.inventory_service.mongo import StoreUnavailableError
from dev.inventory_service.responses import answer
from dev.inventory_service.schemas import (
    EntityId,
    HealthAnswer,
    Problem,
    ReleaseAnswer,
    ReleaseRequest,
    ReservationsPage,
    ReservationsQuery,
    ReserveAnswer,
    ReserveRequest,
    StockAnswer,
    StockRequest,
    StoreQuery,
    ValidationProblem,
)
from dev.inventory_service.store import Store
from heartbeat import beating
from settings import Settings
from telemetry.requests import REQUEST_SPANS
from telemetry.tracing import tracing

logger = logging.getLogger(__name__)

_PREPARE_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with."""

    store: Store
    faults: Faults


def create_app(settings: Settings) -> FastAPI:
    """The application; it connects when it is started, not here."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts = Parts(Store(settings.mongodb.get_secret_value()), Faults())
        app.state.parts = parts
        preparing = asyncio.create_task(_prepare(parts.store))
        # Requests may come as soon as the database is ready, and without it they get their 503.
        await asyncio.wait({preparing}, timeout=_PREPARE_AGAIN_SECONDS)
        try:
            with tracing(settings, "inventory"):
                async with beating(settings.heartbeat_file):
                    yield
        finally:
            preparing.cancel()
            with suppress(asyncio.CancelledError):
                await preparing
            await parts.store.close()

    app = FastAPI(
        title="Reference Inventory Service",
        description="A stand-in that implements the inventory contract.",
        version="1",
        telemetry=REQUEST_SPANS,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.include_router(inventory_routes)
    app.include_router(health_routes)
    if settings.inventory_faults:
        app.include_router(fault_routes)
    add_error_handlers(app)
    _document_without_422(app)
    return app


def _document_without_422(app: FastAPI) -> None:
    """FastAPI documents its own validation answer, which this service never gives (it is 400)."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


async def _prepare(store: Store) -> None:
    """Once MongoDB can be reached; until then health says that it cannot."""
    while True:
        try:
            await store.prepare()
        except StoreUnavailableError:
            await asyncio.sleep(_PREPARE_AGAIN_SECONDS)
        else:
            logger.info("Inventory is ready", extra={"event": "inventory.ready"})
            return


def stop_waiting(app: FastAPI) -> None:
    """Ends the waits of injected faults, so that they do not hold up the end of the process."""
    parts = getattr(app.state, "parts", None)
    if parts is not None:
        parts.faults.stop()


def _parts(request: Request) -> Parts:
    return cast("Parts", request.app.state.parts)


def _answers(models: dict[int, type[BaseModel]]) -> dict[int | str, dict[str, Any]]:
    """For the documentation alone; the routes write their answers themselves."""
    return {status: {"model": model} for status, model in models.items()}


inventory_routes = APIRouter(
    prefix="/api/v1/inventories",
    tags=["inventory"],
    responses=_answers({400: ValidationProblem, 503: Problem}),
)
health_routes = APIRouter(tags=["health"])
fault_routes = APIRouter(
    prefix="/faults", tags=["faults"], responses=_answers({400: ValidationProblem})
)


@inventory_routes.post("/reserve", responses=_answers({200: ReserveAnswer, 409: ReserveAnswer}))
async def reserve(body: ReserveRequest, request: Request) -> Response:
    """Holds units for a user's cart, or answers 409 with how many there are."""
    parts = _parts(request)

    async def work() -> Response:
        outcome = await parts.store.reserve(body)
        return answer(outcome, 200 if outcome.success else 409)

    return await parts.faults.around(FaultAction.RESERVE, work)


@inventory_routes.post("/release", responses=_answers({200: ReleaseAnswer}))
async def release(body: ReleaseRequest, request: Request) -> Response:
    """Undoes a saga's reserve, or frees units that the user holds."""
    parts = _parts(request)

    async def work() -> Response:
        return answer(await parts.store.release(body))

    return await parts.faults.around(FaultAction.RELEASE, work)


@inventory_routes.get("/check/{productId}", responses=_answers({200: StockAnswer}))
async def check(
    product_id: Annotated[EntityId, Path(alias="productId")],
    query: Annotated[StoreQuery, Query()],
    request: Request,
) -> Response:
    """The units of a product."""
    parts = _parts(request)

    async def work() -> Response:
        return answer(await parts.store.check(query.store_id, product_id))

    return await parts.faults.around(FaultAction.CHECK, work)


@inventory_routes.put("/stock/{productId}", responses=_answers({200: StockAnswer}))
async def set_stock(
    product_id: Annotated[EntityId, Path(alias="productId")],
    query: Annotated[StoreQuery, Query()],
    body: StockRequest,
    request: Request,
) -> Response:
    """Sets what is available of a product; held and sold stay."""
    store = _parts(request).store
    return answer(await store.set_stock(query.store_id, product_id, body.available))


@inventory_routes.get("/reservations", responses=_answers({200: ReservationsPage}))
async def reservations(query: Annotated[ReservationsQuery, Query()], request: Request) -> Response:
    """What is held now, by user and product, a page at a time."""
    return answer(await _parts(request).store.reservations(query))


@health_routes.get("/health", responses=_answers({200: HealthAnswer, 503: HealthAnswer}))
async def health(request: Request) -> Response:
    """Whether MongoDB answers, which is all that this service needs."""
    try:
        await _parts(request).store.ping()
    except StoreUnavailableError:
        return answer(HealthAnswer(status="unhealthy"), 503)
    return answer(HealthAnswer(status="healthy"))


@fault_routes.post("", responses=_answers({200: FaultList, 409: Problem}))
async def add_fault(fault: Fault, request: Request) -> Response:
    """Queues a fault for the next calls of an action."""
    faults = _parts(request).faults
    try:
        faults.add(fault)
    except FaultQueueFullError:
        return answer(Problem(message="Too many faults are queued"), 409)
    return answer(FaultList(faults=faults.left()))


@fault_routes.get("", responses=_answers({200: FaultList}))
async def list_faults(request: Request) -> Response:
    """What is queued and not consumed yet."""
    return answer(FaultList(faults=_parts(request).faults.left()))


@fault_routes.delete("", responses=_answers({200: FaultList}))
async def clear_faults(request: Request) -> Response:
    """Forgets all queued faults."""
    faults = _parts(request).faults
    faults.clear()
    return answer(FaultList(faults=faults.left()))
