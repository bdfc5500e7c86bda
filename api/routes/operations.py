"""Operations that took longer than the client's patience: where to ask how they ended."""

import re
from http import HTTPStatus
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Response
from temporalio.client import WorkflowFailureError

from api import openapi as docs
from api.dependencies import CallDep, StoreId
from api.errors import RETRY_AFTER, Answer, abort_answer, failure_answer, not_found
from api.outcomes import Ended, committed, ended
from api.reading import show_committed
from api.routing import CartRoute
from api.schemas import Accepted, OperationStatus
from api.state import ApiState
from models.operation import Operation
from models.wire import to_json

BASE_PATH = "/api/v1/cart"

router = APIRouter(
    prefix=BASE_PATH, tags=["Operations"], route_class=CartRoute, responses=docs.PROTECTED
)

_OPERATION_ID = re.compile(r"[0-9a-f]{32}")
_EXAMPLE_ID = "9f86d081884c7d659a2feaa0c55ad015"
_WHAT = "Operation"


def accepted(store_id: str, operation_id: str) -> Response:
    """202: it goes on, and can be asked for."""
    body = Accepted(message="Cart operation accepted", operation_id=operation_id)
    location = f"{BASE_PATH}/{store_id}/operations/{operation_id}"
    headers = {"Location": location, **RETRY_AFTER}
    return Answer(HTTPStatus.ACCEPTED, to_json(body), headers).response()


@router.get(
    "/{storeId}/operations/{operationId}",
    operation_id="getOperation",
    summary="Ask how an operation ended",
    response_class=Response,
    responses={
        200: docs.described(
            OperationStatus,
            "How it ended, and what its request was or would have been answered.",
            committed={
                "operationId": _EXAMPLE_ID,
                "status": "committed",
                "answer": {"status": 201, "body": docs.CART_EXAMPLE},
            },
            pending={"operationId": _EXAMPLE_ID, "status": "pending"},
            rejected={
                "operationId": _EXAMPLE_ID,
                "status": "rejected",
                "answer": {
                    "status": 200,
                    "body": {
                        "message": "Insufficient stock. Only 1 available.",
                        "code": "insufficient_stock",
                        "available": 1,
                    },
                },
            },
            aborted={
                "operationId": _EXAMPLE_ID,
                "status": "aborted",
                "answer": {"status": 503, "body": {"message": "Unable to reserve inventory"}},
            },
        ),
        400: docs.BAD_STORE_ID,
        404: docs.message("There is no such operation of this user.", "Operation not found"),
        503: docs.STORAGE_UNAVAILABLE,
    },
)
async def get_operation(
    store_id: StoreId,
    operation_id: Annotated[
        str,
        Path(
            alias="operationId",
            description="From the 202 answer.",
            examples=[_EXAMPLE_ID],
        ),
    ],
    call: CallDep,
) -> Response:
    """For the user who started it, and for admins of the store.

    An aborted operation has changed nothing, and the same key may try again: it is pending again
    while it does.
    """
    if not _OPERATION_ID.fullmatch(operation_id):
        raise not_found(_WHAT)
    principal, state = call.principal, call.state
    user_id = None if principal.administers(store_id) else principal.user_id
    record = await state.carts.latest_record(operation_id)
    if record is not None and (
        record.store_id != store_id or user_id not in {None, record.user_id}
    ):
        raise not_found(_WHAT)
    end = await _end(state, store_id, operation_id, user_id, record)
    owner = record.user_id if record is not None else user_id
    if owner is not None:
        call.link_to_saga(store_id, owner)
    return Answer(HTTPStatus.OK, _body(operation_id, end)).response()


async def _end(
    state: ApiState,
    store_id: str,
    operation_id: str,
    user_id: str | None,
    record: Operation | None,
) -> Ended | None:
    """How it ended; None while it runs. Aborted tries may be followed by a running one."""
    if record is not None and record.answer is not None:
        await show_committed(state, record)
        return committed(record.answer)
    owner = record.user_id if record is not None else user_id
    try:
        result = await state.gateway.find(store_id, operation_id, user_id=owner)
    except KeyError:
        if record is None:
            raise not_found(_WHAT) from None
        return Ended("aborted", abort_answer(record.reason))
    except WorkflowFailureError as error:
        return Ended("aborted", failure_answer(error))
    return None if result is None else await ended(state.carts, result)


def _body(operation_id: str, end: Ended | None) -> bytes:
    """The answer's text goes in as it is, byte for byte."""
    if end is None:
        return to_json({"operationId": operation_id, "status": "pending"})
    answer = {"status": end.answer.status, "body": orjson.Fragment(end.answer.body)}
    return to_json({"operationId": operation_id, "status": end.status, "answer": answer})
