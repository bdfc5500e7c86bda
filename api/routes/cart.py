"""The user's cart in a store: add an item, get it, clear it."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from api import openapi as docs
from api import openapi_headers as shown
from api.dependencies import Call, CallDep, StoreId
from api.entity_tags import unless_known
from api.performing import (
    AddHeader,
    ChangeHeader,
    ChangeHeaders,
    IfNoneMatch,
    RequestKey,
    common_fields,
    perform,
    request_key,
    requested_by,
    shopper_of,
)
from api.preferences import APPLIED, prefers_strict
from api.reading import own_cart
from api.routing import BASE_PATH, CartRoute
from api.schemas import AddItemBody, Done
from models.cart import CartKey, CartView
from models.operations import AddItem, ClearCart

router = APIRouter(prefix=BASE_PATH, tags=["Cart"], route_class=CartRoute, responses=docs.PROTECTED)


@router.post(
    "/{storeId}/store",
    summary="Add an item to the cart",
    status_code=HTTPStatus.CREATED,
    responses={
        201: docs.changed(
            CartView,
            "The cart with the item.",
            shown.ETAG,
            shown.PREFERENCE_APPLIED,
            cart=docs.CART_EXAMPLE,
        )
        | {"links": docs.CART_LINKS},
        **docs.MUTATION_WITH_BODY,
        **docs.NOT_ADDED,
    },
)
async def add_item(
    store_id: StoreId, body: AddItemBody, request: Request, call: CallDep, headers: AddHeader
) -> Response:
    """Reserves the units and adds them to your cart. Creates the cart if there is none.

    If the product is already in the cart, its quantities add up. A repeated request with the same
    key and body gets the same response and adds nothing.
    """
    call.context.fields.update(productId=body.product_id, quantity=body.quantity)
    key = request_key(call, request, headers.key, body.idempotency_key)
    strict = prefers_strict(request.headers.getlist("Prefer"))
    if strict:
        call.context.headers.append(APPLIED)
    operation = add_item_of(call, store_id, body, key, headers)
    return await perform(call, operation, key, strict=strict)


@router.delete(
    "/{storeId}/store",
    summary="Clear your cart",
    responses={
        200: docs.changed(
            Done,
            "The cart was deleted and its units released.",
            example={"message": "Cart cleared"},
        ),
        **docs.MUTATION,
        400: docs.BAD_STORE_ID,
        404: docs.refused("You have no cart in this store.", cart=docs.NO_CART),
    },
)
async def clear_cart(
    store_id: StoreId, request: Request, call: CallDep, headers: ChangeHeader
) -> Response:
    """Deletes your cart and releases its units."""
    key = request_key(call, request, headers.key)
    cart = CartKey(store_id, call.principal.user_id)
    common = common_fields(call, ClearCart, cart, key=key, headers=headers, requested={})
    return await perform(call, ClearCart(**common, reason="user"), key)


@router.get(
    "/{storeId}/store",
    summary="Get your cart",
    responses={
        **docs.CART_READ,
        400: docs.BAD_STORE_ID,
        404: docs.refused("You have no cart in this store.", cart=docs.NO_CART),
    },
)
async def get_cart(store_id: StoreId, call: CallDep, if_none_match: IfNoneMatch = None) -> Response:
    """Returns your cart in a store. Each line shows whether it is in stock."""
    cart = await own_cart(call.state, CartKey(store_id, call.principal.user_id))
    return unless_known(cart, if_none_match)


def add_item_of(
    call: Call, store_id: str, body: AddItemBody, key: RequestKey, headers: ChangeHeaders
) -> AddItem:
    """The operation of a request to add an item."""
    cart = CartKey(store_id, call.principal.user_id)
    requested = requested_by(body)
    return AddItem(
        **common_fields(call, AddItem, cart, key=key, headers=headers, requested=requested),
        product_id=body.product_id,
        product_title=body.product_title,
        product_images=tuple(body.product_image or ()),
        product_price=body.product_price,
        product_description=body.product_description,
        seller_id=body.seller_id,
        quantity=body.quantity,
        shopper=shopper_of(call, cart, body.email),
    )
