"""`python -m dev.bench.noop_app`: the API with more routes: an empty workflow, an add without a
workflow, and no work.
"""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from uuid import uuid4

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.background import BackgroundTask
from temporalio.client import Client

from adapters.mongo.carts import CartStore
from api.__main__ import server_config
from api.app import create_app
from api.dependencies import CallDep, StoreId
from api.errors import Answer
from api.performing import ChangeHeaders, request_key
from api.routes.cart import add_item_of
from api.routing import CartRoute
from api.schemas import AddItemBody
from dev.bench.direct import DirectAdd
from dev.bench.noop import NOOP_QUEUE, NoopWorkflow
from logs import configure_logging
from process import tune_collector
from settings import load_settings
from workflows.connection import connect


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = load_settings()
    carts = await CartStore.connect(settings.mongodb, app_name="cart-bench")
    async with aclosing(DirectAdd(settings, carts)) as adder:
        app.state.direct = adder
        app.state.temporal = await connect(settings)
        yield


router = APIRouter(route_class=CartRoute, lifespan=lifespan)


@router.post("/noop/{storeId}/store", response_class=Response)
async def noop(
    *, store_id: StoreId, body: AddItemBody, request: Request, call: CallDep
) -> Response:
    """Starts an empty workflow and waits for its result."""
    temporal: Client = request.app.state.temporal
    workflow_id = f"noop/{uuid4().hex}"
    await temporal.execute_workflow(NoopWorkflow.run, id=workflow_id, task_queue=NOOP_QUEUE)
    return Answer(HTTPStatus.CREATED, b"{}").response()


@router.post("/direct/{storeId}/store", response_class=Response)
async def direct(
    *, store_id: StoreId, body: AddItemBody, request: Request, call: CallDep
) -> Response:
    """Adds an item without a workflow."""
    adder: DirectAdd = request.app.state.direct
    key = request_key(call, request, None)
    record, _, answer = await adder.add(add_item_of(call, store_id, body, key, ChangeHeaders()))
    if answer is None or answer.body is None:
        raise RuntimeError(f"record {record.id} has no answer")
    response = Answer(answer.status, answer.body.encode()).response()
    response.background = BackgroundTask(adder.note, record)
    return response


@router.get("/empty/{storeId}/store", response_class=Response)
async def empty(store_id: StoreId, call: CallDep) -> Response:
    """An empty route for a caller with a token."""
    return Answer(HTTPStatus.OK, b"{}").response()


def main() -> None:
    settings = load_settings()
    configure_logging(settings.log_level)
    app = create_app(settings)
    app.include_router(router)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    tune_collector()
    uvicorn.Server(server_config(settings, app)).run()


if __name__ == "__main__":
    main()
