"""What all routes that change a cart share: idempotency key, start, wait and answer."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Header, Request, Response
from pydantic import BaseModel, Field

from adapters.shoppers import seal_shopper
from api.audit import seen
from api.dependencies import Call
from api.entity_tags import excluded_tags, required_tags
from api.error_codes import ErrorCode
from api.errors import ApiError, invalid
from api.field_problems import broken
from api.fields import IdempotencyKey
from api.outcomes import accepted, answer_to
from api.pricing import priced
from models.actor import Actor, ActorType
from models.cart import CartKey
from models.operations import (
    AddItem,
    ApplyBatch,
    CancelCheckout,
    CartOperation,
    Checkout,
    ClearCart,
    ExtendHolds,
    MergeCart,
    RemoveItem,
    UpdateQuantity,
)
from models.outcomes import OperationResult, Outcome
from models.shopper import Shopper
from telemetry.operations import measured
from workflows import ids
from workflows.requests import operation_fields


class ChangeHeaders(BaseModel):
    """The headers that every change of a cart accepts."""

    key: IdempotencyKey | None = Field(
        None,
        alias="Idempotency-Key",
        description="Identifies the request, so that it can be repeated. Generated if absent.",
        examples=["unique-request-id-123"],
    )
    if_match: str | None = Field(
        None,
        alias="If-Match",
        max_length=1000,
        description="Entity tags of which the cart must have one; else 412, and nothing changes.",
        examples=['"3-507f1f77bcf86cd799439013"'],
    )
    if_none_match: str | None = Field(
        None,
        alias="If-None-Match",
        max_length=1000,
        description="Entity tags of which the cart must have none; else 412. `*`: there must be no "
        "cart.",
        examples=["*"],
    )


class AddHeaders(ChangeHeaders):
    """The headers that an add accepts."""

    prefer: str | None = Field(
        None,
        alias="Prefer",
        max_length=1000,
        description="With `handling=strict` (RFC 7240), insufficient stock is answered with 409 "
        "instead of 200. Other preferences are ignored.",
        examples=["handling=strict"],
    )


ChangeHeader = Annotated[ChangeHeaders, Header()]
AddHeader = Annotated[AddHeaders, Header()]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=1000,
        description="Entity tags that the client has; 304 if the cart still has one of them.",
        examples=['"3-507f1f77bcf86cd799439013"'],
    ),
]

LOG_EVENTS = {
    AddItem.name: ("cart_item_added", "Cart item added"),
    UpdateQuantity.name: ("cart_item_updated", "Cart item updated"),
    RemoveItem.name: ("cart_item_removed", "Cart item removed"),
    ClearCart.name: ("cart_cleared", "Cart cleared"),
    ApplyBatch.name: ("cart_batch_applied", "Cart batch applied"),
    Checkout.name: ("cart_checked_out", "Cart checked out"),
    CancelCheckout.name: ("checkout_cancelled", "Checkout cancelled"),
    ExtendHolds.name: ("cart_extended", "Holds of the cart extended"),
    MergeCart.name: ("cart_merged", "Guest's cart merged"),
}


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A request's idempotency key; `is_given` is False for one that was generated."""

    value: str
    is_given: bool


def request_key(
    call: Call, request: Request, in_header: str | None, in_body: str | None = None
) -> RequestKey:
    """The request's idempotency key, which the answer names."""
    given = {*request.headers.getlist("Idempotency-Key")}
    if in_body is not None:
        given.add(in_body)
    if len(given) > 1:
        message = "Idempotency key must be the same in the body and the Idempotency-Key header"
        raise ApiError(invalid(broken("idempotencyKey", ErrorCode.CONFLICTING_VALUES, message)))
    key = in_header or in_body
    used = RequestKey(key or str(uuid4()), key is not None)
    call.context.headers.append((b"idempotency-key", used.value.encode()))
    return used


def requested_by(body: BaseModel) -> dict[str, Any]:
    """What a body asks for. A repeat may have another email address, as its token may have another
    one; so nothing that is hashed for comparison is about a person."""
    return body.model_dump(by_alias=True, exclude={"idempotency_key", "email"}, exclude_none=True)


def common_fields(
    call: Call,
    operation: type[CartOperation],
    cart: CartKey,
    *,
    key: RequestKey,
    headers: ChangeHeaders,
    requested: dict[str, Any],
) -> dict[str, Any]:
    """The fields that all operations have. A repeat of the key must have the same `requested`.

    Keys belong to the caller: an admin's do not collide with the shopper's.
    """
    fields = operation_fields(
        operation,
        cart,
        operation_id=ids.operation_id(cart.store_id, call.principal.user_id, key.value),
        requested=requested,
        actor=actor_on(call, cart),
    )
    return fields | {
        "if_match": required_tags(headers.if_match),
        "if_none_match": excluded_tags(headers.if_none_match),
    }


def shopper_of(call: Call, cart: CartKey, email: str | None) -> str | None:
    """What the request says about its user, sealed; the token's address wins over the request's."""
    principal = call.principal
    shopper = Shopper(full_name=principal.name, email=principal.email or email)
    return seal_shopper(call.state.keyring, cart, shopper)


def actor_on(call: Call, cart: CartKey) -> Actor:
    """Who acts on a cart: its user or guest, or an admin on another's."""
    principal = call.principal
    own = cart.user_id == principal.user_id
    return principal.actor if own else Actor(type=ActorType.ADMIN, id=principal.user_id)


async def perform(
    call: Call, operation: CartOperation, key: RequestKey, *, strict: bool = False
) -> Response:
    """Starts the operation, waits for its result, and answers; `strict` as in `answer_to`.

    A repeat of a committed operation gets the same answer, without a saga.
    """
    state, context = call.state, call.context
    context.fields.update(storeId=operation.store_id, userId=operation.user_id)
    context.bind(operationId=operation.operation_id, actor=str(operation.actor))
    with measured(operation.name) as measure:
        result = await _earlier(call, operation) if key.is_given else None
        if result is None:
            measure.ended("unavailable", "intake_held")  # unless the store's intake is open
            state.intake.check(operation.store_id)
            operation = operation.under(await state.policies.of(operation.store_id))
            started = await state.gateway.start(await priced(state.products, operation))
            context.bind(workflowId=started.handle.id, runId=started.handle.run_id)
            call.link_to_saga(operation.store_id, operation.user_id)
            wait = state.settings.operation_wait_seconds
            result = await state.gateway.result(started, wait_seconds=wait)
        measure.ended_with(result)
    if operation.actor.type is ActorType.ADMIN:
        seen(
            "admin_cart_changed",
            "Admin changed a cart",
            call.principal.user_id,
            operation.key,
            operation=operation.name,
            operationId=operation.operation_id,
            outcome=result.outcome.value if result else "pending",
        )
    if result is None:
        context.fields["outcome"] = "pending"
        return accepted(operation.store_id, operation.operation_id).response()
    context.fields["outcome"] = result.outcome.value
    answer = await answer_to(state, result, strict=strict)
    if result.outcome is Outcome.COMMITTED:
        if result.cart_id is not None:
            state.owners.keep(result.cart_id, operation.key)
        event, message = LOG_EVENTS[result.operation]
        context.done(event, message, sagaId=result.saga_id)
    return answer.response()


async def _earlier(call: Call, operation: CartOperation) -> OperationResult | None:
    """How the operation was committed before. A short cut: a saga would find the same."""
    record = await call.state.operations.committed_record(operation.operation_id, operation.key)
    if record is None:
        return None
    result = record.repeated(operation.fingerprint)
    return result.model_copy(update={"answer": await call.state.operations.answer(record)})
