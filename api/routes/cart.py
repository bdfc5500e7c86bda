"""A shopper's own cart in a store: add an item, read it, clear it."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from api import openapi as docs
from api.dependencies import Call, CallDep, StoreId
from api.entity_tags import unless_known
from api.performing import (
    IfMatch,
    IfNoneMatch,
    KeyHeader,
    given_key,
    operation,
    perform,
)
from api.reading import own_cart
from api.routes.operations import BASE_PATH
from api.routing import CartRoute
from api.schemas import AddItemBody, Done, InsufficientStock
from models.cart import CartView
from models.messages import AddItemInput, ClearCartInput
from workflows import ids

router = APIRouter(prefix=BASE_PATH, tags=["Cart"], route_class=CartRoute, responses=docs.PROTECTED)


@router.post(
    "/{storeId}/store",
    operation_id="addItem",
    summary="Add an item to the cart",
    status_code=HTTPStatus.CREATED,
    response_class=Response,
    responses={
        201: docs.changed(CartView, "Added: the cart.", docs.ETAG, cart=docs.CART_EXAMPLE)
        | {"links": docs.CART_LINKS},
        200: docs.described(
            InsufficientStock,
            "Too few units: nothing was changed.",
            docs.IDEMPOTENCY_KEY,
            example={
                "message": "Insufficient stock. Only 1 available.",
                "code": "insufficient_stock",
                "available": 1,
            },
        ),
        **docs.MUTATION_WITH_BODY,
        400: docs.validation_failed(
            quantity=("quantity", "Quantity must be between 1 and 100"),
            limit=("quantity", "Quantity must not exceed 100 in all; the cart already holds 99"),
            units=("quantity", "Cart must not hold more than 500 units; it already holds 499"),
            value=("quantity", "Cart must not be worth more than 5000 in all"),
            json=("body", "Body is not valid JSON: Expecting value at line 1, column 1"),
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
    if_match: IfMatch = None,
) -> Response:
    """Reserves the units and adds them to the shopper's cart, which is created when there is none.

    Quantities of a product that is in the cart already add up. The same key and the same body are
    answered alike for ever, and done once.
    """
    call.trace.fields.update(productId=body.product_id, quantity=body.quantity)

    async def build(key: str) -> AddItemInput:
        return add_item_input(store_id, key, body, call, if_match)

    key = given_key(request, idempotency_key, body.idempotency_key)
    return await perform(call, key, build)


@router.delete(
    "/{storeId}/store",
    operation_id="clearCart",
    summary="Clear the own cart",
    response_class=Response,
    responses={
        200: docs.changed(
            Done,
            "The cart is gone, and its units are free.",
            example={"message": "Cart cleared"},
        ),
        **docs.MUTATION,
        400: docs.BAD_STORE_ID,
        404: docs.message("There is no cart.", "Cart not found"),
    },
)
async def clear_cart(
    *,
    store_id: StoreId,
    request: Request,
    call: CallDep,
    idempotency_key: KeyHeader = None,
    if_match: IfMatch = None,
) -> Response:
    """Deletes the shopper's cart and gives all its units back."""

    async def build(key: str) -> ClearCartInput:
        common = operation(
            call,
            ids.CLEAR_CART,
            store_id=store_id,
            user_id=call.principal.user_id,
            key=key,
            asked={},
            if_match=if_match,
        )
        return ClearCartInput(**common, reason="user")

    key = given_key(request, idempotency_key)
    return await perform(call, key, build)


@router.get(
    "/{storeId}/store",
    operation_id="getCart",
    summary="Read the own cart",
    response_class=Response,
    responses={
        **docs.CART_READ,
        400: docs.BAD_STORE_ID,
        404: docs.message("There is no cart.", "Cart not found"),
    },
)
async def get_cart(store_id: StoreId, call: CallDep, if_none_match: IfNoneMatch = None) -> Response:
    """The shopper's cart in a store. Each line shows whether there are still units for it."""
    cart = await own_cart(call.state, store_id, call.principal.user_id)
    return unless_known(cart, if_none_match)


def add_item_input(
    store_id: str, key: str, body: AddItemBody, call: Call, if_match: str | None
) -> AddItemInput:
    """What the saga is given; the fingerprint is of what was sent, in one spelling."""
    principal = call.principal
    asked = body.model_dump(by_alias=True, exclude={"idempotency_key"}, exclude_none=True)
    common = operation(
        call,
        ids.ADD_ITEM,
        store_id=store_id,
        user_id=principal.user_id,
        key=key,
        asked=asked,
        if_match=if_match,
    )
    return AddItemInput(
        **common,
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
