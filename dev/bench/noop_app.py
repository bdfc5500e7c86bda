"""`python -m dev.bench.noop_app`: the API's stack (server, middleware, tokens, strict JSON, bodies)
around other insides: an empty workflow, the plain add, and nothing at all.
"""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.background import BackgroundTask
from temporalio.client import Client

from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.carts import CartStore
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from api.__main__ import server_config
from api.dependencies import CallDep, StoreId
from api.errors import Answer, add_error_handlers
from api.middleware import RequestMiddleware
from api.routes import health
from api.routes.cart import add_item_input
from api.routing import CartRoute
from api.schemas import AddItemBody
from api.state import open_state
from dev.bench.direct import DirectAdd, answer_of
from dev.bench.noop import NOOP_QUEUE, NoopWorkflow
from logs import configure_logging
from settings import Settings, load_settings
from workflows.gateway import connect


@dataclass(frozen=True, slots=True)
class BenchState:
    """What the routes work with, beside the API's own state."""

    temporal: Client
    direct: DirectAdd


router = APIRouter(route_class=CartRoute)


@router.post("/noop/{storeId}/store", response_class=Response)
async def noop(
    *, store_id: StoreId, body: AddItemBody, request: Request, call: CallDep
) -> Response:
    """Starts an empty workflow and waits for its result."""
    handle = await _state(request).temporal.start_workflow(
        NoopWorkflow.run, id=f"noop/{uuid4().hex}", task_queue=NOOP_QUEUE
    )
    await handle.result()
    return Answer(HTTPStatus.CREATED, b"{}").response()


@router.post("/direct/{storeId}/store", response_class=Response)
async def direct(
    *, store_id: StoreId, body: AddItemBody, request: Request, call: CallDep
) -> Response:
    """Adds an item without a workflow."""
    adder = _state(request).direct
    record = await adder.add(add_item_input(store_id, uuid4().hex, body, call, None))
    stored = answer_of(record)
    response = Answer(stored.status, stored.body.encode()).response()
    response.background = BackgroundTask(adder.note, record)
    return response


@router.get("/empty/{storeId}/store", response_class=Response)
async def empty(store_id: StoreId, call: CallDep) -> Response:
    """Does nothing for a caller with a token."""
    return Answer(HTTPStatus.OK, b"{}").response()


def create_app(settings: Settings) -> FastAPI:
    """The application, set up as the API is."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.api = await stack.enter_async_context(open_state(settings))
            app.state.bench = await _open(settings, stack)
            yield

    app = FastAPI(lifespan=lifespan, redirect_slashes=False)
    app.add_middleware(RequestMiddleware, max_body_bytes=settings.max_body_bytes)
    add_error_handlers(app)
    app.include_router(router)
    app.include_router(health.router)
    return app


async def _open(settings: Settings, stack: AsyncExitStack) -> BenchState:
    carts = await CartStore.connect(settings.mongodb, app_name="cart-bench")
    stack.push_async_callback(carts.close)
    inventory = InventoryClient(
        settings.inventory, timeout_seconds=settings.inventory_timeout_seconds
    )
    stack.push_async_callback(inventory.close)
    redis = RedisPool(settings.redis)
    stack.push_async_callback(redis.close)
    cache = CartCache(redis, ttl_seconds=settings.cart_cache_ttl)
    events = EventPublisher(settings)
    stack.push_async_callback(events.close)
    adder = DirectAdd(settings, carts=carts, inventory=inventory, cache=cache, events=events)
    stack.push_async_callback(adder.close)
    return BenchState(await connect(settings), adder)


def _state(request: Request) -> BenchState:
    state: BenchState = request.app.state.bench
    return state


def main() -> None:
    settings = load_settings()
    configure_logging(settings.log_level)
    config = server_config(settings)
    config.app = create_app(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
