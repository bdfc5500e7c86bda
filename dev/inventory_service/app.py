"""The application: routes of the contracts, health and fault injection; start and stop.

`store.py` has the rules about stock.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Annotated, Any, cast

import structlog
from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from pydantic import BaseModel

from dev.inventory_service.faults import Fault, FaultAction, FaultList, Faults
from dev.inventory_service.mongo import StoreUnavailableError
from dev.inventory_service.responses import add_error_handlers, answer
from dev.inventory_service.schemas import (
    EntityId,
    HealthAnswer,
    Problem,
    ProductAnswer,
    ProductRequest,
    ReleaseAnswer,
    ReleaseRequest,
    ReservationsPage,
    ReservationsQuery,
    ReserveAnswer,
    ReserveRequest,
    StockAnswer,
    StockRequest,
    StoreQuery,
    TransferRequest,
    ValidationProblem,
)
from dev.inventory_service.store import Store
from heartbeat import beating
from settings import Settings
from telemetry.requests import REQUEST_SPANS
from telemetry.tracing import tracing

logger = structlog.stdlib.get_logger(__name__)

_PREPARE_AGAIN_SECONDS = 1.0
_END_EVERY_SECONDS = 1.0
_END_AT_ONCE = 1000


def create_app(settings: Settings) -> FastAPI:
    """The application; it connects at its start."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.store = store = Store(settings.mongodb.get_secret_value())
        preparing = asyncio.create_task(_prepare(store))
        ending = asyncio.create_task(_end_reserves(store))
        # Accepts requests once the database is ready, or with 503 until it is.
        await asyncio.wait({preparing}, timeout=_PREPARE_AGAIN_SECONDS)
        try:
            with tracing(settings, "inventory"):
                async with beating(settings.heartbeat_file):
                    yield
        finally:
            preparing.cancel()
            ending.cancel()
            await asyncio.gather(preparing, ending, return_exceptions=True)
            await store.close()

    app = FastAPI(
        title="Reference Inventory Service",
        description="Implements the contracts of the inventory and of the product service, for "
        "development.",
        version="1",
        telemetry=REQUEST_SPANS,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.faults = Faults()
    app.include_router(inventory_routes)
    app.include_router(product_routes)
    app.include_router(health_routes)
    if settings.inventory_faults:
        app.include_router(fault_routes)
    add_error_handlers(app)
    _document_without_422(app)
    return app


def _document_without_422(app: FastAPI) -> None:
    """Removes FastAPI's 422: this service returns 400 for invalid requests."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


async def _prepare(store: Store) -> None:
    """Prepares the store, as soon as MongoDB can be reached."""
    while True:
        try:
            await store.prepare()
        except StoreUnavailableError:
            await asyncio.sleep(_PREPARE_AGAIN_SECONDS)
        else:
            logger.info("inventory.ready", message="Inventory is ready")
            return


async def _end_reserves(store: Store) -> None:
    """Ends reserves whose time to live is over, again and again."""
    while True:
        await asyncio.sleep(_END_EVERY_SECONDS)
        with suppress(StoreUnavailableError):
            await store.end_reserves(limit=_END_AT_ONCE)


def _store(request: Request) -> Store:
    return cast("Store", request.app.state.store)


def _faults(request: Request) -> Faults:
    return cast("Faults", request.app.state.faults)


def _answers(models: dict[int, type[BaseModel]]) -> dict[int | str, dict[str, Any]]:
    """Responses for OpenAPI; the routes serialize them themselves."""
    return {status: {"model": model} for status, model in models.items()}


inventory_routes = APIRouter(
    prefix="/api/v1/inventories",
    tags=["inventory"],
    responses=_answers({400: ValidationProblem, 503: Problem}),
)
product_routes = APIRouter(
    prefix="/api/v1/products",
    tags=["products"],
    responses=_answers({400: ValidationProblem, 503: Problem}),
)
health_routes = APIRouter(tags=["health"])
fault_routes = APIRouter(
    prefix="/faults", tags=["faults"], responses=_answers({400: ValidationProblem})
)


@inventory_routes.post("/reserve", responses=_answers({200: ReserveAnswer, 409: ReserveAnswer}))
async def reserve(body: ReserveRequest, request: Request) -> Response:
    """Holds units for a user's cart, or returns 409 with the units available."""
    reserve_units = partial(_store(request).reserve, body)
    return await _faults(request).around(
        FaultAction.RESERVE, body.store_id, body.product_id, reserve_units
    )


@inventory_routes.post("/transfer", responses=_answers({200: ReserveAnswer, 409: ReserveAnswer}))
async def transfer(body: TransferRequest, request: Request) -> Response:
    """Moves held units from one user to another, or returns 409."""
    move_units = partial(_store(request).transfer, body)
    return await _faults(request).around(
        FaultAction.TRANSFER, body.store_id, body.product_id, move_units
    )


@inventory_routes.post("/release", responses=_answers({200: ReleaseAnswer}))
async def release(body: ReleaseRequest, request: Request) -> Response:
    """Undoes a saga's reserve, or frees units that the user holds."""
    release_units = partial(_store(request).release, body)
    return await _faults(request).around(
        FaultAction.RELEASE, body.store_id, body.product_id, release_units
    )


@inventory_routes.get("/check/{productId}", responses=_answers({200: StockAnswer}))
async def check(
    product_id: Annotated[EntityId, Path(alias="productId")],
    query: Annotated[StoreQuery, Query()],
    request: Request,
) -> Response:
    """The units of a product."""
    check_stock = partial(_store(request).check, query.store_id, product_id)
    return await _faults(request).around(FaultAction.CHECK, query.store_id, product_id, check_stock)


@inventory_routes.put("/stock/{productId}", responses=_answers({200: StockAnswer}))
async def set_stock(
    product_id: Annotated[EntityId, Path(alias="productId")],
    query: Annotated[StoreQuery, Query()],
    body: StockRequest,
    request: Request,
) -> Response:
    """Sets the available units of a product; held and sold do not change."""
    store = _store(request)
    return answer(await store.set_stock(query.store_id, product_id, body.available))


@inventory_routes.get("/reservations", responses=_answers({200: ReservationsPage}))
async def reservations(query: Annotated[ReservationsQuery, Query()], request: Request) -> Response:
    """A page of the units held, by user and product."""
    return answer(await _store(request).reservations(query))


@product_routes.get("/{productId}", responses=_answers({200: ProductAnswer, 404: Problem}))
async def product(
    product_id: Annotated[EntityId, Path(alias="productId")],
    query: Annotated[StoreQuery, Query()],
    request: Request,
) -> Response:
    """What a product is called and costs in a store."""

    async def read() -> BaseModel:
        found = await _store(request).product(query.store_id, product_id)
        return found or Problem(message="No such product in this store")

    return await _faults(request).around(FaultAction.PRODUCT, query.store_id, product_id, read)


@product_routes.put("/{productId}", responses=_answers({200: ProductAnswer}))
async def set_product(
    product_id: Annotated[EntityId, Path(alias="productId")],
    query: Annotated[StoreQuery, Query()],
    body: ProductRequest,
    request: Request,
) -> Response:
    """Sets what a product is called and costs in a store."""
    return answer(await _store(request).set_product(query.store_id, product_id, body))


@health_routes.get("/health", responses=_answers({200: HealthAnswer, 503: HealthAnswer}))
async def health(request: Request) -> Response:
    """Whether MongoDB can be reached."""
    try:
        await _store(request).ping()
    except StoreUnavailableError:
        return answer(HealthAnswer(status="unhealthy"), 503)
    return answer(HealthAnswer(status="healthy"))


@fault_routes.post("", responses=_answers({200: FaultList, 409: Problem}))
async def add_fault(fault: Fault, request: Request) -> Response:
    """Queues a fault for the next calls of an action, of all products or of one."""
    if not _faults(request).add(fault):
        return answer(Problem(message="Too many faults are queued"), 409)
    return answer(_faults(request).left())


@fault_routes.get("", responses=_answers({200: FaultList}))
async def list_faults(request: Request) -> Response:
    """Lists the faults in the queue."""
    return answer(_faults(request).left())


@fault_routes.delete("", responses=_answers({200: FaultList}))
async def clear_faults(
    request: Request, store_id: Annotated[EntityId | None, Query(alias="storeId")] = None
) -> Response:
    """Clears the queue, or the faults of one store."""
    _faults(request).clear(store_id)
    return answer(_faults(request).left())
