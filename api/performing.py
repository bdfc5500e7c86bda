"""What all routes that change a cart do alike: the key, the operation, the wait, the answer."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Header, Request, Response

from adapters.mongo.carts import CartOwner
from api.dependencies import Call
from api.entity_tags import required_tags
from api.errors import ApiError, invalid
from api.outcomes import answered_before, ended
from api.routes.operations import accepted
from api.schemas import IdempotencyKey
from models.messages import CartOperation, Outcome
from telemetry.operations import measured
from workflows import ids
from workflows.gateway import fingerprint, new_attempt, operation_name

KeyHeader = Annotated[
    IdempotencyKey | None,
    Header(
        alias="Idempotency-Key",
        description="Names the intention, so that it can be repeated safely. Generated if absent.",
        examples=["unique-request-id-123"],
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="Entity tags of which the cart must have one; else 412, and nothing changes.",
        examples=['"3-507f1f77bcf86cd799439013"'],
    ),
]

IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=1000,
        description="Entity tags that the client has; 304 if the cart still has one of them.",
        examples=['"3-507f1f77bcf86cd799439013"'],
    ),
]

_EVENTS = {
    ids.ADD_ITEM: ("cart_item_added", "Cart item added"),
    ids.UPDATE_QUANTITY: ("cart_item_updated", "Cart item updated"),
    ids.REMOVE_ITEM: ("cart_item_removed", "Cart item removed"),
    ids.CLEAR_CART: ("cart_cleared", "Cart cleared"),
}


def given_key(request: Request, in_header: str | None, in_body: str | None = None) -> str | None:
    """The one key that was sent, wherever."""
    given = {*request.headers.getlist("Idempotency-Key")}
    if in_body is not None:
        given.add(in_body)
    if len(given) > 1:
        message = "idempotencyKey must be the same in the body and the Idempotency-Key header"
        raise ApiError(invalid(("idempotencyKey", message)))
    return in_header or in_body


def operation(
    call: Call,
    name: str,
    *,
    store_id: str,
    user_id: str,
    key: str,
    asked: dict[str, Any],
    if_match: str | None,
) -> dict[str, Any]:
    """The fields that all operations have; `asked` is what a repeat of the key must ask again.

    Keys belong to who calls: an admin's do not meet the shopper's.
    """
    return {
        "store_id": store_id,
        "user_id": user_id,
        "operation_id": ids.operation_id(store_id, call.principal.user_id, key),
        "attempt_id": new_attempt(),
        "fingerprint": fingerprint(name, asked),
        "if_match": required_tags(if_match),
        "policy": call.state.policy,
    }


async def perform(
    call: Call, key: str | None, build: Callable[[str], Awaitable[CartOperation]]
) -> Response:
    """Starts the operation that `build` makes for a key, and waits for its answer.

    A key that was answered before gets that answer again, and no saga.
    """
    state, trace = call.state, call.trace
    used = key or str(uuid4())
    trace.headers.append((b"idempotency-key", used.encode()))
    request = await build(used)
    trace.fields.update(storeId=request.store_id, userId=request.user_id)
    trace.bind(operationId=request.operation_id)
    with measured(operation_name(request)) as measure:
        if key is not None:
            earlier = await answered_before(state, request)
            if earlier is not None:
                measure.repeated(earlier.status)
                trace.fields["outcome"] = earlier.status
                return earlier.answer.response()
        measure.ended("unavailable", "intake_held")  # unless it is let in
        state.intake.check(request.store_id)
        started = await state.gateway.start(request)
        trace.bind(workflowId=started.handle.id, runId=started.handle.run_id)
        call.link_to_saga(request.store_id, request.user_id)
        wait = state.settings.operation_wait_seconds
        heard = await state.gateway.result(started, wait_seconds=wait)
        measure.heard(heard.result if heard else None)
    if heard is None:
        trace.fields["outcome"] = "pending"
        return accepted(request.store_id, request.operation_id)
    trace.fields["outcome"] = heard.result.outcome.value
    end = await ended(state.carts, heard.result, heard.answer)
    if heard.result.outcome is Outcome.COMMITTED:
        if heard.result.cart_id is not None:
            state.owners.know(heard.result.cart_id, CartOwner(request.store_id, request.user_id))
        event, message = _EVENTS[heard.result.operation]
        trace.done(event, message, sagaId=heard.result.saga_id)
    return end.answer.response()
