"""A shopper's own cart: add an item, read the cart."""

import logging
from http import HTTPStatus
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Header, Request, Response

from api import openapi as docs
from api.dependencies import Call, CallDep, StoreId
from api.errors import Answer, ApiError, invalid, not_found
from api.outcomes import answered_before, ended, show_cart
from api.routers.operations import BASE_PATH, accepted
from api.routing import CartRoute
from api.schemas import Accepted, AddItemBody, IdempotencyKey, InsufficientStock
from api.state import ApiState
from models.cart import CartView
from models.errors import DependencyUnavailable
from models.messages import AddItemInput, Outcome
from workflows import ids
from workflows.gateway import fingerprint, new_attempt

logger = logging.getLogger(__name__)

router = APIRouter(prefix=BASE_PATH, tags=["Cart"], route_class=CartRoute, responses=docs.PROTECTED)

KeyHeader = Annotated[
    IdempotencyKey | None,
    Header(
        alias="Idempotency-Key",
        description="Names the intention, so that it can be repeated safely. Generated if absent.",
        examples=["unique-request-id-123"],
    ),
]
_KEY = docs.IDEMPOTENCY_KEY


@router.post(
    "/{storeId}/store",
    operation_id="addItem",
    summary="Add an item to the cart",
    status_code=HTTPStatus.CREATED,
    response_class=Response,
    responses={
        201: docs.described(
            CartView, "Added: the cart.", _KEY, docs.REPLAYED, cart=docs.CART_EXAMPLE
        ),
        200: docs.described(
            InsufficientStock,
            "Too few units: nothing was changed.",
            _KEY,
            example={
                "message": "Insufficient stock. Only 1 available.",
                "code": "insufficient_stock",
                "available": 1,
            },
        ),
        202: docs.described(
            Accepted,
            "Started, and not yet finished.",
            _KEY,
            docs.LOCATION,
            docs.RETRY_AFTER,
            example={
                "message": "Cart operation accepted",
                "status": "pending",
                "operationId": "9f86d081884c7d659a2feaa0c55ad015",
            },
        ),
        400: docs.validation_failed(
            quantity=("quantity", "Quantity must be between 1 and 100"),
            limit=("quantity", "Quantity must not exceed 100 in all; the cart already holds 99"),
            json=("body", "Body is not valid JSON: Expecting value at line 1, column 1"),
        ),
        409: docs.message(
            "The cart, or the same key, is busy.",
            "Cart operation already in progress",
            _KEY,
            docs.RETRY_AFTER,
        ),
        413: docs.message("The body is too large.", "Request body is larger than 65536 bytes"),
        415: docs.message("The body is no JSON.", "Content-Type must be application/json"),
        422: docs.message(
            "The key belongs to a different request.",
            "Idempotency key was already used for a different request",
            _KEY,
            code="idempotency_key_reused",
        ),
        503: docs.message(
            "A system that is needed is away; what was begun was undone.",
            "Unable to reserve inventory",
            _KEY,
            docs.RETRY_AFTER,
        ),
    },
)
async def add_item(
    *,
    store_id: StoreId,
    body: AddItemBody,
    request: Request,
    call: CallDep,
    idempotency_key: KeyHeader = None,
) -> Response:
    """Reserves the units and adds them to the shopper's cart, which is created when there is none.

    Quantities of a product that is in the cart already add up. The same key and the same body are
    answered alike for ever, and done once.
    """
    principal, state, trace = call.principal, call.state, call.trace
    given = _given_key(request, idempotency_key, body)
    key = given or str(uuid4())
    trace.headers.append((b"idempotency-key", key.encode()))
    operation = _operation(store_id, key, body, call)
    trace.fields.update(
        storeId=store_id,
        userId=principal.user_id,
        productId=body.product_id,
        quantity=body.quantity,
        operationId=operation.operation_id,
    )
    if given is not None:
        earlier = await answered_before(state.carts, operation)
        if earlier is not None:
            trace.fields["outcome"] = earlier.status
            if earlier.status == "committed":
                await show_cart(state, store_id, principal.user_id)
            return earlier.answer.response()
    started = await state.gateway.add_item(operation)
    heard = await state.gateway.result(started, wait_seconds=state.settings.operation_wait_seconds)
    if heard is None:
        trace.fields["outcome"] = "pending"
        return accepted(store_id, operation.operation_id)
    trace.fields["outcome"] = heard.result.outcome.value
    end = await ended(state.carts, heard.result, heard.answer)
    if heard.result.outcome is Outcome.COMMITTED:
        trace.done("cart_item_added", "Cart item added", sagaId=heard.result.saga_id)
    return end.answer.response()


@router.get(
    "/{storeId}/store",
    operation_id="getCart",
    summary="Read the own cart",
    response_class=Response,
    responses={
        200: docs.described(CartView, "The cart.", cart=docs.CART_EXAMPLE),
        400: docs.validation_failed(
            storeId=("storeId", "storeId must be 1 to 64 letters, digits, _ or -")
        ),
        404: docs.message("There is no cart.", "Cart not found"),
        503: docs.STORAGE_UNAVAILABLE,
    },
)
async def get_cart(store_id: StoreId, call: CallDep) -> Response:
    """The shopper's cart in a store, from the cache if it is there."""
    state, user_id = call.state, call.principal.user_id
    cached = await _from_cache(state, store_id, user_id)
    if cached is not None:
        return Answer(HTTPStatus.OK, cached).response()
    body = await show_cart(state, store_id, user_id)
    if body is None:
        raise not_found("Cart")
    return Answer(HTTPStatus.OK, body).response()


async def _from_cache(state: ApiState, store_id: str, user_id: str) -> bytes | None:
    if not state.policy.cache:
        return None
    try:
        return await state.cache.get(store_id, user_id)
    except DependencyUnavailable as error:
        logger.debug("Cart is read without the cache: %s", error)
        return None


def _given_key(request: Request, in_header: str | None, body: AddItemBody) -> str | None:
    """The one key that was sent, wherever."""
    given = {*request.headers.getlist("Idempotency-Key")}
    if body.idempotency_key is not None:
        given.add(body.idempotency_key)
    if len(given) > 1:
        message = "idempotencyKey must be the same in the body and the Idempotency-Key header"
        raise ApiError(invalid(("idempotencyKey", message)))
    return in_header or body.idempotency_key


def _operation(store_id: str, key: str, body: AddItemBody, call: Call) -> AddItemInput:
    """What the saga is given; the fingerprint is of what was sent, in one spelling."""
    principal = call.principal
    asked = body.model_dump(by_alias=True, exclude={"idempotency_key"}, exclude_none=True)
    return AddItemInput(
        store_id=store_id,
        user_id=principal.user_id,
        operation_id=ids.operation_id(store_id, principal.user_id, key),
        attempt_id=new_attempt(),
        fingerprint=fingerprint(ids.ADD_ITEM, asked),
        policy=call.state.policy,
        product_id=body.product_id,
        product_title=body.product_title,
        product_images=tuple(body.product_image or ()),
        product_price=body.product_price,
        product_description=body.product_description,
        seller_id=body.seller_id,
        quantity=body.quantity,
        email=principal.email or body.email,
        full_name=principal.name,
    )
