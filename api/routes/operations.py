"""Operations that took longer than the client's patience: where to ask how they ended."""

import json
import re
from http import HTTPStatus
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Response
from temporalio.client import WorkflowFailureError

from api import openapi as docs
from api import openapi_headers as shown
from api.audit import seen
from api.dependencies import CallDep, StoreId
from api.error_codes import ErrorCode
from api.errors import Answer, abort_answer, failure_answer, not_found
from api.outcomes import answer_to
from api.routing import BASE_PATH, CartRoute
from api.schemas import OperationStatus
from api.state import ApiState
from models.cart import CartKey
from models.documents import OperationRecord
from models.outcomes import AbortReason
from workflows import ids

router = APIRouter(
    prefix=BASE_PATH, tags=["Operations"], route_class=CartRoute, responses=docs.PROTECTED
)

_OPERATION_ID = re.compile(r"[0-9a-f]{32}")
_NOT_FOUND = ErrorCode.OPERATION_NOT_FOUND


def _example(status: str, code: int, body: dict[str, Any]) -> dict[str, Any]:
    answer = {"status": code, "body": body}
    return {"operationId": docs.OPERATION_ID_EXAMPLE, "status": status, "answer": answer}


@router.get(
    "/{storeId}/operations/{operationId}",
    summary="Ask how an operation ended",
    responses={
        200: docs.read(
            OperationStatus,
            "How it ended, and what its request was or would have been answered.",
            shown.SAGA_LINK,
            committed=_example("committed", 201, docs.CART_EXAMPLE),
            pending={"operationId": docs.OPERATION_ID_EXAMPLE, "status": "pending"},
            rejected=_example("rejected", 200, docs.NO_STOCK_EXAMPLE),
            aborted=_example(
                "aborted",
                503,
                json.loads(abort_answer(AbortReason.INVENTORY_UNAVAILABLE).body),
            ),
        ),
        400: docs.BAD_STORE_ID,
        404: docs.refused("No such operation of this user.", missing=not_found(_NOT_FOUND).answer),
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
            examples=[docs.OPERATION_ID_EXAMPLE],
        ),
    ],
    call: CallDep,
) -> Response:
    """For the user who started it, and for admins of the store.

    An aborted operation has changed nothing, and the same key may try again: it is pending again
    while it does.
    """
    principal, state = call.principal, call.state
    user_id = None if principal.administers(store_id) else principal.user_id
    # Ids of others, and made-up ones, are refused alike and without asking MongoDB or Temporal.
    is_known = user_id is None or ids.is_operation_of(operation_id, store_id, user_id)
    if not _OPERATION_ID.fullmatch(operation_id) or not is_known:
        raise not_found(_NOT_FOUND)
    record = await state.operations.latest_record(operation_id, store_id)
    if record is not None and (
        record.store_id != store_id or user_id not in {None, record.user_id}
    ):
        raise not_found(_NOT_FOUND)
    owner = record.user_id if record is not None else user_id
    if owner is not None:
        call.link_to_saga(store_id, owner)
    if user_id is None and owner != principal.user_id:
        seen(
            "admin_operation_read",
            "Admin read an operation",
            principal.user_id,
            CartKey(store_id, owner or ""),
            operationId=operation_id,
        )
    status, answer = await _end(state, store_id, operation_id, owner, record)
    body: dict[str, Any] = {"operationId": operation_id, "status": status}
    if answer is not None:
        body["answer"] = {"status": answer.status, "body": orjson.Fragment(answer.body)}
    return Answer(HTTPStatus.OK, orjson.dumps(body)).response()


async def _end(
    state: ApiState,
    store_id: str,
    operation_id: str,
    user_id: str | None,
    record: OperationRecord | None,
) -> tuple[str, Answer | None]:
    """The operation's status, and its answer unless it is pending.

    A try that was rejected or aborted may be followed by a running one, so Temporal is asked.
    """
    if record is not None and record.state == "committed":
        result = record.result().model_copy(
            update={"answer": await state.operations.answer(record)}
        )
        return result.outcome.status, await answer_to(state, result)
    try:
        found = await state.gateway.find(store_id, operation_id, user_id=user_id)
        if found is None:
            return "pending", None
    except KeyError:
        if record is None:
            raise not_found(_NOT_FOUND) from None
        found = record.result()
    except WorkflowFailureError as error:
        return "aborted", failure_answer(error)
    return found.outcome.status, await answer_to(state, found)
