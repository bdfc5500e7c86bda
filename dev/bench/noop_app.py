"""`python -m dev.bench.noop_app`: the API's server, middleware and validation with other routes: an
empty workflow, an add without a workflow, and no work.
"""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from uuid import uuid4

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.background import BackgroundTask
from temporalio.client import Client

from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.carts import CartStore
from adapters.mongo.operations import OperationStore
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from api.__main__ import server_config
from api.dependencies import CallDep, StoreId
from api.errors import Answer, add_error_handlers
from api.middleware import RequestMiddleware
from api.performing import request_key
from api.routes import health
from api.routes.cart import add_item_of
from api.routing import CartRoute
from api.schemas import AddItemBody
from api.state import open_state
from dev.bench.direct import DirectAdd
from dev.bench.noop import NOOP_QUEUE, NoopWorkflow
from logs import configure_logging
from settings import Settings, load_settings
from workflows.connection import connect

router = APIRouter(route_class=CartRoute)


@router.post("/noop/{storeId}/store", response_class=Response)
async def noop(
    *, store_id: StoreId, body: AddItemBody, request: Request, call: CallDep
) -> Response:
    """Starts an empty workflow and waits for its result."""
    temporal: Client = request.app.state.temporal
    handle = await temporal.start_workflow(
        NoopWorkflow.run, id=f"noop/{uuid4().hex}", task_queue=NOOP_QUEUE
    )
    await handle.result()
    return Answer(HTTPStatus.CREATED, b"{}").response()


@router.post("/direct/{storeId}/store", response_class=Response)
async def direct(
    *, store_id: StoreId, body: AddItemBody, request: Request, call: CallDep
) -> Response:
    """Adds an item without a workflow."""
    adder: DirectAdd = request.app.state.direct
    key = request_key(call, request, None)
    record = await adder.add(add_item_of(call, store_id, body, key, None))
    if record.answer is None:
        raise RuntimeError(f"record {record.id} has no answer")
    response = Answer(record.answer.status, record.answer.body.encode()).response()
    response.background = BackgroundTask(adder.note, record)
    return response


@router.get("/empty/{storeId}/store", response_class=Response)
async def empty(store_id: StoreId, call: CallDep) -> Response:
    """An empty route for a caller with a token."""
    return Answer(HTTPStatus.OK, b"{}").response()


def create_app(settings: Settings) -> FastAPI:
    """The application, with the setup of the API."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.api = await stack.enter_async_context(open_state(settings))
            app.state.temporal = await connect(settings)
            app.state.direct = await _open(settings, stack)
            yield

    app = FastAPI(lifespan=lifespan, redirect_slashes=False)
    app.add_middleware(RequestMiddleware, max_body_bytes=settings.max_body_bytes)
    add_error_handlers(app)
    app.include_router(router)
    app.include_router(health.router)
    return app


async def _open(settings: Settings, stack: AsyncExitStack) -> DirectAdd:
    carts = await CartStore.connect(settings.mongodb, app_name="cart-bench")
    redis = RedisPool(settings.redis)
    inventory = InventoryClient.of(settings)
    events = EventPublisher(settings)
    direct = DirectAdd(
        settings,
        operations=OperationStore(carts.client),
        inventory=inventory,
        cache=CartCache(redis, ttl_seconds=settings.cart_cache_ttl),
        events=events,
    )
    for opened in (carts, inventory, redis, events, direct):
        stack.push_async_callback(opened.close)
    return direct


def main() -> None:
    settings = load_settings()
    configure_logging(settings.log_level)
    config = server_config(settings)
    config.app = create_app(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
